/**
 * Unicode properties as ranges of code points, read off the regular expressions of JavaScript itself,
 * each once. Any thread. Only planes 0 and 1 are looked at, where nearly all text is: what is written
 * with a property is never beyond them.
 */
import { type CodePointRange, commonRanges, otherRanges } from './expression.js';

/** The planes that are looked at. */
const PLANES: readonly CodePointRange[] = [
  [0, 0xd7ff],
  [0xe000, 0x1ffff],
];

/** Those of everyday patterns; each costs some milliseconds when it is first asked for. */
const KNOWN: ReadonlySet<string> = new Set([
  ...['L', 'Letter', 'Lu', 'Uppercase_Letter', 'Ll', 'Lowercase_Letter', 'Lo', 'Lm', 'M', 'Mark'],
  ...['N', 'Number', 'Nd', 'Decimal_Number', 'P', 'Punctuation', 'S', 'Symbol', 'Z', 'Separator'],
  ...['Zs', 'Alphabetic', 'Alpha', 'Uppercase', 'Lowercase', 'White_Space'],
  ...['Emoji', 'Emoji_Presentation', 'Extended_Pictographic'],
  ...['Han', 'Hiragana', 'Katakana', 'Latin', 'Hangul', 'Cyrillic', 'Greek'].flatMap((script) => [
    `Script=${script}`,
    `sc=${script}`,
    `Script_Extensions=${script}`,
    `scx=${script}`,
  ]),
]);

const read = new Map<string, readonly CodePointRange[]>();
let characters = '';

/**
 * The characters of planes 0 and 1 with this property, as `\p{…}` names it, or without it; null for an
 * unknown one. The same ranges for the same question.
 */
export function propertyRanges(name: string, isWithout: boolean): readonly CodePointRange[] | null {
  if (!KNOWN.has(name)) return null;
  const key = isWithout ? `not ${name}` : name;
  const known =
    read.get(key) ?? (isWithout ? othersNearby(propertyRanges(name, false) ?? []) : rangesOf(name));
  read.set(key, known);
  return known;
}

/** How many classes with properties are remembered. */
const MAX_CLASSES = 100;
const classes = new Map<string, readonly CodePointRange[]>();

/** The ranges of a class as it is written, made once while few are remembered. */
export function rememberedClass(
  source: string,
  make: () => readonly CodePointRange[],
): readonly CodePointRange[] {
  const ranges = classes.get(source) ?? make();
  if (classes.size >= MAX_CLASSES) classes.clear();
  classes.set(source, ranges);
  return ranges;
}

/** Those of planes 0 and 1 that are not among these. */
export function othersNearby(ranges: readonly CodePointRange[]): CodePointRange[] {
  return commonRanges(PLANES, otherRanges(ranges));
}

function rangesOf(name: string): readonly CodePointRange[] {
  if (characters === '') {
    for (const [first, last] of PLANES) {
      for (let point = first; point <= last; point++) characters += String.fromCodePoint(point);
    }
  }
  const ranges: CodePointRange[] = [];
  for (const { 0: run } of characters.matchAll(new RegExp(`\\p{${name}}+`, 'gu'))) {
    const points = Array.from(run, (character) => character.codePointAt(0) ?? 0);
    let [first = 0] = points;
    for (const [index, point] of points.entries()) {
      // The surrogates between the planes are no characters.
      if (points[index + 1] === point + 1) continue;
      ranges.push([first, point]);
      first = points[index + 1] ?? 0;
    }
  }
  return ranges;
}
