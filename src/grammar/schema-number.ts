/**
 * Numbers between bounds, digit by digit. Pure, any thread. It must never write a number that a double
 * would round onto the other side of its bound.
 */
import { choice, counted, type Expression, oneOf, optional, sequence, text } from './expression.js';
import { DIGIT, JSON_INTEGER, JSON_NUMBER, MAX_DIGITS } from './json.js';
import { ImpossibleSchema, unsupportedSchema } from './refusal.js';
import type { Bound, Facts } from './schema-facts.js';

/** The largest whole number that is written where there are bounds. */
const LARGEST = 10 ** MAX_DIGITS - 1;

/** A whole number that obeys the bounds, at most 15 digits long. Codes: schema_unsupported. */
export function integerExpression(facts: Facts): Expression {
  if (facts.lows.length === 0 && facts.highs.length === 0) return JSON_INTEGER;
  let low = -LARGEST;
  let high = LARGEST;
  for (const { value, open } of facts.lows) {
    low = Math.max(low, open ? Math.floor(value) + 1 : Math.ceil(value));
  }
  for (const { value, open } of facts.highs) {
    high = Math.min(high, open ? Math.ceil(value) - 1 : Math.floor(value));
  }
  if (low > high) throw impossible(facts);
  return choice(...wholeNumbers(low, high));
}

/**
 * A number that obeys the bounds, which must be whole; with a bound there is no exponent.
 * Codes: schema_unsupported.
 */
export function numberExpression(facts: Facts): Expression {
  if (facts.lows.length === 0 && facts.highs.length === 0) return JSON_NUMBER;
  const low = tightest(facts.lows, -LARGEST, (a, b) => a > b);
  const high = tightest(facts.highs, LARGEST, (a, b) => a < b);
  if (low.value > high.value || (low.value === high.value && (low.open || high.open))) {
    throw impossible(facts);
  }
  const options: Expression[] = [];
  const { value: least } = low;
  const { value: most } = high;
  // Apart from the sign, the lower half is the upper one seen in a mirror.
  if (most > 0 || (most === 0 && !high.open)) {
    const from = least >= 0 ? low : { value: 0, open: false };
    options.push(...between(from, high, ''));
  }
  if (least < 0) {
    const to = { value: -least, open: low.open };
    const from = most < 0 ? { value: -most, open: high.open } : { value: 0, open: true };
    options.push(...between(from, to, '-'));
  }
  if (options.length === 0) throw impossible(facts);
  return choice(...options);
}

type End = Pick<Bound, 'value' | 'open'>;

/** Numbers from one whole bound to another, neither negative, after a sign. */
function between(from: End, to: End, sign: string): Expression[] {
  const options: Expression[] = [];
  const first = from.open ? from.value + 1 : from.value;
  if (first < to.value) {
    const decimals = to.open ? decimalsBeside(to.value) : MAX_DIGITS;
    const fraction = sequence(text('.'), counted(DIGIT, 1, decimals));
    const whole = choice(...wholeNumbers(first, to.value - 1));
    options.push(sequence(text(sign), whole, ...(decimals > 0 ? [optional(fraction)] : [])));
  }
  if (from.open && from.value < to.value && decimalsBeside(from.value) > 0) {
    const decimals = decimalsBeside(from.value);
    options.push(sequence(text(`${sign}${from.value}.`), aboveZero(decimals)));
  }
  if (!to.open && first <= to.value) options.push(text(`${sign}${to.value}`));
  return options;
}

/** With so many decimals a number never becomes this one: a double keeps 15 digits apart. */
function decimalsBeside(value: number): number {
  return MAX_DIGITS - String(value).length;
}

/** Decimals that are not all zero. */
function aboveZero(decimals: number): Expression {
  const zeros = decimals - 1;
  return sequence(
    counted(text('0'), 0, Math.floor(zeros / 2)),
    oneOf([0x31, 0x39]),
    counted(DIGIT, 0, Math.ceil(zeros / 2)),
  );
}

function tightest(
  bounds: readonly Bound[],
  limit: number,
  isTighter: (a: number, b: number) => boolean,
): End {
  let end: End = { value: limit, open: false };
  for (const bound of bounds) {
    if (isTighter(bound.value, end.value) || (bound.value === end.value && bound.open)) end = bound;
    if (!Number.isInteger(bound.value)) {
      throw unsupportedSchema(
        bound.pointer,
        'a bound of a number must be whole',
        '数の範囲は整数で指定してください',
      );
    }
  }
  return end;
}

function impossible(facts: Facts): Error {
  const pointer = (facts.lows.at(-1) ?? facts.highs.at(-1))?.pointer ?? '';
  return new ImpossibleSchema(
    pointer,
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
