/**
 * From a template's source to tokens, with trim_blocks and lstrip_blocks as Hugging Face sets them.
 * Pure; every pattern is anchored or scans on, so that its time grows with the source alone.
 * Rules: jinja.palletsprojects.com, "Whitespace Control", and Python's string literals.
 */
import { isSpace, SPACE, strip } from './text.js';

/** A token; `at` is its place in the source. */
export interface Token {
  readonly kind:
    | 'data'
    | 'open'
    | 'close'
    | 'print'
    | 'end-print'
    | 'name'
    | 'string'
    | 'int'
    | 'float'
    | 'operator'
    | 'eof';
  readonly text: string;
  readonly at: number;
}

const RAW = new RegExp(`\\{%[-+]?[${SPACE}]*raw[${SPACE}]*(?:-%\\}[${SPACE}]*|%\\})`, 'y');
const END_RAW = new RegExp(
  `\\{%([-+]?)[${SPACE}]*endraw[${SPACE}]*(?:\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?)`,
  'y',
);
const FLOAT = /(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const NAME = /[\p{L}\p{N}_]+/uy;
const STRING = /'[^'\\]*(?:\\[\s\S][^'\\]*)*'|"[^"\\]*(?:\\[\s\S][^"\\]*)*"/y;
const OPERATOR = /==|!=|>=|<=|\*\*|\/\/|[-+/*%~[\](){}=.:|,;<>]/y;
const CLOSERS: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/** The tokens of a source, `eof` last; throws an Error with the place of what cannot be read. */
export function tokenize(source: string): Token[] {
  return new Lexer(source).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  /** Whether the last thing read ended its line. */
  #lineStarts = true;

  constructor(source: string) {
    const lines = source.replace(/\r\n?/g, '\n');
    this.#source = lines.endsWith('\n') ? lines.slice(0, -1) : lines;
  }

  run(): Token[] {
    const tag = /\{[{%#]/g;
    while (this.#at < this.#source.length) {
      tag.lastIndex = this.#at;
      const found = tag.exec(this.#source);
      if (!found) {
        this.#add('data', this.#source.slice(this.#at));
        break;
      }
      this.#openTag(found.index, found[0]);
    }
    this.#at = this.#source.length;
    this.#add('eof', '');
    return this.#tokens;
  }

  #openTag(index: number, tag: string): void {
    const sign = /[-+]/.exec(this.#source.charAt(index + 2))?.[0] ?? '';
    this.#data(index, tag === '{{' ? `${sign}v` : sign);
    this.#at = index;
    const raw = tag === '{%' ? this.#match(RAW) : null;
    if (raw !== null) {
      this.#raw(raw);
      return;
    }
    this.#at = index + 2 + sign.length;
    this.#lineStarts = false;
    if (tag === '{#') this.#comment();
    else if (tag === '{%') this.#inside('open', 'close');
    else this.#inside('print', 'end-print');
  }

  /** The text up to a tag; `-` strips all white space, and a block strips that of its line. */
  #data(end: number, sign: string): void {
    let text = this.#source.slice(this.#at, end);
    if (sign.startsWith('-')) {
      text = strip(text, null, 'right');
    } else if (sign === '') {
      const line = text.lastIndexOf('\n') + 1;
      if ((line > 0 || this.#lineStarts) && strip(text.slice(line), null, 'both') === '') {
        text = text.slice(0, line);
      }
    }
    if (text !== '') this.#add('data', text);
  }

  #raw(opening: string): void {
    const start = this.#at + opening.length;
    this.#at = start;
    this.#lineStarts = opening.endsWith('\n');
    for (
      let end = this.#source.indexOf('{%', start);
      end >= 0;
      end = this.#source.indexOf('{%', end + 2)
    ) {
      END_RAW.lastIndex = end;
      const match = END_RAW.exec(this.#source);
      if (match) {
        this.#data(end, match[1] ?? '');
        this.#at = END_RAW.lastIndex;
        this.#lineStarts = match[0].endsWith('\n');
        return;
      }
    }
    throw this.#error('Missing end of raw directive');
  }

  #comment(): void {
    const end = this.#source.indexOf('#}', this.#at);
    if (end < 0) throw this.#error('Missing end of comment tag');
    const sign = end > this.#at ? this.#source.charAt(end - 1) : '';
    this.#at = end + 2;
    this.#afterTag(sign === '-' || sign === '+' ? sign : '');
  }

  /** Behind the end of a block or comment: `-` eats white space, else one line end goes. */
  #afterTag(sign: string): void {
    const start = this.#at;
    if (sign === '-') this.#skipSpace();
    else if (sign === '' && this.#source[this.#at] === '\n') this.#at += 1;
    this.#lineStarts = this.#at > start && this.#source[this.#at - 1] === '\n';
  }

  #skipSpace(): void {
    while (this.#at < this.#source.length && isSpace(this.#source.charAt(this.#at))) this.#at += 1;
  }

  #inside(open: 'open' | 'print', close: 'close' | 'end-print'): void {
    this.#add(open, '');
    const balance: string[] = [];
    while (this.#at < this.#source.length) {
      if (balance.length === 0 && this.#end(close)) return;
      if (isSpace(this.#source.charAt(this.#at))) this.#skipSpace();
      else this.#token(balance);
    }
    // The parser reports what is missing.
  }

  #end(close: 'close' | 'end-print'): boolean {
    const mark = close === 'close' ? '%}' : '}}';
    const signs = close === 'close' ? ['-', '+', ''] : ['-', ''];
    const sign = signs.find((one) => this.#source.startsWith(one + mark, this.#at));
    if (sign === undefined) return false;
    this.#add(close, '');
    this.#at += sign.length + 2;
    // A printed value keeps the line end behind it.
    this.#afterTag(close === 'end-print' && sign === '' ? '+' : sign);
    return true;
  }

  #token(balance: string[]): void {
    const afterDot = this.#source[this.#at - 1] === '.';
    const float = afterDot ? null : this.#match(FLOAT);
    if (float !== null) {
      this.#take('float', float);
      return;
    }
    const integer = this.#match(INTEGER);
    if (integer !== null) {
      this.#take('int', integer);
      return;
    }
    const name = this.#match(NAME);
    if (name !== null) {
      if (/^\p{N}/u.test(name)) throw this.#error('Invalid character in identifier');
      this.#take('name', name);
      return;
    }
    const string = this.#match(STRING);
    if (string !== null) {
      this.#tokens.push({ kind: 'string', text: unescaped(string.slice(1, -1)), at: this.#at });
      this.#at += string.length;
      return;
    }
    const operator = this.#match(OPERATOR);
    if (operator === null) throw this.#error(`unexpected char '${this.#source.charAt(this.#at)}'`);
    const closer = CLOSERS[operator];
    if (closer) balance.push(closer);
    else if (/[)\]}]/.test(operator) && balance.pop() !== operator) {
      throw this.#error(`unexpected '${operator}'`);
    }
    this.#take('operator', operator);
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#source)?.[0] ?? null;
  }

  #take(kind: Token['kind'], text: string): void {
    this.#add(kind, text);
    this.#at += text.length;
  }

  #add(kind: Token['kind'], text: string): void {
    this.#tokens.push({ kind, text, at: this.#at });
  }

  #error(what: string): Error {
    const line = this.#source.slice(0, this.#at).split('\n').length;
    return new Error(`${what} (line ${line})`);
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** Python's escapes; an unknown one keeps its backslash. */
function unescaped(text: string): string {
  if (!text.includes('\\')) return text;
  const pattern = /\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([\s\S]))/g;
  return text.replace(pattern, (whole, octal, x, u, long, other) => {
    if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
    const hex: string | undefined = x ?? u ?? long;
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    if (/^[xuUN]$/.test(other)) throw new Error(`a truncated \\${other} escape`);
    return ESCAPES[other] ?? whole;
  });
}
