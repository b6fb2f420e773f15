/**
 * The filters of sequences. Pure; runs in the template worker. Python's lazy ones give a Generator here
 * too, which has no length and is walked once, but its items are made at once.
 */
import { getItem } from './attributes.js';
import type { Budget } from './budget.js';
import { type Call, type Filter, named, sorted } from './calls.js';
import { binary, isEqual, order, slice } from './operators.js';
import { join } from './strings.js';
import { toText } from './text.js';
import {
  Dict,
  Generator,
  intOf,
  isText,
  iterate,
  orUndefined,
  sizeOf,
  Tuple,
  typeOf,
  Undefined,
  type Value,
} from './values.js';

type Run = (value: Value, call: Call, budget: Budget) => Value;

/** Reads `a.b.0` off an item; None reads the item itself. */
export function getter(
  path: Value,
  budget: Budget,
  fallback: Value = null,
): (item: Value) => Value {
  const parts: Value[] =
    path === null
      ? []
      : isText(path)
        ? toText(path, budget)
            .split('.')
            .map((part) => (/^\d+$/.test(part) ? Number(part) : part))
        : [path];
  return (item) => {
    let found = item;
    for (const part of parts) {
      found = getItem(found, part, budget);
      if (fallback !== null && found instanceof Undefined) found = fallback;
    }
    return found;
  };
}

const small = (value: Value, budget: Budget): Value =>
  isText(value) ? toText(value, budget).toLowerCase() : value;

/** What a call's `attribute` and `case_sensitive` make of an item. */
function keyOf(call: Call, budget: Budget, fallback: Value = null): (item: Value) => Value {
  const get = getter(call.get('attribute'), budget, fallback);
  return call.isTrue('case_sensitive') ? get : (item) => small(get(item), budget);
}

function sort(value: Value, call: Call, budget: Budget): Value {
  const attribute = call.get('attribute');
  const paths: Value[] = isText(attribute) ? toText(attribute, budget).split(',') : [attribute];
  const getters = paths.map((path) => getter(path, budget));
  const isExact = call.isTrue('case_sensitive');
  const rows = iterate(value, budget).map((item): [Value[], Value] => [
    getters.map((get) => (isExact ? get(item) : small(get(item), budget))),
    item,
  ]);
  const ordered = sorted(rows, ([a], [b]) => order(a, b, budget), call.isTrue('reverse'));
  return ordered.map(([, item]) => item);
}

function dictSort(value: Value, call: Call, budget: Budget): Value {
  if (value instanceof Undefined) return value.fail();
  if (!(value instanceof Dict))
    throw new Error(`'${typeOf(value)}' object has no attribute 'items'`);
  const by = call.or('by', 'key');
  if (by !== 'key' && by !== 'value')
    throw new Error('You can only sort by either "key" or "value"');
  const place = by === 'key' ? 0 : 1;
  const isExact = call.isTrue('case_sensitive');
  const rows = [...value.entries.values()].map((row): [Value, Value] => [
    isExact ? row[place] : small(row[place], budget),
    new Tuple([...row]),
  ]);
  const ordered = sorted(rows, ([a], [b]) => order(a, b, budget), call.isTrue('reverse'));
  return ordered.map(([, row]) => row);
}

function unique(value: Value, call: Call, budget: Budget): Value {
  const key = keyOf(call, budget);
  const seen = new Dict();
  const items = iterate(value, budget).filter((item) => {
    const isNew = !seen.has(key(item));
    if (isNew) seen.set(key(item), true);
    return isNew;
  });
  return new Generator(items);
}

const extreme =
  (sign: number): Run =>
  (value, call, budget) => {
    const key = keyOf(call, budget);
    const items = iterate(value, budget);
    const [first] = items;
    if (first === undefined) return new Undefined('No aggregated item, sequence was empty.');
    return items.reduce(
      (best, item) => (sign * order(key(item), key(best), budget) > 0 ? item : best),
      first,
    );
  };

function groupBy(value: Value, call: Call, budget: Budget): Value {
  const key = keyOf(call, budget, call.get('default'));
  const shown = getter(call.get('attribute'), budget, call.get('default'));
  const ordered = sorted(iterate(value, budget), (a, b) => order(key(a), key(b), budget));
  const groups: Value[][] = [];
  for (const item of ordered) {
    const group = groups.at(-1);
    const [first] = group ?? [];
    if (group && first !== undefined && isEqual(key(first), key(item), budget)) group.push(item);
    else groups.push([item]);
  }
  return groups.map((group) => new Tuple([shown(group[0] ?? null), group], ['grouper', 'list']));
}

function sum(value: Value, call: Call, budget: Budget): Value {
  const get = getter(call.get('attribute'), budget);
  const start = call.or('start', 0);
  return iterate(value, budget).reduce(
    (total, item) => binary('+', total, get(item), budget),
    start,
  );
}

function joined(value: Value, call: Call, budget: Budget): Value {
  const get = getter(call.get('attribute'), budget);
  const parts = iterate(value, budget).map((item) => toText(get(item), budget));
  return join(toText(call.or('d', ''), budget), parts, budget);
}

function first(value: Value, _: Call, budget: Budget): Value {
  if (isText(value) || Array.isArray(value)) {
    const [one] = Array.isArray(value) ? value : toText(value, budget);
    if (one !== undefined) return one;
  }
  return orUndefined(iterate(value, budget)[0], 'No first item, sequence was empty.');
}

function last(value: Value, _: Call, budget: Budget): Value {
  if (value instanceof Generator) throw new Error("'generator' object is not reversible");
  const items = Array.isArray(value) ? value : iterate(value, budget);
  return orUndefined(items.at(-1), 'No last item, sequence was empty.');
}

function reverse(value: Value, _: Call, budget: Budget): Value {
  if (isText(value)) return slice(value, [null, null, -1], budget) ?? null;
  const items = iterate(value, budget).reverse();
  return value instanceof Generator ? items : new Generator(items);
}

function length(value: Value): Value {
  const size = sizeOf(value);
  if (size === undefined) throw new Error(`object of type '${typeOf(value)}' has no len()`);
  return size;
}

function batch(value: Value, call: Call, budget: Budget): Value {
  const size = intOf(call.get('linecount'));
  if (size < 1) throw new Error('batch: a line needs at least one item');
  const fill = call.get('fill_with');
  const items = iterate(value, budget);
  const lines: Value[][] = [];
  for (let at = 0; at < items.length; at += size) lines.push(items.slice(at, at + size));
  const line = lines.at(-1);
  if (line && fill !== null) {
    budget.items(size);
    while (line.length < size) line.push(fill);
  }
  return new Generator(lines);
}

function slices(value: Value, call: Call, budget: Budget): Value {
  const count = intOf(call.get('slices'));
  if (count === 0) throw new Error('division by zero');
  const fill = call.get('fill_with');
  const items = iterate(value, budget);
  budget.items(Math.max(0, count));
  const each = Math.floor(items.length / count);
  const longer = items.length - each * count;
  const columns: Value[][] = [];
  for (let column = 0, at = 0; column < count; column++) {
    const end = at + each + (column < longer ? 1 : 0);
    const part = items.slice(at, end);
    if (fill !== null && column >= longer) part.push(fill);
    columns.push(part);
    at = end;
  }
  return new Generator(columns);
}

const items: Run = (value) => {
  if (value instanceof Undefined) return new Generator([]);
  if (!(value instanceof Dict)) throw new Error('Can only get item pairs from a mapping.');
  return new Generator(value.items());
};

/** The filters of sequences by their names. */
export const SEQUENCE_FILTERS: readonly (readonly [string, Filter])[] = [
  named('first', [], first),
  named('last', [], last),
  named('length', [], length),
  named('count', [], length),
  named('list', [], (value, _, budget) => iterate(value, budget)),
  named('reverse', [], reverse),
  named('join', ['d', 'attribute'], joined),
  named('sort', ['reverse', 'case_sensitive', 'attribute'], sort),
  named('dictsort', ['case_sensitive', 'by', 'reverse'], dictSort),
  named('unique', ['case_sensitive', 'attribute'], unique),
  named('min', ['case_sensitive', 'attribute'], extreme(-1)),
  named('max', ['case_sensitive', 'attribute'], extreme(1)),
  named('groupby', ['attribute', 'default', 'case_sensitive'], groupBy, 1),
  named('sum', ['attribute', 'start'], sum),
  named('batch', ['linecount', 'fill_with'], batch, 1),
  named('slice', ['slices', 'fill_with'], slices, 1),
  named('items', [], items),
];
