/**
 * Values of expressions. Runs in the template worker. Each node costs a step; what it calls charges what
 * it makes.
 */
import type { Arguments, CallNode, Expression } from './ast.js';
import { getAttribute, getItem, getSlice } from './attributes.js';
import type { Budget } from './budget.js';
import { Loop } from './loop.js';
import { binary, compare } from './operators.js';
import { runFilter, runTest } from './registry.js';
import type { Scope } from './scope.js';
import { join } from './strings.js';
import { repr, toText } from './text.js';
import {
  Callable,
  Dict,
  float,
  int,
  isFloat,
  isTrue,
  iterate,
  type Keywords,
  numberOf,
  orUndefined,
  Tuple,
  typeOf,
  Undefined,
  type Value,
} from './values.js';

const NO_KEYWORDS: Keywords = new Map();

/** The value of an expression; throws an Error in the template's or in Python's words. */
export function evaluate(node: Expression, scope: Scope, budget: Budget): Value {
  budget.step();
  switch (node.kind) {
    case 'constant':
      return node.value;
    case 'name':
      return orUndefined(scope.get(node.name), `'${node.name}' is undefined`);
    case 'attribute':
      return getAttribute(evaluate(node.target, scope, budget), node.name, budget);
    case 'item':
      return getItem(
        evaluate(node.target, scope, budget),
        evaluate(node.key, scope, budget),
        budget,
      );
    case 'slice': {
      const target = evaluate(node.target, scope, budget);
      const parts = node.parts.map((part) => (part ? evaluate(part, scope, budget) : null));
      return getSlice(target, parts, budget);
    }
    case 'call':
      return call(node, scope, budget);
    case 'filter': {
      if (!node.target) throw new Error('a filter needs a value');
      const value = evaluate(node.target, scope, budget);
      return filterValue(value, node, scope, budget);
    }
    case 'test': {
      const value = evaluate(node.target, scope, budget);
      const [args, keywords] = evaluateArguments(node, scope, budget);
      if (keywords.size > 0) throw new Error(`test '${node.name}' takes no keyword arguments`);
      return runTest(node.name, value, args, budget);
    }
    case 'binary': {
      const left = evaluate(node.left, scope, budget);
      return binary(node.operator, left, evaluate(node.right, scope, budget), budget);
    }
    case 'and': {
      const left = evaluate(node.left, scope, budget);
      return isTrue(left) ? evaluate(node.right, scope, budget) : left;
    }
    case 'or': {
      const left = evaluate(node.left, scope, budget);
      return isTrue(left) ? left : evaluate(node.right, scope, budget);
    }
    case 'not':
      return !isTrue(evaluate(node.target, scope, budget));
    case 'negative':
    case 'positive':
      return signed(node.kind, evaluate(node.target, scope, budget));
    case 'concat':
      return concatenated(node.items, scope, budget);
    case 'compare':
      return compared(node.first, node.rest, scope, budget);
    case 'condition': {
      if (isTrue(evaluate(node.test, scope, budget))) return evaluate(node.then, scope, budget);
      if (node.otherwise) return evaluate(node.otherwise, scope, budget);
      return new Undefined(
        'the inline if-expression evaluated to false and no else section was defined.',
      );
    }
    case 'list':
      return evaluateAll(node.items, scope, budget);
    case 'tuple':
      return new Tuple(evaluateAll(node.items, scope, budget));
    case 'dict': {
      const dict = new Dict();
      for (const [key, value] of node.rows) {
        dict.set(evaluate(key, scope, budget), evaluate(value, scope, budget));
      }
      return dict;
    }
  }
}

function evaluateAll(nodes: readonly Expression[], scope: Scope, budget: Budget): Value[] {
  return nodes.map((node) => evaluate(node, scope, budget));
}

/** The values of an argument list. */
export function evaluateArguments(
  node: Arguments,
  scope: Scope,
  budget: Budget,
): [Value[], Keywords] {
  const args = evaluateAll(node.args, scope, budget);
  if (node.extra) args.push(...iterate(evaluate(node.extra, scope, budget), budget));
  if (node.keywords.length === 0 && !node.extraKeywords) return [args, NO_KEYWORDS];
  const keywords = new Map<string, Value>();
  for (const [name, value] of node.keywords) keywords.set(name, evaluate(value, scope, budget));
  if (node.extraKeywords) {
    const more = evaluate(node.extraKeywords, scope, budget);
    if (!(more instanceof Dict)) throw new Error('argument after ** must be a mapping');
    for (const [key, value] of more.entries.values()) {
      if (typeof key !== 'string') throw new Error('keywords must be strings');
      if (keywords.has(key)) throw new Error(`got multiple values for keyword argument '${key}'`);
      keywords.set(key, value);
    }
  }
  return [args, keywords];
}

/** A value through one filter. */
export function filterValue(
  value: Value,
  node: Arguments & { readonly name: string },
  scope: Scope,
  budget: Budget,
): Value {
  const [args, keywords] = evaluateArguments(node, scope, budget);
  return runFilter(node.name, value, args, keywords, budget);
}

function call(node: CallNode, scope: Scope, budget: Budget): Value {
  const target = evaluate(node.target, scope, budget);
  const [args, keywords] = evaluateArguments(node, scope, budget);
  return callValue(target, args, keywords, budget);
}

/** Calls what can be called; throws for the rest. */
export function callValue(target: Value, args: Value[], keywords: Keywords, budget: Budget): Value {
  if (target instanceof Callable) return target.call(args, keywords);
  if (target instanceof Undefined) return target.fail();
  if (target instanceof Loop) {
    const [items] = args;
    if (!target.recurse) throw new Error("the loop must have the 'recursive' marker");
    if (items === undefined) throw new Error('loop() needs an iterable');
    return target.recurse(items);
  }
  throw new Error(
    `'${typeOf(target)}' object is not callable: ${repr(target, budget).slice(0, 100)}`,
  );
}

function signed(kind: 'negative' | 'positive', value: Value): Value {
  if (value instanceof Undefined) return value.fail();
  const number = numberOf(value);
  if (number === undefined) throw new Error(`bad operand type for unary sign: '${typeOf(value)}'`);
  const result = kind === 'negative' ? -number : number;
  return isFloat(value) ? float(result) : int(result);
}

function concatenated(nodes: readonly Expression[], scope: Scope, budget: Budget): Value {
  const parts = nodes.map((node) => toText(evaluate(node, scope, budget), budget));
  if (parts.length > 8) return join('', parts, budget);
  // Engines join two texts without a copy.
  return parts.reduce((text, part) => {
    budget.size(text.length + part.length);
    return text + part;
  }, '');
}

function compared(
  first: Expression,
  rest: readonly (readonly [string, Expression])[],
  scope: Scope,
  budget: Budget,
): Value {
  let left = evaluate(first, scope, budget);
  for (const [operator, node] of rest) {
    const right = evaluate(node, scope, budget);
    if (!compare(operator, left, right, budget)) return false;
    left = right;
  }
  return true;
}
