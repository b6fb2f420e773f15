/**
 * Python's operators: arithmetic, order, equality, membership, slices. Pure; runs in the template worker.
 * What grows a value is charged before it does.
 */
import type { Budget } from './budget.js';
import { formatPercent } from './format.js';
import { points, repr, toMarkup } from './text.js';
import {
  Dict,
  float,
  Generator,
  int,
  intOf,
  isFloat,
  isText,
  itemsOf,
  Markup,
  numberOf,
  Range,
  Tuple,
  typeOf,
  Undefined,
  type Value,
} from './values.js';

/** Applies a binary operator; throws an Error in Python's words where the types do not fit. */
export function binary(operator: string, left: Value, right: Value, budget: Budget): Value {
  if (left instanceof Undefined) return left.fail();
  if (operator === '%' && isText(left)) return percent(left, right, budget);
  if (right instanceof Undefined) return right.fail();
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined && b !== undefined) {
    return arithmetic(operator, a, b, isFloat(left) || isFloat(right));
  }
  if (operator === '+') return sum(left, right, budget) ?? unsupported(operator, left, right);
  if (operator === '*') {
    if (isCount(right)) return repeated(left, right, budget) ?? unsupported(operator, left, right);
    if (isCount(left)) return repeated(right, left, budget) ?? unsupported(operator, left, right);
  }
  return unsupported(operator, left, right);
}

function unsupported(operator: string, left: Value, right: Value): never {
  const types = `'${typeOf(left)}' and '${typeOf(right)}'`;
  throw new Error(`unsupported operand type(s) for ${operator}: ${types}`);
}

function arithmetic(operator: string, a: number, b: number, isFloating: boolean): Value {
  const result = (value: number): Value => (isFloating ? float(value) : int(value));
  switch (operator) {
    case '+':
      return result(a + b);
    case '-':
      return result(a - b);
    case '*':
      return result(a * b);
    case '**':
      if (a === 0 && b < 0) throw new Error('0.0 cannot be raised to a negative power');
      return power(a, b, b < 0 || isFloating);
    default:
  }
  if (b === 0) throw new Error('division by zero');
  if (operator === '/') return float(a / b);
  if (operator === '//') return result(Math.floor(a / b));
  const rest = a % b;
  return result(rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest);
}

function power(base: number, exponent: number, isFloating: boolean): Value {
  const value = base ** exponent;
  if (Number.isNaN(value) && base < 0)
    throw new Error('a complex number is no value of a template');
  if (!Number.isFinite(value) && Number.isFinite(base)) throw new Error('Result too large');
  return isFloating ? float(value) : int(value);
}

function percent(left: string | Markup, right: Value, budget: Budget): Value {
  if (typeof left === 'string') return formatPercent(left, right, budget);
  const escaped =
    right instanceof Tuple
      ? new Tuple(right.items.map((one) => escapedText(one, budget)))
      : escapedText(right, budget);
  return new Markup(formatPercent(left.text, escaped, budget));
}

function escapedText(value: Value, budget: Budget): Value {
  return isText(value) ? toMarkup(value, budget).text : value;
}

function sum(left: Value, right: Value, budget: Budget): Value | undefined {
  if (typeof left === 'string' && typeof right === 'string') {
    budget.size(left.length + right.length);
    return left + right;
  }
  if (isText(left) && isText(right)) {
    const text = toMarkup(left, budget).text + toMarkup(right, budget).text;
    budget.size(text.length);
    return new Markup(text);
  }
  if (Array.isArray(left) && Array.isArray(right)) {
    budget.items(left.length + right.length);
    return [...left, ...right];
  }
  if (left instanceof Tuple && right instanceof Tuple) {
    budget.items(left.items.length + right.items.length);
    return new Tuple([...left.items, ...right.items]);
  }
  return undefined;
}

function isCount(value: Value): boolean {
  return typeof value === 'boolean' || (typeof value === 'number' && Number.isInteger(value));
}

function repeated(value: Value, by: Value, budget: Budget): Value | undefined {
  const count = Math.max(0, intOf(by));
  if (isText(value)) {
    const text = typeof value === 'string' ? value : value.text;
    budget.copy(text.length * count);
    const whole = text === '' ? '' : text.repeat(count);
    return typeof value === 'string' ? whole : new Markup(whole);
  }
  const items = Array.isArray(value) ? value : value instanceof Tuple ? value.items : undefined;
  if (!items) return undefined;
  budget.items(items.length * count);
  const whole = items.length === 0 ? [] : Array.from({ length: count }, () => items).flat();
  return Array.isArray(value) ? whole : new Tuple(whole);
}

/** Whether two values are equal as Python's == has it. */
export function isEqual(left: Value, right: Value, budget: Budget): boolean {
  budget.step();
  if (left === right) return true;
  if (isText(left) && isText(right)) return textOf(left) === textOf(right);
  const a = numberOf(left);
  if (a !== undefined) return a === numberOf(right);
  if (left instanceof Undefined) return right instanceof Undefined;
  if (Array.isArray(left)) return Array.isArray(right) && areEqual(left, right, budget);
  if (left instanceof Tuple) {
    return right instanceof Tuple && areEqual(left.items, right.items, budget);
  }
  if (left instanceof Dict) return right instanceof Dict && areEqualDicts(left, right, budget);
  if (left instanceof Range && right instanceof Range) {
    return repr(left, budget) === repr(right, budget);
  }
  return false;
}

function areEqual(left: readonly Value[], right: readonly Value[], budget: Budget): boolean {
  if (left.length !== right.length) return false;
  return budget.nested(() =>
    left.every((one, index) => isEqual(one, right[index] ?? null, budget)),
  );
}

function areEqualDicts(left: Dict, right: Dict, budget: Budget): boolean {
  if (left.entries.size !== right.entries.size) return false;
  return budget.nested(() => {
    for (const [hash, [, value]] of left.entries) {
      const other = right.entries.get(hash);
      if (!other || !isEqual(value, other[1], budget)) return false;
    }
    return true;
  });
}

const textOf = (value: string | Markup): string => (typeof value === 'string' ? value : value.text);

/** Negative, zero or positive as left comes before right; throws where Python has no order. */
export function order(left: Value, right: Value, budget: Budget): number {
  budget.step();
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined && b !== undefined) return a === b ? 0 : a < b ? -1 : a > b ? 1 : Number.NaN;
  if (isText(left) && isText(right)) return textOrder(textOf(left), textOf(right));
  const both = Array.isArray(left) ? [left, right] : [];
  if (left instanceof Tuple && right instanceof Tuple) both.push(left.items, right.items);
  const [first, second] = both;
  if (Array.isArray(first) && Array.isArray(second)) return listOrder(first, second, budget);
  if (left instanceof Undefined) return left.fail();
  if (right instanceof Undefined) return right.fail();
  throw new Error(
    `'<' not supported between instances of '${typeOf(left)}' and '${typeOf(right)}'`,
  );
}

function listOrder(left: readonly Value[], right: readonly Value[], budget: Budget): number {
  return budget.nested(() => {
    for (let i = 0; i < Math.min(left.length, right.length); i++) {
      const [a = null, b = null] = [left[i], right[i]];
      if (!isEqual(a, b, budget)) return order(a, b, budget);
    }
    return left.length - right.length;
  });
}

/** By code points: UTF-16 puts what is beyond U+FFFF before U+E000 to U+FFFF. */
function textOrder(left: string, right: string): number {
  if (left === right) return 0;
  let i = 0;
  while (i < left.length && i < right.length && left[i] === right[i]) i += 1;
  if (i === left.length || i === right.length) return left.length - right.length;
  const at = (text: string): number => {
    const low = i > 0 && /[\udc00-\udfff]/.test(text.charAt(i)) ? i - 1 : i;
    return text.codePointAt(low) ?? 0;
  };
  return at(left) - at(right);
}

/** One comparison by its sign, `in` and `not in` too. */
export function compare(operator: string, left: Value, right: Value, budget: Budget): boolean {
  switch (operator) {
    case '==':
      return isEqual(left, right, budget);
    case '!=':
      return !isEqual(left, right, budget);
    case 'in':
      return contains(right, left, budget);
    case 'not in':
      return !contains(right, left, budget);
    default: {
      const sign = order(left, right, budget);
      if (operator === '<') return sign < 0;
      if (operator === '<=') return sign <= 0;
      return operator === '>' ? sign > 0 : sign >= 0;
    }
  }
}

/** Python's `in`. */
export function contains(container: Value, member: Value, budget: Budget): boolean {
  if (isText(container)) {
    if (!isText(member)) {
      throw new Error(`'in <string>' requires string as left operand, not ${typeOf(member)}`);
    }
    return textOf(container).includes(textOf(member));
  }
  if (container instanceof Dict) return container.has(member);
  if (Array.isArray(container)) return container.some((one) => isEqual(one, member, budget));
  const items = container instanceof Generator ? container.take() : itemsOf(container, budget);
  if (!items) throw new Error(`argument of type '${typeOf(container)}' is not iterable`);
  return items.some((one) => isEqual(one, member, budget));
}

/** The bounds of a slice of `length` items as Python clips them. */
function bounds(length: number, parts: readonly (number | null)[]): [number, number, number] {
  const [first = null, last = null, third = null] = parts;
  const step = third ?? 1;
  if (step === 0) throw new Error('slice step cannot be zero');
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
  const clip = (at: number | null, fallback: number): number =>
    at === null ? fallback : Math.min(high, Math.max(low, at < 0 ? at + length : at));
  return [clip(first, step > 0 ? low : high), clip(last, step > 0 ? high : low), step];
}

/** value[start:stop:step]; undefined where the type has no slices. */
export function slice(value: Value, parts: readonly Value[], budget: Budget): Value | undefined {
  const indices = parts.map((part) => (part === null ? null : intOf(part)));
  if (isText(value)) {
    const text = textOf(value);
    const all = points(text, budget);
    const piece = sliceText(all, bounds(all.length, indices), budget);
    return typeof value === 'string' ? piece : new Markup(piece);
  }
  const items = Array.isArray(value) ? value : value instanceof Tuple ? value.items : undefined;
  const length = value instanceof Range ? value.length : items?.length;
  if (length === undefined) return undefined;
  const [start, stop, step] = bounds(length, indices);
  if (value instanceof Range) {
    return new Range(value.at(start), value.at(stop), value.step * step);
  }
  budget.items(Math.max(0, Math.ceil((stop - start) / step)));
  const piece: Value[] = [];
  for (let i = start; step > 0 ? i < stop : i > stop; i += step) piece.push(items?.[i] ?? null);
  return Array.isArray(value) ? piece : new Tuple(piece);
}

function sliceText(
  all: ArrayLike<string>,
  [start, stop, step]: readonly [number, number, number],
  budget: Budget,
): string {
  const length = Math.max(0, Math.ceil((stop - start) / step));
  budget.copy(length);
  if (typeof all === 'string' && step === 1) return all.slice(start, Math.max(start, stop));
  if (Array.isArray(all) && step === 1) return all.slice(start, Math.max(start, stop)).join('');
  let piece = '';
  for (let i = start; step > 0 ? i < stop : i > stop; i += step) piece += all[i] ?? '';
  return piece;
}
