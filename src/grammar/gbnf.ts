/**
 * Reads GBNF, the notation of llama.cpp's grammars, into expressions. Pure, any thread; the text comes
 * from a client, so length and nesting are bounded and every refusal names its line.
 */
import {
  type CodePointRange,
  type Expression,
  noneOf,
  otherRanges,
  repeat,
  rule,
  text,
} from './expression.js';
import { invalidGrammar, shown } from './refusal.js';

/** The longest grammar text, in UTF-16 units. */
export const MAX_GRAMMAR_LENGTH = 256 * 1024;
/** How deep parentheses may stand in one another. */
const MAX_DEPTH = 100;
/** How many repeats may follow one another: each is a level too, of any number of which nothing is new. */
const MAX_REPEATS = 8;
/** The largest number of a repeat; bounded ones meet a smaller limit where they multiply. */
const MAX_REPEAT = 1_000_000;

/** What a grammar text says: where it begins, and its rules. */
export interface ParsedGrammar {
  readonly root: Expression;
  readonly rules: ReadonlyMap<string, Expression>;
}

/**
 * The grammar of a GBNF text; it begins with the rule `root`. Newlines may stand after `::=`, after
 * `|`, before `|` and inside parentheses. Codes: grammar_invalid with the line.
 */
export function parseGbnf(source: string): ParsedGrammar {
  if (source.length > MAX_GRAMMAR_LENGTH) {
    throw invalidGrammar(
      `its text is longer than ${MAX_GRAMMAR_LENGTH} characters`,
      `文法の長さが ${MAX_GRAMMAR_LENGTH} 文字を超えています`,
    );
  }
  return new Parser(source).grammar();
}

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  '"': '"',
  '\\': '\\',
  '[': '[',
  ']': ']',
  '-': '-',
  '^': '^',
};
const HEX_ESCAPES: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

const ANY_CHARACTER = noneOf();
const SPACE = /(?:[ \t]+|#[^\r\n]*)*/y;
const SPACE_AND_LINES = /(?:[ \t\r\n]+|#[^\r\n]*)*/y;
const NAME = /[A-Za-z0-9_-]+/y;
const NUMBER = /[0-9]+/y;

class Parser {
  readonly #source: string;
  readonly #rules = new Map<string, Expression>();
  /** Where each rule is first named, to say the line if it does not exist. */
  readonly #named = new Map<string, number>();
  #place = 0;

  constructor(source: string) {
    this.#source = source;
  }

  grammar(): ParsedGrammar {
    this.#take(SPACE_AND_LINES);
    while (this.#place < this.#source.length) this.#rule();
    for (const [name, place] of this.#named) {
      if (this.#rules.has(name)) continue;
      this.#place = place;
      throw this.#refusal(`there is no rule ${shown(name)}`, `規則 ${shown(name)} がありません`);
    }
    const root = this.#rules.get('root');
    if (root === undefined) {
      throw invalidGrammar('it has no rule "root"', '規則 "root" がありません');
    }
    return { root: rule('root'), rules: this.#rules };
  }

  #rule(): void {
    const name = this.#take(NAME);
    if (name === '') {
      throw this.#refusal(
        `the name of a rule was expected, not ${this.#next()}`,
        `規則の名前があるはずの所に ${this.#next()} があります`,
      );
    }
    if (this.#rules.has(name)) {
      throw this.#refusal(
        `rule ${shown(name)} is there twice`,
        `規則 ${shown(name)} が二つあります`,
      );
    }
    this.#take(SPACE);
    if (!this.#source.startsWith('::=', this.#place)) {
      throw this.#refusal(
        `"::=" was expected after ${shown(name)}, not ${this.#next()}`,
        `${shown(name)} のあとに "::=" がありません(${this.#next()})`,
      );
    }
    this.#place += 3;
    this.#take(SPACE_AND_LINES);
    this.#rules.set(name, this.#alternatives(0));
    if (this.#place < this.#source.length && !/[\r\n]/.test(this.#character())) {
      throw this.#unexpected();
    }
    this.#take(SPACE_AND_LINES);
  }

  #alternatives(depth: number): Expression {
    const options = [this.#sequence(depth)];
    for (;;) {
      // A line may go on with `|`: nothing else begins so.
      const before = this.#place;
      this.#take(SPACE_AND_LINES);
      if (this.#character() !== '|') {
        if (depth === 0) this.#place = before;
        break;
      }
      this.#place++;
      this.#take(SPACE_AND_LINES);
      options.push(this.#sequence(depth));
    }
    const [only] = options;
    return options.length === 1 && only !== undefined ? only : { kind: 'choice', options };
  }

  #sequence(depth: number): Expression {
    const space = depth === 0 ? SPACE : SPACE_AND_LINES;
    const parts: Expression[] = [];
    for (;;) {
      const part = this.#part(depth);
      if (part === null) break;
      this.#take(space);
      parts.push(this.#repeated(part, space));
    }
    const [only] = parts;
    return parts.length === 1 && only !== undefined ? only : { kind: 'sequence', parts };
  }

  #part(depth: number): Expression | null {
    switch (this.#character()) {
      case '"':
        return this.#literal();
      case '[':
        return this.#class();
      case '.':
        this.#place++;
        return ANY_CHARACTER;
      case '(':
        return this.#group(depth);
      case '<':
      case '!':
        throw this.#refusal(
          'tokens such as <think> or !<think> cannot be named here; write their text in quotes',
          '<think> や !<think> のようなトークンの指定は使えません。文字列として書いてください',
        );
      default:
        return this.#reference();
    }
  }

  #reference(): Expression | null {
    const place = this.#place;
    const name = this.#take(NAME);
    if (name === '') return null;
    if (!this.#named.has(name)) this.#named.set(name, place);
    return rule(name);
  }

  #group(depth: number): Expression {
    if (depth >= MAX_DEPTH) {
      throw this.#refusal(
        `parentheses are nested more than ${MAX_DEPTH} deep`,
        `括弧の入れ子が ${MAX_DEPTH} 段を超えています`,
      );
    }
    const open = this.#place++;
    this.#take(SPACE_AND_LINES);
    const inside = this.#alternatives(depth + 1);
    if (this.#character() !== ')') {
      if (this.#place < this.#source.length) throw this.#unexpected();
      this.#place = open;
      throw this.#refusal('a parenthesis is never closed', '括弧が閉じていません');
    }
    this.#place++;
    return inside;
  }

  /** What follows a part: any number of `*`, `+`, `?` and `{m,n}`. */
  #repeated(part: Expression, space: RegExp): Expression {
    let repeated = part;
    for (let count = 0; ; count++) {
      const character = this.#character();
      if (character === '*') repeated = repeat(repeated, 0);
      else if (character === '+') repeated = repeat(repeated, 1);
      else if (character === '?') repeated = repeat(repeated, 0, 1);
      else if (character !== '{') return repeated;
      if (count >= MAX_REPEATS) {
        throw this.#refusal(
          `more than ${MAX_REPEATS} repeats follow one another`,
          `繰り返しの記号が ${MAX_REPEATS} 個を超えて続いています`,
        );
      }
      this.#place++;
      if (character === '{') repeated = this.#bounds(repeated, space);
      this.#take(space);
    }
  }

  #bounds(part: Expression, space: RegExp): Expression {
    this.#take(space);
    const first = this.#number();
    this.#take(space);
    let max = first;
    if (this.#character() === ',') {
      this.#place++;
      this.#take(space);
      max = this.#number() ?? Number.POSITIVE_INFINITY;
      this.#take(space);
      if (first === null && max === Number.POSITIVE_INFINITY) max = null;
    }
    if (max === null || this.#character() !== '}') {
      throw this.#refusal(
        'a repeat is written {m}, {m,}, {m,n} or {,n}',
        '繰り返しは {m} {m,} {m,n} {,n} のいずれかで書きます',
      );
    }
    if ((first ?? 0) > max) {
      throw this.#refusal(
        `a repeat has more at least (${first}) than at most (${max})`,
        `繰り返しの下限 ${first} が上限 ${max} を超えています`,
      );
    }
    this.#place++;
    return repeat(part, first ?? 0, max);
  }

  #number(): number | null {
    const digits = this.#take(NUMBER);
    if (digits === '') return null;
    if (digits.length > 9 || Number(digits) > MAX_REPEAT) {
      throw this.#refusal(
        `a repeat counts to more than ${MAX_REPEAT}`,
        `繰り返しの回数が ${MAX_REPEAT} を超えています`,
      );
    }
    return Number(digits);
  }

  #literal(): Expression {
    const open = this.#place++;
    let value = '';
    while (this.#character() !== '"') {
      if (this.#place >= this.#source.length) {
        this.#place = open;
        throw this.#refusal('a text is never closed with "', '文字列が " で閉じていません');
      }
      value += String.fromCodePoint(this.#codePoint());
    }
    this.#place++;
    return text(value);
  }

  #class(): Expression {
    const open = this.#place++;
    const negated = this.#character() === '^';
    if (negated) this.#place++;
    const ranges: CodePointRange[] = [];
    while (this.#character() !== ']') {
      if (this.#place >= this.#source.length) {
        this.#place = open;
        throw this.#refusal('a class is never closed with ]', '文字クラスが ] で閉じていません');
      }
      const first = this.#codePoint();
      let last = first;
      if (this.#character() === '-' && !['', ']'].includes(this.#source[this.#place + 1] ?? '')) {
        this.#place++;
        last = this.#codePoint();
      }
      if (last < first) {
        throw this.#refusal(
          'a range of a class is the wrong way round (a "-" itself is written \\-)',
          '文字クラスの範囲が逆です(「-」そのものは \\- と書きます)',
        );
      }
      ranges.push([first, last]);
    }
    this.#place++;
    if (ranges.length === 0) {
      throw this.#refusal('a class has no characters', '文字クラスに文字がありません');
    }
    // Halves of surrogate pairs are no characters; a class that has nothing else has no end (check.ts).
    const others = otherRanges(ranges);
    return { kind: 'class', ranges: negated ? others : otherRanges(others) };
  }

  /** One code point as it is, or escaped. */
  #codePoint(): number {
    const character = this.#character();
    this.#place += character.length;
    if (character !== '\\') return character.codePointAt(0) ?? 0;
    const kind = this.#character();
    const simple = Object.hasOwn(SIMPLE_ESCAPES, kind) ? SIMPLE_ESCAPES[kind] : undefined;
    const digits = Object.hasOwn(HEX_ESCAPES, kind) ? HEX_ESCAPES[kind] : undefined;
    if (simple !== undefined) {
      this.#place++;
      return simple.codePointAt(0) ?? 0;
    }
    const hex = this.#source.slice(this.#place + 1, this.#place + 1 + (digits ?? 0));
    if (digits === undefined || !new RegExp(`^[0-9A-Fa-f]{${digits}}$`).test(hex)) {
      throw this.#refusal(
        `unknown escape ${shown(`\\${kind}`)}; known are \\n \\r \\t \\" \\\\ \\[ \\] \\- \\^ \\xHH \\uHHHH \\UHHHHHHHH`,
        `${shown(`\\${kind}`)} は使えません。使えるのは \\n \\r \\t \\" \\\\ \\[ \\] \\- \\^ \\xHH \\uHHHH \\UHHHHHHHH です`,
      );
    }
    const point = Number.parseInt(hex, 16);
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
      throw this.#refusal(
        `\\${kind}${hex} is no character of Unicode`,
        `\\${kind}${hex} は Unicode の文字ではありません`,
      );
    }
    this.#place += 1 + digits;
    return point;
  }

  /** The character at the place, whole; '' at the end. */
  #character(): string {
    const point = this.#source.codePointAt(this.#place);
    return point === undefined ? '' : String.fromCodePoint(point);
  }

  #take(what: RegExp): string {
    what.lastIndex = this.#place;
    const found = what.exec(this.#source)?.[0] ?? '';
    this.#place += found.length;
    return found;
  }

  #next(): string {
    return this.#place < this.#source.length ? shown(this.#character()) : 'the end / 終わり';
  }

  #unexpected(): Error {
    return this.#refusal(
      `${this.#next()} was not expected`,
      `${this.#next()} はここには書けません`,
    );
  }

  #refusal(reason: string, reasonJa: string): Error {
    const line = this.#source.slice(0, this.#place).split(/\r\n|\r|\n/).length;
    return invalidGrammar(`line ${line}: ${reason}`, `${line} 行目: ${reasonJa}`);
  }
}
