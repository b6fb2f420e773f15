/**
 * The tests behind `is`, as Jinja2 has them. Pure; runs in the template worker.
 */
import type { Budget } from './budget.js';
import { compare, contains } from './operators.js';
import { isLower, isUpper } from './strings.js';
import { toText } from './text.js';
import {
  Callable,
  Dict,
  Generator,
  intOf,
  isFloat,
  isText,
  Markup,
  numberOf,
  Range,
  sizeOf,
  Tuple,
  typeOf,
  Undefined,
  type Value,
} from './values.js';

/** A test: the value before `is`, and its arguments. */
export type Test = (value: Value, args: readonly Value[], budget: Budget) => boolean;

const comparing =
  (operator: string): Test =>
  (value, [other = null], budget) =>
    compare(operator, value, other, budget);

const isDefined: Test = (value) => !(value instanceof Undefined);
const isInteger = (value: Value): value is number => typeof value === 'number' && !isFloat(value);
const rest =
  (by: number, wanted: number): Test =>
  (value) => {
    const number = numberOf(value);
    if (number === undefined) throw new Error(`a number is required, not '${typeOf(value)}'`);
    return number % by === wanted || number % by === -wanted;
  };

/** `sameas`: Python keeps one object of each small value, and others are themselves alone. */
const isSame: Test = (value, [other = null]) => value === other;

/** The tests of single values, with how many arguments each takes. */
export const VALUE_TESTS: readonly (readonly [string, readonly [number, Test]])[] = [
  ['defined', [0, isDefined]],
  ['undefined', [0, (value) => value instanceof Undefined]],
  ['none', [0, (value) => value === null]],
  ['boolean', [0, (value) => typeof value === 'boolean']],
  ['true', [0, (value) => value === true]],
  ['false', [0, (value) => value === false]],
  ['string', [0, isText]],
  ['number', [0, (value) => numberOf(value) !== undefined]],
  ['integer', [0, isInteger]],
  ['float', [0, isFloat]],
  ['mapping', [0, (value) => value instanceof Dict]],
  ['iterable', [0, (value) => sizeOf(value) !== undefined || value instanceof Generator]],
  ['sequence', [0, (value) => Array.isArray(value) || isText(value) || isSequence(value)]],
  ['callable', [0, (value) => value instanceof Callable]],
  ['escaped', [0, (value) => value instanceof Markup]],
  ['even', [0, rest(2, 0)]],
  ['odd', [0, rest(2, 1)]],
  ['divisibleby', [1, (value, [by = null]) => intOf(value) % nonZero(intOf(by)) === 0]],
  [
    'upper',
    [0, (value, _, budget) => isUpper(toText(value, budget), [], budget, new Map()) === true],
  ],
  [
    'lower',
    [0, (value, _, budget) => isLower(toText(value, budget), [], budget, new Map()) === true],
  ],
  ['in', [1, (value, [container = null], budget) => contains(container, value, budget)]],
  ['sameas', [1, isSame]],
  ...['==', 'eq', 'equalto'].map((name) => [name, [1, comparing('==')]] as const),
  ...['!=', 'ne'].map((name) => [name, [1, comparing('!=')]] as const),
  ...['<', 'lt', 'lessthan'].map((name) => [name, [1, comparing('<')]] as const),
  ...['>', 'gt', 'greaterthan'].map((name) => [name, [1, comparing('>')]] as const),
  ...['<=', 'le'].map((name) => [name, [1, comparing('<=')]] as const),
  ...['>=', 'ge'].map((name) => [name, [1, comparing('>=')]] as const),
];

function isSequence(value: Value): boolean {
  return (
    value instanceof Tuple ||
    value instanceof Dict ||
    value instanceof Range ||
    value instanceof Undefined
  );
}

function nonZero(value: number): number {
  if (value === 0) throw new Error('integer modulo by zero');
  return value;
}
