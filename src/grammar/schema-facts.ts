/**
 * The words in which the rest of this room speaks of JSON Schema: where a schema stands, and the facts
 * that schemas say of a value. Pure data, any thread; it must never know how a fact is written.
 */
import { unsupportedSchema } from './refusal.js';

/** The types of JSON; an integer is a number without a fraction. */
export type JsonType = 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean' | 'null';

/** A schema and where it stands; the keywords of `without` are left out of it. */
export interface Place {
  readonly schema: unknown;
  readonly pointer: string;
  readonly without?: readonly string[];
}

/** A value with the pointer of the keyword that gave it. */
export interface Located<T> {
  readonly value: T;
  readonly pointer: string;
}

/** The keywords of one schema object about an object's keys; they count for one another only. */
export interface ObjectLayer {
  readonly properties: ReadonlyMap<string, Place>;
  /** null: not said. */
  readonly additional: Place | null;
}

/** The keywords of one schema object about an array's items. */
export interface ArrayLayer {
  readonly prefix: readonly Place[];
  /** null: not said. */
  readonly rest: Place | null;
}

/** anyOf or oneOf: one of the branches. */
export interface Group {
  readonly keyword: 'anyOf' | 'oneOf';
  readonly branches: readonly Place[];
  readonly pointer: string;
  /** The one of `places` that it stands in. */
  readonly place: Place;
}

/** A lower or an upper bound of a number. */
export interface Bound extends Located<number> {
  /** The bound itself is not allowed. */
  readonly open: boolean;
}

/** What a value must be. Absent bounds are 0 or Infinity. */
export interface Facts {
  types: ReadonlySet<JsonType> | null;
  /** Types that the keywords speak of, for schemas that name none. */
  readonly implied: Set<JsonType>;
  /** The only values allowed, as their JSON texts. */
  values: Located<ReadonlyMap<string, unknown>> | null;
  readonly objects: ObjectLayer[];
  readonly required: Map<string, string>;
  readonly arrays: ArrayLayer[];
  minItems: Located<number>;
  maxItems: Located<number>;
  minLength: Located<number>;
  maxLength: Located<number>;
  readonly patterns: Located<string>[];
  readonly formats: Located<string>[];
  readonly lows: Bound[];
  readonly highs: Bound[];
  /** Numbers have no fraction. */
  isWhole: boolean;
  readonly groups: Group[];
  /** The keys that propertyNames leaves, or null. */
  names: Located<ReadonlySet<string>> | null;
  /** All places that were merged; references and allOf are followed and left out of them. */
  readonly places: Place[];
}

/** The schemas of a list, each with its pointer; an empty list is refused. */
export function listOf(value: unknown, pointer: string): Place[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw unsupportedSchema(
      pointer,
      'a list of schemas with at least one was expected',
      '一つ以上のスキーマの配列が必要です',
    );
  }
  return value.map((schema: unknown, index) => ({ schema, pointer: `${pointer}/${index}` }));
}

/** True for what JSON calls an object. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A name as part of a JSON pointer (RFC 6901). */
export function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
