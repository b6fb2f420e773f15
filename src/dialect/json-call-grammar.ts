/**
 * The grammar of calls that are JSON objects or stand before JSON: spaces and line breaks where models
 * put them. Pure, any thread; it must never know the marks around a call.
 */
import {
  choice,
  type Expression,
  optional,
  type RuleSet,
  sequence,
  text,
} from '../grammar/expression.js';
import { argumentsOf, GAP, listOf } from './binding.js';
import type { Tool } from './dialect.js';

const COLON = sequence(text(':'), optional(text(' ')));
/** Between members of an object, or items of an array. */
export const COMMA = sequence(text(','), GAP);

/** The keys of a call that is an object. */
export interface CallKeys {
  readonly name: string;
  readonly arguments: readonly string[];
  /** Members that may stand before the name, or after the arguments. */
  readonly before?: Expression;
  readonly after?: Expression;
}

export const PLAIN_KEYS: CallKeys = { name: 'name', arguments: ['arguments', 'parameters'] };

/** A key and its colon. */
export const keyOf = (...keys: readonly string[]): Expression =>
  sequence(text('"'), choice(...keys.map(text)), text('"'), COLON);

function givenOf(tool: Tool, rules: RuleSet, keys: readonly string[]): Expression {
  return rules.shared(`${keys} ${tool.name}`, () =>
    sequence(
      rules.shared(`key ${keys}`, () => keyOf(...keys)),
      argumentsOf(tool, rules),
    ),
  );
}

/** `{"name": "f", "arguments": …}`, in either order. Codes: schema_unsupported for a strict tool. */
export function objectCall(
  tool: Tool,
  rules: RuleSet,
  { name: nameKey, arguments: keys, before, after }: CallKeys,
): Expression {
  const name = rules.shared(`${nameKey} ${tool.name}`, () =>
    sequence(keyOf(nameKey), text(`"${tool.name}"`)),
  );
  const given = givenOf(tool, rules, keys);
  const first = before === undefined ? [] : [optional(sequence(before, COMMA))];
  const last = after === undefined ? [] : [optional(sequence(COMMA, after))];
  const inside = [
    sequence(...first, name, COMMA, given, ...last),
    sequence(...first, given, COMMA, name, ...last),
  ];
  if (tool.parameters === null) inside.push(sequence(...first, name));
  return sequence(text('{'), GAP, choice(...inside), GAP, text('}'));
}

/** Calls between brackets. */
export function callArray(call: Expression, parallel: boolean): Expression {
  return sequence(text('['), GAP, listOf(call, COMMA, parallel), GAP, text(']'));
}
