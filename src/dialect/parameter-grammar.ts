/**
 * The grammar of parameters that stand on their own: which can be written, and what their values may
 * be. Pure, any thread; it must never know what stands around them.
 */
import { HoshikageError } from '../errors.js';
import {
  type CodePointRange,
  choice,
  commonRanges,
  counted,
  type Expression,
  noneOf,
  oneOf,
  otherRanges,
  type RuleSet,
  repeat,
  sequence,
  text,
} from '../grammar/expression.js';
import { type Part, parsePattern } from '../grammar/pattern-parse.js';
import { looseSchema, schemaExpression } from '../grammar/schema.js';
import { isObject } from '../grammar/schema-facts.js';
import { FORMATS } from '../grammar/schema-format.js';
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

/** The texts that a parameter is limited to, and whether it may be null as well. */
export interface Texts {
  readonly texts: readonly string[];
  readonly hasNull: boolean;
}

/** Those of a text parameter; null where it is not limited so, or they hold `end` ('' is none). */
export function valuesOf({ schema }: Parameter, end: string): Texts | null {
  if (typeof schema !== 'object' || schema === null) return null;
  let values: readonly unknown[] = [];
  if ('enum' in schema && Array.isArray(schema.enum)) values = schema.enum;
  if ('const' in schema) values = [schema.const];
  const texts = values.filter((value) => typeof value === 'string');
  const hasNull = values.includes(null);
  if (texts.length === 0 || texts.length + (hasNull ? 1 : 0) !== values.length) return null;
  // Without quotes the word itself would be nothing.
  if (hasNull && texts.some((value) => WORDS_OF_NULL.includes(value.trim()))) return null;
  return end !== '' && texts.some((value) => value.includes(end)) ? null : { texts, hasNull };
}

const WORDS_OF_NULL = ['null', 'None'];

/** Whether a schema says nothing at all. */
export function isAnything(schema: unknown): boolean {
  return (
    schema === true || (isObject(schema) && Object.keys(schema).every((key) => NOTES.has(key)))
  );
}

/** Whether a schema, alone or in its branches, says no more than which types there are. */
export function isUnlimited(schema: unknown): boolean {
  if (!isObject(schema)) return schema === true;
  return Object.entries(schema).every(([key, value]) => {
    if (key === 'anyOf' || key === 'oneOf') return Array.isArray(value) && value.every(isUnlimited);
    return key === 'type' || key === 'nullable' || NOTES.has(key);
  });
}

/** Whether a key says nothing of values. */
export const isNote = (key: string): boolean => NOTES.has(key);

const NOTES: ReadonlySet<string> = new Set([
  ...['title', 'description', 'default', 'examples', '$defs', 'definitions', '$comment'],
  ...['deprecated', '$schema', '$id', 'readOnly', 'writeOnly'],
]);

/**
 * A text that stands bare and has only its lengths limited, or for a strict tool its pattern or its format
 * alone: without `<`, so that it cannot end before its end, and without line breaks where `isPadded`. Null
 * where more is asked of it, or nothing.
 */
export function bareText(
  { name, schema }: Parameter,
  strict: boolean,
  isPadded: boolean,
): Expression | null {
  if (!isObject(schema)) return null;
  const limits = LIMITS.filter((key) => key in schema);
  if (limits.length === 0) return null;
  if (limits.every((key) => key === 'minLength' || key === 'maxLength')) {
    const { minLength: min = 0, maxLength: max = MAX_BOUND } = schema;
    if (!isLength(min) || !isLength(max) || min > max) return null;
    // A line break at either end is taken for padding: what must be there has none.
    const least = isPadded ? noneOf(LESS, LINE_BREAK) : noneOf(LESS);
    return sequence(counted(least, min, min), counted(noneOf(LESS), 0, max - min));
  }
  if (!strict || limits.length !== 1) return null;
  const { pattern, format } = schema;
  const kept = otherRanges(isPadded ? [LESS, LINE_BREAK] : [LESS]);
  if (typeof format === 'string') return FORMATS.get(format)?.written ?? null;
  if (typeof pattern !== 'string') return null;
  const located = { value: pattern, pointer: `${pointerTo(name)}/pattern` };
  const { options, ahead } = parsePattern(located);
  // What has to hold beside the pattern itself needs the text as JSON.
  return ahead.length > 0 ? null : bareOf({ kind: 'choice', options }, kept);
}

const LESS: CodePointRange = [0x3c, 0x3c];
const LINE_BREAK: CodePointRange = [0x0a, 0x0a];

/** A pattern of these code points only; null where a part of it has none of them. */
function bareOf(part: Part, kept: readonly CodePointRange[]): Expression | null {
  if (part.kind === 'class') {
    const ranges = commonRanges(part.ranges, kept);
    return ranges.length === 0 ? null : oneOf(...ranges);
  }
  if (part.kind === 'repeat') {
    const one = bareOf(part.part, kept);
    return one === null ? null : repeat(one, part.min, part.max);
  }
  const parts: Expression[] = [];
  for (const one of part.kind === 'sequence' ? part.parts : part.options) {
    const bare = bareOf(one, kept);
    if (bare === null) return null;
    parts.push(bare);
  }
  return part.kind === 'sequence' ? sequence(...parts) : choice(...parts);
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
