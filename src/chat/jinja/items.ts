/**
 * What a subscript finds in a value that has items. Pure; runs in the template worker. It must never read a property of a
 * JavaScript object.
 */
import type { Budget } from './budget.js';
import { points, toText } from './text.js';
import { Dict, isText, Markup, Range, Tuple, type Value } from './values.js';

/** Python's item under this key; undefined where there is none or the type has no items. */
export function entry(target: Value, key: Value, budget: Budget): Value | undefined {
  if (target instanceof Dict) {
    return Array.isArray(key) || key instanceof Dict ? undefined : target.get(key);
  }
  if (typeof key !== 'number' && typeof key !== 'boolean') return undefined;
  const index = Number(key);
  if (!Number.isInteger(index)) return undefined;
  const at = (length: number): number => (index < 0 ? index + length : index);
  if (Array.isArray(target)) return target[at(target.length)];
  if (target instanceof Tuple) return target.items[at(target.items.length)];
  if (target instanceof Range) {
    const place = at(target.length);
    return place >= 0 && place < target.length ? target.at(place) : undefined;
  }
  if (!isText(target)) return undefined;
  const all = points(toText(target, budget), budget);
  const one = all[at(all.length)];
  return one === undefined || typeof target === 'string' ? one : new Markup(one);
}
