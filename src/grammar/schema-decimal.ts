/**
 * What may stand after a whole number so that the two together obey bounds: decimals, digit by digit.
 * Pure, any thread. It must never write more digits beside a bound than a double keeps apart.
 */
import { choice, counted, type Expression, oneOf, optional, sequence, text } from './expression.js';
import { DIGIT, MAX_DIGITS } from './json.js';

/** An end of a range, as digits; not negative. */
export interface End {
  readonly whole: number;
  /** Without zeros at the end. */
  readonly decimals: string;
  /** The end itself is not in the range. */
  readonly open: boolean;
}

/** A number from 0 on as an end; null where it has more than 15 digits. */
export function endOf(value: number, open: boolean): End | null {
  if (Number.isInteger(value)) return { whole: value, decimals: '', open };
  const [mantissa = '', exponent] = String(value).split('e-');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const decimals =
    exponent === undefined ? fraction : '0'.repeat(Number(exponent) - 1) + whole + fraction;
  const end = { whole: Math.trunc(value), decimals, open };
  return decimals.length <= decimalsBeside(end) ? end : null;
}

/** With so many decimals no number is rounded onto this end or over it. */
export function decimalsBeside({ whole }: Pick<End, 'whole'>): number {
  return whole === 0 ? MAX_DIGITS : MAX_DIGITS - String(whole).length;
}

/** Decimals with their point, or none, of a number that nothing bounds. */
export function anyDecimals(most: number): Expression {
  return most > 0 ? optional(sequence(text('.'), counted(DIGIT, 1, most))) : text('');
}

/**
 * The decimals with their point, or none, of numbers from `low` to `high` whose whole part is that of
 * the ends given; null where there are none. Zeros may stand at their end.
 */
export function decimalsBetween(
  low: End | null,
  high: End | null,
  most: number,
): Expression | null {
  const from = low === null || (low.decimals === '' && !low.open) ? null : low;
  const digits = most > 0 ? run(from && rest(from), high && rest(high), most, true) : null;
  const isWholeIn = from === null && (high === null || high.decimals !== '' || !high.open);
  const options: Expression[] = isWholeIn ? [text('')] : [];
  if (digits !== null) options.push(sequence(text('.'), digits));
  return options.length === 0 ? null : choice(...options);
}

/** What is left of an end's decimals, once those before have been written as they are in it. */
interface Rest {
  readonly digits: string;
  readonly open: boolean;
}

const rest = ({ decimals, open }: End): Rest => ({ digits: decimals, open });
const after = ({ digits, open }: Rest): Rest | null =>
  digits.length <= 1 && !open ? null : { digits: digits.slice(1), open };
const range = (first: number, last: number): Expression => oneOf([0x30 + first, 0x30 + last]);

/** At most `left` digits, read as decimals from `low` to `high`; null where there are none. */
function run(
  low: Rest | null,
  high: Rest | null,
  left: number,
  isFirst: boolean,
): Expression | null {
  if (low === null && high === null) return counted(DIGIT, isFirst ? 1 : 0, left);
  if (high === null && low?.digits === '') return left > 0 ? aboveZero(left) : null;
  const options: Expression[] = [];
  const isEndIn = low === null && (high === null || high.digits !== '' || !high.open);
  if (isEndIn && !isFirst) options.push(text(''));
  const first = low === null ? 0 : Number(low.digits[0] ?? 0);
  const last = high === null ? 9 : Number(high.digits[0] ?? 0);
  const add = (digit: number, tail: Expression | null): void => {
    if (tail !== null) options.push(sequence(text(String(digit)), tail));
  };
  if (left > 0 && first === last) {
    const isZeros = low === null && high?.digits === '';
    if (isZeros && !high.open) options.push(counted(text('0'), 1, left));
    else if (!isZeros) add(first, run(low && after(low), upTo(high), left - 1, false));
  } else if (left > 0 && first < last) {
    const from = low === null ? first : first + 1;
    const to = high === null ? last : last - 1;
    if (low !== null) add(first, run(after(low), null, left - 1, false));
    if (from <= to) options.push(sequence(range(from, to), counted(DIGIT, 0, left - 1)));
    if (high !== null) add(last, run(null, upTo(high), left - 1, false));
  }
  return options.length === 0 ? null : choice(...options);
}

/** An upper end keeps its say when its digits are used up: nothing but zeros may follow. */
function upTo(high: Rest | null): Rest | null {
  return high && { digits: high.digits.slice(1), open: high.open };
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
