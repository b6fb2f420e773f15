/**
 * Strings of a JSON Schema: lengths, patterns and formats, alone or together. Pure, any thread. It must
 * never drop one of several conditions.
 */
import { type Expression, type RuleSet, sequence, text } from './expression.js';
import { jsonString } from './json.js';
import { type Lengths, partOf, patternExpression } from './pattern.js';
import { commonExpression } from './pattern-common.js';
import { type Part, parsePattern } from './pattern-parse.js';
import { ImpossibleSchema, shown, unsupportedSchema } from './refusal.js';
import type { Facts, Located } from './schema-facts.js';
import { ANY_TEXT, FORMATS, type Format, STANDARD_FORMATS } from './schema-format.js';
import { type Source, spend } from './schema-merge.js';

/** A string that obeys the facts. Codes: schema_unsupported. */
export function stringExpression(facts: Facts, rules: RuleSet, source: Source): Expression {
  const { minLength, maxLength, patterns } = facts;
  if (minLength.value > maxLength.value) {
    throw new ImpossibleSchema(
      minLength.pointer,
      'minLength is more than maxLength',
      'minLength が maxLength を超えています',
    );
  }
  const lengths = { min: minLength.value, max: maxLength.value };
  const formats = facts.formats.filter(({ value }) => {
    // A name of one's own beside a pattern says what the pattern is for.
    const isNote = patterns.length > 0 && !STANDARD_FORMATS.has(value);
    return !ANY_TEXT.has(value) && !isNote;
  });
  if (formats.length + patterns.length === 0) return jsonString(rules, lengths.min, lengths.max);
  const inside =
    (formats.length + patterns.length === 1 && alone(formats, patterns, lengths)) ||
    together(formats, patterns, lengths, rules, source);
  return sequence(text('"'), inside, text('"'));
}

/** One condition with lengths that change little; null where that is not so. */
function alone(
  [format]: readonly Located<string>[],
  [pattern]: readonly Located<string>[],
  lengths: Lengths,
): Expression | null {
  if (pattern !== undefined) return patternExpression(pattern, lengths);
  if (format === undefined) return null;
  const { written, min, max } = formatOf(format);
  return min >= lengths.min && max <= lengths.max ? written : null;
}

function together(
  formats: readonly Located<string>[],
  patterns: readonly Located<string>[],
  lengths: Lengths,
  rules: RuleSet,
  source: Source,
): Expression {
  const parts: Part[] = patterns.map((pattern) => ({
    kind: 'choice',
    options: parsePattern(pattern),
  }));
  let open = lengths;
  for (const format of formats) {
    const { written, min, max, unbounded = written } = formatOf(format);
    const isWithin = min >= lengths.min && max <= lengths.max;
    // Its own counts are enough, or those of the schema: both would only multiply.
    if (isWithin) open = { min: 0, max: Number.POSITIVE_INFINITY };
    const isBound = !isWithin && lengths.max !== Number.POSITIVE_INFINITY;
    parts.push(partOf(isBound ? unbounded : written));
  }
  const pointer = (patterns[0] ?? formats[0])?.pointer ?? '';
  return commonExpression(parts, open, pointer, rules, () => spend(source, pointer));
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
