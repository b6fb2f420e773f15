/**
 * oneOf: whether no value can obey two of its branches. Pure, any thread. Only what the facts prove
 * counts; a branch may be narrower than its facts, never wider.
 */
import { ImpossibleSchema, unsupportedSchema } from './refusal.js';
import { typeOf } from './schema-enum.js';
import type { Facts, Group, Place } from './schema-facts.js';
import { collectFacts, type Source, spend } from './schema-merge.js';

/** Every pair is compared. */
const MAX_BRANCHES = 128;

/** What tells values apart: their types and texts, and those of required properties. */
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

/** Refuses a oneOf of which two branches may hold at once. Codes: schema_unsupported. */
export function exclude(rest: readonly Place[], group: Group, source: Source): void {
  if (group.branches.length > MAX_BRANCHES) {
    throw unsupportedSchema(
      group.pointer,
      `it has more than ${MAX_BRANCHES} branches`,
      `選択肢が ${MAX_BRANCHES} 個を超えています`,
    );
  }
  const marks = group.branches.flatMap((branch) => {
    try {
      return [markOf(collectFacts([...rest, branch], source), source, true)];
    } catch (thrown) {
      // A branch that no value obeys stands in nobody's way.
      if (thrown instanceof ImpossibleSchema) return [];
      throw thrown;
    }
  });
  for (const [index, mark] of marks.entries()) {
    const others = marks.slice(0, index);
    if (index % 8 === 0) for (const _ of others) spend(source, group.pointer);
    if (others.every((other) => areDisjoint(mark, other))) continue;
    throw unsupportedSchema(
      group.pointer,
      'two branches may hold at once; use anyOf, or tell them apart by type or by a required constant',
      '二つの選択肢が同時に成り立つかもしれません。anyOf を使うか、型か必須の定数で区別してください',
    );
  }
}

function markOf(facts: Facts, source: Source, looksInside: boolean): Mark {
  const properties = new Map<string, Mark>();
  for (const name of looksInside ? facts.required.keys() : []) {
    const places = facts.objects.flatMap((layer) => layer.properties.get(name) ?? []);
    if (places.length > 0)
      properties.set(name, markOf(collectFacts(places, source), source, false));
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
        (layer) => layer.properties.has(name) || layer.additional?.schema !== false,
      ),
  };
}

function areDisjoint(a: Mark, b: Mark): boolean {
  if (a.kinds !== null && b.kinds !== null && !meet(a.kinds, b.kinds)) return true;
  if (a.values !== null && b.values !== null && !meet(a.values, b.values)) return true;
  // Keys tell apart only where both must be objects.
  if (!a.isObject || !b.isObject) return false;
  for (const [name, mark] of a.properties) {
    const other = b.properties.get(name);
    if (other !== undefined && areDisjoint(mark, other)) return true;
  }
  for (const name of a.required) if (!b.mayHave(name)) return true;
  for (const name of b.required) if (!a.mayHave(name)) return true;
  return false;
}

function meet(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  for (const value of a) if (b.has(value)) return true;
  return false;
}
