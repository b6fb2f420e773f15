/**
 * Expressions into the numbers of program.ts: nested choices and repeats become rules without a name,
 * all else stands in line. Pure, any thread. It must never recurse as deep as its input: what comes
 * here was written by a client.
 */
import { checkRules, type FlatRule, type Instruction } from './check.js';
import type { Expression, RuleSet } from './expression.js';
import { MAX_PROGRAM_LENGTH, MAX_RULES, OP, PROGRAM_VERSION } from './program.js';
import { invalidGrammar, shown } from './refusal.js';

/** How deep sequences may stand in sequences, choices in choices. */
const MAX_NESTING = 256;
/** How many expressions are looked at; a shared one counts wherever it stands. */
const MAX_VISITS = 4 * MAX_PROGRAM_LENGTH;
/** Without end, in a program. */
const ENDLESS = -1;
/** The largest number that a program holds. */
const LARGEST = 0x7fff_ffff;

/** Rules by name, as a RuleSet or as a map. */
export type Rules = RuleSet | ReadonlyMap<string, Expression>;

/**
 * The program of a grammar that begins with `root`. Rules that it does not reach are left out.
 * Codes: grammar_invalid for an unknown rule, left recursion, a rule without end, a grammar that is
 * too large, too deep, or that leaves open too many ways of reading a text (check.ts).
 */
export function compileProgram(root: Expression, rules: Rules): Int32Array {
  const flat = flatten(root, rules);
  checkRules(flat);
  return assemble(flat);
}

/** The same grammar with one level only: rules, their alternatives, their instructions. */
export function flatten(root: Expression, rules: Rules): FlatRule[] {
  const flattener = new Flattener('rules' in rules ? rules.rules : rules);
  flattener.begin(root);
  return flattener.flat;
}

class Flattener {
  readonly flat: FlatRule[] = [];
  readonly #rules: ReadonlyMap<string, Expression>;
  readonly #named = new Map<string, number>();
  readonly #nameless = new Map<Expression, number>();
  readonly #waiting: { readonly expression: Expression; readonly into: FlatRule }[] = [];
  #visits = 0;
  #length = 0;

  constructor(rules: ReadonlyMap<string, Expression>) {
    this.#rules = rules;
  }

  begin(root: Expression): void {
    this.#partOf(root, 'root');
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) {
      this.#alternatives(next.expression, next.into.name, next.into.alternatives, 0);
    }
  }

  #add(expression: Expression, name: string): number {
    if (this.flat.length >= MAX_RULES) throw tooLarge();
    const into: FlatRule = { name, alternatives: [] };
    this.flat.push(into);
    this.#waiting.push({ expression, into });
    return this.flat.length - 1;
  }

  #ruleOf(name: string, owner: string): number {
    const known = this.#named.get(name);
    if (known !== undefined) return known;
    const expression = this.#rules.get(name);
    if (expression === undefined) {
      throw invalidGrammar(
        `rule ${shown(owner)} names a rule that does not exist: ${shown(name)}`,
        `規則 ${shown(owner)} が、存在しない規則 ${shown(name)} を参照しています`,
      );
    }
    const number = this.#add(expression, name);
    this.#named.set(name, number);
    return number;
  }

  /** The rule that stands for a part; the same part is one rule. */
  #partOf(part: Expression, owner: string): number {
    if (part.kind === 'rule') return this.#ruleOf(part.name, owner);
    const known = this.#nameless.get(part);
    if (known !== undefined) return known;
    const number = this.#add(part, owner);
    this.#nameless.set(part, number);
    return number;
  }

  #alternatives(from: Expression, owner: string, into: Instruction[][], depth: number): void {
    this.#visit(depth);
    if (from.kind === 'choice') {
      for (const option of from.options) this.#alternatives(option, owner, into, depth + 1);
      return;
    }
    const [only] = from.kind === 'sequence' ? from.parts : [];
    if (from.kind === 'sequence' && from.parts.length === 1 && only !== undefined) {
      this.#alternatives(only, owner, into, depth + 1);
      return;
    }
    const line: Instruction[] = [];
    this.#line(from, owner, line, depth);
    this.#grow(2);
    into.push(line);
  }

  #line(from: Expression, owner: string, into: Instruction[], depth: number): void {
    this.#visit(depth);
    switch (from.kind) {
      case 'text':
        if (from.text === '') return;
        checkText(from.text, owner);
        this.#grow(2 * from.text.length);
        into.push({ kind: 'text', text: from.text });
        return;
      case 'class':
        this.#grow(2 + 2 * from.ranges.length);
        into.push({ kind: 'class', ranges: from.ranges });
        return;
      case 'rule': {
        const rule = this.#ruleOf(from.name, owner);
        this.#grow(2);
        into.push({ kind: 'call', rule, min: 1, max: 1, counted: true });
        return;
      }
      case 'sequence':
        for (const part of from.parts) this.#line(part, owner, into, depth + 1);
        return;
      case 'choice': {
        const [only] = from.options;
        if (from.options.length === 1 && only !== undefined) {
          this.#line(only, owner, into, depth + 1);
          return;
        }
        const rule = this.#partOf(from, owner);
        this.#grow(2);
        into.push({ kind: 'call', rule, min: 1, max: 1, counted: true });
        return;
      }
      case 'repeat':
        this.#repeat(from, owner, into, depth);
        return;
      case 'until':
      case 'free':
        if (from.texts.includes('') || (from.kind === 'until' && from.texts.length === 0)) {
          throw invalidGrammar(
            `rule ${shown(owner)} waits for an empty text`,
            `規則 ${shown(owner)} が空の文字列を待っています`,
          );
        }
        for (const text of from.texts) {
          checkText(text, owner);
          this.#grow(1 + text.length);
        }
        into.push({ kind: from.kind, texts: from.texts });
        return;
    }
  }

  #repeat(
    from: Extract<Expression, { kind: 'repeat' }>,
    owner: string,
    into: Instruction[],
    depth: number,
  ): void {
    const max = from.max >= LARGEST ? Number.POSITIVE_INFINITY : from.max;
    if (!(from.min >= 0 && from.min < LARGEST && from.min <= max)) {
      throw invalidGrammar(
        `rule ${shown(owner)} repeats ${from.min} to ${from.max} times`,
        `規則 ${shown(owner)} の繰り返しの回数が正しくありません(${from.min}〜${from.max})`,
      );
    }
    if (max === 0) return;
    if (from.min === 1 && max === 1) {
      this.#line(from.part, owner, into, depth + 1);
      return;
    }
    const rule = this.#partOf(from.part, owner);
    this.#grow(4);
    into.push({ kind: 'call', rule, min: from.min, max, counted: from.counted === true });
  }

  #visit(depth: number): void {
    if (++this.#visits > MAX_VISITS) throw tooLarge();
    if (depth > MAX_NESTING) {
      throw invalidGrammar(
        `it is nested more than ${MAX_NESTING} deep`,
        `入れ子が ${MAX_NESTING} 段を超えています`,
      );
    }
  }

  /** Counted early and a little too high, so that nothing large is ever built. */
  #grow(numbers: number): void {
    this.#length += numbers;
    if (this.#length > 2 * MAX_PROGRAM_LENGTH) throw tooLarge();
  }
}

/** Half of a surrogate pair is in no token's text: a model that has to write it can write nothing. */
function checkText(text: string, owner: string): void {
  if (!/\p{Surrogate}/u.test(text)) return;
  throw invalidGrammar(
    `rule ${shown(owner)} has half of a surrogate pair, which is no character`,
    `規則 ${shown(owner)} に、文字ではないもの(サロゲートの片方)があります`,
  );
}

function tooLarge(): Error {
  return invalidGrammar(
    `it is too large: a grammar has at most ${MAX_RULES} rules and ${MAX_PROGRAM_LENGTH} numbers`,
    `大きすぎます。文法は規則 ${MAX_RULES} 個、命令 ${MAX_PROGRAM_LENGTH} 語までです`,
  );
}

function assemble(rules: readonly FlatRule[]): Int32Array {
  const code: number[] = [PROGRAM_VERSION, rules.length];
  const start = code.length;
  for (let index = 0; index < rules.length; index++) code.push(0);
  for (const [index, { alternatives }] of rules.entries()) {
    code[start + index] = code.length;
    code.push(alternatives.length);
    const places = code.length;
    for (let count = 0; count < alternatives.length; count++) code.push(0);
    for (const [number, line] of alternatives.entries()) {
      code[places + number] = code.length;
      for (const instruction of line) write(instruction, code);
      code.push(OP.END);
      if (code.length > MAX_PROGRAM_LENGTH) throw tooLarge();
    }
  }
  return Int32Array.from(code);
}

function write(instruction: Instruction, code: number[]): void {
  switch (instruction.kind) {
    case 'text':
      for (const character of instruction.text) code.push(OP.CHAR, character.codePointAt(0) ?? 0);
      return;
    case 'class':
      code.push(OP.CLASS, instruction.ranges.length);
      for (const [first, last] of instruction.ranges) code.push(first, last);
      return;
    case 'call': {
      const { rule, min, max } = instruction;
      if (min === 1 && max === 1) code.push(OP.RULE, rule);
      else code.push(OP.REPEAT, rule, min, Number.isFinite(max) ? max : ENDLESS);
      return;
    }
    case 'until':
    case 'free':
      code.push(instruction.kind === 'until' ? OP.UNTIL : OP.FREE, instruction.texts.length);
      for (const text of instruction.texts) {
        const points = Array.from(text, (character) => character.codePointAt(0) ?? 0);
        code.push(points.length, ...points);
      }
      return;
  }
}
