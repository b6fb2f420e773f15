/**
 * All filters and tests by their names, and those of them that call others by name. Pure; runs in the
 * template worker.
 */
import type { Budget } from './budget.js';
import { Call, type Filter } from './calls.js';
import { VALUE_FILTERS } from './filters.js';
import { getter, SEQUENCE_FILTERS } from './sequences.js';
import { type Test, VALUE_TESTS } from './tests.js';
import { toText } from './text.js';
import { Generator, isTrue, iterate, type Keywords, type Value } from './values.js';

function map(value: Value, args: readonly Value[], keywords: Keywords, budget: Budget): Value {
  if (!isTrue(value)) return new Generator([]);
  if (args.length === 0 && keywords.has('attribute')) {
    const call = new Call('map', ['attribute', 'default'], [], keywords);
    const get = getter(call.get('attribute'), budget, call.get('default'));
    return new Generator(iterate(value, budget).map(get));
  }
  const [name, ...rest] = args;
  if (name === undefined) throw new Error('map requires a filter argument');
  return new Generator(
    iterate(value, budget).map((item) =>
      runFilter(toText(name, budget), item, rest, keywords, budget),
    ),
  );
}

/** Runs a filter by its name; throws an Error where there is none. */
export function runFilter(
  name: string,
  value: Value,
  args: readonly Value[],
  keywords: Keywords,
  budget: Budget,
): Value {
  const filter = FILTERS.get(name);
  if (!filter) throw new Error(`No filter named '${name}' found.`);
  return filter(value, args, keywords, budget);
}

function selecting(name: string, wanted: boolean, byAttribute: boolean): [string, Filter] {
  const select: Filter = (value, args, keywords, budget) => {
    if (!isTrue(value)) return new Generator([]);
    const rest = args.slice();
    const path = byAttribute ? rest.shift() : null;
    if (path === undefined) throw new Error('Missing parameter for attribute name');
    const get = getter(path, budget);
    const test = rest.shift();
    if (keywords.size > 0) throw new Error(`${name}() got an unexpected keyword argument`);
    const passes = (item: Value): boolean =>
      test === undefined ? isTrue(item) : runTest(toText(test, budget), item, rest, budget);
    const found = iterate(value, budget).filter((item) => {
      budget.step();
      return passes(get(item)) === wanted;
    });
    return new Generator(found);
  };
  return [name, select];
}

const FILTERS: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  ...VALUE_FILTERS,
  ...SEQUENCE_FILTERS,
  ['map', map],
  selecting('select', true, false),
  selecting('reject', false, false),
  selecting('selectattr', true, true),
  selecting('rejectattr', false, true),
]);

const TESTS: ReadonlyMap<string, readonly [number, Test]> = new Map<
  string,
  readonly [number, Test]
>([
  ...VALUE_TESTS,
  ['filter', [0, (value) => typeof value === 'string' && isFilter(value)]],
  ['test', [0, (value) => typeof value === 'string' && isTest(value)]],
]);

/** Whether there is a filter of this name. */
export function isFilter(name: string): boolean {
  return FILTERS.has(name);
}

/** Whether there is a test of this name. */
export function isTest(name: string): boolean {
  return TESTS.has(name);
}

/** Runs a test; throws an Error where its name or its arguments are wrong. */
export function runTest(
  name: string,
  value: Value,
  args: readonly Value[],
  budget: Budget,
): boolean {
  const test = TESTS.get(name);
  if (!test) throw new Error(`No test named '${name}' found.`);
  const [count, run] = test;
  if (args.length !== count) throw new Error(`test '${name}' takes ${count} arguments`);
  return run(value, args, budget);
}
