/**
 * The methods of text, with Python's rules for places, white space and case. Pure. Methods of escaped
 * text escape what they are given, as markupsafe's do.
 */
import type { Budget } from './budget.js';
import { Call, noKeywords } from './calls.js';
import { formatBraces } from './format.js';
import { isSpace, points, slicePoints, splitLines, strip, toMarkup, toPointIndex } from './text.js';
import {
  Callable,
  intOf,
  isText,
  iterate,
  type Keywords,
  Markup,
  sizeOf,
  Tuple,
  typeOf,
  Undefined,
  type Value,
} from './values.js';

type Method = (text: string, args: readonly Value[], budget: Budget, keywords: Keywords) => Value;

/** A bound method of text; undefined where there is none of this name. */
export function stringMethod(
  self: string | Markup,
  name: string,
  budget: Budget,
): Value | undefined {
  const method = METHODS.get(name);
  if (!method) return undefined;
  const call = (args: Value[], keywords: Keywords): Value => {
    if (!TAKES_KEYWORDS.has(name)) noKeywords(name, keywords);
    if (typeof self === 'string') return method(self, args, budget, keywords);
    const given = ESCAPES.has(name) ? args.map((one) => escaped(one, budget)) : args;
    const escapedKeywords =
      name === 'format'
        ? new Map([...keywords].map(([key, one]) => [key, escaped(one, budget)]))
        : keywords;
    const items =
      name === 'join'
        ? [iterate(args[0] ?? null, budget).map((one) => toMarkup(one, budget))]
        : given;
    return marked(method(self.text, items, budget, escapedKeywords));
  };
  return new Callable(name, call, 'builtin_function_or_method');
}

const escaped = (value: Value, budget: Budget): Value =>
  isText(value) ? toMarkup(value, budget).text : value;

function marked(value: Value): Value {
  if (typeof value === 'string') return new Markup(value);
  if (Array.isArray(value)) return value.map(marked);
  return value instanceof Tuple ? new Tuple(value.items.map(marked)) : value;
}

const TAKES_KEYWORDS = new Set(['split', 'rsplit', 'splitlines', 'expandtabs', 'format']);
const ESCAPES = new Set([
  'replace',
  'format',
  'strip',
  'lstrip',
  'rstrip',
  'center',
  'ljust',
  'rjust',
]);

function text(value: Value | undefined, name: string): string {
  if (typeof value === 'string') return value;
  if (value instanceof Markup) return value.text;
  if (value instanceof Undefined) return value.fail();
  throw new Error(`${name}: expected str, got ${value === undefined ? 'nothing' : typeOf(value)}`);
}

const stripping =
  (name: string, ends: 'both' | 'left' | 'right'): Method =>
  (self, [characters = null], budget) => {
    budget.copy(self.length);
    return strip(self, characters === null ? null : text(characters, name), ends);
  };

/** Text whose places are counted in code points, and where a piece of it begins. */
function piece(
  self: string,
  [, start = null, end = null]: readonly Value[],
  budget: Budget,
): [string, number] {
  if (start === null && end === null) return [self, 0];
  const length = sizeOf(self) ?? 0;
  const clip = (at: Value, fallback: number): number => {
    if (at === null) return fallback;
    const index = intOf(at);
    return Math.min(length, index < 0 ? Math.max(0, index + length) : index);
  };
  const [first, last] = [clip(start, 0), clip(end, length)];
  return [slicePoints(self, first, Math.max(first, last), budget), first];
}

const affix =
  (name: 'startsWith' | 'endsWith'): Method =>
  (self, args, budget) => {
    const [sought] = args;
    const [within] = piece(self, args, budget);
    const all = sought instanceof Tuple ? sought.items : [sought];
    return all.some((one) => within[name](text(one, name)));
  };

const finding =
  (name: 'indexOf' | 'lastIndexOf', mustFind: boolean): Method =>
  (self, args, budget) => {
    budget.copy(self.length);
    const [within, start] = piece(self, args, budget);
    const found = toPointIndex(within, within[name](text(args[0], name)));
    if (found < 0 && mustFind) throw new Error('substring not found');
    return found < 0 ? -1 : found + start;
  };

const justifying =
  (name: string, before: (missing: number, width: number) => number): Method =>
  (self, [width = null, fill = ' '], budget) => {
    const missing = intOf(width) - (sizeOf(self) ?? 0);
    const one = text(fill, name);
    if (sizeOf(one) !== 1) throw new Error('The fill character must be exactly one character long');
    if (missing <= 0) return self;
    budget.copy(self.length + missing * one.length);
    const left = before(missing, intOf(width));
    return one.repeat(left) + self + one.repeat(missing - left);
  };

/** str.split() and str.rsplit() without a separator: runs of white space part the words. */
function words(self: string, most: number, fromRight: boolean): string[] {
  const found: string[] = [];
  let rest = strip(self, null, 'both');
  while (rest !== '' && found.length !== most) {
    const step = fromRight ? -1 : 1;
    let at = fromRight ? rest.length - 1 : 0;
    while (at >= 0 && at < rest.length && !isSpace(rest.charAt(at))) at += step;
    found.push(fromRight ? rest.slice(at + 1) : rest.slice(0, at));
    rest = fromRight
      ? strip(rest.slice(0, at + 1), null, 'right')
      : strip(rest.slice(at), null, 'left');
    if (at < 0) rest = '';
  }
  // What is left at the limit keeps the white space at its far end.
  const start = self.length - strip(self, null, 'left').length;
  const end = strip(self, null, 'right').length;
  if (rest !== '') found.push(fromRight ? self.slice(0, start) + rest : rest + self.slice(end));
  return fromRight ? found.reverse() : found;
}

const splitting =
  (name: string, fromRight: boolean): Method =>
  (self, args, budget, keywords) => {
    const call = new Call(name, ['sep', 'maxsplit'], args, keywords);
    const most = intOf(call.or('maxsplit', -1));
    budget.copy(self.length);
    if (call.get('sep') === null) {
      const found = words(self, most, fromRight);
      budget.items(found.length);
      return found;
    }
    const separator = text(call.get('sep'), name);
    if (separator === '') throw new Error('empty separator');
    const parts = self.split(separator);
    budget.items(parts.length);
    if (most < 0 || parts.length <= most + 1) return parts;
    return fromRight
      ? [parts.slice(0, parts.length - most).join(separator), ...parts.slice(parts.length - most)]
      : [...parts.slice(0, most), parts.slice(most).join(separator)];
  };

const partitioning =
  (fromRight: boolean): Method =>
  (self, [separator], budget) => {
    const mark = text(separator, 'partition');
    if (mark === '') throw new Error('empty separator');
    budget.copy(self.length);
    const at = fromRight ? self.lastIndexOf(mark) : self.indexOf(mark);
    if (at < 0) return new Tuple(fromRight ? ['', '', self] : [self, '', '']);
    return new Tuple([self.slice(0, at), mark, self.slice(at + mark.length)]);
  };

/** str.replace(); the size of the result is known before it is made. */
export function replace(
  self: string,
  from: string,
  to: string,
  most: number,
  budget: Budget,
): string {
  budget.copy(self.length);
  const parts = from === '' ? ['', ...self, ''] : self.split(from);
  const count = most < 0 ? parts.length - 1 : Math.min(most, parts.length - 1);
  budget.copy(self.length + count * Math.max(0, to.length - from.length));
  if (count === parts.length - 1) return parts.join(to);
  return [...parts.slice(0, count), parts.slice(count).join(from)].join(to);
}

/** str.join(), charged as it grows. */
export function join(separator: string, parts: readonly string[], budget: Budget): string {
  const length = parts.reduce((sum, part) => sum + part.length + separator.length, 0);
  budget.copy(length);
  return parts.join(separator);
}

function noArguments(args: readonly Value[]): void {
  if (args.length > 0) throw new Error(`the method takes no arguments (${args.length} given)`);
}

const mapping =
  (change: (self: string) => string): Method =>
  (self, args, budget) => {
    noArguments(args);
    budget.copy(2 * self.length);
    return change(self);
  };

/** str.capitalize(): the first in title case, the rest small. */
export function capitalize(self: string): string {
  const [first = ''] = self;
  return titleCase(first) + self.slice(first.length).toLowerCase();
}

/** Digraphs have a title case of their own, and expanded letters only begin with a capital. */
function titleCase(one: string): string {
  const code = one.charCodeAt(0);
  if (code >= 0x1c4 && code <= 0x1cc) return 'ǅǅǅǈǈǈǋǋǋ'.charAt(code - 0x1c4);
  if (code >= 0x1f1 && code <= 0x1f3) return 'ǲ';
  const upper = one.toUpperCase();
  return upper.charAt(0) + upper.slice(1).toLowerCase();
}

function title(self: string): string {
  let inWord = false;
  let result = '';
  for (const one of self) {
    const isCased = /[\p{Lu}\p{Ll}\p{Lt}]/u.test(one);
    result += inWord ? one.toLowerCase() : titleCase(one);
    inWord = isCased;
  }
  return result;
}

const testing =
  (pattern: RegExp): Method =>
  (self, args, budget) => {
    noArguments(args);
    budget.copy(self.length);
    return pattern.test(self);
  };

const cased =
  (unlike: RegExp, like: RegExp): Method =>
  (self, args, budget) => {
    noArguments(args);
    budget.copy(self.length);
    return like.test(self) && !unlike.test(self);
  };

/** Whether Python's isupper() or islower() holds. */
export const isUpper: Method = cased(/[\p{Ll}\p{Lt}]/u, /\p{Lu}/u);
export const isLower: Method = cased(/[\p{Lu}\p{Lt}]/u, /\p{Ll}/u);

function expandTabs(
  self: string,
  args: readonly Value[],
  budget: Budget,
  keywords: Keywords,
): Value {
  const size = intOf(new Call('expandtabs', ['tabsize'], args, keywords).or('tabsize', 8));
  let [result, column] = ['', 0];
  for (const one of self) {
    const width = one === '\t' ? (size > 0 ? size - (column % size) : 0) : 1;
    budget.size(result.length + width);
    result += one === '\t' ? ' '.repeat(width) : one;
    column = one === '\n' || one === '\r' ? 0 : column + width;
  }
  budget.copy(result.length);
  return result;
}

const METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  ['strip', stripping('strip', 'both')],
  ['lstrip', stripping('lstrip', 'left')],
  ['rstrip', stripping('rstrip', 'right')],
  ['split', splitting('split', false)],
  ['rsplit', splitting('rsplit', true)],
  ['partition', partitioning(false)],
  ['rpartition', partitioning(true)],
  ['startswith', affix('startsWith')],
  ['endswith', affix('endsWith')],
  ['find', finding('indexOf', false)],
  ['rfind', finding('lastIndexOf', false)],
  ['index', finding('indexOf', true)],
  ['rindex', finding('lastIndexOf', true)],
  ['upper', mapping((self) => self.toUpperCase())],
  ['lower', mapping((self) => self.toLowerCase())],
  ['casefold', mapping((self) => self.replaceAll('ß', 'ss').toLowerCase())],
  ['capitalize', mapping(capitalize)],
  ['title', mapping(title)],
  [
    'swapcase',
    mapping((self) =>
      [...self]
        .map((one) => (one === one.toLowerCase() ? one.toUpperCase() : one.toLowerCase()))
        .join(''),
    ),
  ],
  ['isupper', isUpper],
  ['islower', isLower],
  ['isalpha', testing(/^\p{L}+$/u)],
  ['isalnum', testing(/^[\p{L}\p{N}]+$/u)],
  ['isdigit', testing(/^[\p{Nd}²³¹⁰⁴-⁹₀-₉]+$/u)],
  ['isdecimal', testing(/^\p{Nd}+$/u)],
  ['isnumeric', testing(/^\p{N}+$/u)],
  ['isascii', testing(/^[\0-\x7f]*$/)],
  ['isidentifier', testing(/^[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*$/u)],
  [
    'isspace',
    (self, _, budget) => {
      budget.copy(self.length);
      return self !== '' && strip(self, null, 'both') === '';
    },
  ],
  ['ljust', justifying('ljust', () => 0)],
  ['rjust', justifying('rjust', (missing) => missing)],
  [
    'center',
    justifying('center', (missing, width) => Math.floor(missing / 2) + (missing & width & 1)),
  ],
  ['expandtabs', expandTabs],
  ['format', (self, args, budget, keywords) => formatBraces(self, args, keywords, budget)],
  [
    'zfill',
    (self, [width = null], budget) => {
      const missing = Math.max(0, intOf(width) - (sizeOf(self) ?? 0));
      budget.copy(self.length + missing);
      const sign = /^[-+]/.exec(self)?.[0] ?? '';
      return sign + '0'.repeat(missing) + self.slice(sign.length);
    },
  ],
  [
    'replace',
    (self, [from, to, most = -1], budget) =>
      replace(self, text(from, 'replace'), text(to, 'replace'), intOf(most), budget),
  ],
  [
    'removeprefix',
    (self, [prefix]) => {
      const start = text(prefix, 'removeprefix');
      return self.startsWith(start) ? self.slice(start.length) : self;
    },
  ],
  [
    'removesuffix',
    (self, [suffix]) => {
      const end = text(suffix, 'removesuffix');
      return end !== '' && self.endsWith(end) ? self.slice(0, -end.length) : self;
    },
  ],
  [
    'count',
    (self, args, budget) => {
      const sought = text(args[0], 'count');
      const [within] = piece(self, args, budget);
      budget.copy(within.length);
      return sought === '' ? points(within, budget).length + 1 : within.split(sought).length - 1;
    },
  ],
  [
    'splitlines',
    (self, args, budget, keywords) =>
      splitLines(
        self,
        new Call('splitlines', ['keepends'], args, keywords).isTrue('keepends'),
        budget,
      ),
  ],
  [
    'join',
    (self, [items = null], budget) =>
      join(
        self,
        iterate(items, budget).map((one) => text(one, 'join')),
        budget,
      ),
  ],
]);
