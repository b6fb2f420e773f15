/**
 * Grammar programs by hand, number by number as src/grammar/program.ts lays them out. For tests only:
 * it knows nothing of what real grammars look like, and checks nothing.
 */
import { OP, PROGRAM_VERSION } from '../../src/grammar/program.js';

/** A text stands for its characters; a number is the rule of that number. */
export type Part =
  | string
  | number
  | { readonly in: readonly (readonly [first: string, last: string])[] }
  | { readonly repeat: number; readonly min: number; readonly max: number }
  | { readonly until: readonly string[] }
  | { readonly free: readonly string[] };

/** A rule's alternatives, each a list of parts. */
export type Rule = readonly (readonly Part[])[];

const codePoints = (text: string): number[] =>
  Array.from(text, (character) => character.codePointAt(0) ?? 0);

const texts = (list: readonly string[]): number[] => [
  list.length,
  ...list.flatMap((text) => [codePoints(text).length, ...codePoints(text)]),
];

function numbersOf(part: Part): number[] {
  if (typeof part === 'string') return codePoints(part).flatMap((c) => [OP.CHAR, c]);
  if (typeof part === 'number') return [OP.RULE, part];
  if ('in' in part) {
    const ends = part.in.flat().flatMap(codePoints);
    return [OP.CLASS, part.in.length, ...ends];
  }
  if ('repeat' in part) return [OP.REPEAT, part.repeat, part.min, part.max];
  if ('until' in part) return [OP.UNTIL, ...texts(part.until)];
  return [OP.FREE, ...texts(part.free)];
}

/** The program of these rules; the first is where the grammar begins. */
export function program(...rules: readonly Rule[]): Int32Array {
  const numbers: number[] = [PROGRAM_VERSION, rules.length, ...rules.map(() => 0)];
  for (const [index, rule] of rules.entries()) {
    const places = rule.map((parts) => {
      const place = numbers.length;
      numbers.push(...parts.flatMap(numbersOf), OP.END);
      return place;
    });
    numbers[2 + index] = numbers.length;
    numbers.push(places.length, ...places);
  }
  return Int32Array.from(numbers);
}
