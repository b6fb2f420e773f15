/**
 * Numbers between bounds, and those that are multiples of another. Pure, any thread. It must never
 * write a number that a double would round onto the other side of its bound.
 */
import { choice, counted, type Expression, oneOf, sequence, text } from './expression.js';
import { DIGIT, JSON_INTEGER, JSON_NUMBER, MAX_DIGITS } from './json.js';
import { ImpossibleSchema, unsupportedSchema } from './refusal.js';
import { anyDecimals, decimalsBeside, decimalsBetween, type End, endOf } from './schema-decimal.js';
import type { Bound, Facts } from './schema-facts.js';

/** The largest whole number that is written where there are bounds. */
const LARGEST = 10 ** MAX_DIGITS - 1;

const MAX_POWER = 10;

/**
 * What multipleOf can be: a power of ten from 10^-9 to 10^9, 2 or 5. Its decimals, and the factor of
 * the whole numbers; null for another.
 */
export function stepOf(
  value: number,
): { readonly decimals: number; readonly whole: number } | null {
  if (value === 2 || value === 5) return { decimals: 0, whole: value };
  for (let power = 0; power < MAX_POWER; power++) {
    if (value === 10 ** power) return { decimals: 0, whole: value };
    if (value === Number(`1e-${power}`)) return { decimals: power, whole: 1 };
  }
  return null;
}

/** Whether a value is a multiple of what stepOf() knows, as decimals and not as doubles. */
export function isMultiple(value: number, of: number): boolean {
  const ratio = value / of;
  return Math.abs(Math.round(ratio) - ratio) <= Math.abs(ratio) * Number.EPSILON;
}

/** A whole number that obeys the facts, at most 15 digits long. Codes: schema_unsupported. */
export function integerExpression(facts: Facts): Expression {
  const step = facts.steps.reduce((most, { value }) => Math.max(most, value), 1);
  const odd = facts.steps.find(({ value }) => value > 1 && step % value !== 0);
  if (odd !== undefined) {
    throw unsupportedSchema(
      odd.pointer,
      'several multipleOf of which none is a multiple of all',
      '互いに倍数でない multipleOf は組み合わせられません',
    );
  }
  if (facts.lows.length === 0 && facts.highs.length === 0 && step === 1) return JSON_INTEGER;
  let low = -LARGEST;
  let high = LARGEST;
  for (const { value, open } of facts.lows) {
    low = Math.max(low, open ? Math.floor(value) + 1 : Math.ceil(value));
  }
  for (const { value, open } of facts.highs) {
    high = Math.min(high, open ? Math.ceil(value) - 1 : Math.floor(value));
  }
  const options = step === 2 || step === 5 ? lastDigits(low, high, step) : tens(low, high, step);
  if (options.length === 0) throw impossible(facts);
  return choice(...options);
}

/** Multiples of a power of ten: those of 1, with zeros behind. */
function tens(low: number, high: number, step: number): Expression[] {
  const [from, to] = [Math.ceil(low / step), Math.floor(high / step)];
  if (step === 1) return wholeNumbers(from, to);
  const zeros = text(String(step).slice(1));
  const options = [...wholeNumbers(from, Math.min(to, -1)), ...wholeNumbers(Math.max(from, 1), to)];
  const written = options.map((part) => sequence(part, zeros));
  return from <= 0 && to >= 0 ? [...written, text('0')] : written;
}

/** Multiples of 2 or 5: any tens, then one of the digits that are multiples themselves. */
function lastDigits(low: number, high: number, step: number): Expression[] {
  const digits = Array.from({ length: 10 / step }, (_, index) => index * step);
  const options: Expression[] = [];
  const side = (from: number, to: number, sign: string): void => {
    if (from > to) return;
    const [first, last] = [Math.floor(from / 10), Math.floor(to / 10)];
    const some = (ten: number): void => {
      const own = digits.map((digit) => 10 * ten + digit);
      for (const value of own) {
        if (value >= from && value <= to) options.push(text(`${sign}${value}`));
      }
    };
    some(first);
    if (last > first) some(last);
    const last9 = choice(...digits.map((digit) => text(String(digit))));
    for (const part of wholeNumbers(first + 1, last - 1)) {
      options.push(sequence(text(sign), part, last9));
    }
  };
  side(Math.max(0, low), high, '');
  side(Math.max(1, -high), -low, '-');
  return options;
}

/**
 * A number that obeys the facts; with a bound or multipleOf there is no exponent.
 * Codes: schema_unsupported.
 */
export function numberExpression(facts: Facts): Expression {
  if (facts.lows.length + facts.highs.length + facts.steps.length === 0) return JSON_NUMBER;
  const most = facts.steps.reduce(
    (least, { value }) => Math.min(least, stepOf(value)?.decimals ?? 0),
    MAX_DIGITS,
  );
  // Whole part and decimals together are digits that a double keeps, or it would be no multiple.
  const limit = facts.steps.length === 0 ? LARGEST : 10 ** (MAX_DIGITS - most) - 1;
  const low = tightest(facts.lows, -limit, (a, b) => a > b);
  const high = tightest(facts.highs, limit, (a, b) => a < b);
  if (low.value > high.value) throw impossible(facts);
  const end = ({ value, open, pointer }: Bound): End => digitsOf(Math.abs(value), open, pointer);
  const zero = (open: boolean): End => ({ whole: 0, decimals: '', open });
  const options: Expression[] = [];
  // Apart from the sign, the lower half is the upper one seen in a mirror.
  if (high.value >= 0) {
    options.push(...between(low.value >= 0 ? end(low) : zero(false), end(high), '', most));
  }
  if (low.value < 0) {
    options.push(...between(high.value < 0 ? end(high) : zero(true), end(low), '-', most));
  }
  if (options.length === 0) throw impossible(facts);
  return choice(...options);
}

function digitsOf(value: number, open: boolean, pointer: string): End {
  const end = endOf(value, open);
  if (end !== null) return end;
  throw unsupportedSchema(
    pointer,
    'a bound of a number has at most 15 digits',
    '数の範囲は 15 桁以内で指定してください',
  );
}

/** Numbers from one end to another, neither negative, after a sign, with at most `most` decimals. */
function between(from: End, to: End, sign: string, most: number): Expression[] {
  const options: Expression[] = [];
  const add = (whole: number, decimals: Expression | null): void => {
    if (decimals !== null) options.push(sequence(text(`${sign}${whole}`), decimals));
  };
  const beside = (end: End): number => Math.min(most, decimalsBeside(end));
  if (from.whole > to.whole) return [];
  if (from.whole === to.whole) {
    add(from.whole, decimalsBetween(from, to, beside(from)));
    return options;
  }
  const isWholeIn = from.decimals === '' && !from.open;
  if (!isWholeIn) add(from.whole, decimalsBetween(from, null, beside(from)));
  // Below an end that is out, more digits would be rounded onto it.
  const isOpenWhole = to.open && to.decimals === '';
  const free = isOpenWhole ? beside(to) : most;
  for (const part of wholeNumbers(isWholeIn ? from.whole : from.whole + 1, to.whole - 1)) {
    options.push(sequence(text(sign), part, anyDecimals(free)));
  }
  add(to.whole, decimalsBetween(null, to, beside(to)));
  return options;
}

function tightest(
  bounds: readonly Bound[],
  limit: number,
  isTighter: (a: number, b: number) => boolean,
): Bound {
  let end: Bound = { value: limit, open: false, pointer: '' };
  for (const bound of bounds) {
    if (isTighter(bound.value, end.value) || (bound.value === end.value && bound.open)) end = bound;
  }
  return end;
}

function impossible(facts: Facts): Error {
  const pointer = [...facts.lows, ...facts.highs, ...facts.steps].at(-1)?.pointer ?? '';
  const first = facts.lows.at(-1)?.pointer ?? pointer;
  return new ImpossibleSchema(
    first,
    'no number of at most 15 digits is between the bounds',
    '範囲に入る 15 桁以下の数がありません',
  );
}

/** All whole numbers of a range, without leading zeros and without `-0`. */
function wholeNumbers(low: number, high: number): Expression[] {
  const options: Expression[] = [];
  if (low < 0) {
    options.push(...sameSign(Math.max(1, -high), -low).map((part) => sequence(text('-'), part)));
  }
  if (low <= 0 && high >= 0) options.push(text('0'));
  if (high > 0) options.push(...sameSign(Math.max(1, low), high));
  return options;
}

/** From 1 on, by the number of digits. */
function sameSign(low: number, high: number): Expression[] {
  const options: Expression[] = [];
  for (let from = low; from <= high; ) {
    const length = String(from).length;
    const to = Math.min(high, 10 ** length - 1);
    options.push(digits(String(from), String(to)));
    from = to + 1;
  }
  return options;
}

/** As many digits as both ends have, from one to the other. */
function digits(low: string, high: string): Expression {
  if (low === '') return text('');
  const rest = low.length - 1;
  const all = (from: string, to: string): Expression =>
    sequence(oneOf([from.charCodeAt(0), to.charCodeAt(0)]), counted(DIGIT, rest, rest));
  const [first = '', last = ''] = [low[0], high[0]];
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  if (first === last) return sequence(text(first), digits(lowRest, highRest));
  const isLowWhole = /^0*$/.test(lowRest);
  const isHighWhole = /^9*$/.test(highRest);
  const options: Expression[] = [];
  if (!isLowWhole) options.push(sequence(text(first), digits(lowRest, '9'.repeat(rest))));
  if (!isHighWhole) options.push(sequence(text(last), digits('0'.repeat(rest), highRest)));
  const from = isLowWhole ? first : String(Number(first) + 1);
  const to = isHighWhole ? last : String(Number(last) - 1);
  if (from <= to) options.push(all(from, to));
  return choice(...options);
}
