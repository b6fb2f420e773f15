/**
 * Reads the regular expressions of ECMAScript that are regular: lookahead and anchors at the ends only,
 * no lookbehind, no back reference. Pure, any thread; length and nesting are bounded.
 */

import { HoshikageError } from '../errors.js';
import { type CodePointRange, commonRanges, joinRanges, otherRanges } from './expression.js';
import { CLASSES, CONTROLS, NO_LINE_ENDS, WORDS } from './pattern-classes.js';
import { othersNearby, propertyRanges, rememberedClass } from './pattern-property.js';
import { shown, unsupportedSchema } from './refusal.js';
import type { Located } from './schema-facts.js';

/** A piece of a pattern. */
export type Part =
  | { readonly kind: 'class'; readonly ranges: readonly CodePointRange[] }
  | { readonly kind: 'sequence'; readonly parts: readonly Part[] }
  | { readonly kind: 'choice'; readonly options: readonly Part[] }
  | { readonly kind: 'repeat'; readonly part: Part; readonly min: number; readonly max: number };

/** What a whole text must be, or must not be. */
export interface Condition {
  readonly part: Part;
  readonly isForbidden: boolean;
}

/** The longest pattern, in UTF-16 units. */
const MAX_PATTERN_LENGTH = 4096;
const MAX_DEPTH = 32;

const QUANTIFIER = /[*+?]|\{(\d+)(,?)(\d*)\}/y;

/** Every character there is. */
export const ANY_CHARACTER = otherRanges([]);
/** Any text before or after a match. */
const ANYTHING: Part = {
  kind: 'repeat',
  part: { kind: 'class', ranges: ANY_CHARACTER },
  min: 0,
  max: Number.POSITIVE_INFINITY,
};

/** A text that does not end, or begin, within a word: as `\b` has it beside a word. */
const OTHER: Part = { kind: 'class', ranges: otherRanges(WORDS) };
const EMPTY: Part = { kind: 'sequence', parts: [] };
const BEFORE_WORD: Part = {
  kind: 'choice',
  options: [EMPTY, { kind: 'sequence', parts: [ANYTHING, OTHER] }],
};
const AFTER_WORD: Part = {
  kind: 'choice',
  options: [EMPTY, { kind: 'sequence', parts: [OTHER, ANYTHING] }],
};

/**
 * The alternatives of a pattern, each with any text on a side that is not anchored; `ahead` is what its
 * lookahead says of the whole text. Codes: schema_unsupported.
 */
export function parsePattern(pattern: Located<string>): {
  readonly options: readonly Part[];
  readonly ahead: readonly Condition[];
} {
  return new PatternParser(pattern).whole();
}

/** The same as conditions that hold at once. Codes: schema_unsupported. */
export function conditionsOf(pattern: Located<string>): Condition[] {
  const { options, ahead } = parsePattern(pattern);
  return [{ part: { kind: 'choice', options }, isForbidden: false }, ...ahead];
}

class PatternParser {
  readonly #source: string;
  readonly #pointer: string;
  readonly #isUnicode: boolean;
  #place = 0;
  /** Whether the class that is being read has a property in it. */
  #hasProperty = false;

  constructor({ value, pointer }: Located<string>) {
    this.#source = value;
    this.#pointer = pointer;
    if (value.length > MAX_PATTERN_LENGTH) {
      throw this.#refusal(
        `a pattern has at most ${MAX_PATTERN_LENGTH} characters`,
        `pattern は ${MAX_PATTERN_LENGTH} 文字までです`,
      );
    }
    this.#isUnicode = isPattern(value, 'u');
    if (!this.#isUnicode && !isPattern(value, '')) {
      throw this.#refusal('it is no regular expression', '正規表現として正しくありません');
    }
  }

  whole(): { options: Part[]; ahead: Condition[] } {
    const isFromStart = this.#skip('^');
    const ahead = isFromStart ? this.#lookaheads() : [];
    if (ahead.length === 0) this.#place = 0;
    const options = this.#lines(0, ahead.length > 0);
    if (this.#place < this.#source.length) throw this.#unexpected();
    if (ahead.length > 0 && options.length > 1) {
      throw this.#refusal(
        'lookahead beside alternatives cannot be expressed',
        '選択肢(|)と並んだ先読みは表せません',
      );
    }
    return { options, ahead };
  }

  /** Lookahead right after the anchor at the beginning. */
  #lookaheads(): Condition[] {
    const found: Condition[] = [];
    for (;;) {
      const mark = this.#source.slice(this.#place, this.#place + 3);
      if (mark !== '(?=' && mark !== '(?!') return found;
      this.#place += 3;
      const options: Part[] = [];
      do {
        this.#skip('^');
        const parts = this.#terms(1, true);
        options.push({
          kind: 'sequence',
          parts: [...parts, ...(this.#skip('$') ? [] : [ANYTHING])],
        });
      } while (this.#skip('|'));
      if (!this.#skip(')')) throw this.#unexpected();
      found.push({ part: { kind: 'choice', options }, isForbidden: mark === '(?!' });
    }
  }

  /** Alternatives with anchors of their own; a group that is all of one has them too. */
  #lines(depth: number, hasBegun: boolean): Part[] {
    const options: Part[] = [];
    do {
      const isFromStart = (hasBegun && options.length === 0) || this.#skip('^');
      const inner = isFromStart ? null : this.#lineGroup(depth);
      if (inner === null) options.push(this.#line(depth, isFromStart));
      else options.push(...inner);
    } while (this.#skip('|'));
    return options;
  }

  #line(depth: number, isFromStart: boolean): Part {
    const isWordFirst = this.#skip('\\b');
    const parts = this.#terms(depth, true);
    const isWordLast = this.#skip('\\b');
    const isToEnd = this.#skip('$');
    if ((isWordFirst && !isWord(parts[0])) || (isWordLast && !isWord(parts.at(-1)))) {
      throw this.#refusal(
        'a word boundary (\\b) is possible beside a word at the ends only',
        '単語の境界(\\b)は、両端の単語文字の隣にだけ書けます',
      );
    }
    const before = isWordFirst ? BEFORE_WORD : ANYTHING;
    const after = isWordLast ? AFTER_WORD : ANYTHING;
    return {
      kind: 'sequence',
      parts: [...(isFromStart ? [] : [before]), ...parts, ...(isToEnd ? [] : [after])],
    };
  }

  /** Null where no group begins here, or it is not all of its alternative. */
  #lineGroup(depth: number): Part[] | null {
    const from = this.#place;
    const mark = /^\((?:\?:)?(?!\?)/.exec(this.#source.slice(from, from + 4))?.[0];
    if (mark === undefined || depth >= MAX_DEPTH) return null;
    this.#place += mark.length;
    const options = this.#tried(() => this.#lines(depth + 1, false));
    if (options !== null && this.#skip(')') && this.#isLineEnd(this.#place, depth)) return options;
    this.#place = from;
    return null;
  }

  #tried(read: () => Part[]): Part[] | null {
    try {
      return read();
    } catch (thrown) {
      if (thrown instanceof HoshikageError) return null;
      throw thrown;
    }
  }

  #isLineEnd(place: number, depth: number): boolean {
    const next = this.#source[place];
    return next === undefined || next === '|' || (next === ')' && depth > 0);
  }

  #alternatives(depth: number): Part {
    const options: Part[] = [];
    do {
      const parts = this.#terms(depth, false);
      const [only] = parts;
      options.push(parts.length === 1 && only !== undefined ? only : { kind: 'sequence', parts });
    } while (this.#skip('|'));
    const [only] = options;
    if (options.length === 1 && only !== undefined) return only;
    const classes = options.flatMap((one) => (one.kind === 'class' ? [one.ranges] : []));
    if (classes.length < options.length) return { kind: 'choice', options };
    return { kind: 'class', ranges: joinRanges(classes.flat()) };
  }

  /** `isLine`: what stands before an anchor at its end belongs to it. */
  #terms(depth: number, isLine: boolean): Part[] {
    const parts: Part[] = [];
    for (;;) {
      const character = this.#character();
      if (character === '' || character === '|' || character === ')') return parts;
      // An anchor at the end of a whole alternative is read there; another one is not expected.
      const anchor =
        isLine && /^(?:\\b)?\$?/.exec(this.#source.slice(this.#place, this.#place + 3));
      const length = anchor ? anchor[0].length : 0;
      if (length > 0 && this.#isLineEnd(this.#place + length, depth)) return parts;
      parts.push(this.#quantified(this.#atom(depth)));
    }
  }

  #atom(depth: number): Part {
    const character = this.#character();
    switch (character) {
      case '^':
      case '$':
        throw this.#refusal(
          'anchors (^ and $) are possible at the ends only',
          'アンカー(^ と $)は両端にだけ書けます',
        );
      case '(':
        return this.#group(depth);
      case '[':
        return { kind: 'class', ranges: this.#class() };
      case '.':
        this.#place++;
        return { kind: 'class', ranges: NO_LINE_ENDS };
      case '*':
      case '+':
      case '?':
        throw this.#unexpected();
      default: {
        const ranges = character === '\\' ? this.#escape(false) : this.#plain();
        return { kind: 'class', ranges };
      }
    }
  }

  #group(depth: number): Part {
    if (depth >= MAX_DEPTH) {
      throw this.#refusal(
        `groups are nested more than ${MAX_DEPTH} deep`,
        `グループの入れ子が ${MAX_DEPTH} 段を超えています`,
      );
    }
    this.#place++;
    if (this.#skip('?')) {
      const kind = /^(?::|<[A-Za-z_$][\w$]*>)/.exec(
        this.#source.slice(this.#place, this.#place + 80),
      );
      if (kind === null) {
        throw this.#refusal(
          'lookahead is possible at the very beginning only, lookbehind and flags of groups not at all',
          '先読みが使えるのは先頭だけで、後読みとグループのフラグは表せません',
        );
      }
      this.#place += kind[0].length;
    }
    const inside = this.#alternatives(depth + 1);
    if (!this.#skip(')')) throw this.#unexpected();
    return inside;
  }

  #quantified(part: Part): Part {
    QUANTIFIER.lastIndex = this.#place;
    const found = QUANTIFIER.exec(this.#source);
    if (found === null) return part;
    this.#place += found[0].length;
    // Whether as few or as many as possible is a matter of matching, not of the language.
    this.#skip('?');
    const [mark = '', first, comma, last] = found;
    if (first === undefined) {
      const max = mark === '?' ? 1 : Number.POSITIVE_INFINITY;
      return { kind: 'repeat', part, min: mark === '+' ? 1 : 0, max };
    }
    const min = Number(first);
    const open = last === '' ? Number.POSITIVE_INFINITY : Number(last);
    return { kind: 'repeat', part, min, max: comma === '' ? min : open };
  }

  #class(): readonly CodePointRange[] {
    const from = this.#place++;
    this.#hasProperty = false;
    const isNegated = this.#skip('^');
    const ranges: CodePointRange[] = [];
    while (!this.#skip(']')) {
      const first = this.#classAtom();
      const next = this.#source[this.#place + 1];
      if (this.#character() !== '-' || next === ']' || next === undefined) {
        ranges.push(...first);
        continue;
      }
      this.#place++;
      const last = this.#classAtom();
      const [from, to] = [single(first), single(last)];
      // A class such as \d is no end of a range: the dash is meant.
      if (from === null || to === null) ranges.push(...first, [0x2d, 0x2d], ...last);
      else ranges.push([from, to]);
    }
    const all = (): CodePointRange[] => {
      if (!isNegated) return joinRanges(otherRanges(otherRanges(ranges)));
      return joinRanges(this.#hasProperty ? othersNearby(ranges) : otherRanges(ranges));
    };
    const source = this.#source.slice(from, this.#place);
    const found = this.#hasProperty ? rememberedClass(source, all) : all();
    if (found.length > 0) return found;
    throw this.#refusal('a class has no characters', '文字クラスに文字がありません');
  }

  #classAtom(): readonly CodePointRange[] {
    const character = this.#character();
    if (character === '') throw this.#unexpected();
    return character === '\\' ? this.#escape(true) : this.#plain();
  }

  #plain(): readonly CodePointRange[] {
    const character = this.#character();
    this.#place += character.length;
    const point = character.codePointAt(0) ?? 0;
    return this.#one(point);
  }

  #escape(inClass: boolean): readonly CodePointRange[] {
    this.#place++;
    const kind = this.#character();
    const known = CLASSES.get(kind);
    const control = CONTROLS.get(kind);
    const hex = /^(?:x([0-9A-Fa-f]{2})|u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4}))/.exec(
      this.#source.slice(this.#place, this.#place + 10),
    );
    if (hex !== null) return this.#hex(hex);
    if (/[pP]/.test(kind) && this.#isUnicode) return this.#property();
    this.#place += kind.length;
    if (known !== undefined) return known;
    if (control !== undefined) return this.#one(control);
    if (kind === 'b' && inClass) return this.#one(0x08);
    if (kind === '0' && !/[0-9]/.test(this.#character())) return this.#one(0);
    if (kind === 'c' && /[A-Za-z]/.test(this.#character())) {
      const letter = this.#character().charCodeAt(0);
      this.#place++;
      return this.#one(letter % 32);
    }
    if (kind === '' || /[A-Za-z0-9]/.test(kind)) {
      throw this.#refusal(
        `${shown(`\\${kind}`)} cannot be expressed`,
        `${shown(`\\${kind}`)} は表せません`,
      );
    }
    return this.#one(kind.codePointAt(0) ?? 0);
  }

  #property(): readonly CodePointRange[] {
    const found = /^([pP])\{([\w=]{1,40})\}/.exec(
      this.#source.slice(this.#place, this.#place + 44),
    );
    const ranges = propertyRanges(found?.[2] ?? '', found?.[1] === 'P');
    if (found === null || ranges === null) {
      throw this.#refusal(
        'this property of characters (\\p) cannot be expressed',
        'この文字の性質(\\p)は表せません',
      );
    }
    this.#hasProperty = true;
    this.#place += found[0].length;
    return ranges;
  }

  #hex(found: RegExpExecArray): readonly CodePointRange[] {
    const [whole, two, braced, four] = found;
    this.#place += whole.length;
    const point = Number.parseInt(two ?? braced ?? four ?? '', 16);
    const low = /^\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})/.exec(
      this.#source.slice(this.#place, this.#place + 6),
    );
    if (four === undefined || point < 0xd800 || point > 0xdbff || low === null) {
      return this.#one(point);
    }
    this.#place += 6;
    const second = Number.parseInt(low[1] ?? '', 16);
    return this.#one(0x10000 + (point - 0xd800) * 0x400 + (second - 0xdc00));
  }

  #one(point: number): readonly CodePointRange[] {
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
      throw this.#refusal(
        'half of a surrogate pair is no character',
        'サロゲートの片方は文字ではありません',
      );
    }
    return [[point, point]];
  }

  #character(): string {
    const point = this.#source.codePointAt(this.#place);
    return point === undefined ? '' : String.fromCodePoint(point);
  }

  #skip(mark: string): boolean {
    if (!this.#source.startsWith(mark, this.#place)) return false;
    this.#place += mark.length;
    return true;
  }

  #unexpected(): Error {
    const next = shown(this.#character());
    return this.#refusal(`${next} was not expected`, `${next} はここには書けません`);
  }

  #refusal(reason: string, reasonJa: string): Error {
    return unsupportedSchema(this.#pointer, reason, reasonJa);
  }
}

/** Whether it always begins and ends with a character of a word: what repeats does so with its part. */
function isWord(part: Part | undefined): boolean {
  switch (part?.kind) {
    case 'class':
      return commonRanges(part.ranges, otherRanges(WORDS)).length === 0;
    case 'repeat':
      return part.min > 0 && isWord(part.part);
    case 'sequence':
      return isWord(part.parts[0]) && isWord(part.parts.at(-1));
    case 'choice':
      return part.options.every(isWord);
    default:
      return false;
  }
}

/** The code point of a range that has only one. */
function single(ranges: readonly CodePointRange[]): number | null {
  const [only] = ranges;
  return only !== undefined && ranges.length === 1 && only[0] === only[1] ? only[0] : null;
}

/** Only compiled, never run: whether ECMAScript knows it as a pattern. */
function isPattern(value: string, flags: string): boolean {
  try {
    return new RegExp(value, flags) instanceof RegExp;
  } catch {
    return false;
  }
}
