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
const unlessFalse = (value: unknown): boolean => value !== false;
const unlessZero = (value: unknown): boolean => value !== 0;

/** Keywords that are refused, and for which values. */
const REFUSED: ReadonlyMap<string, (value: unknown) => boolean> = new Map([
  ...['if', 'then', 'else', 'contains', 'dependencies', 'dependentSchemas'].map(
    (name) => [name, always] as const,
  ),
  ...['patternProperties', 'maxProperties', 'unevaluatedItems'].map(
    (name) => [name, always] as const,
  ),
  ...['unevaluatedProperties', 'dependentRequired', '$dynamicRef', '$recursiveRef'].map(
    (name) => [name, always] as const,
  ),
  ['not', (value) => !(isObject(value) && Object.keys(value).length === 0)],
  ['uniqueItems', unlessFalse],
  ['minProperties', unlessZero],
  ['multipleOf', (value) => value !== 1],
]);

const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ['type', readType],
  ['enum', readEnum],
  ['const', ({ value, pointer }, facts) => allow([value], pointer, facts)],
  ['not', ({ pointer }) => impossible(pointer, 'not {} allows no value')],
  ['multipleOf', readWhole],
  ['anyOf', readGroup],
  ['oneOf', readGroup],
  ['properties', readObject],
  ['additionalProperties', readObject],
  ['required', readRequired],
  ['propertyNames', readNames],
  ['items', readArray],
  ['prefixItems', readArray],
  ['additionalItems', readArray],
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

/** Only multipleOf 1 comes here; like all of its kind it says nothing of other types. */
function readWhole(_: Keyword, facts: Facts): void {
  facts.implied.add('integer');
  facts.isWhole = true;
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

function readObject(keyword: Keyword, facts: Facts): void {
  facts.implied.add('object');
  const { name, schema, place } = keyword;
  // One layer for both keywords: additionalProperties is about its own neighbours only.
  if (name === 'additionalProperties' && Object.hasOwn(schema, 'properties')) return;
  const properties = new Map<string, Place>();
  if (name === 'properties') {
    if (!isObject(keyword.value)) throw wrong(keyword, 'an object of schemas', 'スキーマの一覧');
    for (const property of Object.keys(keyword.value)) {
      properties.set(property, {
        schema: keyword.value[property],
        pointer: `${keyword.pointer}/${escapePointer(property)}`,
      });
    }
  }
  const additional = Object.hasOwn(schema, 'additionalProperties')
    ? { schema: schema.additionalProperties, pointer: `${place.pointer}/additionalProperties` }
    : null;
  facts.objects.push({ properties, additional });
}

function readRequired(keyword: Keyword, facts: Facts): void {
  if (!Array.isArray(keyword.value)) throw wrong(keyword, 'a list of names', '名前の配列');
  facts.implied.add('object');
  for (const [index, name] of keyword.value.entries()) {
    if (typeof name !== 'string') throw wrong(keyword, 'a list of names', '名前の配列');
    if (!facts.required.has(name)) facts.required.set(name, `${keyword.pointer}/${index}`);
  }
}

/** Names may be any strings, or of a list; zod writes both for records. */
function readNames(keyword: Keyword, facts: Facts): void {
  const { value, pointer } = keyword;
  facts.implied.add('object');
  if (value === true) return;
  const known = isObject(value) && Object.keys(value).every((name) => NAME_KEYWORDS.has(name));
  if (!known || ![undefined, 'string'].includes(value.type as string | undefined)) {
    throw unsupportedSchema(
      pointer,
      'names of properties can be bound by enum or const only',
      'プロパティ名は enum か const でだけ制限できます',
    );
  }
  const lists = [
    ...('const' in value ? [[value.const]] : []),
    ...('enum' in value ? [value.enum] : []),
  ];
  for (const list of lists) {
    if (!Array.isArray(list)) throw wrong(keyword, 'a list of names', '名前の配列');
    const names = list.filter((name): name is string => typeof name === 'string');
    const before = facts.names?.value;
    const left = new Set(names.filter((name) => before?.has(name) ?? true));
    facts.names = { value: left, pointer };
  }
}

const NAME_KEYWORDS: ReadonlySet<string> = new Set(['type', 'enum', 'const', 'description']);

function readArray(keyword: Keyword, facts: Facts): void {
  facts.implied.add('array');
  const { name, schema, place } = keyword;
  const has = (other: string): boolean => Object.hasOwn(schema, other);
  // One layer for all: read at the first that is there.
  if (name === 'items' && has('prefixItems')) return;
  if (name === 'additionalItems') return;
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
  const restName = isOldTuple ? 'additionalItems' : 'items';
  facts.arrays.push({ prefix, rest: has(restName) ? at(restName) : null });
}

function count(keyword: Keyword): number {
  const { value } = keyword;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) {
    throw wrong(keyword, 'a whole number from 0 on', ' 0 以上の整数');
  }
  return value;
}

function atLeast(
  which: 'minItems' | 'minLength',
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
  which: 'maxItems' | 'maxLength',
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
