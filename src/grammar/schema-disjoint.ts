/**
 * oneOf: that no value which is written obeys two of its branches. Pure, any thread. Only what the facts
 * prove counts; a branch may be narrower than its facts, never wider.
 */
import { ImpossibleSchema, unsupportedSchema } from './refusal.js';
import { typeOf } from './schema-enum.js';
import { type Facts, type Group, isObject, type Place } from './schema-facts.js';
import { collectFacts, type Source, spend } from './schema-merge.js';

/** Every pair is compared. */
const MAX_BRANCHES = 128;

/** What tells values apart: their types and texts, and those of properties. */
interface Mark {
  readonly kinds: ReadonlySet<string> | null;
  /** Whether all that is written for it is an object. */
  readonly isObject: boolean;
  readonly values: ReadonlySet<string> | null;
  readonly properties: ReadonlyMap<string, Mark>;
  readonly required: ReadonlySet<string>;
  /** Whether an object may have this key. */
  readonly mayHave: (name: string) => boolean;
}

/** A branch with what it is written with, beyond what it asks for, so that no other holds as well. */
interface Apart {
  readonly branch: Place;
  /** Null where no value obeys it. */
  readonly mark: Mark | null;
  /** Properties that it only allows, and that are written nevertheless. */
  readonly also: Set<string>;
  /** Properties that are never written. */
  readonly without: Set<string>;
}

/**
 * The branches of a oneOf, each with what keeps it apart from the others: some are written with a
 * property that they only allow, or without one that they need not have. Refuses a oneOf of which two
 * branches may hold at once all the same. Codes: schema_unsupported.
 */
export function exclusive(rest: readonly Place[], group: Group, source: Source): Place[][] {
  if (group.branches.length > MAX_BRANCHES) {
    throw unsupportedSchema(
      group.pointer,
      `it has more than ${MAX_BRANCHES} branches`,
      `選択肢が ${MAX_BRANCHES} 個を超えています`,
    );
  }
  const all = group.branches.map((branch): Apart => {
    const apart = { branch, also: new Set<string>(), without: new Set<string>() };
    try {
      return { ...apart, mark: markOf(collectFacts([...rest, branch], source), source, true) };
    } catch (thrown) {
      // A branch that no value obeys stands in nobody's way.
      if (thrown instanceof ImpossibleSchema) return { ...apart, mark: null };
      throw thrown;
    }
  });
  for (const [index, one] of all.entries()) {
    const others = all.slice(0, index);
    if (index % 8 === 0) for (const _ of others) spend(source, group.pointer);
    for (const other of others) {
      if (!keepOut(one, other) || !keepOut(other, one)) throw both(group);
    }
  }
  return all.map(({ branch, also, without }) => {
    if (also.size + without.size === 0) return [branch];
    const properties = Object.fromEntries([...without].map((name) => [name, false]));
    const schema = { required: [...also], properties };
    return [branch, { schema, pointer: `${branch.pointer} apart` }];
  });
}

function both({ pointer }: Group): Error {
  return unsupportedSchema(
    pointer,
    'two branches may hold at once; use anyOf, or tell them apart by type or by a constant',
    '二つの選択肢が同時に成り立つかもしれません。anyOf を使うか、型か定数で区別してください',
  );
}

function markOf(facts: Facts, source: Source, looksInside: boolean): Mark {
  const properties = new Map<string, Mark>();
  const names = facts.objects.flatMap((layer) => [...layer.properties.keys()]);
  for (const name of looksInside ? new Set(names) : []) {
    const places = facts.objects.flatMap((layer) => layer.properties.get(name) ?? []);
    // Of those that may be missing only constants can tell branches apart, by being written.
    if (!facts.required.has(name) && !places.some(isConstant)) continue;
    const mark = markOfProperty(places, source);
    if (mark !== null) properties.set(name, mark);
  }
  const values = facts.values?.value;
  const kinds = values ? [...values.values()].map(typeOf) : facts.types;
  const written = [...(kinds ?? facts.implied)];
  return {
    isObject: written.length > 0 && written.every((kind) => kind === 'object'),
    // An integer is a number too: for telling apart they are one kind.
    kinds: kinds && new Set([...kinds].map((kind) => (kind === 'integer' ? 'number' : kind))),
    values: values ? new Set(values.keys()) : null,
    properties,
    required: new Set(facts.required.keys()),
    mayHave: (name) =>
      facts.objects.every(
        (layer) =>
          layer.properties.has(name) ||
          layer.patterned.length > 0 ||
          layer.additional?.schema !== false,
      ),
  };
}

function isConstant({ schema }: Place): boolean {
  return isObject(schema) && ['const', 'enum'].some((key) => Object.hasOwn(schema, key));
}

/** Null for a property that cannot be. */
function markOfProperty(places: readonly Place[], source: Source): Mark | null {
  try {
    return markOf(collectFacts(places, source), source, false);
  } catch (thrown) {
    if (thrown instanceof ImpossibleSchema) return null;
    throw thrown;
  }
}

/** Whether nothing that is written for the one obeys the other, or can be written so. */
function keepOut(one: Apart, other: Apart): boolean {
  const [a, b] = [one.mark, other.mark];
  if (a === null || b === null || differ(a, b)) return true;
  // Keys tell apart only what is an object.
  if (!a.isObject) return false;
  const isWritten = (name: string): boolean => a.required.has(name) || one.also.has(name);
  const told = [...a.properties.keys()].filter((name) => {
    const [own, its] = [a.properties.get(name), b.properties.get(name)];
    return own !== undefined && its !== undefined && differ(own, its);
  });
  if (told.some(isWritten)) return true;
  if ([...a.required, ...one.also].some((name) => !b.mayHave(name))) return true;
  if ([...b.required].some((name) => !a.mayHave(name) || one.without.has(name))) return true;
  const tag = told.find((name) => !one.without.has(name));
  if (tag !== undefined) one.also.add(tag);
  const missing = [...b.required].find((name) => !isWritten(name));
  if (tag === undefined && missing !== undefined) one.without.add(missing);
  return tag !== undefined || missing !== undefined;
}

function differ(a: Mark, b: Mark): boolean {
  if (a.kinds !== null && b.kinds !== null && !meet(a.kinds, b.kinds)) return true;
  return a.values !== null && b.values !== null && !meet(a.values, b.values);
}

function meet(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  for (const value of a) if (b.has(value)) return true;
  return false;
}
