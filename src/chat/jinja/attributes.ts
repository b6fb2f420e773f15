/**
 * What `a.b` and `a['b']` find, in Python's order: an attribute is a method first and a key second, a
 * subscript the other way round. Pure. Names that begin and end with two underscores find nothing, and
 * no property of a JavaScript object is ever read.
 */
import type { Budget } from './budget.js';
import { entry } from './items.js';
import { dictMethod, listMethod } from './methods.js';
import { slice } from './operators.js';
import { stringMethod } from './strings.js';
import { repr, toText } from './text.js';
import {
  Attributed,
  Callable,
  Dict,
  isText,
  Namespace,
  Range,
  Tuple,
  typeOf,
  Undefined,
  type Value,
} from './values.js';

/** `target.name`. */
export function getAttribute(target: Value, name: string, budget: Budget): Value {
  if (target instanceof Undefined) return target.fail();
  const attribute = member(target, name, budget);
  const found = attribute === undefined ? entry(target, name, budget) : attribute;
  return found === undefined ? missing(target, name, budget) : found;
}

/** `target[key]`. */
export function getItem(target: Value, key: Value, budget: Budget): Value {
  if (target instanceof Undefined) return target.fail();
  const found = entry(target, key, budget);
  if (found !== undefined) return found;
  const name = isText(key) ? toText(key, budget) : undefined;
  const attribute = name === undefined ? undefined : member(target, name, budget);
  return attribute === undefined ? missing(target, key, budget) : attribute;
}

/** `target[start:stop:step]`. */
export function getSlice(target: Value, parts: readonly Value[], budget: Budget): Value {
  if (target instanceof Undefined) return target.fail();
  return slice(target, parts, budget) ?? missing(target, 'slice', budget);
}

function missing(target: Value, key: Value, budget: Budget): Undefined {
  if (isText(key)) {
    return new Undefined(
      `'${typeOf(target)} object' has no attribute ${repr(key, budget).slice(0, 200)}`,
    );
  }
  return new Undefined(
    `${typeOf(target)} object has no element ${repr(key, budget).slice(0, 200)}`,
  );
}

const UNSAFE = /^__.*__$/s;

/** Python's attribute of this name: a bound method or a field; undefined where there is none. */
export function member(target: Value, name: string, budget: Budget): Value | undefined {
  if (UNSAFE.test(name)) return new Undefined(`access to attribute '${name}' is unsafe.`);
  if (isText(target)) return stringMethod(target, name, budget);
  if (target instanceof Dict) return dictMethod(target, name, budget);
  if (Array.isArray(target) || target instanceof Tuple) return listMethod(target, name, budget);
  if (target instanceof Namespace) return target.attributes.get(name);
  if (target instanceof Attributed) return target.attribute(name);
  if (target instanceof Callable) return target.attributes.get(name);
  if (target instanceof Range) {
    return name === 'start' || name === 'stop' || name === 'step' ? target[name] : undefined;
  }
  return undefined;
}
