/**
 * A prompt as it stands before its answer, with the tokens it was made of and how likely each of them
 * was. Server's main thread, once per prompt. The tokens it tells must join to the text it tells.
 */
import type { Engine, TokenLogprob } from '../engine/engine.js';
import { piecesOf } from '../engine/pieces.js';
import { HoshikageError } from '../errors.js';
import { type ChosenLogprob, logprobsOf } from '../generate/logprobs.js';
import { TextAssembler, visibleText } from '../generate/text.js';
import { throwIfGone, unlessGone } from '../resources/gone.js';
import { characters } from './placed.js';
import type { TokenPrompt } from './prompt.js';
import type { PlacedLogprob, TextRequest } from './request.js';

/** Log-probabilities of prompts that one answer may tell: more would be hundreds of megabytes of it. */
const MOST_TOLD = 2 ** 20;
const SPACE = 0x20;

/** A prompt's text. `logprobs`: one per token. */
export interface Echo {
  readonly text: string;
  readonly logprobs: readonly PlacedLogprob[];
  /** Characters (code points) of the text. */
  readonly length: number;
}

/** Refuses what would tell too much. Code: invalid_value. */
export function checkTold(
  { topLogprobs = 0, bestOf }: TextRequest,
  prompts: readonly TokenPrompt[],
): void {
  const tokens = prompts.reduce((sum, { shown: [from, to] }) => sum + to - from, 0);
  const told = tokens * (topLogprobs + 1) * bestOf;
  if (told <= MOST_TOLD) return;
  throw new HoshikageError('invalid_value', {
    param: 'logprobs',
    reason: `with echo, tokens of the prompts × (logprobs + 1) × best_of (else n) may be ${MOST_TOLD} at most, and are ${told}`,
    reason_ja: `echo と一緒のときは、プロンプトのトークン数 × (logprobs + 1) × best_of(なければ n)が ${MOST_TOLD} までです(${told} になります)`,
  });
}

/**
 * The prompt with its log-probabilities; `found`: those of its tokens from the second one on. Codes:
 * cancelled, those of detokenize.
 */
export async function echoOf(
  engine: Pick<Engine, 'detokenize' | 'info'>,
  { tokens, echoed, shown: [from, to] }: TokenPrompt,
  found: readonly TokenLogprob[],
  signal: AbortSignal,
): Promise<Echo> {
  const ids = tokens.subarray(from, to);
  const check = (): void => throwIfGone(signal);
  const known = await unlessGone(piecesOf(engine, ids, check), signal);
  const pieces = Array.from(ids, (id) => known.get(id) ?? new Uint8Array());
  const shares = sharesOf(echoed, pieces, new Set(engine.info.model.controlTexts));
  const ends = new Int32Array(shares.length);
  let end = 0;
  for (const [index, { length }] of shares.entries()) ends[index] = end += length;
  const assembler = new TextAssembler([]);
  const flags = new Uint8Array(ids.length);
  const spoken = assembler.push({ tokens: ids, bytes: Buffer.concat(shares), ends, flags });
  const text = visibleText([...spoken.runs, ...assembler.end()]);
  const said = spoken.tokens.map((token, index) => {
    const logprob = found[from + index - 1];
    if (!logprob && from + index > 0) throw new HoshikageError('internal_error');
    return { ...token, ...(logprob && { logprob }) };
  });
  let [length, at] = [0, 0];
  const logprobs = (await logprobsOf(engine, said, signal)).map((one, index): PlacedLogprob => {
    const { from: place, logprob } = said[index] ?? { from: at };
    length += characters(text.slice(at, place));
    at = place;
    const placed = placedAt(length, one);
    return logprob ? placed : { ...placed, logprob: null, top: null };
  });
  return { text, logprobs, length: length + characters(text.slice(at)) };
}

/** A token's own text is among the likeliest ones what it is in the answer. */
export function placedAt(offset: number, one: ChosenLogprob): PlacedLogprob {
  const { token, bytes } = one;
  return {
    ...one,
    top: one.top.map((piece) => (piece.token === token ? { ...piece, bytes } : piece)),
    offset,
  };
}

/**
 * What of `text` each piece says. Nothing where a tokenizer has put a control token there that the text
 * has not, such as BOS, and without the space that some put before a text. Where a tokenizer has changed
 * the text itself, the pieces as they are.
 */
function sharesOf(
  text: string,
  pieces: readonly Uint8Array[],
  controlTexts: ReadonlySet<string>,
): readonly Uint8Array[] {
  const bytes = Buffer.from(text);
  let at = 0;
  let isSame = true;
  return pieces.map((piece) => {
    if (!isSame) return piece;
    const isNext = (part: Uint8Array) => bytes.subarray(at, at + part.length).equals(part);
    const share = [piece, ...(piece[0] === SPACE ? [piece.subarray(1)] : [])].find(isNext);
    if (share) {
      at += share.length;
      return share;
    }
    if (controlTexts.has(Buffer.from(piece).toString())) return new Uint8Array();
    isSame = false;
    return piece;
  });
}
