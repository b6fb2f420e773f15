/**
 * enum and const: values written as JSON.stringify writes them, with common beginnings written once.
 * Pure, any thread.
 */
import { choice, type Expression, type RuleSet, sequence, text } from './expression.js';
import { ImpossibleSchema, unsupportedSchema } from './refusal.js';
import { type Facts, isObject, type JsonType, type Located } from './schema-facts.js';
import type { Source } from './schema-merge.js';
import { isMultiple } from './schema-number.js';
import { obeysText } from './schema-string.js';

/** Beginnings are shared so deep; beyond, the rest of each text stands alone. */
const MAX_SHARED = 64;

/** One of the values that also obey all other facts. Codes: schema_unsupported. */
export function enumExpression(
  facts: Facts,
  values: Located<ReadonlyMap<string, unknown>>,
  rules: RuleSet,
  source: Source,
): Expression {
  const texts = textsOf(facts, values, source);
  if (texts.length === 0) {
    throw new ImpossibleSchema(
      values.pointer,
      'none of its values obeys the other keywords',
      'どの値も、ほかの条件を満たしません',
    );
  }
  return shared(texts.sort(), rules, 0);
}

/** All values, as JSON texts, where the facts leave a list of them; null where they do not. */
export function finiteTexts(facts: Facts, source: Source): readonly string[] | null {
  if (facts.groups.length > 0) return null;
  if (facts.values !== null) return textsOf(facts, facts.values, source);
  const types = [...(facts.types ?? ['string'])];
  if (!types.every((type) => type === 'boolean' || type === 'null')) return null;
  return types.flatMap((type) => (type === 'null' ? ['null'] : ['true', 'false']));
}

function textsOf(
  facts: Facts,
  { value: values, pointer }: Located<ReadonlyMap<string, unknown>>,
  source: Source,
): string[] {
  const texts = new Set<string>();
  for (const value of values.values()) {
    if (obeys(value, facts, pointer, source)) texts.add(JSON.stringify(value));
  }
  return [...texts];
}

/** The type of a JSON value; whole numbers are integers. */
export function typeOf(value: unknown): JsonType {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (isObject(value)) return 'object';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value === 'string' ? 'string' : 'boolean';
}

function obeys(value: unknown, facts: Facts, pointer: string, source: Source): boolean {
  const type = typeOf(value);
  const { types } = facts;
  if (types !== null && !types.has(type) && !(type === 'integer' && types.has('number'))) {
    return false;
  }
  if (typeof value === 'number') {
    return (
      facts.steps.every((step) => isMultiple(value, step.value)) &&
      facts.lows.every((low) => (low.open ? value > low.value : value >= low.value)) &&
      facts.highs.every((high) => (high.open ? value < high.value : value <= high.value))
    );
  }
  if (typeof value === 'string') return obeysText(value, facts, source);
  if (Array.isArray(value)) {
    if (facts.arrays.length > 0 || facts.unique !== null) throw beside(pointer);
    return value.length >= facts.minItems.value && value.length <= facts.maxItems.value;
  }
  if (isObject(value)) {
    if (facts.objects.length + facts.names.length > 0) throw beside(pointer);
    const count = Object.keys(value).length;
    if (count < facts.minProperties.value || count > facts.maxProperties.value) return false;
    return [...facts.required.keys()].every((name) => Object.hasOwn(value, name));
  }
  return true;
}

function beside(pointer: string): Error {
  return unsupportedSchema(
    pointer,
    'enum and const cannot be combined with keywords that look into the values',
    'enum・const は、値の中身を調べるキーワードと組み合わせられません',
  );
}

/** Sorted texts, all different: what they begin with, then a choice. */
function shared(texts: readonly string[], rules: RuleSet, depth: number): Expression {
  const [first = ''] = texts;
  const last = texts.at(-1) ?? '';
  if (texts.length === 1) return text(first);
  if (depth >= MAX_SHARED) return choice(...texts.map(text));
  let length = 0;
  while (length < first.length && first[length] === last[length]) length++;
  // A pair of surrogates is one code point, and stays in one piece.
  if (/[\ud800-\udbff]/.test(first.charAt(length - 1))) length--;
  const groups = new Map<string, string[]>();
  for (const one of texts) {
    const rest = one.slice(length);
    const begin = String.fromCodePoint(...[rest.codePointAt(0) ?? []].flat());
    const group = groups.get(begin);
    if (group === undefined) groups.set(begin, [rest]);
    else group.push(rest);
  }
  const options = [...groups.values()].map((group) => shared(group, rules, depth + 1));
  const rest = rules.add('enum', () => choice(...options));
  return sequence(text(first.slice(0, length)), rest);
}
