/**
 * Python's two ways to format text: str.format() and the % operator. Pure; runs in the template worker.
 * Widths are charged before they are filled. Rules: docs.python.org, "Format String Syntax" and
 * "printf-style String Formatting".
 */
import type { Budget } from './budget.js';
import { entry } from './items.js';
import { floatText, repr, slicePoints, toText } from './text.js';
import {
  Dict,
  isFloat,
  isText,
  type Keywords,
  numberOf,
  sizeOf,
  Tuple,
  typeOf,
  type Value,
} from './values.js';

/** How a value is laid out: a format spec or a % conversion. */
interface Layout {
  readonly fill: string;
  readonly align: string;
  readonly sign: string;
  readonly alternate: boolean;
  readonly width: number;
  readonly grouping: string;
  readonly precision: number | null;
  readonly type: string;
}

const SPEC = /^(?:([\s\S])?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/u;

/** format(value, spec). */
export function formatValue(value: Value, spec: string, budget: Budget): string {
  if (spec === '') return toText(value, budget);
  const match = SPEC.exec(spec);
  if (!match) throw new Error(`Invalid format specifier '${spec}'`);
  const [, fill, align, sign = '', alternate, zero, width, grouping = '', precision, type = ''] =
    match;
  const layout: Layout = {
    fill: fill ?? (zero && !align ? '0' : ' '),
    align: align ?? (zero ? '=' : ''),
    sign,
    alternate: alternate !== undefined,
    width: Number(width ?? 0),
    grouping,
    precision: precision === undefined ? null : Number(precision),
    type,
  };
  if (isText(value)) {
    if (!/^s?$/.test(type))
      throw new Error(`Unknown format code '${type}' for object of type 'str'`);
    const text = toText(value, budget);
    const cut = layout.precision === null ? text : slicePoints(text, 0, layout.precision, budget);
    return padded(cut, { ...layout, align: align ?? '<' }, budget);
  }
  const number = numberOf(value);
  if (number === undefined) throw new Error(`unsupported format string passed to ${typeOf(value)}`);
  return padded(formatNumber(number, isFloat(value), layout), layout, budget);
}

function padded(text: string, { fill, align, width }: Layout, budget: Budget): string {
  const missing = width - (sizeOf(text) ?? 0);
  if (!(missing > 0)) return text;
  budget.copy(width);
  if (align === '<') return text + fill.repeat(missing);
  if (align === '=') {
    const sign = /^[-+ ]/.exec(text)?.[0] ?? '';
    return sign + fill.repeat(missing) + text.slice(sign.length);
  }
  const before = align === '^' ? Math.floor(missing / 2) : missing;
  return fill.repeat(before) + text + fill.repeat(missing - before);
}

const RADIX: Readonly<Record<string, readonly [number, string]>> = {
  b: [2, '0b'],
  o: [8, '0o'],
  x: [16, '0x'],
  X: [16, '0X'],
};

function formatNumber(value: number, isFloating: boolean, layout: Layout): string {
  const { sign, grouping, type } = layout;
  const negative = value < 0 || Object.is(value, -0);
  const prefix = negative ? '-' : sign === '-' ? '' : sign;
  return prefix + grouped(magnitude(Math.abs(value), isFloating, layout), grouping, type);
}

function magnitude(value: number, isFloating: boolean, layout: Layout): string {
  const { type, alternate } = layout;
  const precision = layout.precision ?? 6;
  if (precision > 100) throw new Error('precision too big');
  if (!isFloating && /^[dn]?$/.test(type)) return String(value);
  const radix = RADIX[type];
  if (!isFloating && radix) {
    const digits = value.toString(radix[0]);
    return (alternate ? radix[1] : '') + (type === 'X' ? digits.toUpperCase() : digits);
  }
  if (!isFloating && type === 'c') return String.fromCodePoint(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : 'inf';
  if (/^[fF]$/.test(type)) return fixed(value, precision);
  if (type === '%') return `${fixed(value * 100, precision)}%`;
  if (/^[eE]$/.test(type)) {
    const text = exponent(value, precision);
    return type === 'E' ? text.toUpperCase() : text;
  }
  if (type === '' && layout.precision === null) return floatText(value);
  if (/^[gGn]?$/.test(type)) return general(value, precision || 1, type === '');
  throw new Error(
    `Unknown format code '${type}' for object of type '${isFloating ? 'float' : 'int'}'`,
  );
}

function grouped(digits: string, grouping: string, type: string): string {
  if (grouping === '') return digits;
  const size = /^[boxX]$/.test(type) ? 4 : 3;
  const [whole = '', rest = ''] = digits.split(/(?=[.e%])(.*)/s);
  const groups: string[] = [];
  for (let end = whole.length; end > 0; end -= size)
    groups.unshift(whole.slice(Math.max(0, end - size), end));
  return groups.join(grouping) + rest;
}

/** Digits behind the point, with an exact tie going to the even digit as in C. */
export function fixed(value: number, digits: number): string {
  const places = Math.min(100, digits);
  if (value >= 1e21) return BigInt(value).toString() + (places > 0 ? `.${'0'.repeat(places)}` : '');
  const text = value.toFixed(places);
  const tail =
    value
      .toFixed(Math.min(100, places + 60))
      .split('.')[1]
      ?.slice(places) ?? '';
  const isTie = /^50*$/.test(tail);
  // toFixed takes the larger of two; where its last digit is odd, the smaller is the even one.
  if (!isTie || !/[13579]$/.test(text)) return text;
  const last = Number(text.at(-1)) - 1;
  return `${text.slice(0, -1)}${last}`;
}

function exponent(value: number, digits: number): string {
  return value.toExponential(digits).replace(/e([-+])(\d)$/, 'e$10$2');
}

function general(value: number, precision: number, keepsPoint: boolean): string {
  const power = value === 0 ? 0 : Number(value.toExponential(precision - 1).split('e')[1]);
  const bare = (text: string): string => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);
  if (power >= -4 && power < precision) {
    const text = bare(fixed(value, precision - 1 - power));
    return keepsPoint && !text.includes('.') ? `${text}.0` : text;
  }
  const [mantissa = '', tail = ''] = exponent(value, precision - 1).split(/(?=e)/);
  return bare(mantissa) + tail;
}

/** str.format(). */
export function formatBraces(
  text: string,
  args: readonly Value[],
  keywords: Keywords,
  budget: Budget,
): string {
  let result = '';
  let automatic = 0;
  let isManual = false;
  const field = /\{\{|\}\}|\{((?:[^{}]|\{[^{}]*\})*)\}|[{}]|[^{}]+/g;
  const value = (path: string): Value => {
    const [, first = '', rest = ''] = /^([^.[]*)(.*)$/s.exec(path) ?? [];
    isManual ||= /^\d+$/.test(first);
    if (isManual && (first === '' || automatic > 0)) {
      throw new Error('cannot mix automatic and manual field numbering');
    }
    const isPlace = /^\d*$/.test(first);
    const found = isPlace ? args[first === '' ? automatic++ : Number(first)] : keywords.get(first);
    if (found === undefined) throw new Error(`no value for the replacement field '${path}'`);
    return walk(found, rest, budget);
  };
  for (const [piece, inner] of text.matchAll(field)) {
    if (inner !== undefined) {
      const [, path = '', conversion, spec = ''] =
        /^((?:[^:![]|\[[^\]]*\])*)(?:!([^:]*))?(?::(.*))?$/s.exec(inner) ?? [];
      const found = converted(value(path), conversion, budget);
      const fullSpec = spec.replace(/\{([^{}]*)\}/g, (_, name: string) =>
        toText(value(name), budget),
      );
      result += formatValue(found, fullSpec, budget);
    } else if (piece === '{' || piece === '}') {
      throw new Error(`Single '${piece}' encountered in format string`);
    } else {
      result += piece === '{{' || piece === '}}' ? piece.charAt(0) : piece;
    }
    budget.size(result.length);
  }
  budget.copy(result.length);
  return result;
}

/** Follows `[key]`; attributes, which no JSON value has, are refused. */
function walk(start: Value, path: string, budget: Budget): Value {
  let value = start;
  for (const [part, key] of path.matchAll(/\[([^\]]*)\]|[^[]+/g)) {
    const found =
      key === undefined ? undefined : entry(value, /^\d+$/.test(key) ? Number(key) : key, budget);
    if (found === undefined) throw new Error(`'${part}' is not in the replacement field`);
    value = found;
  }
  return value;
}

function converted(value: Value, conversion: string | undefined, budget: Budget): Value {
  if (conversion === undefined) return value;
  if (conversion === 's') return toText(value, budget);
  if (conversion === 'r') return repr(value, budget);
  throw new Error(`Unknown conversion specifier '${conversion}'`);
}

/** text % values. */
export function formatPercent(text: string, values: Value, budget: Budget): string {
  const args = values instanceof Tuple ? values.items : [values];
  let used = 0;
  const next = (): Value => {
    const value = args[used];
    if (value === undefined) throw new Error('not enough arguments for format string');
    used += 1;
    return value;
  };
  const pattern = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+))?[hlL]?([\s\S])?|[^%]+/g;
  let result = '';
  for (const [piece, key, flags = '', width, precision, type] of text.matchAll(pattern)) {
    if (!piece.startsWith('%')) {
      result += piece;
    } else if (type === '%') {
      result += '%';
    } else {
      const size = (one: string | undefined): number | null =>
        one === undefined ? null : one === '*' ? (numberOf(next()) ?? 0) : Number(one);
      const layout = {
        flags,
        width: size(width) ?? 0,
        precision: size(precision),
        type: type ?? '',
      };
      result += conversionText(key === undefined ? next() : keyed(values, key), layout, budget);
    }
    budget.size(result.length);
  }
  if (used < args.length && !(values instanceof Dict)) {
    throw new Error('not all arguments converted during string formatting');
  }
  budget.copy(result.length);
  return result;
}

function keyed(values: Value, key: string): Value {
  if (!(values instanceof Dict)) throw new Error('format requires a mapping');
  const value = values.get(key);
  if (value === undefined) throw new Error(`'${key}'`);
  return value;
}

interface Conversion {
  readonly flags: string;
  readonly width: number;
  readonly precision: number | null;
  readonly type: string;
}

function conversionText(value: Value, conversion: Conversion, budget: Budget): string {
  const { flags, precision, type, width } = conversion;
  const left = flags.includes('-');
  const layout: Layout = {
    fill: flags.includes('0') && !left && !/[sr]/.test(type) ? '0' : ' ',
    align: left ? '<' : flags.includes('0') && !/[sr]/.test(type) ? '=' : '>',
    sign: flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '',
    alternate: flags.includes('#'),
    width,
    grouping: '',
    precision,
    type: type === 'i' || type === 'u' ? 'd' : type,
  };
  if (type === 'c') {
    const one = isText(value) ? toText(value, budget) : String.fromCodePoint(numberOf(value) ?? -1);
    if (sizeOf(one) !== 1) throw new Error('%c requires int or char');
    return padded(one, layout, budget);
  }
  if (type === 's' || type === 'r' || type === 'a') {
    const text = type === 's' ? toText(value, budget) : repr(value, budget);
    const cut = precision === null ? text : slicePoints(text, 0, precision, budget);
    return padded(cut, layout, budget);
  }
  const number = numberOf(value);
  if (number === undefined)
    throw new Error(`%${type} format: a number is required, not ${typeOf(value)}`);
  if (layout.type === 'd')
    return padded(formatNumber(Math.trunc(number), false, layout), layout, budget);
  if (/[eEfFgG]/.test(type)) return padded(formatNumber(number, true, layout), layout, budget);
  if (/[xXo]/.test(type))
    return padded(formatNumber(number, isFloat(value), layout), layout, budget);
  throw new Error(`unsupported format character '${type}'`);
}
