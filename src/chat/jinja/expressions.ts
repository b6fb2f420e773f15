/**
 * The grammar of expressions: tokens to trees, with the precedence of Jinja2's own parser. Pure.
 * Nesting is bounded, so that no template ends in a full stack.
 */
import type { Arguments, CallNode, Expression, FilterNode } from './ast.js';
import type { Token } from './lexer.js';
import { isFilter, isTest } from './registry.js';
import { float, int, type Value } from './values.js';

/** How deep expressions and blocks may be nested in the source. */
const MAX_NESTING = 150;
/** How many operators of one level may follow one another: each nests the tree once more. */
const MAX_CHAIN = 400;

const CONSTANTS: ReadonlyMap<string, boolean | null> = new Map([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
]);
const COMPARISONS = new Set(['==', '!=', '<', '<=', '>', '>=']);
const NOTHING: Arguments = { args: [], keywords: [], extra: null, extraKeywords: null };

/** Reads expressions off a list of tokens; the base of the parser of statements. */
export class ExpressionParser {
  readonly #tokens: readonly Token[];
  #next = 0;
  #nesting = 0;
  /** Names read so far, of which a macro looks at those of its body. */
  protected names = new Set<string>();
  /** In a branch that may never run an unknown filter is no error until it does. */
  protected soft = false;
  /** The first unknown name that no `if` makes harmless; an error once all is read. */
  protected unknown: Error | null = null;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  protected get current(): Token {
    return this.look(0);
  }

  protected look(ahead: number): Token {
    const token = this.#tokens[Math.min(this.#next + ahead, this.#tokens.length - 1)];
    if (!token) throw new Error('the template has no tokens');
    return token;
  }

  protected take(): Token {
    const token = this.current;
    this.#next += 1;
    return token;
  }

  protected is(kind: Token['kind'], text?: string): boolean {
    const { current } = this;
    return current.kind === kind && (text === undefined || current.text === text);
  }

  protected isName(...texts: readonly string[]): boolean {
    return this.current.kind === 'name' && texts.includes(this.current.text);
  }

  protected skip(kind: Token['kind'], text: string): boolean {
    const found = this.is(kind, text);
    if (found) this.#next += 1;
    return found;
  }

  protected expect(kind: Token['kind'], text?: string): Token {
    if (!this.is(kind, text)) throw this.error(`expected ${text ?? kind}, got ${this.#shown()}`);
    return this.take();
  }

  protected error(what: string): Error {
    return new Error(`${what} (at character ${this.current.at})`);
  }

  #shown(): string {
    return this.current.text === '' ? this.current.kind : `'${this.current.text}'`;
  }

  protected nested<T>(read: () => T): T {
    this.#nesting += 1;
    if (this.#nesting > MAX_NESTING) throw this.error('the template is nested too deeply');
    const node = read();
    this.#nesting -= 1;
    return node;
  }

  protected chained(count: number): void {
    if (count > MAX_CHAIN) throw this.error('an expression is too long');
  }

  protected withSoft<T>(soft: boolean, read: () => T): T {
    const before = this.soft;
    this.soft = soft;
    const node = read();
    this.soft = before;
    return node;
  }

  protected expression(withCondition = true): Expression {
    return this.nested(() => (withCondition ? this.#condition() : this.#or()));
  }

  #condition(): Expression {
    const before = this.unknown;
    let first = this.#or();
    // What precedes an `if` may never run either.
    if (this.isName('if')) this.unknown = before;
    for (let count = 0; this.skip('name', 'if'); count++) {
      this.chained(count);
      const then = first;
      first = this.withSoft(true, () => {
        const test = this.#or();
        const otherwise = this.skip('name', 'else') ? this.nested(() => this.#condition()) : null;
        return { kind: 'condition', test, then, otherwise };
      });
    }
    return first;
  }

  #or(): Expression {
    let left = this.#and();
    for (let count = 0; this.skip('name', 'or'); count++) {
      this.chained(count);
      left = { kind: 'or', left, right: this.#and() };
    }
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    for (let count = 0; this.skip('name', 'and'); count++) {
      this.chained(count);
      left = { kind: 'and', left, right: this.#not() };
    }
    return left;
  }

  #not(): Expression {
    if (!this.skip('name', 'not')) return this.#compare();
    return this.nested(() => ({ kind: 'not', target: this.#not() }));
  }

  #compare(): Expression {
    const first = this.#sum();
    const rest: [string, Expression][] = [];
    for (;;) {
      const { kind, text } = this.current;
      if (kind === 'operator' && COMPARISONS.has(text)) {
        this.take();
        rest.push([text, this.#sum()]);
      } else if (this.skip('name', 'in')) {
        rest.push(['in', this.#sum()]);
      } else if (this.isName('not') && this.look(1).kind === 'name' && this.look(1).text === 'in') {
        this.take();
        this.take();
        rest.push(['not in', this.#sum()]);
      } else {
        return rest.length === 0 ? first : { kind: 'compare', first, rest };
      }
    }
  }

  #sum(): Expression {
    return this.#binary(['+', '-'], () => this.#concat());
  }

  #concat(): Expression {
    const items = [this.#product()];
    while (this.skip('operator', '~')) items.push(this.#product());
    return items.length === 1 && items[0] ? items[0] : { kind: 'concat', items };
  }

  #product(): Expression {
    return this.#binary(['*', '/', '//', '%'], () => this.#power());
  }

  #power(): Expression {
    return this.#binary(['**'], () => this.#unary(true));
  }

  #binary(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    for (let count = 0; this.is('operator') && operators.includes(this.current.text); count++) {
      this.chained(count);
      const operator = this.take().text;
      left = { kind: 'binary', operator, left, right: operand() };
    }
    return left;
  }

  #unary(withFilter: boolean): Expression {
    let node: Expression;
    if (this.skip('operator', '-')) {
      node = this.nested(() => ({ kind: 'negative', target: this.#unary(false) }));
    } else if (this.skip('operator', '+')) {
      node = this.nested(() => ({ kind: 'positive', target: this.#unary(false) }));
    } else {
      node = this.primary();
    }
    node = this.#postfix(node);
    return withFilter ? this.#filtered(node) : node;
  }

  protected primary(): Expression {
    const token = this.take();
    switch (token.kind) {
      case 'name':
        return this.#named(token.text);
      case 'string': {
        let value = token.text;
        while (this.is('string')) value += this.take().text;
        return { kind: 'constant', value };
      }
      case 'int':
      case 'float':
        return { kind: 'constant', value: numberLiteral(token) };
      case 'operator':
        if (token.text === '(') {
          const node = this.nested(() => this.tuple({ parentheses: true }));
          this.expect('operator', ')');
          return node;
        }
        if (token.text === '[') return this.nested(() => this.#list());
        if (token.text === '{') return this.nested(() => this.#dict());
        break;
      default:
    }
    this.#next -= 1;
    throw this.error(`unexpected ${this.#shown()}`);
  }

  #named(name: string): Expression {
    const value = CONSTANTS.get(name);
    if (value !== undefined) return { kind: 'constant', value };
    this.names.add(name);
    return { kind: 'name', name };
  }

  /** One expression, or a tuple of those that commas part. */
  protected tuple(
    options: { condition?: boolean; end?: string; parentheses?: boolean; simple?: boolean } = {},
  ): Expression {
    const { condition = true, end, parentheses = false, simple = false } = options;
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) {
        if (!this.is('operator', ',')) break;
        this.take();
        isTuple = true;
      }
      if (this.#atTupleEnd(end)) break;
      items.push(simple ? this.primary() : this.expression(condition));
    }
    const [only] = items;
    if (!isTuple && only) return only;
    if (items.length === 0 && !parentheses)
      throw this.error(`expected an expression, got ${this.#shown()}`);
    return { kind: 'tuple', items };
  }

  #atTupleEnd(end: string | undefined): boolean {
    if (this.is('end-print') || this.is('close') || this.is('operator', ')')) return true;
    return end !== undefined && this.is('name', end);
  }

  #list(): Expression {
    const items: Expression[] = [];
    while (!this.is('operator', ']')) {
      if (items.length > 0) this.expect('operator', ',');
      if (this.is('operator', ']')) break;
      items.push(this.expression());
    }
    this.take();
    return { kind: 'list', items };
  }

  #dict(): Expression {
    const rows: [Expression, Expression][] = [];
    while (!this.is('operator', '}')) {
      if (rows.length > 0) this.expect('operator', ',');
      if (this.is('operator', '}')) break;
      const key = this.expression();
      this.expect('operator', ':');
      rows.push([key, this.expression()]);
    }
    this.take();
    return { kind: 'dict', rows };
  }

  #postfix(start: Expression): Expression {
    let node = start;
    for (let count = 0; ; count++) {
      this.chained(count);
      if (this.skip('operator', '.')) node = this.#dotted(node);
      else if (this.skip('operator', '[')) node = this.#subscript(node);
      else if (this.is('operator', '(')) node = this.#call(node);
      else return node;
    }
  }

  #dotted(target: Expression): Expression {
    if (this.is('int')) {
      return { kind: 'item', target, key: { kind: 'constant', value: numberLiteral(this.take()) } };
    }
    return { kind: 'attribute', target, name: this.expect('name').text };
  }

  #subscript(target: Expression): Expression {
    const keys: (Expression | readonly (Expression | null)[])[] = [];
    while (!this.is('operator', ']')) {
      if (keys.length > 0) this.expect('operator', ',');
      keys.push(this.#subscribed());
    }
    this.take();
    const [first] = keys;
    if (keys.length !== 1 || !first) throw this.error('expected one subscript');
    if ('kind' in first) return { kind: 'item', target, key: first };
    return { kind: 'slice', target, parts: first };
  }

  #subscribed(): Expression | readonly (Expression | null)[] {
    let first: Expression | null = null;
    if (!this.is('operator', ':')) {
      first = this.expression();
      if (!this.is('operator', ':')) return first;
    }
    this.take();
    const parts: (Expression | null)[] = [first];
    const ends = (): boolean => this.is('operator', ']') || this.is('operator', ',');
    parts.push(ends() || this.is('operator', ':') ? null : this.expression());
    if (this.skip('operator', ':') && !ends()) parts.push(this.expression());
    return parts;
  }

  #call(target: Expression): CallNode {
    return { kind: 'call', target, ...this.#arguments() };
  }

  #arguments(): Arguments {
    this.expect('operator', '(');
    const args: Expression[] = [];
    const keywords: [string, Expression][] = [];
    let extra: Expression | null = null;
    let extraKeywords: Expression | null = null;
    for (let first = true; !this.is('operator', ')'); first = false) {
      if (!first) {
        this.expect('operator', ',');
        if (this.is('operator', ')')) break;
      }
      if (!extra && !extraKeywords && this.skip('operator', '*')) extra = this.expression();
      else if (!extraKeywords && this.skip('operator', '**')) extraKeywords = this.expression();
      else if (!extraKeywords && this.#atKeyword()) {
        const name = this.take().text;
        this.take();
        keywords.push([name, this.expression()]);
      } else if (extra || extraKeywords || keywords.length > 0) {
        throw this.error('invalid syntax for function call expression');
      } else args.push(this.expression());
    }
    this.expect('operator', ')');
    if (new Set(keywords.map(([name]) => name)).size < keywords.length) {
      throw this.error('keyword argument repeated');
    }
    return { args, keywords, extra, extraKeywords };
  }

  #atKeyword(): boolean {
    const next = this.look(1);
    return this.is('name') && next.kind === 'operator' && next.text === '=';
  }

  #filtered(start: Expression): Expression {
    let node = start;
    for (let count = 0; ; count++) {
      this.chained(count);
      if (this.is('operator', '|')) node = this.filter(node) ?? node;
      else if (this.is('name', 'is')) node = this.#test(node);
      else if (this.is('operator', '(')) node = this.#call(node);
      else return node;
    }
  }

  /** A chain of filters; `inline` where its first bar is left out. */
  protected filter(start: Expression | null, inline = false): FilterNode | null {
    let node: FilterNode | null = null;
    for (let count = 0; this.is('operator', '|') || (inline && count === 0); count++) {
      this.chained(count);
      if (!inline || count > 0) this.take();
      const name = this.#dottedName();
      if (!isFilter(name)) this.#isUnknown(`No filter named '${name}'`);
      const args = this.is('operator', '(') ? this.#arguments() : NOTHING;
      node = { kind: 'filter', target: node ?? start, name, ...args };
    }
    return node;
  }

  #isUnknown(what: string): void {
    if (!this.soft) this.unknown ??= this.error(what);
  }

  #dottedName(): string {
    let name = this.expect('name').text;
    while (this.skip('operator', '.')) name += `.${this.expect('name').text}`;
    return name;
  }

  #test(target: Expression): Expression {
    this.take();
    const negated = this.skip('name', 'not');
    const name = this.#dottedName();
    if (!isTest(name)) this.#isUnknown(`No test named '${name}'`);
    let args = NOTHING;
    if (this.is('operator', '(')) {
      args = this.#arguments();
    } else if (this.#atTestArgument()) {
      if (this.is('name', 'is')) throw this.error('You cannot chain multiple tests with is');
      args = { ...NOTHING, args: [this.#postfix(this.primary())] };
    }
    const test: Expression = { kind: 'test', target, name, ...args };
    return negated ? { kind: 'not', target: test } : test;
  }

  #atTestArgument(): boolean {
    if (this.isName('else', 'or', 'and')) return false;
    const { kind, text } = this.current;
    return /^(?:name|string|int|float)$/.test(kind) || (kind === 'operator' && /^[[{]$/.test(text));
  }
}

function numberLiteral({ kind, text }: Token): Value {
  const value = Number(text.replaceAll('_', ''));
  return kind === 'float' ? float(value) : int(value);
}
