/**
 * Strings of a JSON Schema: lengths, patterns and formats, alone or together. Pure, any thread. It must
 * never drop one of several conditions.
 */
import { type Expression, type RuleSet, sequence, text } from './expression.js';
import { jsonString } from './json.js';
import { type Lengths, partOf, patternExpression } from './pattern.js';
import { Deterministic, TooManyStates } from './pattern-automaton.js';
import { commonExpression } from './pattern-common.js';
import { withoutLookahead } from './pattern-known.js';
import { type Condition, conditionsOf as readPattern } from './pattern-parse.js';
import { ImpossibleSchema, shown, unsupportedSchema } from './refusal.js';
import type { Facts, Located } from './schema-facts.js';
import { FORMATS, PATTERN_FORMATS, STANDARD_FORMATS } from './schema-format.js';
import { type Source, spend } from './schema-merge.js';
import type { Format } from './schema-uri.js';

/** What it costs to write a pattern: see spend(). */
const PATTERN_UNITS_PER_STEP = 8;
/** And to make a format an automaton. */
const STEPS_FOR_FORMAT = 10;

interface Conditions {
  readonly formats: readonly Located<string>[];
  readonly patterns: readonly Located<string>[];
  readonly lengths: Lengths;
}

/** A string that obeys the facts. Codes: schema_unsupported. */
export function stringExpression(facts: Facts, rules: RuleSet, source: Source): Expression {
  const { minLength, maxLength } = facts;
  if (minLength.value > maxLength.value) {
    throw new ImpossibleSchema(
      minLength.pointer,
      'minLength is more than maxLength',
      'minLength が maxLength を超えています',
    );
  }
  const conditions = conditionsOf(facts, source);
  const { formats, patterns, lengths } = conditions;
  const count = formats.length + patterns.length;
  if (count === 0) return jsonString(rules, lengths.min, lengths.max);
  const inside = (count === 1 && alone(conditions)) || together(conditions, rules, source);
  return sequence(text('"'), inside, text('"'));
}

/** Whether a text obeys them; where a format is written narrowly, only if it could be written. */
export function obeysText(value: string, facts: Facts, source: Source): boolean {
  const { formats, patterns, lengths } = conditionsOf(facts, source);
  const points = Array.from(value, (character) => character.codePointAt(0) ?? 0);
  if (points.length < lengths.min || points.length > lengths.max) return false;
  return [...patterns, ...formats].every((one) => {
    const isPattern = patterns.includes(one);
    const all = isPattern
      ? readPattern(one)
      : [textOf(formatOf(one).unbounded ?? formatOf(one).written)];
    const own = isPattern ? 1 : STEPS_FOR_FORMAT;
    spend(source, one.pointer, own + Math.ceil(points.length / PATTERN_UNITS_PER_STEP));
    return all.every((condition) => runs(condition, points, one.pointer));
  });
}

const textOf = (written: Expression): Condition => ({
  part: partOf(written),
  isForbidden: false,
});

function runs(
  { part, isForbidden }: Condition,
  points: readonly number[],
  pointer: string,
): boolean {
  try {
    return new Deterministic(part).accepts(points) !== isForbidden;
  } catch (thrown) {
    if (!(thrown instanceof TooManyStates)) throw thrown;
    throw unsupportedSchema(pointer, 'it has too many states', '状態が多くなりすぎます');
  }
}

/** What is to be obeyed, in the words that this room understands. */
function conditionsOf(facts: Facts, source: Source): Conditions {
  const formats: Located<string>[] = [];
  const patterns: Located<string>[] = [];
  const addFormat = (value: string, pointer: string): void => {
    if (!formats.some((known) => known.value === value)) formats.push({ value, pointer });
  };
  for (const { value, pointer } of facts.formats) {
    // Other names than those of the specification are annotations there.
    if (!STANDARD_FORMATS.has(value)) continue;
    const pattern = PATTERN_FORMATS.get(value);
    if (pattern === undefined) addFormat(value, pointer);
    else patterns.push({ value: pattern, pointer });
  }
  for (const { value, pointer } of facts.patterns) {
    spend(source, pointer, Math.ceil(value.length / PATTERN_UNITS_PER_STEP));
    const known = withoutLookahead(value);
    if (known?.format !== undefined) addFormat(known.format, pointer);
    else patterns.push({ value: known?.pattern ?? value, pointer });
  }
  return { formats, patterns, lengths: { min: facts.minLength.value, max: facts.maxLength.value } };
}

/** One condition with lengths that change little; null where that is not so. */
function alone({ formats, patterns, lengths }: Conditions): Expression | null {
  const [pattern] = patterns;
  const [format] = formats;
  if (pattern !== undefined) return patternExpression(pattern, lengths);
  if (format === undefined) return null;
  const fitting = fittingOf(formatOf(format), lengths);
  return fitting !== null && fitting.min >= lengths.min ? fitting.written : null;
}

/**
 * The format, or a shorter form of it, that is never too long; where it may be too short, the shortest
 * that is not always so, since characters are counted beside it then.
 */
function fittingOf(format: Format, { min, max }: Lengths): Format | null {
  let found: Format | null = null;
  for (let form: Format | undefined = format; form !== undefined; form = form.shorter) {
    if (form.max > max) continue;
    if (form.min >= min) return form;
    if (form.max >= 2 * min) found = form;
  }
  return found;
}

function together(
  { formats, patterns, lengths }: Conditions,
  rules: RuleSet,
  source: Source,
): Expression {
  const all: Condition[] = patterns.flatMap(readPattern);
  let { min, max } = lengths;
  for (const format of formats) {
    const own = formatOf(format);
    const fitting = fittingOf(own, lengths);
    // Its own counts are enough, or those of the schema: both would only multiply.
    if (fitting !== null) max = Number.POSITIVE_INFINITY;
    if (fitting !== null && fitting.min >= min) min = 0;
    const isBound = fitting === null && lengths.max !== Number.POSITIVE_INFINITY;
    const { written, unbounded = written } = fitting ?? own;
    all.push(textOf(isBound ? unbounded : written));
  }
  const pointer = (patterns[0] ?? formats[0])?.pointer ?? '';
  return commonExpression(all, { min, max }, pointer, rules, () => spend(source, pointer));
}

function formatOf(format: Located<string>): Format {
  const known = FORMATS.get(format.value);
  if (known !== undefined) return known;
  throw unsupportedSchema(
    format.pointer,
    `format ${shown(format.value)} is not known here`,
    `format ${shown(format.value)} は使えません`,
  );
}
