/**
 * Tokens of a text that may be far too long. Any process that holds an Engine. Some tokenizers take a
 * time that grows with the square of a text, so that a body of the size a server lets in would keep an
 * engine busy for hours; a text that cannot fit is found out by its beginning.
 */
import type { Engine, TextSegment } from './engine.js';

/** Texts up to this length are tokenised whole, and so counted exactly, characters. */
const SHORT_LENGTH = 1 << 18;
/** Far more characters than a token stands for in any language. */
const CHARACTERS_PER_TOKEN = 16;

/** How to tokenise. */
export interface LongTextOptions {
  /** The tokenizer adds what the model wants around a text. */
  readonly addSpecial: boolean;
  /** More tokens than this are of no use. */
  readonly limit: number;
}

/**
 * The tokens of the segments, joined; of a text that is much too long only those of its beginning,
 * which are more than `limit`.
 */
export async function tokensWithin(
  engine: Pick<Engine, 'tokenize'>,
  segments: readonly TextSegment[],
  { addSpecial, limit }: LongTextOptions,
): Promise<Int32Array> {
  const length = Math.max(SHORT_LENGTH, limit * CHARACTERS_PER_TOKEN);
  const total = segments.reduce((sum, { text }) => sum + text.length, 0);
  if (total > length) {
    const beginning = await engine.tokenize(beginningOf(segments, length), addSpecial);
    if (beginning.length > limit) return beginning;
  }
  return engine.tokenize(segments, addSpecial);
}

function beginningOf(segments: readonly TextSegment[], length: number): readonly TextSegment[] {
  const kept: TextSegment[] = [];
  let left = length;
  for (const { text, special } of segments) {
    if (left <= 0) break;
    kept.push({ text: text.slice(0, left), special });
    left -= text.length;
  }
  return kept;
}
