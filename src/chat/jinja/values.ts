/**
 * The values of a template, as Python has them, and what every kind can be asked: its type, its truth,
 * its length, its items. Pure. It must never hand out a property of a JavaScript object: names are
 * looked up in Maps alone, so that no template reaches a constructor or a prototype.
 *
 * None is null, an int is a whole number, a float is any other number or a Float, a list is an array.
 */
import { type Budget, MAX_RANGE } from './budget.js';

/** Any value of a template. */
export type Value = null | boolean | number | string | Value[] | PyObject;

/** Values that have no counterpart in JSON. */
export abstract class PyObject {
  /** Python's name of the type, for errors and for repr. */
  abstract readonly type: string;
}

/** A float with a whole value, which a JavaScript number cannot tell from an int. */
export class Float extends PyObject {
  readonly type = 'float';
  constructor(readonly value: number) {
    super();
  }
}

/** Text that counts as escaped already: what `safe` and `escape` give. */
export class Markup extends PyObject {
  readonly type = 'Markup';
  constructor(readonly text: string) {
    super();
  }
}

/** A name, attribute or item that is not there; it prints as nothing and refuses the rest. */
export class Undefined extends PyObject {
  readonly type = 'Undefined';
  constructor(readonly message: string) {
    super();
  }

  fail(): never {
    throw new Error(this.message);
  }
}

export class Tuple extends PyObject {
  readonly type = 'tuple';
  constructor(
    readonly items: Value[],
    /** Names of the items, where the tuple has them. */
    readonly names: readonly string[] = [],
  ) {
    super();
  }
}

/** Keeps the order of insertion; keys are equal as in Python, where 1, 1.0 and True are one. */
export class Dict extends PyObject {
  readonly type = 'dict';
  readonly entries = new Map<string | number | null, [Value, Value]>();

  static of(rows: Iterable<readonly [Value, Value]>): Dict {
    const dict = new Dict();
    for (const [key, value] of rows) dict.set(key, value);
    return dict;
  }

  get(key: Value): Value | undefined {
    return this.entries.get(hashOf(key))?.[1];
  }

  has(key: Value): boolean {
    return this.entries.has(hashOf(key));
  }

  set(key: Value, value: Value): void {
    const hash = hashOf(key);
    const entry = this.entries.get(hash);
    if (entry) entry[1] = value;
    else this.entries.set(hash, [key, value]);
  }

  keys(): Value[] {
    return [...this.entries.values()].map(([key]) => key);
  }

  values(): Value[] {
    return [...this.entries.values()].map(([, value]) => value);
  }

  items(): Value[] {
    return [...this.entries.values()].map(([key, value]) => new Tuple([key, value]));
  }
}

/** What dict.keys(), values() and items() give: it can be walked and counted, not indexed. */
export class DictView extends PyObject {
  readonly type: string;
  constructor(
    readonly kind: 'keys' | 'values' | 'items',
    readonly dict: Dict,
  ) {
    super();
    this.type = `dict_${kind}`;
  }
}

export class Range extends PyObject {
  readonly type = 'range';
  readonly length: number;
  constructor(
    readonly start: number,
    readonly stop: number,
    readonly step: number,
  ) {
    super();
    if (step === 0) throw new Error('range() arg 3 must not be zero');
    this.length = Math.max(0, Math.ceil((stop - start) / step));
    if (!(this.length <= MAX_RANGE)) throw new Error(`range() is limited to ${MAX_RANGE} values`);
  }

  at(index: number): number {
    return this.start + index * this.step;
  }
}

/** What lazy filters give: it is walked once and has no length. */
export class Generator extends PyObject {
  readonly type = 'generator';
  #items: Value[];
  constructor(items: Value[]) {
    super();
    this.#items = items;
  }

  take(): Value[] {
    const items = this.#items;
    this.#items = [];
    return items;
  }
}

/** The only value whose attributes a template may set. */
export class Namespace extends PyObject {
  readonly type = 'Namespace';
  readonly attributes = new Map<string, Value>();
}

/** Arguments by name. */
export type Keywords = ReadonlyMap<string, Value>;

/** A macro, a global function or a bound method. */
export class Callable extends PyObject {
  constructor(
    readonly name: string,
    readonly call: (args: Value[], keywords: Keywords) => Value,
    readonly type: string = 'function',
    readonly attributes: ReadonlyMap<string, Value> = new Map(),
  ) {
    super();
  }
}

/** A value with attributes of its own that may change: `loop`, a cycler. */
export abstract class Attributed extends PyObject {
  abstract attribute(name: string): Value | undefined;
}

/** The key under which a dict holds a value; throws where Python calls the type unhashable. */
export function hashOf(key: Value): string | number | null {
  if (typeof key === 'string') return key;
  if (typeof key === 'number' || key === null) return key;
  if (typeof key === 'boolean') return Number(key);
  if (key instanceof Float) return key.value;
  if (key instanceof Markup) return key.text;
  // A text that begins with NUL could meet these; it would only find another value of its own template.
  if (key instanceof Undefined) return '\0u';
  if (key instanceof Tuple) return `\0t${JSON.stringify(key.items.map(hashOf))}`;
  throw new Error(`unhashable type: '${typeOf(key)}'`);
}

/** A value that may not be there, as a template sees it. */
export function orUndefined(value: Value | undefined, message: string): Value {
  return value === undefined ? new Undefined(message) : value;
}

/** Python's name of a value's type. */
export function typeOf(value: Value): string {
  if (value === null) return 'NoneType';
  if (typeof value === 'string') return 'str';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float';
  return Array.isArray(value) ? 'list' : value.type;
}

export function isText(value: Value): value is string | Markup {
  return typeof value === 'string' || value instanceof Markup;
}

export function isFloat(value: Value): value is number | Float {
  return value instanceof Float || (typeof value === 'number' && !Number.isInteger(value));
}

/** The number that an int, float or bool stands for; undefined for other types. */
export function numberOf(value: Value): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return Number(value);
  return value instanceof Float ? value.value : undefined;
}

/** The int that an int or bool stands for; throws for other types. */
export function intOf(value: Value): number {
  if (typeof value === 'boolean') return Number(value);
  if (typeof value === 'number' && Number.isInteger(value)) return value;
  if (value instanceof Undefined) return value.fail();
  throw new Error(`'${typeOf(value)}' object cannot be interpreted as an integer`);
}

/** A float of this value. */
export function float(value: number): Value {
  return Number.isInteger(value) ? new Float(value) : value;
}

/** An int; beyond 2^53 it would no longer be exact, so it is refused. */
export function int(value: number): number {
  if (!Number.isSafeInteger(value)) throw new Error('an integer is too large');
  return value === 0 ? 0 : value;
}

export function isTrue(value: Value): boolean {
  if (value === null || value instanceof Undefined) return false;
  if (typeof value !== 'object') return Boolean(value);
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Float) return value.value !== 0;
  return sizeOf(value) !== 0;
}

/** The number of items, which is of code points for text; undefined where Python's len() fails. */
export function sizeOf(value: Value): number | undefined {
  if (typeof value === 'string') return codePoints(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Markup) return codePoints(value.text);
  if (value instanceof Tuple) return value.items.length;
  if (value instanceof Dict) return value.entries.size;
  if (value instanceof DictView) return value.dict.entries.size;
  if (value instanceof Range) return value.length;
  return value instanceof Undefined ? 0 : undefined;
}

function codePoints(text: string): number {
  return text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0);
}

/** What a walk gives, as a copy that is charged; undefined where Python's iter() fails. */
export function itemsOf(value: Value, budget: Budget): Value[] | undefined {
  if (value instanceof Undefined) return [];
  const size = value instanceof Generator ? 0 : sizeOf(value);
  if (size === undefined) return undefined;
  budget.items(size);
  if (Array.isArray(value)) return value.slice();
  if (isText(value)) return [...(typeof value === 'string' ? value : value.text)];
  if (value instanceof Tuple) return value.items.slice();
  if (value instanceof Dict) return value.keys();
  if (value instanceof DictView) return value.dict[value.kind]();
  if (value instanceof Range) return Array.from({ length: size }, (_, index) => value.at(index));
  return value instanceof Generator ? value.take() : undefined;
}

/** As itemsOf, with Python's TypeError for what cannot be walked. */
export function iterate(value: Value, budget: Budget): Value[] {
  const items = itemsOf(value, budget);
  if (!items) throw new Error(`'${typeOf(value)}' object is not iterable`);
  return items;
}

/** Values of a request as those of a template; throws where they are nested too deeply. */
export function fromJson(value: unknown, budget: Budget): Value {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return value;
  if (typeof value !== 'object') throw new Error(`a ${typeof value} is no value of a template`);
  return budget.nested(() => {
    if (Array.isArray(value)) return value.map((one) => fromJson(one, budget));
    const dict = new Dict();
    for (const [key, one] of Object.entries(value)) {
      // As JSON would have it, where an undefined property is none at all.
      if (one !== undefined) dict.set(key, fromJson(one, budget));
    }
    return dict;
  });
}
