/**
 * A regular expression of ECMAScript as a grammar of the string's characters, as they stand inside a
 * JSON string. Pure, any thread. Nothing is ever matched with it here, so no pattern can hold a thread;
 * what a grammar cannot express is refused.
 */

import { MAX_OPEN_COUNTS } from './check.js';
import {
  type CodePointRange,
  choice,
  commonRanges,
  type Expression,
  joinRanges,
  oneOf,
  otherRanges,
  repeat,
  sequence,
  text,
} from './expression.js';
import { PLAIN_CHARACTER } from './json.js';
import { type Part, parsePattern } from './pattern-parse.js';
import { invalidGrammar, unsupportedSchema } from './refusal.js';
import type { Located } from './schema-facts.js';

/** How many code points a text may have. */
export interface Lengths {
  readonly min: number;
  readonly max: number;
}

/**
 * The inside of a JSON string that has a match of the pattern and `min` to `max` code points; null
 * where the lengths do not simply go into one of its counts. Characters are escaped only where they
 * must be. Codes: schema_unsupported at the pattern.
 */
export function patternExpression(pattern: Located<string>, lengths: Lengths): Expression | null {
  const parts: Part[] = [];
  for (const part of parsePattern(pattern)) {
    const bound = withLengths(part, lengths);
    if (bound === null) return null;
    parts.push(bound);
  }
  for (const part of parts) {
    if (openCounts(part) > MAX_OPEN_COUNTS) {
      throw unsupportedSchema(
        pattern.pointer,
        `its bounded repeats multiply to more than ${MAX_OPEN_COUNTS}`,
        `回数つきの繰り返しを掛け合わせると ${MAX_OPEN_COUNTS} を超えます`,
      );
    }
  }
  return choice(...parts.map(expressionOf));
}

/** The part with its lengths bound as well, where that can be said. */
function withLengths(part: Part, lengths: Lengths): Part | null {
  const own = lengthsOf(part);
  if (own.min >= lengths.min && own.max <= lengths.max) return part;
  const parts = part.kind === 'sequence' ? part.parts : [part];
  const open = parts.filter((one) => lengthsOf(one).min !== lengthsOf(one).max);
  const [only] = open;
  // One run of single characters among parts of fixed length: its count takes up the rest.
  if (open.length === 1 && only?.kind === 'repeat' && only.part.kind === 'class') {
    const fixed = own.min - only.min;
    const min = Math.max(only.min, lengths.min - fixed);
    const max = Math.min(only.max, lengths.max - fixed);
    if (min <= max) {
      return {
        kind: 'sequence',
        parts: parts.map((one) => (one === only ? { ...only, min, max } : one)),
      };
    }
  }
  return null;
}

function lengthsOf(part: Part): Lengths {
  switch (part.kind) {
    case 'class':
      return { min: 1, max: 1 };
    case 'repeat': {
      const { min, max } = lengthsOf(part.part);
      return { min: min * part.min, max: max === 0 || part.max === 0 ? 0 : max * part.max };
    }
    case 'sequence': {
      const all = part.parts.map(lengthsOf);
      return {
        min: all.reduce((sum, { min }) => sum + min, 0),
        max: all.reduce((sum, { max }) => sum + max, 0),
      };
    }
    case 'choice': {
      const all = part.options.map(lengthsOf);
      return {
        min: Math.min(...all.map(({ min }) => min)),
        max: Math.max(...all.map(({ max }) => max)),
      };
    }
  }
}

/** The counts that can be open at once, as check.ts reckons them. */
function openCounts(part: Part): number {
  switch (part.kind) {
    case 'class':
      return 1;
    case 'repeat':
      return Math.max(1, Number.isFinite(part.max) ? part.max : part.min) * openCounts(part.part);
    case 'sequence':
      return Math.max(1, ...part.parts.map(openCounts));
    case 'choice':
      return Math.max(1, ...part.options.map(openCounts));
  }
}

function expressionOf(part: Part): Expression {
  switch (part.kind) {
    case 'class':
      return written(part.ranges);
    case 'repeat':
      return repeat(expressionOf(part.part), part.min, part.max);
    case 'sequence':
      return sequence(...part.parts.map(expressionOf));
    case 'choice':
      return choice(...part.options.map(expressionOf));
  }
}

const PLAIN: readonly CodePointRange[] =
  PLAIN_CHARACTER.kind === 'class' ? PLAIN_CHARACTER.ranges : [];
const ESCAPED: readonly CodePointRange[] = joinRanges(otherRanges(PLAIN));

/** The pattern that a grammar without rules is. */
export function partOf(expression: Expression): Part {
  switch (expression.kind) {
    case 'text':
      return {
        kind: 'sequence',
        parts: Array.from(expression.text, (character) => {
          const point = character.codePointAt(0) ?? 0;
          return { kind: 'class', ranges: [[point, point]] };
        }),
      };
    case 'class':
      return { kind: 'class', ranges: expression.ranges };
    case 'sequence':
      return { kind: 'sequence', parts: expression.parts.map(partOf) };
    case 'choice':
      return { kind: 'choice', options: expression.options.map(partOf) };
    case 'repeat':
      return {
        kind: 'repeat',
        part: partOf(expression.part),
        min: expression.min,
        max: expression.max,
      };
    default:
      throw invalidGrammar('it is no pattern', 'パターンではありません');
  }
}

/** Of classes such as \W, which have many ranges and stand anywhere. */
const known = new WeakMap<readonly CodePointRange[], Expression>();

export function written(ranges: readonly CodePointRange[]): Expression {
  const made = known.get(ranges) ?? characterOf(ranges);
  known.set(ranges, made);
  return made;
}

/** One of these code points as JSON.stringify writes it. */
function characterOf(ranges: readonly CodePointRange[]): Expression {
  const options: Expression[] = [];
  const plain = commonRanges(ranges, PLAIN);
  if (plain.length > 0) options.push(oneOf(...plain));
  for (const [first, last] of commonRanges(ranges, ESCAPED)) {
    for (let point = first; point <= last; point++) {
      options.push(text(JSON.stringify(String.fromCodePoint(point)).slice(1, -1)));
    }
  }
  return choice(...options);
}
