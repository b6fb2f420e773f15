/**
 * Whether tokens that a client sent, or a text came to, may be handed to an engine. Pure, any thread.
 * Native code must not be the first to look.
 */
import { HoshikageError } from '../errors.js';

/** Every id is in the vocabulary; `param` is the array's name in the error. Code: invalid_value. */
export function checkTokens(tokens: Int32Array, vocabularySize: number, param: string): void {
  const wrong = tokens.findIndex((token) => token < 0 || token >= vocabularySize);
  if (wrong < 0) return;
  throw new HoshikageError('invalid_value', {
    param: `${param}[${wrong}]`,
    reason: `the vocabulary has ${vocabularySize} tokens`,
    reason_ja: `語彙は ${vocabularySize} トークンです`,
  });
}

/** How long a prompt may be; tokens. */
export interface LengthLimit {
  /** The context of one request. */
  readonly contextTokens: number;
  /** Of it, what has to stay free for an answer; 0 where absent. */
  readonly answerTokens?: number;
  /** The prompt's name in errors. */
  readonly param: string;
}

/** A prompt of `length` tokens can be computed. Codes: invalid_value (none), context_length_exceeded. */
export function checkLength(
  length: number,
  { contextTokens, answerTokens = 0, param }: LengthLimit,
): void {
  if (length === 0) {
    const [reason, ja] = ['it has no tokens', 'トークンがありません'];
    throw new HoshikageError('invalid_value', { param, reason, reason_ja: ja });
  }
  if (length <= contextTokens - answerTokens) return;
  const details = { n_prompt_tokens: length, n_ctx: contextTokens, param };
  throw new HoshikageError('context_length_exceeded', details);
}
