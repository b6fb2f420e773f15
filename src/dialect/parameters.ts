/**
 * What a tool's schema says of one parameter, for syntaxes that write each on its own: whether its
 * value stands there as bare text or as JSON. Pure, any thread; it must never judge whole arguments.
 */
import { isObject } from '../grammar/schema-facts.js';
import type { Tool } from './dialect.js';

/** A JSON type; numbers and integers are told apart by nobody here. */
export type Kind = 'string' | 'number' | 'boolean' | 'null' | 'object' | 'array';

const KINDS: readonly string[] = ['string', 'number', 'boolean', 'null', 'object', 'array'];
/** The longest name of a parameter that is read, in UTF-16 units. */
export const MAX_NAME = 100;
/** Most schemas that are looked at for one parameter, and most references after another. */
const MAX_SCHEMAS = 200;
const MAX_REFERENCES = 8;
/** Templates print values as Python does, so models write them so. */
const PYTHON_WORDS: ReadonlyMap<string, string> = new Map([
  ['True', 'true'],
  ['False', 'false'],
  ['None', 'null'],
]);

type Schema = Readonly<Record<string, unknown>>;

/** A parameter as a tool declares it. */
export interface Parameter {
  readonly name: string;
  /** Its schema, with the definitions of the whole; true where nothing is said. */
  readonly schema: unknown;
  readonly isRequired: boolean;
  /** Which types its values may have; null: any. */
  readonly kinds: ReadonlySet<Kind> | null;
}

/** The schema of a tool's arguments, a reference followed; empty where there are none. */
export function schemaOf({ parameters }: Tool): Schema {
  const followed = parameters === null ? {} : follow(parameters, parameters);
  return isObject(followed) ? { ...parameters, ...followed } : {};
}

/** A tool's parameters, in the order of its schema. */
export function parametersOf(tool: Tool): readonly Parameter[] {
  const root = schemaOf(tool);
  if (!isObject(root.properties)) return [];
  const required = Array.isArray(root.required) ? root.required : [];
  return Object.entries(root.properties).map(([name, written]) => {
    const schema = follow(written, root);
    return {
      name,
      schema: withDefinitions(schema, root),
      isRequired: required.includes(name),
      kinds: kindsOf(schema, root, { left: MAX_SCHEMAS }),
    };
  });
}

/** The types of each parameter by its name; any for one that is not declared. */
export const kindsIn =
  (parameters: readonly Parameter[]) =>
  (key: string): ReadonlySet<Kind> | null =>
    parameters.find(({ name }) => name === key)?.kinds ?? null;

/** True where every value is text, which needs no quotes. */
export const isText = (kinds: ReadonlySet<Kind> | null): boolean =>
  kinds !== null && kinds.size === 1 && kinds.has('string');

/** The JSON of a value that was written bare: as its schema allows, else as what it looks like. */
export function bareValue(text: string, kinds: ReadonlySet<Kind> | null): string {
  const trimmed = PYTHON_WORDS.get(text.trim()) ?? text.trim();
  const kind = kindOfJson(trimmed);
  if (kind === null) return JSON.stringify(text);
  if (kinds === null || kinds.has(kind) || !kinds.has('string')) return trimmed;
  return JSON.stringify(text);
}

/** Whether a text is JSON. */
export const isJson = (text: string): boolean => kindOfJson(text) !== null;

function kindOfJson(text: string): Kind | null {
  try {
    return kindOf(JSON.parse(text));
  } catch {
    return null;
  }
}

function kindOf(value: unknown): Kind | null {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  const kind = typeof value;
  if (kind === 'string' || kind === 'number' || kind === 'boolean' || kind === 'object')
    return kind;
  return null;
}

function withDefinitions(schema: unknown, root: Schema): unknown {
  if (!isObject(schema)) return schema;
  const definitions: Record<string, unknown> = {};
  for (const key of ['$defs', 'definitions'])
    if (root[key] !== undefined) definitions[key] = root[key];
  return { ...definitions, ...schema };
}

function kindsOf(
  written: unknown,
  root: Schema,
  budget: { left: number },
): ReadonlySet<Kind> | null {
  const schema = follow(written, root);
  budget.left--;
  if (!isObject(schema) || budget.left < 0) return null;
  if (Array.isArray(schema.enum)) return setOf(schema.enum.map(kindOf));
  if ('const' in schema) return setOf([kindOf(schema.const)]);
  const nullable: readonly Kind[] = schema.nullable === true ? ['null'] : [];
  if (schema.type !== undefined) {
    const types = Array.isArray(schema.type) ? schema.type : [schema.type];
    return setOf([...types.map((type) => (type === 'integer' ? 'number' : type)), ...nullable]);
  }
  const options = schema.anyOf ?? schema.oneOf;
  if (!Array.isArray(options)) return null;
  const all = options.map((option: unknown) => kindsOf(option, root, budget));
  const known = all.flatMap((kinds) => (kinds === null ? [] : [...kinds]));
  return all.includes(null) ? null : setOf([...known, ...nullable]);
}

const isKind = (value: unknown): value is Kind =>
  typeof value === 'string' && KINDS.includes(value);

function setOf(kinds: readonly unknown[]): ReadonlySet<Kind> | null {
  const known = kinds.filter(isKind);
  return known.length === kinds.length && known.length > 0 ? new Set(known) : null;
}

/** The schema that a reference leads to; itself where it is none, or leads nowhere. */
function follow(schema: unknown, root: Schema): unknown {
  let found = schema;
  for (let count = 0; count < MAX_REFERENCES; count++) {
    if (!isObject(found) || typeof found.$ref !== 'string') return found;
    const next = resolve(found.$ref, root);
    if (next === undefined) return schema;
    found = next;
  }
  return schema;
}

/** What a pointer within the schema points to. */
function resolve(pointer: string, root: Schema): unknown {
  if (!pointer.startsWith('#/')) return pointer === '#' ? root : undefined;
  let value: unknown = root;
  for (const part of pointer.slice(2).split('/')) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (!isObject(value) || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}
