/**
 * The classes of characters that the regular expressions of ECMAScript have names for. Pure data, any
 * thread.
 */
import { type CodePointRange, otherRanges } from './expression.js';

const DIGITS: readonly CodePointRange[] = [[0x30, 0x39]];
/** The characters of a word, \w. */
export const WORDS: readonly CodePointRange[] = [
  ...DIGITS,
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
/** WhiteSpace and LineTerminator of ECMA-262. */
const SPACES: readonly CodePointRange[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const LINE_ENDS: readonly CodePointRange[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];
/** What a dot stands for. */
export const NO_LINE_ENDS = otherRanges(LINE_ENDS);
/** The classes that an escape names. */
export const CLASSES: ReadonlyMap<string, readonly CodePointRange[]> = new Map([
  ['d', DIGITS],
  ['D', otherRanges(DIGITS)],
  ['w', WORDS],
  ['W', otherRanges(WORDS)],
  ['s', SPACES],
  ['S', otherRanges(SPACES)],
]);
/** Control characters by their escape. */
export const CONTROLS: ReadonlyMap<string, number> = new Map([
  ['t', 0x09],
  ['n', 0x0a],
  ['v', 0x0b],
  ['f', 0x0c],
  ['r', 0x0d],
]);
