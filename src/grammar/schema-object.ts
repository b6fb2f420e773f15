/**
 * Objects of a JSON Schema: keys in the order in which they are declared, optional ones left out or
 * written, further ones at the end where the schema says so. Pure, any thread; names are data and must
 * never be looked up on an object that inherits any.
 */
import {
  type CodePointRange,
  choice,
  commonRanges,
  counted,
  type Expression,
  optional,
  otherRanges,
  type RuleSet,
  repeat,
  sequence,
  text,
} from './expression.js';
import { AFTER_COLON, jsonObject, jsonSpace, PLAIN_CHARACTER } from './json.js';
import { ImpossibleSchema, SchemaTooLarge, shown } from './refusal.js';
import type { Facts, Place } from './schema-facts.js';

/** Makes the expressions of the schemas inside. */
export interface Inside {
  readonly rules: RuleSet;
  /** How deep the value stands, for its indentation. */
  readonly depth: number;
  /** A value that obeys all of these. Codes: schema_unsupported. */
  build(places: readonly Place[]): Expression;
}

/** The longest key that is written beside the declared ones. */
const MAX_EXTRA_KEY = 64;
/** The most characters of declared names that further keys are kept apart from. */
const MAX_KEPT_APART = 20_000;

/** What that costs: see RuleSet.spend(). */
const CHARACTERS_PER_STEP = 2;

interface Member {
  readonly isRequired: boolean;
  readonly written: Expression;
}

/** An object that obeys the facts. Codes: schema_unsupported. */
export function objectExpression(facts: Facts, inside: Inside): Expression {
  const isPlain = facts.objects.length === 0 && facts.required.size === 0;
  if (isPlain && facts.names === null) return jsonObject(inside.rules);
  const names = declaredNames(facts);
  const members = [...names].flatMap((name) => memberOf(name, facts, inside) ?? []);
  return written(members, extraMember(facts, names, inside), inside);
}

function declaredNames(facts: Facts): Set<string> {
  const names = new Set<string>();
  for (const { properties } of facts.objects) for (const name of properties.keys()) names.add(name);
  for (const name of facts.required.keys()) names.add(name);
  for (const name of facts.names?.value ?? []) names.add(name);
  return names;
}

/** A key with its value; null for an optional one that can have none. */
function memberOf(name: string, facts: Facts, inside: Inside): Member | null {
  const required = facts.required.get(name);
  try {
    if (facts.names !== null && !facts.names.value.has(name)) {
      throw new ImpossibleSchema(
        required ?? facts.names.pointer,
        `propertyNames does not allow ${shown(name)}`,
        `propertyNames が ${shown(name)} を許していません`,
      );
    }
    const places = facts.objects.flatMap(
      ({ properties, additional }) => properties.get(name) ?? additional ?? [],
    );
    const value = inside.build(places);
    const whole = sequence(text(`${JSON.stringify(name)}:`), AFTER_COLON, value);
    const rule = inside.rules.add('member', () => whole);
    return { isRequired: required !== undefined, written: rule };
  } catch (thrown) {
    if (thrown instanceof ImpossibleSchema && required === undefined) return null;
    throw thrown;
  }
}

/** A key that is not declared, with its value; null where there is none. */
function extraMember(facts: Facts, names: ReadonlySet<string>, inside: Inside): Expression | null {
  const places = facts.objects.flatMap(({ additional }) => additional ?? []);
  if (places.length === 0 || facts.names !== null) return null;
  try {
    const value = inside.build(places);
    const key = otherKey(names, places[0]?.pointer ?? '', inside.rules);
    return inside.rules.add('extra', () =>
      sequence(text('"'), key, text('":'), AFTER_COLON, value),
    );
  } catch (thrown) {
    if (thrown instanceof ImpossibleSchema) return null;
    throw thrown;
  }
}

function written(members: readonly Member[], extra: Expression | null, inside: Inside): Expression {
  const { rules, depth } = inside;
  const space = jsonSpace(rules, depth + 1);
  const comma = sequence(text(','), space);
  // From the end: what may follow, once something has been written.
  let after: Expression[] = extra === null ? [] : [repeat(sequence(comma, extra), 0)];
  let starts: Expression[] = extra === null ? [] : [sequence(extra, ...after)];
  let mayBeEmpty = true;
  for (const { isRequired, written } of [...members].reverse()) {
    const rest = rules.add('members', () => sequence(...after));
    const start = sequence(written, rest);
    if (isRequired) {
      after = [comma, written, rest];
      starts = [start];
      mayBeEmpty = false;
    } else {
      after = [choice(sequence(comma, written, rest), rest)];
      starts = [start, ...starts];
    }
  }
  if (starts.length === 0) return sequence(text('{'), space, text('}'));
  const all = sequence(choice(...starts), jsonSpace(rules, depth));
  return sequence(text('{'), space, mayBeEmpty ? optional(all) : all, text('}'));
}

interface Branch {
  isName: boolean;
  readonly next: Map<number, Branch>;
}

/** A key without escapes that is none of these names. */
function otherKey(names: ReadonlySet<string>, pointer: string, rules: RuleSet): Expression {
  const top: Branch = { isName: false, next: new Map() };
  let size = 0;
  for (const name of names) {
    const points = Array.from(name, (character) => character.codePointAt(0) ?? 0);
    if (points.length > MAX_EXTRA_KEY) continue;
    size += points.length;
    const isCheap = rules.spend(points.length / CHARACTERS_PER_STEP);
    if (!isCheap || size > MAX_KEPT_APART) {
      throw new SchemaTooLarge(
        pointer,
        `the declared names have too many characters (one object may have ${MAX_KEPT_APART})`,
        `宣言された名前の文字数が多すぎます(一つのオブジェクトで ${MAX_KEPT_APART} まで)`,
      );
    }
    let branch = top;
    for (const point of points) {
      const next = branch.next.get(point) ?? { isName: false, next: new Map() };
      branch.next.set(point, next);
      branch = next;
    }
    branch.isName = true;
  }
  return keyFrom(top, 0);
}

const PLAIN: readonly CodePointRange[] =
  PLAIN_CHARACTER.kind === 'class' ? PLAIN_CHARACTER.ranges : [];

/** For ASCII, of which names are made: a thousand of them have few different ones. */
const plainButOne = new Map<number, Expression>();

/** A plain character that is none of these. */
function plainBut(points: readonly number[]): Expression {
  const [only] = points;
  const known = points.length === 1 ? plainButOne.get(only ?? 0) : undefined;
  if (known !== undefined) return known;
  const taken = points.map((point): CodePointRange => [point, point]);
  const others: Expression = { kind: 'class', ranges: commonRanges(PLAIN, otherRanges(taken)) };
  if (points.length === 1 && only !== undefined && only < 0x80) plainButOne.set(only, others);
  return others;
}

/** As deep as names are long: at most MAX_EXTRA_KEY. */
function keyFrom(branch: Branch, length: number): Expression {
  const left = MAX_EXTRA_KEY - length;
  if (branch.next.size === 0 && !branch.isName) return counted(PLAIN_CHARACTER, 0, left);
  const options: Expression[] = branch.isName ? [] : [text('')];
  if (left > 0) {
    const others = plainBut([...branch.next.keys()]);
    options.push(sequence(others, counted(PLAIN_CHARACTER, 0, left - 1)));
  }
  for (const [point, next] of branch.next) {
    const isPlain = commonRanges(PLAIN, [[point, point]]).length > 0;
    if (isPlain && (left > 1 || !next.isName)) {
      options.push(sequence(text(String.fromCodePoint(point)), keyFrom(next, length + 1)));
    }
  }
  return choice(...options);
}
