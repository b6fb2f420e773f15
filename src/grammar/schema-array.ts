/**
 * Arrays of a JSON Schema: what stands at each place, how many there are. Pure, any thread. It must
 * never unroll a count: a list of 100,000 costs what a list of one does.
 */
import { counted, type Expression, optional, sequence, text } from './expression.js';
import { jsonSpace } from './json.js';
import { ImpossibleSchema } from './refusal.js';
import type { Facts, Place } from './schema-facts.js';
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
