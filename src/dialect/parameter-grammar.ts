/**
 * The grammar of parameters that stand on their own: which can be written, and what their values may
 * be. Pure, any thread; it must never know what stands around them.
 */
import { HoshikageError } from '../errors.js';
import {
  choice,
  counted,
  type Expression,
  noneOf,
  type RuleSet,
  text,
} from '../grammar/expression.js';
import { looseSchema, schemaExpression } from '../grammar/schema.js';
import type { Tool } from './dialect.js';
import { MAX_NAME, type Parameter, parametersOf, schemaOf } from './parameters.js';

/** What a schema of arguments may say beside its properties, for parameters written one by one. */
const KEYS = [
  ...['type', 'properties', 'required', 'additionalProperties', '$defs', 'definitions', '$ref'],
  ...['title', 'description', 'default', 'examples', '$schema', '$id', '$comment', 'deprecated'],
];

/**
 * The parameters whose names can be written before one of `ends`; a strict tool must have no other, and
 * its schema must say nothing of them all together. Codes: schema_unsupported.
 */
export function writable(tool: Tool, ends: readonly string[]): readonly Parameter[] {
  const parameters = parametersOf(tool);
  const isRead = ({ name }: Parameter): boolean =>
    name.trim() === name &&
    name !== '' &&
    name.length <= MAX_NAME &&
    !/["'<>]/.test(name) &&
    !ends.some((end) => name.includes(end));
  if (tool.strict) {
    const odd = parameters.find((parameter) => !isRead(parameter));
    if (odd !== undefined)
      throw unsupported(pointerTo(odd.name), 'a parameter of this name', 'この名前の引数');
    const { required, ...schema } = schemaOf(tool);
    const key = Object.keys(schema).find((one) => !KEYS.includes(one));
    if (key !== undefined) throw unsupported(`/${key}`, key, `${key} `);
    const names = parameters.map(({ name }) => name);
    const isDeclared = !Array.isArray(required) || required.every((name) => names.includes(name));
    if (!isDeclared)
      throw unsupported('/required', 'a parameter that is not declared', '宣言のない引数');
  }
  return parameters.filter(isRead);
}

function unsupported(pointer: string, what: string, whatJa: string): HoshikageError {
  return new HoshikageError('schema_unsupported', {
    pointer,
    reason: `this model writes arguments one by one, and cannot be held to ${what}`,
    reason_ja: `このモデルは引数を一つずつ書くため、${whatJa}は守らせられません`,
  });
}

/** True or false, as JSON or as Python writes it. */
export const FLAG = choice(...['true', 'false', 'True', 'False'].map(text));

/** Whether a parameter is true or false, either of them. */
export function isFlag({ kinds, schema }: Parameter): boolean {
  if (typeof schema !== 'object' || schema === null || 'const' in schema || 'enum' in schema) {
    return false;
  }
  return kinds?.size === 1 && kinds.has('boolean');
}

/** Where a parameter stands in its tool's schema, as a JSON pointer (RFC 6901). */
const pointerTo = (name: string): string =>
  `/properties/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;

/** A value of JSON, by its schema. Codes: schema_unsupported for a strict tool. */
export function jsonOf({ name, schema }: Parameter, tool: Tool, rules: RuleSet): Expression {
  if (!tool.strict) return looseSchema(schema, rules);
  try {
    return schemaExpression(schema, rules);
  } catch (error) {
    if (!(error instanceof HoshikageError) || error.code !== 'schema_unsupported') throw error;
    const pointer = `${pointerTo(name)}${error.details.pointer ?? ''}`;
    throw new HoshikageError('schema_unsupported', { ...error.details, pointer });
  }
}

/** The texts that a text parameter is limited to; null where it is not, or they cannot be written. */
export function valuesOf({ schema }: Parameter, end: string): readonly string[] | null {
  if (typeof schema !== 'object' || schema === null) return null;
  let values: readonly unknown[] | null = null;
  if ('enum' in schema && Array.isArray(schema.enum)) values = schema.enum;
  if ('const' in schema) values = [schema.const];
  const texts = values?.filter((value) => typeof value === 'string' && !value.includes(end));
  if (texts === undefined || texts.length === 0 || texts.length !== values?.length) return null;
  return texts.map(String);
}

/**
 * A text that stands bare and whose length alone is limited: without `<`, so that it cannot end before
 * its end; null where more is asked of it, or nothing.
 */
export function boundedText({ schema }: Parameter): Expression | null {
  if (typeof schema !== 'object' || schema === null) return null;
  const others = LIMITS.filter((key) => key !== 'minLength' && key !== 'maxLength');
  if (others.some((key) => key in schema)) return null;
  const { minLength: min = 0, maxLength: max = MAX_BOUND } = schema as Record<string, unknown>;
  const isBound = 'minLength' in schema || 'maxLength' in schema;
  if (!isBound || !isLength(min) || !isLength(max) || min > max) return null;
  return counted(noneOf([0x3c, 0x3c]), min, max);
}

/** A longest text where only the shortest is given. */
const MAX_BOUND = 100_000;

function isLength(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= MAX_BOUND;
}

const LIMITS = ['pattern', 'format', 'minLength', 'maxLength', 'enum', 'const', 'allOf'];

/** A text that stands bare cannot be held to more than its end. Codes: schema_unsupported. */
export function refuseLimits({ name, schema }: Parameter): void {
  if (typeof schema !== 'object' || schema === null) return;
  const limit = LIMITS.find((key) => key in schema);
  if (limit === undefined) return;
  throw new HoshikageError('schema_unsupported', {
    pointer: `${pointerTo(name)}/${limit}`,
    reason: `this model writes text arguments without quotes, where ${limit} cannot be held`,
    reason_ja: `このモデルは文字列の引数を引用符なしで書くため、${limit} を守らせられません`,
  });
}
