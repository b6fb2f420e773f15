/**
 * Texts to tokens and back. Runs in the server, one call per request. It must never hand a token to an
 * engine that its vocabulary has not.
 */
import { piecesOf } from '../engine/pieces.js';
import { checkTokens } from '../engine/token-ids.js';
import { throwIfGone, unlessGone } from '../resources/gone.js';
import { type EmbedDeps, type EmbedRun, withModel } from './with-model.js';

/** A text to turn into tokens. */
export interface TokenizeRequest {
  readonly model: string;
  readonly text: string;
  /** Whether the text of control tokens becomes these tokens. */
  readonly special: boolean;
  /** Whether the tokenizer adds what the model wants around a text. */
  readonly addSpecial: boolean;
  readonly withPieces: boolean;
}

/** Tokens, and where it was asked for the bytes that each of them stands for. */
export interface Tokenized {
  readonly tokens: Int32Array;
  readonly pieces: ReadonlyMap<number, Uint8Array> | null;
}

/** The tokens of a text. Codes: those of withModel. */
export function tokenize(
  deps: EmbedDeps,
  request: TokenizeRequest,
  run: EmbedRun,
): Promise<Tokenized> {
  const { signal } = run;
  return withModel(deps, { model: request.model, run }, async (engine) => {
    const { text, special, addSpecial } = request;
    const tokens = await unlessGone(engine.tokenize([{ text, special }], addSpecial), signal);
    const pieces = request.withPieces
      ? await unlessGone(
          piecesOf(engine, tokens, () => throwIfGone(signal)),
          signal,
        )
      : null;
    return { tokens, pieces };
  });
}

/** The bytes of tokens, special ones rendered. Codes: those of withModel, invalid_value. */
export function detokenize(
  deps: EmbedDeps,
  { model, tokens }: { readonly model: string; readonly tokens: Int32Array },
  run: EmbedRun,
): Promise<Uint8Array> {
  return withModel(deps, { model, run }, async (engine) => {
    checkTokens(tokens, engine.info.model.vocabularySize, 'tokens');
    if (tokens.length === 0) return new Uint8Array();
    return unlessGone(engine.detokenize(tokens), run.signal);
  });
}
