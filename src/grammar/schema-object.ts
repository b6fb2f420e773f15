/**
 * Objects of a JSON Schema: which members there can be, and what each is. Pure, any thread; names are
 * data and must never be looked up on an object that inherits any.
 */
import { type Expression, type RuleSet, sequence, text } from './expression.js';
import { anyJson, COLON, jsonObject } from './json.js';
import { ImpossibleSchema, shown, unsupportedSchema } from './refusal.js';
import type { Facts, Located, ObjectLayer, Place } from './schema-facts.js';
import { allowsKey, boundKey, listedKeys, otherKey } from './schema-key.js';
import { type Member, membersExpression } from './schema-members.js';
import { collectFacts, type Source } from './schema-merge.js';

/** Makes the expressions of the schemas inside. */
export interface Inside {
  readonly rules: RuleSet;
  readonly source: Source;
  /** How deep the value stands, for its indentation. */
  readonly depth: number;
  /** Whether the members of a small object may stand in any order. */
  readonly isAnyOrder: boolean;
  /** A value that obeys all of these. Codes: schema_unsupported. */
  build(places: readonly Place[]): Expression;
}

/** An object that obeys the facts. Codes: schema_unsupported. */
export function objectExpression(facts: Facts, inside: Inside): Expression {
  const { minProperties: min, maxProperties: max } = facts;
  const isCounted = min.value > 0 || max.value !== Number.POSITIVE_INFINITY;
  const isPlain = facts.objects.length + facts.required.size + facts.names.length === 0;
  if (isPlain && !isCounted) return jsonObject(inside.rules);
  const keys = facts.names.length > 0 ? collectFacts(facts.names, inside.source) : null;
  if (keys !== null && keys.groups.length > 0) {
    throw unsupportedSchema(
      facts.names[0]?.pointer ?? '',
      'propertyNames cannot have anyOf or oneOf',
      'propertyNames に anyOf・oneOf は使えません',
    );
  }
  const shape: Shape = { facts, keys, inside, isPlain };
  const names = declaredNames(shape);
  const members = [...names].flatMap((name) => memberOf(name, shape) ?? []);
  return membersExpression(members, extraMember(names, shape), facts, inside);
}

interface Shape {
  readonly facts: Facts;
  /** What propertyNames says of keys. */
  readonly keys: Facts | null;
  readonly inside: Inside;
  /** Nothing is said but how many members there are. */
  readonly isPlain: boolean;
}

function declaredNames({ facts, keys, inside }: Shape): Set<string> {
  const names = new Set<string>();
  for (const { properties } of facts.objects) for (const name of properties.keys()) names.add(name);
  for (const name of facts.required.keys()) names.add(name);
  for (const name of (keys && listedKeys(keys, inside.source)) ?? []) names.add(name);
  return names;
}

/** A key with its value; null for an optional one that can have none. */
function memberOf(name: string, { facts, keys, inside }: Shape): Member | null {
  const required = facts.required.get(name);
  try {
    if (keys !== null && !allowsKey(name, keys, inside.source)) {
      throw new ImpossibleSchema(
        required ?? facts.names[0]?.pointer ?? '',
        `propertyNames does not allow ${shown(name)}`,
        `propertyNames が ${shown(name)} を許していません`,
      );
    }
    const value = inside.build(facts.objects.flatMap((layer) => placesOf(name, layer, inside)));
    const whole = sequence(text(JSON.stringify(name)), COLON, value);
    const rule = inside.rules.add('member', () => whole);
    return { isRequired: required !== undefined, written: rule };
  } catch (thrown) {
    if (thrown instanceof ImpossibleSchema && required === undefined) return null;
    throw thrown;
  }
}

/** What one schema object says of the value of this key. */
function placesOf(
  name: string,
  { properties, patterned, additional }: ObjectLayer,
  { source }: Inside,
): Place[] {
  const own = properties.get(name);
  const places = own === undefined ? [] : [own];
  for (const { pattern, place } of patterned) {
    if (allowsKey(name, keyFacts(pattern, source), source)) places.push(place);
  }
  return places.length === 0 && additional !== null ? [additional] : places;
}

/** Of a thousand names every one is asked whether it matches. */
const keys = new WeakMap<Located<string>, Facts>();

function keyFacts(pattern: Located<string>, source: Source): Facts {
  const facts = keys.get(pattern) ?? collectFacts([], source);
  if (facts.patterns.length === 0) facts.patterns.push(pattern);
  keys.set(pattern, facts);
  return facts;
}

/** A key that is not declared, with its value; null where there is none. */
function extraMember(names: ReadonlySet<string>, shape: Shape): Expression | null {
  const { facts, keys, inside, isPlain } = shape;
  const { rules, source } = inside;
  if (keys !== null && listedKeys(keys, source) !== null) return null;
  const [patterned, other] = facts.objects.flatMap((layer) => layer.patterned);
  if (other !== undefined && names.size === 0) {
    throw unsupportedSchema(
      other.place.pointer,
      'patternProperties can have one pattern',
      'patternProperties のパターンは一つだけ使えます',
    );
  }
  if (other !== undefined) return null;
  const places = facts.objects.flatMap((layer) =>
    layer.patterned.length > 0
      ? layer.patterned.map(({ place }) => place)
      : (layer.additional ?? []),
  );
  if (places.length === 0 && !isPlain) {
    // Of names alone nothing follows about values.
    if (facts.objects.length > 0 || facts.required.size > 0) return null;
  }
  const patterns = patterned === undefined ? [] : [patterned.pattern];
  const bound = keys ?? (patterned && collectFacts([], source));
  const own = bound && { ...bound, patterns: [...bound.patterns, ...patterns] };
  // A declared key with a value that it must not have would count, if it came again.
  if (own && [...names].some((name) => allowsKey(name, own, source))) return null;
  try {
    const value = places.length === 0 ? anyJson(rules) : inside.build(places);
    const key = own
      ? boundKey(own, rules, source)
      : otherKey(names, places[0]?.pointer ?? '', rules);
    return rules.add('extra', () => sequence(key, COLON, value));
  } catch (thrown) {
    if (thrown instanceof ImpossibleSchema) return null;
    throw thrown;
  }
}
