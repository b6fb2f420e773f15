/**
 * The filters of Jinja2 that a chat template may use: those of single values here, those of sequences
 * beside it. Pure; runs in the template worker. Hugging Face's `tojson` takes the place of Jinja2's own.
 */
import { getAttribute, member } from './attributes.js';
import type { Budget } from './budget.js';
import { type Call, type Filter, named } from './calls.js';
import { fixed, formatPercent } from './format.js';
import { readJson, toJson } from './json.js';
import { join, replace, stringMethod } from './strings.js';
import { slicePoints, splitLines, strip, toMarkup, toText } from './text.js';
import {
  Callable,
  Dict,
  float,
  int,
  intOf,
  isFloat,
  isText,
  isTrue,
  iterate,
  type Keywords,
  Markup,
  numberOf,
  sizeOf,
  Tuple,
  typeOf,
  Undefined,
  type Value,
} from './values.js';

const NONE: Keywords = new Map();

/** A filter that calls the method of the same name. */
function method(name: string, as = name): [string, Filter] {
  return named(name, name === 'trim' ? ['chars'] : [], (value, call, budget) => {
    const bound = stringMethod(soft(value, budget), as, budget);
    const characters = call.get('chars');
    if (!(bound instanceof Callable)) throw new Error(`no method ${as}`);
    return bound.call(characters === null ? [] : [characters], NONE);
  });
}

/** soft_str() of markupsafe: escaped text stays so. */
function soft(value: Value, budget: Budget): string | Markup {
  return value instanceof Markup ? value : toText(value, budget);
}

function title(value: Value, _: Call, budget: Budget): string {
  const text = toText(value, budget);
  budget.copy(text.length);
  const word = (part: string): string => {
    const [first = ''] = part;
    return first.toUpperCase() + part.slice(first.length).toLowerCase();
  };
  return text
    .split(/([-\s({[<]+)/)
    .map(word)
    .join('');
}

function center(value: Value, call: Call, budget: Budget): Value {
  const bound = stringMethod(soft(value, budget), 'center', budget);
  return bound instanceof Callable ? bound.call([call.or('width', 80)], NONE) : null;
}

function indent(value: Value, call: Call, budget: Budget): Value {
  if (value instanceof Undefined) return value.fail();
  if (!isText(value)) throw new Error(`indent: expected str, got ${typeOf(value)}`);
  const width = call.or('width', 4);
  const size = isText(width) ? 0 : Math.max(0, intOf(width));
  budget.copy(size);
  const margin = isText(width) ? toText(width, budget) : ' '.repeat(size);
  const [head = '', ...tail] = splitLines(`${toText(value, budget)}\n`, false, budget);
  const blank = call.isTrue('blank');
  const lines = [head, ...tail.map((line) => (line === '' && !blank ? '' : margin + line))];
  const text = join('\n', lines, budget);
  const whole = call.isTrue('first') ? margin + text : text;
  return value instanceof Markup ? new Markup(whole) : whole;
}

function truncate(value: Value, call: Call, budget: Budget): Value {
  const text = toText(value, budget);
  const end = toText(call.or('end', '...'), budget);
  const length = intOf(call.or('length', 255));
  const keep = length - (sizeOf(end) ?? 0);
  const leeway = call.get('leeway') === null ? 5 : intOf(call.get('leeway'));
  if (keep < 0 || leeway < 0) throw new Error('truncate: the length is too small');
  if ((sizeOf(text) ?? 0) <= length + leeway) return text;
  const cut = slicePoints(text, 0, keep, budget);
  const space = call.isTrue('killwords') ? -1 : cut.lastIndexOf(' ');
  return (space < 0 ? cut : cut.slice(0, space)) + end;
}

function wordCount(value: Value, _: Call, budget: Budget): number {
  const text = toText(value, budget);
  budget.copy(text.length);
  return text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0;
}

function urlEncode(value: Value, _: Call, budget: Budget): string {
  const quote = (one: Value, inQuery: boolean): string => {
    const text = toText(one, budget);
    budget.copy(9 * text.length);
    const encoded = encodeURIComponent(text).replace(
      /[!'()*]/g,
      (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
    );
    return inQuery ? encoded.replaceAll('%20', '+') : encoded.replaceAll('%2F', '/');
  };
  if (isText(value) || sizeOf(value) === undefined) return quote(value, false);
  const rows = iterate(value instanceof Dict ? value.items() : value, budget);
  const pairs = rows.map((row) => {
    const [key = null, one = null] = iterate(row, budget);
    return `${quote(key, true)}=${quote(one, true)}`;
  });
  return join('&', pairs, budget);
}

const FLOAT_TEXT =
  /^[-+]?(?:(?:\d+(?:_\d+)*(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:e[-+]?\d+(?:_\d+)*)?|inf(?:inity)?|nan)$/i;

/** float() of a value; undefined where Python raises a ValueError or TypeError. */
function parseFloatText(value: Value, budget: Budget): number | undefined {
  if (value instanceof Undefined) return value.fail();
  if (!isText(value)) return numberOf(value);
  const text = strip(toText(value, budget), null, 'both');
  if (!FLOAT_TEXT.test(text)) return undefined;
  const word = /^([-+]?)(inf|nan)/i.exec(text);
  if (word)
    return word[2]?.toLowerCase() === 'nan' ? Number.NaN : word[1] === '-' ? -Infinity : Infinity;
  return Number(text.replaceAll('_', ''));
}

function parseInteger(text: string, base: number): number | undefined {
  const match = /^([-+]?)(0[xob])?_?([\da-z]+(?:_[\da-z]+)*)$/i.exec(strip(text, null, 'both'));
  if (!match) return undefined;
  const [, sign, prefix = '', body = ''] = match;
  const radix = { '': base || 10, '0x': 16, '0o': 8, '0b': 2 }[prefix.toLowerCase()] ?? 10;
  // A prefix of another base is only digits, or an error.
  const takesPrefix = prefix === '' || base === 0 || base === radix;
  const digits = (takesPrefix ? body : prefix + body).replaceAll('_', '').toLowerCase();
  let number = 0;
  for (const one of digits) {
    const digit = Number.parseInt(one, 36);
    if (!(digit < (takesPrefix ? radix : base))) return undefined;
    number = number * (takesPrefix ? radix : base) + digit;
  }
  return int(sign === '-' ? -number : number);
}

function toInt(value: Value, call: Call, budget: Budget): Value {
  const base = intOf(call.or('base', 10));
  if (isText(value)) {
    const number = parseInteger(toText(value, budget), base);
    if (number !== undefined) return number;
  }
  const number = parseFloatText(value, budget);
  if (number === undefined || Number.isNaN(number)) return call.or('default', 0);
  if (!Number.isFinite(number)) throw new Error('cannot convert float infinity to integer');
  return int(Math.trunc(number));
}

function toFloat(value: Value, call: Call, budget: Budget): Value {
  const number = parseFloatText(value, budget);
  return number === undefined ? call.or('default', float(0)) : float(number);
}

function round(value: Value, call: Call): Value {
  const number = numberOf(value);
  if (number === undefined) throw new Error(`type ${typeOf(value)} doesn't define round`);
  const places = intOf(call.or('precision', 0));
  const way = call.or('method', 'common');
  const scale = 10 ** places;
  if (way === 'ceil') return float(Math.ceil(number * scale) / scale);
  if (way === 'floor') return float(Math.floor(number * scale) / scale);
  if (way !== 'common') throw new Error('method must be common, ceil or floor');
  if (!isFloat(value) && places >= 0) return int(number);
  if (!Number.isFinite(number)) return number;
  const size = Math.abs(number);
  // Below the point the decimal digits decide, above it a power of ten does.
  const rounded =
    places >= 0 ? Number(fixed(size, places)) : Number(fixed(size * scale, 0)) / scale;
  return isFloat(value) ? float(Math.sign(number) * rounded) : int(Math.sign(number) * rounded);
}

function absolute(value: Value): Value {
  const number = numberOf(value);
  if (number === undefined) throw new Error(`bad operand type for abs(): '${typeOf(value)}'`);
  return isFloat(value) ? float(Math.abs(number)) : Math.abs(number);
}

function fallback(value: Value, call: Call): Value {
  const goes = value instanceof Undefined || (call.isTrue('boolean') && !isTrue(value));
  return goes ? call.or('default_value', '') : value;
}

function replaced(value: Value, call: Call, budget: Budget): Value {
  const [from, to] = [call.get('old'), call.get('new')].map((one) => toText(one, budget));
  const count = call.get('count');
  const most = count === null ? -1 : intOf(count);
  return replace(toText(value, budget), from ?? '', to ?? '', most, budget);
}

function attribute(value: Value, call: Call, budget: Budget): Value {
  const name = toText(call.get('name'), budget);
  const found = value instanceof Undefined ? value.fail() : member(value, name, budget);
  return found === undefined
    ? new Undefined(`no attribute '${name}'`)
    : getAttribute(value, name, budget);
}

const escaping = (value: Value, _: Call, budget: Budget): Value => toMarkup(value, budget);

/** The filters of single values by their names. */
export const VALUE_FILTERS: readonly (readonly [string, Filter])[] = [
  method('capitalize'),
  method('lower'),
  method('upper'),
  method('trim', 'strip'),
  named('title', [], title),
  named('center', ['width'], center),
  named('indent', ['width', 'first', 'blank'], indent),
  named('truncate', ['length', 'killwords', 'end', 'leeway'], truncate),
  named('wordcount', [], wordCount),
  named('urlencode', [], urlEncode),
  named('replace', ['old', 'new', 'count'], replaced, 2),
  named('string', [], (value, _, budget) => soft(value, budget)),
  named('safe', [], (value, _, budget) => new Markup(toText(value, budget))),
  named('e', [], escaping),
  named('escape', [], escaping),
  named('forceescape', [], (value, _, budget) => toMarkup(toText(value, budget), budget)),
  [
    'format',
    (value, args, keywords, budget) => {
      if (args.length > 0 && keywords.size > 0)
        throw new Error("can't handle positional and keyword arguments");
      const given = keywords.size > 0 ? Dict.of(keywords) : new Tuple([...args]);
      return formatPercent(toText(value, budget), given, budget);
    },
  ],
  named('default', ['default_value', 'boolean'], fallback),
  named('d', ['default_value', 'boolean'], fallback),
  named('int', ['default', 'base'], toInt),
  named('float', ['default'], toFloat),
  named('round', ['precision', 'method'], round),
  named('abs', [], absolute),
  named('attr', ['name'], attribute, 1),
  ['tojson', toJson],
  named('from_json', [], (value, _, budget) => readJson(value, budget)),
];
