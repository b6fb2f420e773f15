/**
 * Reads the arguments of a call by Python's rules, by place first and then by name, and defines what a
 * filter is. Pure; runs in the template worker.
 */
import type { Budget } from './budget.js';
import { isTrue, type Keywords, type Value } from './values.js';

/** Arguments of one call to a function of ours, which knows their names. */
export class Call {
  readonly #values: ReadonlyMap<string, Value>;

  /** Throws where there are too many or unknown arguments; the first `required` must be there. */
  constructor(
    name: string,
    parameters: readonly string[],
    args: readonly Value[],
    keywords: Keywords,
    required = 0,
  ) {
    if (args.length > parameters.length) {
      throw new Error(
        `${name}() takes at most ${parameters.length} arguments (${args.length} given)`,
      );
    }
    const values = new Map<string, Value>();
    for (const [index, value] of args.entries()) values.set(parameters[index] ?? '', value);
    for (const [key, value] of keywords) {
      if (!parameters.includes(key)) {
        throw new Error(`${name}() got an unexpected keyword argument '${key}'`);
      }
      if (values.has(key)) throw new Error(`${name}() got multiple values for argument '${key}'`);
      values.set(key, value);
    }
    const missing = parameters.slice(0, required).find((one) => !values.has(one));
    if (missing !== undefined) {
      throw new Error(`${name}() missing required argument: '${missing}'`);
    }
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** An argument, or None where it was left out. */
  get(name: string): Value {
    return this.#values.get(name) ?? null;
  }

  /** An argument, or a fallback where it was left out. */
  or<T extends Value>(name: string, fallback: T): Value | T {
    const value = this.#values.get(name);
    return value === undefined ? fallback : value;
  }

  isTrue(name: string, fallback = false): boolean {
    return isTrue(this.or(name, fallback));
  }
}

/** Refuses arguments by name, as Python's built-in methods do. */
export function noKeywords(name: string, keywords: Keywords): void {
  if (keywords.size > 0) throw new Error(`${name}() takes no keyword arguments`);
}

/** Sorts a copy, stable, by an order that may throw. */
export function sorted<T>(
  items: readonly T[],
  order: (a: T, b: T) => number,
  reverse = false,
): T[] {
  return items.slice().sort((a, b) => (reverse ? order(b, a) : order(a, b)));
}

/** A filter: the value before the bar, and its arguments. */
export type Filter = (
  value: Value,
  args: readonly Value[],
  keywords: Keywords,
  budget: Budget,
) => Value;

/** A filter whose arguments have names, `required` of which must be given. */
export function named(
  name: string,
  parameters: readonly string[],
  run: (value: Value, call: Call, budget: Budget) => Value,
  required = 0,
): [string, Filter] {
  return [
    name,
    (value, args, keywords, budget) =>
      run(value, new Call(name, parameters, args, keywords, required), budget),
  ];
}
