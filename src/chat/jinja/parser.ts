/**
 * The grammar of statements: tokens to the tree of a template. Pure. Templates of a model stand alone:
 * what would load another one is read, and refused when it runs.
 */
import type { Expression, FilterNode, MacroNode, Program, Statement, Target } from './ast.js';
import { ExpressionParser } from './expressions.js';
import { type Token, tokenize } from './lexer.js';

/** Parses a source; throws an Error with the place of what it does not understand. */
export function parse(source: string): Program {
  return { type: 'template', body: new Parser(tokenize(source)).program() };
}

class Parser extends ExpressionParser {
  /** How many loops are around, of which `break` may leave one. */
  #loops = 0;

  program(): readonly Statement[] {
    const body = this.#until([]);
    if (this.unknown) throw this.unknown;
    return body;
  }

  /** Statements up to one of these tags, whose name is the current token then. */
  #until(ends: readonly string[]): readonly Statement[] {
    return this.nested(() => {
      const body: Statement[] = [];
      for (;;) {
        const token: Token = this.take();
        if (token.kind === 'data') {
          body.push({ kind: 'text', text: token.text });
        } else if (token.kind === 'print') {
          body.push({ kind: 'print', value: this.tuple() });
          this.expect('end-print');
        } else if (token.kind === 'open') {
          if (this.isName(...ends)) return body;
          body.push(...this.#statement());
          this.expect('close');
        } else if (ends.length > 0) {
          throw this.error(`expected ${ends.join(' or ')} before the end of the template`);
        } else {
          return body;
        }
      }
    });
  }

  /** A block's body and the name of the tag that ends it, which is taken. */
  #body(...ends: readonly string[]): readonly Statement[] {
    this.skip('operator', ':');
    this.expect('close');
    return this.#until(ends);
  }

  #closed(end: string): readonly Statement[] {
    const body = this.#body(end);
    this.take();
    return body;
  }

  /** A body with a scope of its own, in which an unknown filter is an error again. */
  #scoped(end: string): readonly Statement[] {
    return this.withSoft(false, () => this.#closed(end));
  }

  #statement(): readonly Statement[] {
    const tag = this.expect('name').text;
    switch (tag) {
      case 'if':
        return [this.withSoft(true, () => this.#if())];
      case 'for':
        return [this.#for()];
      case 'set':
        return [this.#set()];
      case 'macro':
        return [{ kind: 'macro', macro: this.#macro(this.#storedName()) }];
      case 'call':
        return [this.#callBlock()];
      case 'filter':
        return [this.#filterBlock()];
      case 'with':
        return [this.#with()];
      case 'print':
        return this.#print();
      case 'generation':
        return [{ kind: 'generation', body: this.#apart(() => this.#scoped('endgeneration')) }];
      case 'block':
        return [this.#block()];
      case 'break':
      case 'continue':
        if (this.#loops === 0) throw this.error(`'${tag}' outside loop`);
        return [{ kind: tag }];
      case 'include':
      case 'import':
      case 'from':
      case 'extends':
        while (!this.is('close') && !this.is('eof')) this.take();
        return [{ kind: 'refused', tag }];
      default:
        throw this.error(`Encountered unknown tag '${tag}'.`);
    }
  }

  /** A body that runs as a function of its own, so that no loop around it can be left. */
  #apart<T>(read: () => T): T {
    const loops = this.#loops;
    this.#loops = 0;
    const node = read();
    this.#loops = loops;
    return node;
  }

  #if(): Statement {
    const branches: [Expression, readonly Statement[]][] = [];
    let otherwise: readonly Statement[] = [];
    for (;;) {
      const test = this.tuple({ condition: false });
      branches.push([test, this.#body('elif', 'else', 'endif')]);
      const tag = this.take().text;
      if (tag === 'elif') continue;
      if (tag === 'else') otherwise = this.#closed('endif');
      return { kind: 'if', branches, otherwise };
    }
  }

  #for(): Statement {
    const target = this.#target('in');
    this.expect('name', 'in');
    return this.withSoft(false, () => {
      const iterable = this.tuple({ condition: false, end: 'recursive' });
      const test = this.skip('name', 'if') ? this.expression() : null;
      const recursive = this.skip('name', 'recursive');
      this.#loops += 1;
      const body = this.#body('endfor', 'else');
      this.#loops -= 1;
      const otherwise = this.take().text === 'else' ? this.#closed('endfor') : [];
      return { kind: 'for', target, iterable, test, recursive, body, otherwise };
    });
  }

  #set(): Statement {
    const next = this.look(1);
    const isMember = next.kind === 'operator' && next.text === '.';
    const target = isMember ? this.#member() : this.#target();
    if (this.skip('operator', '=')) return { kind: 'set', target, value: this.tuple() };
    const filter = this.filter(null);
    return { kind: 'capture', target, filter, body: this.#scoped('endset') };
  }

  #member(): Target {
    const name = this.expect('name').text;
    this.names.add(name);
    this.take();
    return { kind: 'member', name, attribute: this.expect('name').text };
  }

  #target(end?: string): Target {
    return this.#asTarget(this.tuple({ simple: true, ...(end === undefined ? {} : { end }) }));
  }

  #asTarget(node: Expression): Target {
    if (node.kind === 'name') return node;
    if (node.kind === 'tuple' || node.kind === 'list') {
      return { kind: 'targets', items: node.items.map((item) => this.#asTarget(item)) };
    }
    throw this.error(`can't assign to '${node.kind}'`);
  }

  #storedName(): string {
    const { text } = this.expect('name');
    if (/^(?:[Tt]rue|[Ff]alse|[Nn]one)$/.test(text)) throw this.error(`can't assign to '${text}'`);
    return text;
  }

  #macro(name: string): MacroNode {
    const parameters = this.#parameters();
    return this.#macroBody(name, parameters, 'endmacro');
  }

  #macroBody(name: string, parameters: MacroNode['parameters'], end: string): MacroNode {
    const around = this.names;
    this.names = new Set();
    const body = this.#apart(() => this.#scoped(end));
    const uses = {
      caller: this.names.has('caller') && !parameters.some((one) => one.name === 'caller'),
      kwargs: this.names.has('kwargs'),
      varargs: this.names.has('varargs'),
    };
    this.names = new Set([...around, ...this.names]);
    return { name, parameters, body, uses };
  }

  #parameters(): MacroNode['parameters'] {
    this.expect('operator', '(');
    const parameters: { name: string; fallback: Expression | null }[] = [];
    while (!this.is('operator', ')')) {
      if (parameters.length > 0) this.expect('operator', ',');
      const name = this.#storedName();
      const fallback = this.skip('operator', '=') ? this.expression() : null;
      if (!fallback && parameters.some((one) => one.fallback)) {
        throw this.error('non-default argument follows default argument');
      }
      if (parameters.some((one) => one.name === name)) {
        throw this.error(`duplicate argument '${name}'`);
      }
      parameters.push({ name, fallback });
    }
    this.take();
    return parameters;
  }

  #callBlock(): Statement {
    const parameters = this.is('operator', '(') ? this.#parameters() : [];
    const call = this.expression();
    if (call.kind !== 'call') throw this.error('expected call');
    return { kind: 'call-block', call, macro: this.#macroBody('caller', parameters, 'endcall') };
  }

  #filterBlock(): Statement {
    const filter: FilterNode | null = this.filter(null, true);
    if (!filter) throw this.error('expected a filter');
    return { kind: 'filter-block', filter, body: this.#scoped('endfilter') };
  }

  #with(): Statement {
    const rows: [Target, Expression][] = [];
    while (!this.is('close')) {
      if (rows.length > 0) this.expect('operator', ',');
      const target = this.#target();
      this.expect('operator', '=');
      rows.push([target, this.expression()]);
    }
    return { kind: 'with', rows, body: this.#scoped('endwith') };
  }

  #print(): readonly Statement[] {
    const printed: Statement[] = [];
    while (!this.is('close')) {
      if (printed.length > 0) this.expect('operator', ',');
      printed.push({ kind: 'print', value: this.expression() });
    }
    return printed;
  }

  #block(): Statement {
    const { text } = this.expect('name');
    this.skip('name', 'scoped');
    const body = this.#apart(() => this.#scoped('endblock'));
    this.skip('name', text);
    return { kind: 'block', body };
  }
}
