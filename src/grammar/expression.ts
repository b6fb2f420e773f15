/**
 * What a grammar is made of: expressions over code points, and rules that name them. Everything that
 * binds an output (GBNF text, JSON Schema, the syntax of tool calls) is first said in these, then
 * becomes a program (program.ts). Pure data, any thread; it must never know about tokens.
 */
import { MAX_RULES } from './program.js';
import { invalidGrammar } from './refusal.js';

/** A piece of a grammar. Code points, not UTF-16 units, wherever characters are counted. */
export type Expression =
  /** Exactly this text; '' matches nothing and takes nothing. */
  | { readonly kind: 'text'; readonly text: string }
  /** One code point of these ranges, both ends included; sorted, not touching one another. */
  | { readonly kind: 'class'; readonly ranges: readonly CodePointRange[] }
  /** A rule by its name. */
  | { readonly kind: 'rule'; readonly name: string }
  | { readonly kind: 'sequence'; readonly parts: readonly Expression[] }
  /** One of them; at least one. */
  | { readonly kind: 'choice'; readonly options: readonly Expression[] }
  /**
   * `min` to `max` times; max may be Infinity. Costs the same whatever the numbers are. `counted`: any
   * text is read with one count only, as the items of a JSON array are, so that it never adds to what
   * the engine must hold at once (check.ts).
   */
  | {
      readonly kind: 'repeat';
      readonly part: Expression;
      readonly min: number;
      readonly max: number;
      readonly counted?: true;
    }
  /** Any text up to and with the first occurrence of one of these (none of them empty). */
  | { readonly kind: 'until'; readonly texts: readonly string[] }
  /** Any text, also none, in which none of these occurs; it may end anywhere. */
  | { readonly kind: 'free'; readonly texts: readonly string[] };

/** First and last code point. */
export type CodePointRange = readonly [first: number, last: number];

/** Exactly this text. */
export const text = (value: string): Expression => ({ kind: 'text', text: value });
/** A rule by its name. */
export const rule = (name: string): Expression => ({ kind: 'rule', name });
/** One after the other. */
export const sequence = (...parts: readonly Expression[]): Expression => ({
  kind: 'sequence',
  parts,
});
/** One of several. */
export const choice = (...options: readonly Expression[]): Expression => ({
  kind: 'choice',
  options,
});
/** `min` to `max` times. */
export const repeat = (
  part: Expression,
  min: number,
  max = Number.POSITIVE_INFINITY,
): Expression => ({
  kind: 'repeat',
  part,
  min,
  max,
});
/** `min` to `max` times, where no text can be counted in two ways. */
export const counted = (part: Expression, min: number, max: number): Expression => ({
  kind: 'repeat',
  part,
  min,
  max,
  counted: true,
});
/** Once or not at all. */
export const optional = (part: Expression): Expression => repeat(part, 0, 1);
/** Any text up to and with the first of these. */
export const until = (...texts: readonly string[]): Expression => ({ kind: 'until', texts });
/** Any text without these. */
export const free = (...texts: readonly string[]): Expression => ({ kind: 'free', texts });

/** Every code point that UTF-8 can write: all but the surrogates. */
const CODE_POINTS: readonly CodePointRange[] = [
  [0, 0xd7ff],
  [0xe000, 0x10ffff],
];

/** The same code points, sorted, none twice and no two ranges touching. */
export function joinRanges(ranges: readonly CodePointRange[]): CodePointRange[] {
  const joined: [number, number][] = [];
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const before = joined.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else joined.push([first, last]);
  }
  return joined;
}

/** What is in both. */
export function commonRanges(
  a: readonly CodePointRange[],
  b: readonly CodePointRange[],
): CodePointRange[] {
  const common: CodePointRange[] = [];
  const right = joinRanges(b);
  let from = 0;
  for (const [first, last] of joinRanges(a)) {
    while ((right[from]?.[1] ?? Number.POSITIVE_INFINITY) < first) from++;
    for (let index = from; (right[index]?.[0] ?? Number.POSITIVE_INFINITY) <= last; index++) {
      const [start, end] = right[index] ?? [0, 0];
      common.push([Math.max(first, start), Math.min(last, end)]);
    }
  }
  return common;
}

/** Every code point but these; surrogates are never among them. */
export function otherRanges(ranges: readonly CodePointRange[]): CodePointRange[] {
  const others: CodePointRange[] = [];
  let next = 0;
  for (const [first, last] of joinRanges(ranges)) {
    if (first > next) others.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= 0x10ffff) others.push([next, 0x10ffff]);
  return commonRanges(others, CODE_POINTS);
}

/** One code point of these ranges, in any order. */
export const oneOf = (...ranges: readonly CodePointRange[]): Expression => ({
  kind: 'class',
  ranges: joinRanges(ranges),
});
/** One code point that is in none of these ranges. */
export const noneOf = (...ranges: readonly CodePointRange[]): Expression => ({
  kind: 'class',
  ranges: otherRanges(ranges),
});

/** The same with other names for the rules it refers to; recursive, so for what a parser has bounded. */
export function renamed(expression: Expression, nameOf: (name: string) => string): Expression {
  switch (expression.kind) {
    case 'rule':
      return rule(nameOf(expression.name));
    case 'sequence': {
      const parts: Expression[] = [];
      for (const part of expression.parts) parts.push(renamed(part, nameOf));
      return { kind: 'sequence', parts };
    }
    case 'choice': {
      const options: Expression[] = [];
      for (const option of expression.options) options.push(renamed(option, nameOf));
      return { kind: 'choice', options };
    }
    case 'repeat':
      return { ...expression, part: renamed(expression.part, nameOf) };
    default:
      return expression;
  }
}

/** The most work that may go into one grammar, in steps of some ten microseconds. */
const MAX_WORK = 30_000;
/** Rules that nothing reaches are left out of a program, so there may be more of them here. */
const MAX_NAMED = 2 * MAX_RULES;

/** Named rules under construction; the names are the grammar's own and never shown to a model. */
export class RuleSet {
  #work = 0;
  readonly #rules = new Map<string, Expression>();
  /** The number that a name is given next. */
  readonly #taken = new Map<string, number>();

  /** All rules by name. */
  get rules(): ReadonlyMap<string, Expression> {
    return this.#rules;
  }

  /**
   * Counts steps of work; false from where too much has gone into this grammar, or where so many rules
   * have been named that a program, which has nameless ones too, could not hold many more.
   */
  spend(steps: number): boolean {
    this.#work += steps;
    return this.#work <= MAX_WORK && this.#rules.size <= MAX_RULES / 2;
  }

  /**
   * A rule of this name, or where that is taken `name-2`, `name-3` …; for recursion, `make` gets the
   * reference before the rule exists. Codes: grammar_invalid where there are far too many.
   */
  add(name: string, make: (self: Expression) => Expression): Expression {
    if (this.#rules.size >= MAX_NAMED) {
      throw invalidGrammar(
        `it is too large: it has more than ${MAX_NAMED} rules`,
        `大きすぎます。規則が ${MAX_NAMED} 個を超えています`,
      );
    }
    let count = this.#taken.get(name) ?? 1;
    let free = count === 1 ? name : `${name}-${count}`;
    while (this.#rules.has(free)) free = `${name}-${++count}`;
    this.#taken.set(name, count + 1);
    const self = rule(free);
    // Reserved first: what `make` adds must not take the name.
    this.#rules.set(free, text(''));
    this.#rules.set(free, make(self));
    return self;
  }

  /** A rule that is made once and shared: the same name gives the same rule. */
  shared(name: string, make: (self: Expression) => Expression): Expression {
    return this.#rules.has(name) ? rule(name) : this.add(name, make);
  }
}
