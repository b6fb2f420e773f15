/**
 * All that several JSON Schemas ask of one value at once: allOf, $ref and the keywords beside them
 * merged into one set of facts. Pure, any thread. It must never follow a reference out of the schema,
 * nor read a name that an object only inherits.
 */
import type { RuleSet } from './expression.js';
import { ImpossibleSchema, SchemaTooLarge, shown, unsupportedSchema } from './refusal.js';
import { escapePointer, type Facts, isObject, listOf, type Place } from './schema-facts.js';
import { readKeyword } from './schema-keywords.js';

/** How many references and allOf may lead from one to the next. */
const MAX_CHAIN = 64;
/** How many schemas may be merged for one value. */
const MAX_MERGED = 1_000;

/** The schema that references lead into, and how much work has gone into it. */
export interface Source {
  readonly root: unknown;
  /** Where its rules go; all schemas of one grammar share what work that may take. */
  readonly rules: RuleSet;
  work: number;
}

/** How many steps of merging, comparing and writing a schema may take: some hundred milliseconds. */
const MAX_WORK = 15_000;

/** Counts work; refuses a schema that takes too much of it. Codes: schema_unsupported. */
export function spend(source: Source, pointer: string, steps = 1): void {
  source.work += steps;
  if (source.rules.spend(steps) && source.work <= MAX_WORK) return;
  throw new SchemaTooLarge(
    pointer,
    'its references, allOf, anyOf and oneOf multiply to too many schemas',
    '参照・allOf・anyOf・oneOf の組み合わせが多すぎます',
  );
}

/** Lists that are read anew wherever their schema is merged; so many entries are one step of work. */
const LISTS = ['properties', 'required', 'enum', 'propertyNames'] as const;
const ENTRIES_PER_STEP = 4;

function stepsOf(schema: unknown): number {
  if (!isObject(schema)) return 1;
  let entries = 0;
  for (const name of LISTS) {
    const list = Object.hasOwn(schema, name) ? schema[name] : undefined;
    const inner = name === 'propertyNames' && isObject(list) ? list.enum : list;
    if (Array.isArray(inner)) entries += inner.length;
    else if (isObject(inner)) entries += Object.keys(inner).length;
  }
  return 1 + Math.floor(entries / ENTRIES_PER_STEP);
}

/** Every fact about a value that must obey all of these. Codes: schema_unsupported. */
export function collectFacts(places: readonly Place[], source: Source): Facts {
  const facts: Facts = {
    types: null,
    implied: new Set(),
    values: null,
    objects: [],
    required: new Map(),
    arrays: [],
    minItems: { value: 0, pointer: '' },
    maxItems: { value: Number.POSITIVE_INFINITY, pointer: '' },
    minLength: { value: 0, pointer: '' },
    maxLength: { value: Number.POSITIVE_INFINITY, pointer: '' },
    patterns: [],
    formats: [],
    lows: [],
    highs: [],
    isWhole: false,
    groups: [],
    names: null,
    places: [],
  };
  const seen = new Set<string>();
  for (const place of places) merge(place, facts, source, seen, []);
  return facts;
}

/** One name for a set of places, the same whatever their order. */
export function keyOf(places: readonly Place[]): string {
  return JSON.stringify(places.map(placeKey).sort());
}

function placeKey({ pointer, without = [] }: Place): string {
  return [pointer, ...[...without].sort()].join(' ');
}

/** The same place without this keyword. */
export function leaveOut(place: Place, keyword: string): Place {
  const without = place.without ?? [];
  return without.includes(keyword) ? place : { ...place, without: [...without, keyword] };
}

function merge(
  place: Place,
  facts: Facts,
  source: Source,
  seen: Set<string>,
  path: readonly string[],
): void {
  const { schema, pointer, without = [] } = place;
  const key = placeKey(place);
  spend(source, pointer, stepsOf(schema));
  if (path.includes(key)) {
    throw unsupportedSchema(
      pointer,
      'it refers to nothing but itself',
      '自分自身だけを参照しています',
    );
  }
  if (seen.has(key)) return;
  seen.add(key);
  if (path.length >= MAX_CHAIN || seen.size > MAX_MERGED) {
    throw new SchemaTooLarge(
      pointer,
      `more than ${MAX_CHAIN} references in a row, or ${MAX_MERGED} schemas for one value`,
      `参照が ${MAX_CHAIN} 回、または一つの値のスキーマが ${MAX_MERGED} 個を超えています`,
    );
  }
  if (schema === true) return;
  if (schema === false) {
    throw new ImpossibleSchema(pointer, 'false allows no value', 'false は何の値も許しません');
  }
  if (!isObject(schema)) {
    throw unsupportedSchema(
      pointer,
      'a schema is an object, true or false',
      'スキーマはオブジェクトか true か false です',
    );
  }
  const below = [...path, key];
  const rest = leaveOut(leaveOut(place, '$ref'), 'allOf');
  const keywords = Object.keys(schema);
  // A mere reference is its target: one name for both.
  if (keywords.length !== 1 || keywords[0] !== '$ref') facts.places.push(rest);
  for (const keyword of keywords) {
    if (without.includes(keyword)) continue;
    const at = `${pointer}/${escapePointer(keyword)}`;
    const value = schema[keyword];
    if (keyword === '$ref') {
      merge(resolve(value, at, source.root), facts, source, seen, below);
    } else if (keyword === 'allOf') {
      for (const part of listOf(value, at)) merge(part, facts, source, seen, below);
    } else readKeyword(keyword, value, at, rest, schema, facts);
  }
}

/** Where a local reference leads. */
function resolve(reference: unknown, at: string, root: unknown): Place {
  if (typeof reference !== 'string' || !/^#(?:\/|$)/.test(reference)) {
    throw unsupportedSchema(
      at,
      'only references into the schema itself, # or #/…, are followed',
      '同じスキーマの中への参照(# または #/…)だけが使えます',
    );
  }
  let value = root;
  let pointer = '';
  for (const part of reference.split('/').slice(1)) {
    const name = decode(part, at).replaceAll('~1', '/').replaceAll('~0', '~');
    const known = typeof value === 'object' && value !== null && Object.hasOwn(value, name);
    if (!known) {
      throw unsupportedSchema(
        at,
        `there is nothing at ${shown(reference)}`,
        `${shown(reference)} には何もありません`,
      );
    }
    value = (value as Readonly<Record<string, unknown>>)[name];
    pointer += `/${escapePointer(name)}`;
  }
  return { schema: value, pointer };
}

function decode(part: string, at: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw unsupportedSchema(at, 'the reference is no URI', '参照が URI になっていません');
  }
}
