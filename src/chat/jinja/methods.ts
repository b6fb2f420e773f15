/**
 * The methods of dicts, lists and tuples. Pure. The sandbox of Python's Jinja2 refuses all that change a
 * value; here a list's append() and pop() work, since some models' templates need them and a list is
 * the render's own.
 */
import type { Budget } from './budget.js';
import { noKeywords } from './calls.js';
import { isEqual } from './operators.js';
import {
  Callable,
  Dict,
  DictView,
  intOf,
  type Keywords,
  type Tuple,
  Undefined,
  type Value,
} from './values.js';

type Method<T> = (self: T, args: readonly Value[], budget: Budget) => Value;

function bind<T extends Value>(
  methods: ReadonlyMap<string, readonly [number, number, Method<T>]>,
  self: T,
  name: string,
  budget: Budget,
): Value | undefined {
  const method = methods.get(name);
  if (!method) return undefined;
  const [fewest, most, run] = method;
  const call = (args: Value[], keywords: Keywords): Value => {
    noKeywords(name, keywords);
    if (args.length < fewest || args.length > most) {
      throw new Error(`${name}() got ${args.length} arguments`);
    }
    return run(self, args, budget);
  };
  return new Callable(name, call, 'builtin_function_or_method');
}

const orFallback = (value: Value | undefined, fallback: Value): Value =>
  value === undefined ? fallback : value;

const DICT: ReadonlyMap<string, readonly [number, number, Method<Dict>]> = new Map<
  string,
  readonly [number, number, Method<Dict>]
>([
  ['get', [1, 2, (self, [key = null, fallback = null]) => orFallback(self.get(key), fallback)]],
  ['keys', [0, 0, (self) => new DictView('keys', self)]],
  ['values', [0, 0, (self) => new DictView('values', self)]],
  ['items', [0, 0, (self) => new DictView('items', self)]],
  [
    'copy',
    [
      0,
      0,
      (self, _, budget) => {
        budget.items(self.entries.size);
        return Dict.of(self.entries.values());
      },
    ],
  ],
]);
const CHANGING = new Set(['clear', 'pop', 'popitem', 'setdefault', 'update', 'fromkeys']);

/** A bound method of a dict. */
export function dictMethod(self: Dict, name: string, budget: Budget): Value | undefined {
  return CHANGING.has(name) ? unsafe(name) : bind(DICT, self, name, budget);
}

type Sequence = Value[] | Tuple;
const itemsIn = (self: Sequence): Value[] => (Array.isArray(self) ? self : self.items);

const SEQUENCE: ReadonlyMap<string, readonly [number, number, Method<Sequence>]> = new Map<
  string,
  readonly [number, number, Method<Sequence>]
>([
  [
    'count',
    [
      1,
      1,
      (self, [sought = null], budget) =>
        itemsIn(self).filter((one) => isEqual(one, sought, budget)).length,
    ],
  ],
  [
    'index',
    [
      1,
      1,
      (self, [sought = null], budget) => {
        const index = itemsIn(self).findIndex((one) => isEqual(one, sought, budget));
        if (index < 0) throw new Error('the value is not in the list');
        return index;
      },
    ],
  ],
]);
const LIST: ReadonlyMap<string, readonly [number, number, Method<Value[]>]> = new Map<
  string,
  readonly [number, number, Method<Value[]>]
>([
  ['append', [1, 1, append]],
  ['pop', [0, 1, pop]],
  [
    'copy',
    [
      0,
      0,
      (self, _, budget) => {
        budget.items(self.length);
        return self.slice();
      },
    ],
  ],
]);
const LIST_CHANGING = new Set(['clear', 'extend', 'insert', 'remove', 'reverse', 'sort']);

function append(self: Value[], [item = null]: readonly Value[], budget: Budget): Value {
  budget.items(1);
  self.push(item);
  return null;
}

function pop(self: Value[], [place = -1]: readonly Value[]): Value {
  const index = intOf(place);
  const [item] = self.splice(index < 0 ? index + self.length : index, 1);
  if (item === undefined || index < -self.length - 1) throw new Error('pop index out of range');
  return item;
}

/** A bound method of a list or tuple. */
export function listMethod(self: Sequence, name: string, budget: Budget): Value | undefined {
  if (!Array.isArray(self)) {
    const named = self.names.indexOf(name);
    return named >= 0 ? self.items[named] : bind(SEQUENCE, self, name, budget);
  }
  if (LIST_CHANGING.has(name)) return unsafe(name);
  return bind(LIST, self, name, budget) ?? bind<Sequence>(SEQUENCE, self, name, budget);
}

function unsafe(name: string): Undefined {
  return new Undefined(`access to attribute '${name}' is unsafe: it would change a value`);
}
