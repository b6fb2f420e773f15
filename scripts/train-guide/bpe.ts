/**
 * Byte-level BPE: which merges a text suggests, and how a text falls into tokens by them. The words
 * it is cut into first, and what is done with a word that is a token itself, are those of libllama's
 * `llama-bpe`. Pure. It must never know what the texts are for.
 */
import { spell } from '../../src/models/vocabulary.js';

/** Two neighbours that become one token, in the vocabulary's spelling. */
export type Merge = readonly [left: string, right: string];

const WORD =
  /'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/gu;

/** The words of a text, which no token crosses. */
export function wordsOf(text: string): string[] {
  return text.match(WORD) ?? [];
}

/** Longer tokens would be whole phrases, and hide from a model the words they are made of. */
const MOST_BYTES = 12;

interface Word {
  parts: string[];
  readonly count: number;
}

/**
 * Up to `size` merges: first those that make every character one token, so that no other token cuts
 * one in two, then those that make the words shortest, most frequent first; ties by their texts.
 */
export function learnMerges(counts: ReadonlyMap<string, number>, size: number): Merge[] {
  const merges = characterMerges(counts.keys());
  const words: Word[] = [...counts].map(([word, count]) => ({
    parts: [...word].map(spell),
    count,
  }));
  const pairs = new Map<string, { count: number; readonly words: Set<Word> }>();
  const note = (word: Word, sign: 1 | -1): void => {
    for (let i = 0; i + 1 < word.parts.length; i++) {
      const pair = `${word.parts[i]} ${word.parts[i + 1]}`;
      if (pair.length > MOST_BYTES + 1) continue;
      const known = pairs.get(pair) ?? { count: 0, words: new Set() };
      known.count += sign * word.count;
      if (sign === 1) known.words.add(word);
      pairs.set(pair, known);
    }
  };
  for (const word of words) note(word, 1);
  while (merges.length < size) {
    let best = '';
    let most = 1;
    for (const [pair, { count }] of pairs) {
      if (count > most || (count === most && best !== '' && pair < best))
        [best, most] = [pair, count];
    }
    const found = pairs.get(best);
    if (found === undefined) break;
    const [left = '', right = ''] = best.split(' ');
    merges.push([left, right]);
    for (const word of [...found.words]) {
      note(word, -1);
      word.parts = joined(word.parts, left, right);
      note(word, 1);
    }
    pairs.delete(best);
  }
  return merges;
}

function characterMerges(words: Iterable<string>): Merge[] {
  const characters = new Set([...words].flatMap((word) => [...word]));
  const merges = new Map<string, Merge>();
  for (const character of [...characters].sort()) {
    const [first = '', ...bytes] = spell(character);
    bytes.reduce((left, right) => {
      merges.set(left + right, [left, right]);
      return left + right;
    }, first);
  }
  return [...merges.values()];
}

function joined(parts: readonly string[], left: string, right: string): string[] {
  const out: string[] = [];
  for (let i = 0; i < parts.length; i++) {
    const isPair = parts[i] === left && parts[i + 1] === right;
    out.push(isPair ? left + right : (parts[i] ?? ''));
    if (isPair) i += 1;
  }
  return out;
}

/** Texts to tokens by a list of merges. */
export class Encoder {
  readonly #ranks: ReadonlyMap<string, number>;
  readonly #tokens: ReadonlySet<string>;
  readonly #known = new Map<string, readonly string[]>();

  constructor(merges: readonly Merge[]) {
    this.#ranks = new Map(merges.map(([left, right], rank) => [`${left} ${right}`, rank]));
    this.#tokens = new Set(merges.map(([left, right]) => left + right));
  }

  /**
   * The tokens of a text, in the vocabulary's spelling. With `skips`, a merge is passed over
   * whenever it says so: the same text in smaller pieces.
   */
  encode(text: string, skips?: () => boolean): string[] {
    return wordsOf(text).flatMap((word) => {
      if (skips) return this.#cut(spell(word), skips);
      const known = this.#known.get(word) ?? this.#whole(spell(word));
      this.#known.set(word, known);
      return known;
    });
  }

  #whole(word: string): readonly string[] {
    return this.#tokens.has(word) ? [word] : this.#cut(word, () => false);
  }

  #cut(word: string, skips: () => boolean): string[] {
    let parts = [...word];
    for (;;) {
      let best = -1;
      let lowest = Number.POSITIVE_INFINITY;
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = this.#ranks.get(`${parts[i]} ${parts[i + 1]}`) ?? Number.POSITIVE_INFINITY;
        if (rank < lowest && !skips()) [best, lowest] = [i, rank];
      }
      if (best < 0) return parts;
      parts = [
        ...parts.slice(0, best),
        `${parts[best]}${parts[best + 1]}`,
        ...parts.slice(best + 2),
      ];
    }
  }
}
