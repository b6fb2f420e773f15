/**
 * The models and texts that are measured with: random weights and words from seeds, the same on every
 * machine. It must never give two turns the same beginning.
 */
import { randomBits } from '../../src/models/prng.js';
import { randomModel } from '../../test/helpers/models.js';

/** A vocabulary as large as real ones. */
const VOCABULARY = 32_000;
const CONTEXT = 32_768;

/** About 4 M parameters: next to nothing but what surrounds the computing. */
export function smallModel(): Promise<string> {
  return randomModel({
    ...{ vocabulary: VOCABULARY, embedding: 64, layers: 4, heads: 4, kvHeads: 4, feedForward: 192 },
    contextLength: CONTEXT,
  });
}

/** About 79 M parameters, Q8_0. */
export function largeModel(): Promise<string> {
  return randomModel({
    ...{ vocabulary: VOCABULARY, embedding: 512, layers: 15, heads: 8, kvHeads: 4 },
    ...{ feedForward: 1536, type: 'q8_0', contextLength: CONTEXT },
  });
}

/** Each is one token of these models, with the space before it. */
const WORDS = 'the and is of to in you are for hello world model token test'.split(' ');

/** Text of `count` tokens; another one for every seed, from its first tokens on. */
export function words(count: number, seed: number): string {
  const bits = randomBits(seed);
  return Array.from({ length: count }, () => ` ${WORDS[bits() % WORDS.length]}`).join('');
}

/** A seed that no other turn of any measurement in this run has had. */
export function freshSeed(): number {
  lastSeed += 1;
  return lastSeed;
}

let lastSeed = 1_000_000;
