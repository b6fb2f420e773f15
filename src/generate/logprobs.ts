/**
 * Log-probabilities with the texts they are of. Server's main thread. Engines give ids; clients want
 * bytes, since a token may be a part of a character.
 */
import type { Engine } from '../engine/engine.js';
import { piecesOf } from '../engine/pieces.js';
import { throwIfGone, unlessGone } from '../resources/gone.js';
import type { SaidToken } from './text.js';

/** One token and how likely it was, natural log. */
export interface PieceLogprob {
  readonly token: number;
  readonly bytes: Uint8Array;
  readonly logprob: number;
}

/** A chosen token, and the likeliest ones in its place, best first. */
export interface ChosenLogprob extends PieceLogprob {
  readonly top: readonly PieceLogprob[];
}

/** What JSON has no number for; OpenAI's own stand-in for "practically never". */
const LEAST = -9999;

/** The log-probabilities of tokens that were asked for with them. Codes: cancelled, those of detokenize. */
export async function logprobsOf(
  engine: Pick<Engine, 'detokenize'>,
  tokens: readonly SaidToken[],
  signal: AbortSignal,
): Promise<readonly ChosenLogprob[]> {
  const asked = tokens.flatMap(({ logprob }) => logprob?.top.map(([token]) => token) ?? []);
  const ids = asked.filter((token) => token >= 0);
  const pieces = await unlessGone(
    piecesOf(engine, ids, () => throwIfGone(signal)),
    signal,
  );
  return tokens.map(({ token, bytes, logprob }) => ({
    token,
    bytes,
    logprob: Math.max(LEAST, logprob?.logprob ?? LEAST),
    top: (logprob?.top ?? []).flatMap(([id, value]) => {
      const piece = pieces.get(id);
      // -1 where fewer tokens were possible than asked for.
      return piece ? [{ token: id, bytes: piece, logprob: Math.max(LEAST, value) }] : [];
    }),
  }));
}
