/**
 * Runs the statements of a template and gathers its text. Runs in the template worker. Scopes follow
 * Jinja2: a loop's round, a macro and a captured block keep what they set to themselves, an `if` does not.
 */
import type { FilterNode, ForNode, MacroNode, Statement, Target } from './ast.js';
import type { Budget } from './budget.js';
import { callValue, evaluate, evaluateArguments, filterValue } from './evaluate.js';
import { Loop } from './loop.js';
import { Scope } from './scope.js';
import { toText } from './text.js';
import {
  Callable,
  Dict,
  isTrue,
  iterate,
  type Keywords,
  Namespace,
  Tuple,
  Undefined,
  type Value,
} from './values.js';

/** How a run of statements ended. */
type Flow = 'on' | 'break' | 'continue';

/** Runs one template once. */
export class Interpreter {
  readonly #budget: Budget;
  readonly #top: Scope;
  #text = '';

  constructor(top: Scope, budget: Budget) {
    this.#top = top;
    this.#budget = budget;
  }

  /** The text of the whole template. */
  run(body: readonly Statement[]): string {
    return this.#captured(body, this.#top)[0];
  }

  /** What a body writes, apart from the text around it. */
  #captured(body: readonly Statement[], scope: Scope): [string, Flow] {
    const around = this.#text;
    this.#text = '';
    const flow = this.#budget.nested(() => this.#all(body, scope));
    const text = this.#text;
    this.#text = around;
    return [text, flow];
  }

  #write(text: string): void {
    this.#budget.size(this.#text.length + text.length);
    this.#text += text;
  }

  #all(body: readonly Statement[], scope: Scope): Flow {
    for (const statement of body) {
      const flow = this.#one(statement, scope);
      if (flow !== 'on') return flow;
    }
    return 'on';
  }

  #one(node: Statement, scope: Scope): Flow {
    this.#budget.step();
    switch (node.kind) {
      case 'text':
        this.#write(node.text);
        return 'on';
      case 'print':
        this.#write(toText(evaluate(node.value, scope, this.#budget), this.#budget));
        return 'on';
      case 'if': {
        for (const [test, body] of node.branches) {
          if (isTrue(evaluate(test, scope, this.#budget))) return this.#all(body, scope);
        }
        return this.#all(node.otherwise, scope);
      }
      case 'for':
        this.#for(node, evaluate(node.iterable, scope, this.#budget), scope, 0);
        return 'on';
      case 'set':
        this.#assign(node.target, evaluate(node.value, scope, this.#budget), scope);
        return 'on';
      case 'capture': {
        const [text, flow] = this.#captured(node.body, new Scope(scope));
        if (flow !== 'on') return flow;
        this.#assign(node.target, this.#filtered(text, node.filter, scope), scope);
        return 'on';
      }
      case 'filter-block': {
        const [text, flow] = this.#captured(node.body, new Scope(scope));
        if (flow !== 'on') return flow;
        this.#write(toText(this.#filtered(text, node.filter, scope), this.#budget));
        return 'on';
      }
      case 'with': {
        const inner = new Scope(scope);
        const values = node.rows.map(([, value]) => evaluate(value, scope, this.#budget));
        for (const [index, [target]] of node.rows.entries()) {
          this.#assign(target, values[index] ?? null, inner);
        }
        return this.#all(node.body, inner);
      }
      case 'macro':
        scope.set(node.macro.name, this.#macro(node.macro, scope));
        return 'on';
      case 'call-block': {
        const [args, keywords] = evaluateArguments(node.call, scope, this.#budget);
        const caller = this.#macro(node.macro, scope);
        const target = evaluate(node.call.target, scope, this.#budget);
        const all = new Map([...keywords, ['caller', caller] as const]);
        this.#write(toText(callValue(target, args, all, this.#budget), this.#budget));
        return 'on';
      }
      case 'generation':
        return this.#all(node.body, new Scope(scope));
      case 'block':
        return this.#all(node.body, new Scope(this.#top));
      case 'refused':
        throw new Error(`{% ${node.tag} %} is refused: a model's template stands alone`);
      case 'break':
      case 'continue':
        return node.kind;
    }
  }

  #filtered(text: string, filter: FilterNode | null, scope: Scope): Value {
    if (!filter) return text;
    const target = filter.target;
    const value = target?.kind === 'filter' ? this.#filtered(text, target, scope) : text;
    return filterValue(value, filter, scope, this.#budget);
  }

  #for(node: ForNode, iterable: Value, scope: Scope, depth: number): void {
    const inner = new Scope(scope);
    // A list may grow while it is walked, as in Python.
    const isLive = Array.isArray(iterable) && !node.test;
    const items = isLive ? iterable : this.#items(node, iterable, inner);
    const recurse = node.recursive
      ? (value: Value): Value => this.#recursed(node, value, scope, depth + 1)
      : null;
    const loop = new Loop(items, depth, recurse, this.#budget);
    for (loop.index0 = 0; loop.index0 < items.length; loop.index0++) {
      this.#budget.step();
      inner.clear();
      inner.set('loop', loop);
      this.#assign(node.target, items[loop.index0] ?? null, inner);
      if (this.#all(node.body, inner) === 'break') break;
    }
    if (items.length === 0) this.#all(node.otherwise, new Scope(scope));
  }

  /** What a loop walks: all items, or those that pass its test. */
  #items({ test, target }: ForNode, iterable: Value, inner: Scope): readonly Value[] {
    const items = iterate(iterable, this.#budget);
    if (!test) return items;
    return items.filter((item) => {
      inner.clear();
      this.#assign(target, item, inner);
      return isTrue(evaluate(test, inner, this.#budget));
    });
  }

  #recursed(node: ForNode, value: Value, scope: Scope, depth: number): Value {
    const around = this.#text;
    this.#text = '';
    this.#budget.nested(() => this.#for(node, value, scope, depth));
    const text = this.#text;
    this.#text = around;
    return text;
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    if (target.kind === 'name') {
      scope.set(target.name, value);
    } else if (target.kind === 'member') {
      const owner = scope.get(target.name);
      if (!(owner instanceof Namespace)) {
        throw new Error('cannot assign attribute on non-namespace object');
      }
      owner.attributes.set(target.attribute, value);
    } else {
      const values = iterate(value, this.#budget);
      if (values.length !== target.items.length) {
        throw new Error(`expected ${target.items.length} values to unpack, got ${values.length}`);
      }
      for (const [index, item] of target.items.entries()) {
        this.#assign(item, values[index] ?? null, scope);
      }
    }
  }

  #macro(node: MacroNode, scope: Scope): Callable {
    const { name, parameters } = node;
    const call = (args: Value[], keywords: Keywords): Value => {
      const inner = new Scope(scope);
      this.#bind(node, args, keywords, inner);
      return this.#captured(node.body, inner)[0];
    };
    const attributes = new Map<string, Value>([
      ['name', name],
      ['arguments', new Tuple(parameters.map((one) => one.name))],
    ]);
    return new Callable(name, call, 'Macro', attributes);
  }

  #bind(
    { name, parameters, uses }: MacroNode,
    args: Value[],
    keywords: Keywords,
    inner: Scope,
  ): void {
    const rest = new Map(keywords);
    for (const [index, parameter] of parameters.entries()) {
      const value = index < args.length ? args[index] : rest.get(parameter.name);
      if (index >= args.length) rest.delete(parameter.name);
      inner.set(parameter.name, value === undefined ? this.#fallback(parameter, inner) : value);
    }
    if (uses.caller) {
      const caller = rest.get('caller');
      inner.set('caller', caller ?? new Undefined('No caller defined'));
      rest.delete('caller');
    }
    if (uses.kwargs) inner.set('kwargs', Dict.of(rest));
    else {
      for (const key of rest.keys())
        throw new Error(`macro '${name}' takes no keyword argument '${key}'`);
    }
    if (uses.varargs) inner.set('varargs', new Tuple(args.slice(parameters.length)));
    else if (args.length > parameters.length) {
      throw new Error(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
    }
  }

  #fallback({ name, fallback }: MacroNode['parameters'][number], inner: Scope): Value {
    if (fallback) return evaluate(fallback, inner, this.#budget);
    return new Undefined(`parameter '${name}' was not provided`);
  }
}
