/**
 * Arrays of a JSON Schema: what stands at each place, how many there are. Pure, any thread. It must
 * never unroll a count: a list of 100,000 costs what a list of one does.
 */
import { choice, counted, type Expression, optional, sequence, text } from './expression.js';
import { jsonSpace } from './json.js';
import { ImpossibleSchema, unsupportedSchema } from './refusal.js';
import { finiteTexts } from './schema-enum.js';
import type { Facts, Place } from './schema-facts.js';
import { collectFacts } from './schema-merge.js';
import type { Inside } from './schema-object.js';

/**
 * An array that obeys the facts. Items of a tuple are all written unless minItems says how many are
 * enough; beyond a tuple there are items only where the schema speaks of them, or asks for them.
 * Codes: schema_unsupported.
 */
export function arrayExpression(facts: Facts, inside: Inside): Expression {
  const { rules, depth } = inside;
  const space = jsonSpace(rules, depth + 1);
  const comma = sequence(text(','), space);
  const tuple = Math.max(0, ...facts.arrays.map(({ prefix }) => prefix.length));
  let least = facts.minItems.value;
  let most = facts.maxItems.value;
  if (least > most) {
    throw new ImpossibleSchema(
      facts.minItems.pointer,
      'minItems is more than maxItems',
      'minItems が maxItems を超えています',
    );
  }
  if (facts.minItems.pointer === '') least = Math.min(tuple, most);
  if (facts.unique !== null && Math.max(most, least) > 1) {
    return different(facts, facts.unique, { least, most, tuple }, inside);
  }
  const items: Expression[] = [];
  while (items.length < Math.min(tuple, most)) {
    const item = possible(placesAt(facts, items.length), items.length >= least, inside);
    if (item === null) break;
    items.push(item);
  }
  if (items.length < tuple) most = Math.min(most, items.length);
  const speaksOfRest = tuple === 0 || facts.arrays.some(({ rest }) => rest !== null);
  if (!speaksOfRest) most = Math.min(most, Math.max(least, tuple));
  const rest = most > tuple ? possible(placesAt(facts, tuple), least <= tuple, inside) : null;
  if (rest === null) most = Math.min(most, items.length);
  // From the end: what may follow the item before it.
  let tail: Expression = text('');
  if (rest !== null) {
    const taken = Math.max(1, items.length);
    tail = counted(sequence(comma, rest), Math.max(0, least - taken), most - taken);
    if (items.length === 0) items.push(rest);
  }
  for (let index = items.length - 1; index > 0; index--) {
    const next = sequence(comma, items[index] ?? text(''), tail);
    tail = rules.add('items', () => (index < least ? next : optional(next)));
  }
  const [first] = items;
  if (first === undefined) return sequence(text('['), space, text(']'));
  const all = sequence(first, tail, jsonSpace(rules, depth));
  return sequence(text('['), space, least > 0 ? all : optional(all), text(']'));
}

/** The most sets of items that may have been written before the next. */
const MAX_SETS = 256;

/**
 * Items of a list of values, none twice: what may follow depends on which have been written.
 * Codes: schema_unsupported at `pointer`, where there is no such list or it is too long.
 */
function different(
  facts: Facts,
  pointer: string,
  counts: { readonly least: number; readonly most: number; readonly tuple: number },
  { rules, depth, source }: Inside,
): Expression {
  const values =
    counts.tuple > 0 ? null : finiteTexts(collectFacts(placesAt(facts, 0), source), source);
  if (values === null || setsOf(values.length, counts.most) > MAX_SETS) {
    throw unsupportedSchema(
      pointer,
      'uniqueItems needs items of enum, const, boolean or null, of about 8 values at most',
      'uniqueItems は、enum・const・真偽値・null の項目(8 個ほどまで)にだけ使えます',
    );
  }
  const most = Math.min(counts.most, values.length);
  if (counts.least > most) {
    throw new ImpossibleSchema(
      facts.minItems.pointer,
      'there are not so many different items',
      'それだけの異なる項目がありません',
    );
  }
  const space = jsonSpace(rules, depth + 1);
  const end = jsonSpace(rules, depth);
  const made = new Map<number, Expression>();
  const rest = (set: number, count: number): Expression => {
    const known = made.get(set);
    if (known !== undefined) return known;
    const options: Expression[] = count >= counts.least ? [count > 0 ? end : text('')] : [];
    for (const [index, value] of count < most ? values.entries() : []) {
      if ((set & (1 << index)) !== 0) continue;
      const begin = count > 0 ? [text(','), space] : [];
      options.push(sequence(...begin, text(value), rest(set | (1 << index), count + 1)));
    }
    const rule = rules.add('different', () => choice(...options));
    made.set(set, rule);
    return rule;
  };
  return sequence(text('['), space, rest(0, 0), text(']'));
}

/** How many sets of at most `most` of `count` values there are. */
function setsOf(count: number, most: number): number {
  let sum = 0;
  let sets = 1;
  for (let size = 0; size <= Math.min(count, most) && sum <= MAX_SETS; size++) {
    sum += sets;
    sets = (sets * (count - size)) / (size + 1);
  }
  return count > 30 ? MAX_SETS + 1 : sum;
}

/** What must hold for the item at this place. */
function placesAt(facts: Facts, index: number): Place[] {
  return facts.arrays.flatMap(({ prefix, rest }) => prefix[index] ?? rest ?? []);
}

/** The item, or null where it cannot be and need not be. */
function possible(
  places: readonly Place[],
  mayBeMissing: boolean,
  inside: Inside,
): Expression | null {
  try {
    return inside.build(places);
  } catch (thrown) {
    if (mayBeMissing && thrown instanceof ImpossibleSchema) return null;
    throw thrown;
  }
}
