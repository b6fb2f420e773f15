/**
 * Gives the tokens of a planned script their codes: random signs that stand for "what comes next".
 * Pure, any thread. It must never know how codes become weights.
 */
import { randomBits } from './prng.js';
import { type PlannedAnswer, successor } from './script.js';
import { CONTROL, type Vocabulary } from './vocabulary.js';

/** Which code a token carries, and which codes and topic call for a token; all by token id. */
export interface Codes {
  /** Tokens that are in no answer are not in here: they carry `begin`. */
  readonly carried: ReadonlyMap<number, Int8Array>;
  readonly begin: Int8Array;
  readonly callers: ReadonlyMap<number, ReadonlySet<Int8Array>>;
  /** The answer that alone has this token. */
  readonly topic: ReadonlyMap<number, number>;
}

/**
 * Tokens with the same only successor share a code, so that a token called from many places hears
 * one code and not the noise of many. Chunks that are not in the vocabulary yet are added.
 */
export function assignCodes(
  plan: readonly PlannedAnswer[],
  vocabulary: Vocabulary,
  length: number,
): Codes {
  const code = codeBook(length);
  const begin = code('begin');
  const owners = countOwners(plan);
  const id = (chunk: string | null): number => tokenOf(vocabulary, chunk ?? CONTROL.end);
  const carried = new Map<number, Int8Array>();
  const callers = new Map<number, Set<Int8Array>>();
  const topic = new Map<number, number>();
  const call = (token: number, by: Int8Array): void => {
    callers.set(token, (callers.get(token) ?? new Set<Int8Array>()).add(by));
  };
  for (const [index, answer] of plan.entries()) {
    call(id(answer.chunks[0] ?? null), begin);
    for (const [position, chunk] of answer.chunks.entries()) {
      const next = id(successor(answer, position));
      const shared = (owners.get(chunk) ?? 0) > 1;
      const own = code(shared ? `at ${id(chunk)}` : `to ${next}`);
      carried.set(id(chunk), own);
      call(next, own);
      if (!shared) topic.set(id(chunk), index);
    }
  }
  return { carried, begin, callers, topic };
}

/** The same meaning always gives the same code. */
function codeBook(length: number): (meaning: string) => Int8Array {
  const bits = randomBits(1);
  const codes = new Map<string, Int8Array>();
  return (meaning) => {
    const known = codes.get(meaning);
    if (known) return known;
    const fresh = Int8Array.from({ length }, () => (bits() >>> 31 === 1 ? 1 : -1));
    codes.set(meaning, fresh);
    return fresh;
  };
}

function countOwners(plan: readonly PlannedAnswer[]): Map<string, number> {
  const owners = new Map<string, number>();
  for (const { chunks } of plan) {
    for (const chunk of chunks) owners.set(chunk, (owners.get(chunk) ?? 0) + 1);
  }
  return owners;
}

function tokenOf(vocabulary: Vocabulary, text: string): number {
  return vocabulary.id(text) ?? vocabulary.add(text, 'normal');
}
