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
import { ImpossibleSchema, SchemaTooLarge, shown, unsupportedSchema } from './refusal.js';
import type { Facts, Located } from './schema-facts.js';
import { FORMATS, PATTERN_FORMATS, STANDARD_FORMATS } from './schema-format.js';
import { isRefusal, type Source, spend } from './schema-merge.js';
import type { Format } from './schema-uri.js';

/** What it costs to write a pattern: see spend(). */
const PATTERN_UNITS_PER_STEP = 8;
/** And to make an automaton, and to hold texts against it. */
const STEPS_FOR_AUTOMATON = 10;
const CHARACTERS_PER_STEP = 16;

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

/** What a text is held against, made once for facts that many texts are asked of. */
interface Test {
  readonly lengths: Lengths;
  readonly automata: readonly {
    readonly automaton: Deterministic;
    readonly isForbidden: boolean;
    readonly pointer: string;
  }[];
}

const tests = new WeakMap<Facts, Test>();

/** Whether a text obeys them; where a format is written narrowly, only if it could be written. */
export function obeysText(value: string, facts: Facts, source: Source): boolean {
  const test = tests.get(facts) ?? testOf(facts, source);
  tests.set(facts, test);
  const points = Array.from(value, (character) => character.codePointAt(0) ?? 0);
  if (points.length < test.lengths.min || points.length > test.lengths.max) return false;
  return test.automata.every(({ automaton, isForbidden, pointer }) => {
    spend(source, pointer, Math.ceil(points.length / CHARACTERS_PER_STEP));
    return within(pointer, () => automaton.accepts(points)) !== isForbidden;
  });
}

function testOf(facts: Facts, source: Source): Test {
  const { formats, patterns, lengths } = conditionsOf(facts, source);
  const automata = [...patterns, ...formats].flatMap((one) => {
    const { pointer } = one;
    const isPattern = patterns.includes(one);
    spend(source, pointer, STEPS_FOR_AUTOMATON);
    const all = isPattern
      ? readPattern(one)
      : [textOf(formatOf(one).unbounded ?? formatOf(one).written)];
    return all.map(({ part, isForbidden }) => {
      const automaton = within(pointer, () => new Deterministic(part));
      return { automaton, isForbidden, pointer };
    });
  });
  return { lengths, automata };
}

const textOf = (written: Expression): Condition => ({
  part: partOf(written),
  isForbidden: false,
});

/** What an automaton says, while it is small enough. Codes: schema_unsupported. */
function within<T>(pointer: string, ask: () => T): T {
  try {
    return ask();
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

/** Several conditions at once; a format in the first of its forms that is small enough beside them. */
function together(conditions: Conditions, rules: RuleSet, source: Source): Expression {
  const { formats, patterns, lengths } = conditions;
  const pointer = (patterns[0] ?? formats[0])?.pointer ?? '';
  const written = patterns.flatMap(readPattern);
  const [format] = formats;
  const forms = format === undefined || formats.length > 1 ? [] : formsOf(format, lengths);
  const tries =
    forms.length > 0
      ? forms.map((form) => [form])
      : [formats.flatMap((one) => formsOf(one, lengths)[0] ?? [])];
  let refusal: unknown = null;
  for (const beside of tries) {
    const all = [...written, ...beside.map(({ form }) => textOf(form))];
    const open = {
      min: beside.some(({ min }) => min >= lengths.min) ? 0 : lengths.min,
      max: beside.some(({ max }) => max <= lengths.max) ? Number.POSITIVE_INFINITY : lengths.max,
    };
    try {
      return commonExpression(all, open, pointer, rules, (steps) => spend(source, pointer, steps));
    } catch (thrown) {
      refusal ??= thrown;
      if (!isRefusal(thrown) || thrown instanceof SchemaTooLarge) throw thrown;
    }
  }
  throw refusal;
}

/** In which forms a format may be tried, with the lengths that each has by itself. */
function formsOf(
  format: Located<string>,
  lengths: Lengths,
): { readonly form: Expression; readonly min: number; readonly max: number }[] {
  const own = formatOf(format);
  const forms: { form: Expression; min: number; max: number }[] = [];
  const { unbounded = own.written } = own;
  const endless = { form: unbounded, min: 0, max: Number.POSITIVE_INFINITY };
  for (let form = fittingOf(own, lengths); form !== null; form = form.shorter ?? null) {
    if (form.max >= lengths.min) forms.push({ form: form.written, min: form.min, max: form.max });
    if (forms.length === 1 && lengths.max === Number.POSITIVE_INFINITY) forms.push(endless);
  }
  return forms.length > 0 ? forms : [endless];
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
