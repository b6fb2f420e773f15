/**
 * What each JSON Schema keyword says, as facts: one table, read once for every schema object. Pure, any
 * thread. A keyword that is neither here nor a mere annotation must never be passed over in silence.
 */
import { ImpossibleSchema, unsupportedSchema } from './refusal.js';
import {
  escapePointer,
  type Facts,
  isObject,
  type JsonType,
  type Located,
  listOf,
  type Place,
} from './schema-facts.js';
import { stepOf } from './schema-number.js';

/** A keyword where it stands, with the schema object around it. */
interface Keyword {
  readonly name: string;
  readonly value: unknown;
  readonly pointer: string;
  readonly place: Place;
  readonly schema: Readonly<Record<string, unknown>>;
}

type Reader = (keyword: Keyword, facts: Facts) => void;

const TYPES: ReadonlySet<string> = new Set<JsonType>([
  ...(['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const),
]);

/** The longest list or string that a schema may ask for at least. */
export const MAX_LEAST = 100_000;

/**
 * Adds what one keyword says. Unknown ones are annotations, as the specification has it; known ones
 * that no grammar expresses are refused. Codes: schema_unsupported at the keyword.
 */
export function readKeyword(
  name: string,
  value: unknown,
  pointer: string,
  place: Place,
  schema: Readonly<Record<string, unknown>>,
  facts: Facts,
): void {
  const keyword = { name, value, pointer, place, schema };
  const refused = REFUSED.get(name);
  if (refused?.(value)) {
    throw unsupportedSchema(
      pointer,
      `${name} cannot be made a grammar`,
      `${name} は文法で表せません`,
    );
  }
  READERS.get(name)?.(keyword, facts);
}

const always = (): boolean => true;

/** Keywords that are refused, and for which values. */
const REFUSED = new Map<string, (value: unknown) => boolean>([
  ...['if', 'then', 'else', 'contains', 'dependencies', 'dependentSchemas'].map(
    (name) => [name, always] as const,
  ),
  ...['dependentRequired', '$dynamicRef', '$recursiveRef'].map((name) => [name, always] as const),
  ['not', (value) => !(isObject(value) && Object.keys(value).length === 0)],
]);

const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ['type', readType],
  ['enum', readEnum],
  ['const', ({ value, pointer }, facts) => allow([value], pointer, facts)],
  ['not', ({ pointer }) => impossible(pointer, 'not {} allows no value')],
  ['multipleOf', readStep],
  ['anyOf', readGroup],
  ['oneOf', readGroup],
  ['properties', readObject],
  ['patternProperties', readObject],
  ['additionalProperties', readObject],
  ['unevaluatedProperties', readObject],
  ['required', readRequired],
  ['propertyNames', readNames],
  ['minProperties', (keyword, facts) => atLeast('minProperties', 'object', keyword, facts)],
  ['maxProperties', (keyword, facts) => atMost('maxProperties', 'object', keyword, facts)],
  ['items', readArray],
  ['prefixItems', readArray],
  ['additionalItems', readArray],
  ['unevaluatedItems', readArray],
  ['uniqueItems', readUnique],
  ['minItems', (keyword, facts) => atLeast('minItems', 'array', keyword, facts)],
  ['maxItems', (keyword, facts) => atMost('maxItems', 'array', keyword, facts)],
  ['minLength', (keyword, facts) => atLeast('minLength', 'string', keyword, facts)],
  ['maxLength', (keyword, facts) => atMost('maxLength', 'string', keyword, facts)],
  ['pattern', (keyword, facts) => addText(facts.patterns, keyword, facts)],
  ['format', readFormat],
  ['minimum', (keyword, facts) => readBound('lows', 'exclusiveMinimum', keyword, facts)],
  ['maximum', (keyword, facts) => readBound('highs', 'exclusiveMaximum', keyword, facts)],
  ['exclusiveMinimum', (keyword, facts) => readOpenBound('lows', keyword, facts)],
  ['exclusiveMaximum', (keyword, facts) => readOpenBound('highs', keyword, facts)],
]);

function wrong({ name, pointer }: Keyword, expected: string, expectedJa: string): Error {
  return unsupportedSchema(
    pointer,
    `${name} must be ${expected}`,
    `${name} には${expectedJa}が必要です`,
  );
}

function impossible(pointer: string, reason = 'no value obeys it'): never {
  throw new ImpossibleSchema(pointer, reason, '満たせる値がありません');
}

function readType(keyword: Keyword, facts: Facts): void {
  const { value, pointer, schema } = keyword;
  const names: readonly unknown[] = Array.isArray(value) ? value : [value];
  const types = new Set<JsonType>();
  for (const name of names) {
    if (typeof name !== 'string' || !TYPES.has(name)) {
      throw wrong(keyword, 'one or several of the types of JSON', ' JSON の型の名前');
    }
    types.add(name as JsonType);
  }
  if (schema.nullable === true) types.add('null');
  restrict(types, pointer, facts);
}

/** Only these types are left of those that were allowed. */
function restrict(types: ReadonlySet<JsonType>, pointer: string, facts: Facts): void {
  const before = facts.types;
  const left = new Set<JsonType>();
  for (const type of types) {
    const wider = type === 'integer' ? 'number' : type;
    const narrower = type === 'number' ? 'integer' : type;
    if (before === null || before.has(type) || before.has(wider)) left.add(type);
    else if (before.has(narrower)) left.add(narrower);
  }
  if (left.size === 0) impossible(pointer, 'its types have nothing in common with the others');
  facts.types = left;
}

/** Like all of its kind it says nothing of other types. */
function readStep(keyword: Keyword, facts: Facts): void {
  const { value, pointer } = keyword;
  if (typeof value !== 'number' || value <= 0) throw wrong(keyword, 'a number above 0', '正の数');
  const step = stepOf(value);
  if (step === null) {
    throw unsupportedSchema(
      pointer,
      'multipleOf can be a power of ten, 2 or 5',
      'multipleOf は 10 の累乗と 2、5 だけ使えます',
    );
  }
  facts.implied.add(step.decimals === 0 ? 'integer' : 'number');
  facts.steps.push({ value, pointer });
}

function readEnum(keyword: Keyword, facts: Facts): void {
  if (!Array.isArray(keyword.value)) throw wrong(keyword, 'a list of values', '値の配列');
  allow(keyword.value, keyword.pointer, facts);
}

function allow(values: readonly unknown[], pointer: string, facts: Facts): void {
  const texts = new Map<string, unknown>();
  for (const value of values) {
    const text = sortedJson(value);
    if (facts.values === null || facts.values.value.has(text)) texts.set(text, value);
  }
  if (texts.size === 0) impossible(pointer, 'no value is left to choose');
  facts.values = { value: texts, pointer };
}

/** JSON in which equal values are equal texts, whatever the order of keys. */
function sortedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(',')}]`;
  if (!isObject(value)) return String(JSON.stringify(value));
  const members = Object.keys(value).sort();
  return `{${members.map((name) => `${JSON.stringify(name)}:${sortedJson(value[name])}`).join(',')}}`;
}

function readGroup({ name, value, pointer, place }: Keyword, facts: Facts): void {
  const keyword = name === 'oneOf' ? 'oneOf' : 'anyOf';
  facts.groups.push({ keyword, branches: listOf(value, pointer), pointer, place });
}

/** They are about one another: read as one, at the first that is there. */
const OBJECT_KEYWORDS = [
  ...([
    'properties',
    'patternProperties',
    'additionalProperties',
    'unevaluatedProperties',
  ] as const),
];

function readObject(keyword: Keyword, facts: Facts): void {
  facts.implied.add('object');
  const { name, schema, place } = keyword;
  const has = (other: string): boolean => Object.hasOwn(schema, other);
  if (name === 'unevaluatedProperties') checkEvaluated(keyword, 'additionalProperties');
  if (OBJECT_KEYWORDS.find(has) !== name) return;
  const properties = schemasOf('properties', keyword);
  const patterned = [...schemasOf('patternProperties', keyword)].map(([value, own]) => ({
    pattern: { value, pointer: own.pointer },
    place: own,
  }));
  const rest = ['additionalProperties', 'unevaluatedProperties'].find(has);
  const additional =
    rest === undefined ? null : { schema: schema[rest], pointer: `${place.pointer}/${rest}` };
  facts.objects.push({ properties, patterned, additional });
}

function schemasOf(name: string, { schema, place, ...keyword }: Keyword): Map<string, Place> {
  const pointer = `${place.pointer}/${name}`;
  const all = Object.hasOwn(schema, name) ? schema[name] : {};
  if (!isObject(all)) {
    throw wrong(
      { ...keyword, name, pointer, schema, place },
      'an object of schemas',
      'スキーマの一覧',
    );
  }
  const places = new Map<string, Place>();
  for (const key of Object.keys(all)) {
    places.set(key, { schema: all[key], pointer: `${pointer}/${escapePointer(key)}` });
  }
  return places;
}

/** Schemas beside which more may be evaluated than what stands in the same object. */
const IN_PLACE = ['$ref', 'allOf', 'anyOf', 'oneOf'];

/** Without them, what is unevaluated is what `same` would be about. */
function checkEvaluated({ name, value, pointer, schema }: Keyword, same: string): void {
  const isPlain = !IN_PLACE.some((other) => Object.hasOwn(schema, other));
  if (isPlain || Object.hasOwn(schema, same) || value === true) return;
  throw unsupportedSchema(
    pointer,
    `${name} beside ${IN_PLACE.join(', ')} cannot be made a grammar`,
    `${IN_PLACE.join('・')} と並んだ ${name} は文法で表せません`,
  );
}

function readRequired(keyword: Keyword, facts: Facts): void {
  if (!Array.isArray(keyword.value)) throw wrong(keyword, 'a list of names', '名前の配列');
  facts.implied.add('object');
  for (const [index, name] of keyword.value.entries()) {
    if (typeof name !== 'string') throw wrong(keyword, 'a list of names', '名前の配列');
    if (!facts.required.has(name)) facts.required.set(name, `${keyword.pointer}/${index}`);
  }
}

function readNames({ value, pointer }: Keyword, facts: Facts): void {
  facts.implied.add('object');
  facts.names.push({ schema: value, pointer });
}

function readUnique(keyword: Keyword, facts: Facts): void {
  if (typeof keyword.value !== 'boolean') throw wrong(keyword, 'true or false', ' true か false ');
  facts.implied.add('array');
  if (keyword.value) facts.unique ??= keyword.pointer;
}

const ARRAY_KEYWORDS = ['prefixItems', 'items', 'unevaluatedItems'];

function readArray(keyword: Keyword, facts: Facts): void {
  facts.implied.add('array');
  const { name, schema, place } = keyword;
  const has = (other: string): boolean => Object.hasOwn(schema, other);
  if (name === 'unevaluatedItems') checkEvaluated(keyword, 'items');
  // One layer for all: read at the first that is there.
  if (ARRAY_KEYWORDS.find(has) !== name) return;
  const at = (which: string): Place => ({
    schema: schema[which],
    pointer: `${place.pointer}/${which}`,
  });
  // Before 2020-12 a list of items was what prefixItems is now.
  const isOldTuple = name === 'items' && Array.isArray(schema.items);
  const prefix =
    name === 'prefixItems' || (isOldTuple && (schema.items as unknown[]).length > 0)
      ? listOf(schema[name], keyword.pointer)
      : [];
  const rest = [isOldTuple ? 'additionalItems' : 'items', 'unevaluatedItems'].find(has);
  facts.arrays.push({ prefix, rest: rest === undefined ? null : at(rest) });
}

function count(keyword: Keyword): number {
  const { value } = keyword;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) {
    throw wrong(keyword, 'a whole number from 0 on', ' 0 以上の整数');
  }
  return value;
}

function atLeast(
  which: 'minItems' | 'minLength' | 'minProperties',
  type: JsonType,
  keyword: Keyword,
  facts: Facts,
): void {
  const value = count(keyword);
  facts.implied.add(type);
  if (value > MAX_LEAST) {
    throw unsupportedSchema(
      keyword.pointer,
      `it asks for more than ${MAX_LEAST}`,
      `${MAX_LEAST} を超える数を求めています`,
    );
  }
  if (value >= facts[which].value) facts[which] = { value, pointer: keyword.pointer };
}

function atMost(
  which: 'maxItems' | 'maxLength' | 'maxProperties',
  type: JsonType,
  keyword: Keyword,
  facts: Facts,
): void {
  const value = count(keyword);
  facts.implied.add(type);
  if (value <= facts[which].value) facts[which] = { value, pointer: keyword.pointer };
}

function addText(into: Located<string>[], keyword: Keyword, facts: Facts): void {
  const { value, pointer } = keyword;
  if (typeof value !== 'string') throw wrong(keyword, 'a text', '文字列');
  facts.implied.add('string');
  if (!into.some((known) => known.value === value)) into.push({ value, pointer });
}

/** Formats of numbers (OpenAPI) are bounds; all others are of strings. */
function readFormat(keyword: Keyword, facts: Facts): void {
  const { value, pointer } = keyword;
  if (value === 'int32') {
    facts.implied.add('integer');
    facts.lows.push({ value: -(2 ** 31), open: false, pointer });
    facts.highs.push({ value: 2 ** 31 - 1, open: false, pointer });
  } else if (value === 'int64') facts.implied.add('integer');
  else if (value === 'float' || value === 'double') facts.implied.add('number');
  else addText(facts.formats, keyword, facts);
}

function readBound(
  which: 'lows' | 'highs',
  exclusive: string,
  keyword: Keyword,
  facts: Facts,
): void {
  const { value, pointer, schema } = keyword;
  if (typeof value !== 'number') throw wrong(keyword, 'a number', '数');
  facts.implied.add('number');
  // Draft 4 said with a boolean that the bound itself is out.
  facts[which].push({ value, open: schema[exclusive] === true, pointer });
}

function readOpenBound(which: 'lows' | 'highs', keyword: Keyword, facts: Facts): void {
  const { value, pointer } = keyword;
  if (typeof value === 'boolean') return;
  if (typeof value !== 'number') throw wrong(keyword, 'a number', '数');
  facts.implied.add('number');
  facts[which].push({ value, open: true, pointer });
}
