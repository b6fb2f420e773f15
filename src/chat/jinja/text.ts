/**
 * Text as Python treats it: what str() and repr() say of a value, white space, lines, and places counted
 * in code points. Pure; runs in the template worker.
 */
import type { Budget } from './budget.js';
import {
  Callable,
  Dict,
  DictView,
  Float,
  Generator,
  Markup,
  Namespace,
  Range,
  Tuple,
  Undefined,
  type Value,
} from './values.js';

/** str() of a value. */
export function toText(value: Value, budget: Budget): string {
  if (typeof value === 'string') return value;
  if (value instanceof Markup) return value.text;
  if (value instanceof Undefined) return '';
  return repr(value, budget);
}

/** repr() of a value. */
export function repr(value: Value, budget: Budget): string {
  budget.step();
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number') return numberText(value);
  if (typeof value === 'string') return quoted(value, budget);
  if (value instanceof Float) return floatText(value.value);
  if (value instanceof Markup) return `Markup(${quoted(value.text, budget)})`;
  if (value instanceof Undefined) return 'Undefined';
  return budget.nested(() => containerText(value, budget));
}

function containerText(value: Value & object, budget: Budget): string {
  if (Array.isArray(value)) return `[${joined(value, budget)}]`;
  if (value instanceof Tuple) return tupleText(value, budget);
  if (value instanceof Dict) return dictText(value, budget);
  if (value instanceof DictView)
    return `${value.type}([${joined(value.dict[value.kind](), budget)}])`;
  if (value instanceof Range) {
    const step = value.step === 1 ? '' : `, ${value.step}`;
    return `range(${value.start}, ${value.stop}${step})`;
  }
  if (value instanceof Callable) return `<${value.type} '${value.name}'>`;
  if (value instanceof Namespace) {
    return `<Namespace ${dictText(Dict.of(value.attributes), budget)}>`;
  }
  if (value instanceof Generator) return '<generator object>';
  return `<${value.type}>`;
}

function joined(values: readonly Value[], budget: Budget): string {
  let text = '';
  for (const value of values) {
    if (text !== '') text += ', ';
    text += repr(value, budget);
    budget.size(text.length);
  }
  budget.copy(text.length);
  return text;
}

function tupleText({ items }: Tuple, budget: Budget): string {
  return `(${joined(items, budget)}${items.length === 1 ? ',' : ''})`;
}

function dictText(dict: Dict, budget: Budget): string {
  let text = '';
  for (const [key, value] of dict.entries.values()) {
    if (text !== '') text += ', ';
    text += `${repr(key, budget)}: ${repr(value, budget)}`;
    budget.size(text.length);
  }
  budget.copy(text.length);
  return `{${text}}`;
}

function numberText(value: number): string {
  if (!Number.isInteger(value)) return floatText(value);
  // A request may bring more than 2^53; its digits are those of the nearest double.
  return Number.isSafeInteger(value) ? String(value) : BigInt(value).toString();
}

/** repr() of a float: the shortest digits, with an exponent below 1e-4 and from 1e16 on. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const [mantissa = '', power = '0'] = Math.abs(value).toExponential().split('e');
  const exponent = Number(power);
  if (value !== 0 && (exponent < -4 || exponent >= 16)) {
    const digits = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${mantissa}e${exponent < 0 ? '-' : '+'}${digits}`;
  }
  const digits = mantissa.replace('.', '');
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`;
}

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};
/** What Python's isprintable() refuses, but for the space. */
const UNPRINTABLE = /[\\\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;

function quoted(text: string, budget: Budget): string {
  budget.copy(text.length);
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(UNPRINTABLE, (one) => SIMPLE_ESCAPES[one] ?? codeEscape(one));
  return `${quote}${quote === "'" ? escaped.replaceAll("'", "\\'") : escaped}${quote}`;
}

function codeEscape(one: string): string {
  const code = one.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}

/** The characters of Python's str.isspace(), which are not quite those of JavaScript's \s. */
export const SPACE =
  '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const IS_SPACE = new RegExp(`^[${SPACE}]$`);

export function isSpace(one: string): boolean {
  const code = one.charCodeAt(0);
  return code < 0x80
    ? code === 32 || (code >= 9 && code <= 13) || (code >= 28 && code <= 31)
    : IS_SPACE.test(one);
}

/** str.strip(): white space, or the given characters, off one end or both. */
export function strip(
  text: string,
  characters: string | null,
  ends: 'both' | 'left' | 'right',
): string {
  if (characters !== null && (ASTRAL.test(characters) || ASTRAL.test(text))) {
    return stripAstral(text, new Set(characters), ends);
  }
  const goes = (at: number): boolean =>
    characters === null ? isSpace(text.charAt(at)) : characters.includes(text.charAt(at));
  let [start, end] = [0, text.length];
  if (ends !== 'right') while (start < end && goes(start)) start += 1;
  if (ends !== 'left') while (end > start && goes(end - 1)) end -= 1;
  return text.slice(start, end);
}

function stripAstral(
  text: string,
  set: ReadonlySet<string>,
  ends: 'both' | 'left' | 'right',
): string {
  const points = [...text];
  let [start, end] = [0, points.length];
  if (ends !== 'right') while (start < end && set.has(points[start] ?? '')) start += 1;
  if (ends !== 'left') while (end > start && set.has(points[end - 1] ?? '')) end -= 1;
  return points.slice(start, end).join('');
}

const ASTRAL = /[\ud800-\udfff]/;

/** The code points of a text, charged where it has to be taken apart. */
export function points(
  text: string,
  budget: Budget,
): ArrayLike<string> & { slice(a: number, b: number): unknown } {
  budget.copy(ASTRAL.test(text) ? text.length : 1);
  return ASTRAL.test(text) ? [...text] : text;
}

/** A piece of text by code points. */
export function slicePoints(text: string, start: number, end: number, budget: Budget): string {
  budget.copy(text.length);
  return ASTRAL.test(text) ? [...text].slice(start, end).join('') : text.slice(start, end);
}

/** The code point that begins at this UTF-16 unit, counted from the start; -1 stays. */
export function toPointIndex(text: string, unit: number): number {
  return unit <= 0 || !ASTRAL.test(text) ? unit : [...text.slice(0, unit)].length;
}

/** Python's ends of lines, in a group, so that split() keeps them. */
const LINE_END = '\\n-\\r\\x1c-\\x1e\\x85\\u2028\\u2029';
const LINE_ENDS = new RegExp(`(\\r\\n|[${LINE_END}])`);

/** str.splitlines(). */
export function splitLines(text: string, keepEnds: boolean, budget: Budget): string[] {
  budget.copy(text.length);
  const parts = text.split(LINE_ENDS);
  budget.items(parts.length);
  const lines: string[] = [];
  for (let i = 0; i < parts.length; i += 2) {
    const [line = '', end = ''] = [parts[i], parts[i + 1]];
    if (line !== '' || end !== '') lines.push(keepEnds ? line + end : line);
  }
  return lines;
}

/** HTML's five characters as entities. */
export function escapeHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    "'": '&#39;',
    '"': '&#34;',
  };
  return text.replace(/[&<>'"]/g, (one) => entities[one] ?? one);
}

/** escape() of markupsafe: escaped text stays as it is. */
export function toMarkup(value: Value, budget: Budget): Markup {
  if (value instanceof Markup) return value;
  const text = escapeHtml(toText(value, budget));
  budget.copy(text.length);
  return new Markup(text);
}
