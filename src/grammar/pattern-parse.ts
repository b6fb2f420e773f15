/**
 * Reads the regular expressions of ECMAScript that are regular: no lookaround, no back reference,
 * anchors at the ends only. Pure, any thread; length and nesting are bounded.
 */
import { type CodePointRange, joinRanges, otherRanges } from './expression.js';
import { shown, unsupportedSchema } from './refusal.js';
import type { Located } from './schema-facts.js';

/** A piece of a pattern. */
export type Part =
  | { readonly kind: 'class'; readonly ranges: readonly CodePointRange[] }
  | { readonly kind: 'sequence'; readonly parts: readonly Part[] }
  | { readonly kind: 'choice'; readonly options: readonly Part[] }
  | { readonly kind: 'repeat'; readonly part: Part; readonly min: number; readonly max: number };

/** The longest pattern, in UTF-16 units. */
const MAX_PATTERN_LENGTH = 4096;
const MAX_DEPTH = 32;

const DIGITS: readonly CodePointRange[] = [[0x30, 0x39]];
const WORDS: readonly CodePointRange[] = [...DIGITS, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]];
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
const NO_LINE_ENDS = otherRanges(LINE_ENDS);
const CLASSES: ReadonlyMap<string, readonly CodePointRange[]> = new Map([
  ['d', DIGITS],
  ['D', otherRanges(DIGITS)],
  ['w', WORDS],
  ['W', otherRanges(WORDS)],
  ['s', SPACES],
  ['S', otherRanges(SPACES)],
]);
const QUANTIFIER = /[*+?]|\{(\d+)(,?)(\d*)\}/y;
const CONTROLS: ReadonlyMap<string, number> = new Map([
  ['t', 0x09],
  ['n', 0x0a],
  ['v', 0x0b],
  ['f', 0x0c],
  ['r', 0x0d],
]);
/** Any text before or after a match. */
const ANYTHING: Part = {
  kind: 'repeat',
  part: { kind: 'class', ranges: otherRanges([]) },
  min: 0,
  max: Number.POSITIVE_INFINITY,
};

/**
 * The alternatives of a pattern, each with any text on a side that is not anchored.
 * Codes: schema_unsupported.
 */
export function parsePattern(pattern: Located<string>): Part[] {
  return new PatternParser(pattern).whole();
}

class PatternParser {
  readonly #source: string;
  readonly #pointer: string;
  #place = 0;

  constructor({ value, pointer }: Located<string>) {
    this.#source = value;
    this.#pointer = pointer;
    if (value.length > MAX_PATTERN_LENGTH) {
      throw this.#refusal(
        `a pattern has at most ${MAX_PATTERN_LENGTH} characters`,
        `pattern は ${MAX_PATTERN_LENGTH} 文字までです`,
      );
    }
    if (!isPattern(value, 'u') && !isPattern(value, '')) {
      throw this.#refusal('it is no regular expression', '正規表現として正しくありません');
    }
  }

  whole(): Part[] {
    const options: Part[] = [];
    do {
      const isFromStart = this.#skip('^');
      const parts = this.#terms(0);
      const isToEnd = this.#skip('$');
      options.push({
        kind: 'sequence',
        parts: [...(isFromStart ? [] : [ANYTHING]), ...parts, ...(isToEnd ? [] : [ANYTHING])],
      });
    } while (this.#skip('|'));
    if (this.#place < this.#source.length) throw this.#unexpected();
    return options;
  }

  #alternatives(depth: number): Part {
    const options: Part[] = [];
    do {
      const parts = this.#terms(depth);
      const [only] = parts;
      options.push(parts.length === 1 && only !== undefined ? only : { kind: 'sequence', parts });
    } while (this.#skip('|'));
    const [only] = options;
    return options.length === 1 && only !== undefined ? only : { kind: 'choice', options };
  }

  #terms(depth: number): Part[] {
    const parts: Part[] = [];
    for (;;) {
      const character = this.#character();
      if (character === '' || character === '|' || character === ')') return parts;
      // An anchor at the end of a whole alternative is read there; another one is not expected.
      if (
        character === '$' &&
        depth === 0 &&
        /^(?:\||$)/.test(this.#source.slice(this.#place + 1))
      ) {
        return parts;
      }
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
          'lookahead, lookbehind and flags of groups cannot be expressed',
          '先読み・後読みとグループのフラグは表せません',
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

  #class(): CodePointRange[] {
    this.#place++;
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
    const all = isNegated ? otherRanges(ranges) : otherRanges(otherRanges(ranges));
    if (all.length === 0) {
      throw this.#refusal('a class has no characters', '文字クラスに文字がありません');
    }
    return joinRanges(all);
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

  #skip(character: string): boolean {
    if (this.#source[this.#place] !== character) return false;
    this.#place++;
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
