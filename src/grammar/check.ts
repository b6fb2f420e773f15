/**
 * What a grammar must be before anything runs it: every rule can end, none begins with itself, and no
 * text leaves open more ways of reading it than the engine can hold. Pure, any thread; every pass is a
 * loop over the rules, never a recursion.
 */
import { type Circles, circles } from './circles.js';
import { type CodePointRange, joinRanges } from './expression.js';
import { invalidGrammar, shown } from './refusal.js';

/** One step of an alternative. A call with min 1 and max 1 is a plain one. */
export type Instruction =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'class'; readonly ranges: readonly CodePointRange[] }
  | {
      readonly kind: 'call';
      readonly rule: number;
      min: number;
      readonly max: number;
      readonly counted: boolean;
    }
  | { readonly kind: 'until' | 'free'; readonly texts: readonly string[] };

/** A rule without nesting; `name` is that of the named rule it is a part of. */
export interface FlatRule {
  readonly name: string;
  readonly alternatives: Instruction[][];
}

/**
 * The most counts that can be open at once: the product of the bounded repeats that stand in one
 * another. A repeat without an upper bound is counted up to its lower one only.
 */
export const MAX_OPEN_COUNTS = 10_000;
/**
 * The most counts below their lower bounds that can be alive at once: none of them stands for another,
 * so the engine follows each. Measured on vocabularies of 100,000 and 200,000 tokens.
 */
export const MAX_AMBIGUOUS_COUNTS = 32;
/** Where few tokens go on with the repeated part, as with digits or ASCII letters, it holds more. */
const NARROW = { codePoints: 256, factor: 5 };
/** What is looked at to tell a count that is sure from one that is not; beyond it, none is sure. */
const MAX_LOOKS = 1_000_000;
const MAX_ALTERNATIVES = 64;
const MAX_RANGES = 4096;
/** The most ways in which a rule may begin, counted along the calls that lead to each. */
export const MAX_BEGINNINGS = 10_000;

/**
 * Refuses what cannot be run, and lowers `min` to 0 where the repeated part may be empty, which is the
 * same language. Codes: grammar_invalid.
 */
export function checkRules(rules: readonly FlatRule[]): void {
  const endless = endlessRule(rules);
  if (endless !== null) {
    throw invalidGrammar(
      `rule ${shown(endless)} can never end`,
      `規則 ${shown(endless)} が終わることができません`,
    );
  }
  const empty = solve(rules, (step) => {
    if (step.kind === 'call') return step.min === 0 ? true : step.rule;
    return step.kind === 'free';
  });
  for (const { alternatives } of rules) {
    for (const line of alternatives) {
      for (const step of line) {
        if (step.kind === 'call' && step.max > 1 && empty[step.rule]) step.min = 0;
      }
    }
  }
  checkBeginnings(rules, empty);
  const order = circles(
    rules.map(({ alternatives }) =>
      alternatives.flatMap((line) =>
        line.flatMap((step) => (step.kind === 'call' ? step.rule : [])),
      ),
    ),
  );
  checkCounts(rules, order);
  new Ambiguity(rules, empty).check(order.groups);
}

/** The name of a rule that no finite text obeys, or null. */
export function endlessRule(rules: readonly FlatRule[]): string | null {
  const ends = solve(rules, (step) => {
    if (step.kind === 'call') return step.min === 0 ? true : step.rule;
    return step.kind !== 'class' || step.ranges.length > 0;
  });
  let rule = ends.indexOf(false);
  if (rule < 0) return null;
  // From whoever only leads to it, to the one that is in the way.
  for (const seen = new Set<number>(); !seen.has(rule); ) {
    seen.add(rule);
    const steps = (rules[rule]?.alternatives ?? []).flat();
    const next = steps.find((step) => step.kind === 'call' && step.min > 0 && !ends[step.rule]);
    if (next?.kind === 'call') rule = next.rule;
  }
  return rules[rule]?.name ?? null;
}

/**
 * For which rules some alternative holds throughout. `holds` says of a step: true, false, or the rule
 * on which it depends.
 */
function solve(
  rules: readonly FlatRule[],
  holds: (step: Instruction) => boolean | number,
): boolean[] {
  const solved = rules.map(() => false);
  const missing: number[] = [];
  const owners: number[] = [];
  const waiting: number[][] = rules.map(() => []);
  const ready: number[] = [];
  const settle = (rule: number): void => {
    if (solved[rule]) return;
    solved[rule] = true;
    ready.push(rule);
  };
  for (const [index, { alternatives }] of rules.entries()) {
    for (const line of alternatives) {
      const needs = needsOf(line, holds);
      if (needs === null) continue;
      if (needs.length === 0) settle(index);
      for (const need of needs) waiting[need]?.push(missing.length);
      if (needs.length === 0) continue;
      missing.push(needs.length);
      owners.push(index);
    }
  }
  for (let rule = ready.pop(); rule !== undefined; rule = ready.pop()) {
    for (const line of waiting[rule] ?? []) {
      const left = (missing[line] ?? 0) - 1;
      missing[line] = left;
      if (left === 0) settle(owners[line] ?? 0);
    }
  }
  return solved;
}

const NOTHING: readonly number[] = [];

/** The rules that all steps of an alternative depend on; null where one of them never holds. */
function needsOf(
  line: readonly Instruction[],
  holds: (step: Instruction) => boolean | number,
): readonly number[] | null {
  let needs: number[] | null = null;
  for (const step of line) {
    const held = holds(step);
    if (held === false) return null;
    if (held === true) continue;
    if (needs === null) needs = [held];
    else needs.push(held);
  }
  return needs ?? NOTHING;
}

/** Left recursion, and how many ways a rule may begin: both follow what can stand first. */
function checkBeginnings(rules: readonly FlatRule[], empty: readonly boolean[]): void {
  const first: number[][] = rules.map(() => []);
  const own = rules.map(() => 0);
  const canBeEmpty = (call: Extract<Instruction, { kind: 'call' }>): boolean =>
    call.min === 0 || empty[call.rule] === true;
  for (const [index, { alternatives }] of rules.entries()) {
    for (const line of alternatives) {
      let open = true;
      for (const step of line) {
        if (step.kind === 'call') first[index]?.push(step.rule);
        else own[index] = (own[index] ?? 0) + 1;
        open = step.kind === 'free' || (step.kind === 'call' && canBeEmpty(step));
        if (!open) break;
      }
      if (open) own[index] = (own[index] ?? 0) + 1;
    }
  }
  const order = leavesFirst(rules, first);
  const ways = own;
  for (const rule of order) {
    let sum = own[rule] ?? 0;
    for (const next of first[rule] ?? []) sum += ways[next] ?? 0;
    ways[rule] = sum;
    if (sum > MAX_BEGINNINGS) {
      const name = shown(rules[rule]?.name ?? '');
      throw invalidGrammar(
        `rule ${name} can begin in more than ${MAX_BEGINNINGS} ways`,
        `規則 ${name} の始まり方が ${MAX_BEGINNINGS} 通りを超えています`,
      );
    }
  }
}

/** Rules in an order in which everything that can stand first comes before; refuses a circle. */
function leavesFirst(rules: readonly FlatRule[], first: readonly number[][]): number[] {
  const open = first.map((next) => next.length);
  const users: number[][] = rules.map(() => []);
  for (const [index, next] of first.entries()) for (const rule of next) users[rule]?.push(index);
  const order: number[] = [];
  for (const [index, count] of open.entries()) if (count === 0) order.push(index);
  for (let place = 0; place < order.length; place++) {
    for (const user of users[order[place] ?? 0] ?? []) {
      open[user] = (open[user] ?? 0) - 1;
      if (open[user] === 0) order.push(user);
    }
  }
  if (order.length === rules.length) return order;
  // Whoever is left begins with someone who is left: walking there must come round.
  let rule = open.findIndex((count) => count > 0);
  for (const seen = new Set<number>(); !seen.has(rule); ) {
    seen.add(rule);
    rule = first[rule]?.find((next) => (open[next] ?? 0) > 0) ?? rule;
  }
  const name = shown(rules[rule]?.name ?? '');
  throw invalidGrammar(
    `rule ${name} begins with itself (left recursion)`,
    `規則 ${name} が自分自身から始まっています(左再帰)`,
  );
}

function checkCounts(rules: readonly FlatRule[], { group, groups }: Circles): void {
  const calls = rules.map(({ alternatives }) => {
    const own: Extract<Instruction, { kind: 'call' }>[] = [];
    for (const line of alternatives)
      for (const step of line) if (step.kind === 'call') own.push(step);
    return own;
  });
  const counts: number[] = [];
  // Groups come with whatever they call before them.
  for (const [number, members] of groups.entries()) {
    let inside = 1;
    let below = 1;
    for (const member of members) {
      for (const { rule, min, max, counted } of calls[member] ?? []) {
        const own = counted ? 1 : Math.max(1, Number.isFinite(max) ? max : min);
        if (group[rule] === number) inside = Math.max(inside, own);
        else below = Math.max(below, own * (counts[group[rule] ?? 0] ?? 1));
      }
    }
    counts[number] = inside * below;
    if (inside * below > MAX_OPEN_COUNTS) {
      const name = shown(rules[members[0] ?? 0]?.name ?? '');
      throw invalidGrammar(
        `the bounded repeats of rule ${name} multiply to more than ${MAX_OPEN_COUNTS}`,
        `規則 ${name} の回数つきの繰り返しを掛け合わせると ${MAX_OPEN_COUNTS} を超えます`,
      );
    }
  }
}

type Ranges = readonly CodePointRange[];
type Call = Extract<Instruction, { kind: 'call' }>;

/** What is known of a rule. */
interface Facts {
  /** What its texts begin with. */
  readonly first: Ranges;
  /** No text of it is the beginning of another: where it begins and ends is sure. */
  readonly isPrefixFree: boolean;
  /** Where it ends is not sure, although what follows its repeats is known. */
  readonly isLoose: boolean;
  /** Counts alive at once: where it begins at one place, */
  readonly once: number;
  /** and where it may have begun at many. */
  readonly anywhere: number;
}

const ANYTHING: Ranges = [[0, 0x10ffff]];
/** Of a rule that calls itself, while it is looked at. */
const UNKNOWN: Facts = {
  first: ANYTHING,
  isPrefixFree: false,
  isLoose: false,
  once: 1,
  anywhere: 1,
};

/**
 * Counts of the same repeat that differ because a text can be read in several ways. It errs on the side
 * of what the engine may hold: a grammar that proves too ambiguous still ends its own completion only.
 */
class Ambiguity {
  readonly #rules: readonly FlatRule[];
  readonly #empty: readonly boolean[];
  readonly #facts: Facts[] = [];
  #looks = 0;

  constructor(rules: readonly FlatRule[], empty: readonly boolean[]) {
    this.#rules = rules;
    this.#empty = empty;
  }

  /** `groups` with callees before callers. Codes: grammar_invalid. */
  check(groups: readonly (readonly number[])[]): void {
    for (const rule of groups.flat()) {
      const facts = this.#factsOf(this.#rules[rule]?.alternatives ?? []);
      this.#facts[rule] = facts;
      if (facts.once <= MAX_AMBIGUOUS_COUNTS) continue;
      const name = shown(this.#rules[rule]?.name ?? '');
      throw invalidGrammar(
        `rule ${name} is too ambiguous: a text of it can be counted in more than ${MAX_AMBIGUOUS_COUNTS} ways, all below the least number of repeats`,
        `規則 ${name} があいまいすぎます。最小回数に達するまでの数え方が ${MAX_AMBIGUOUS_COUNTS} 通りを超えます`,
      );
    }
  }

  #factsOf(lines: readonly (readonly Instruction[])[]): Facts {
    let once = 1;
    let anywhere = 1;
    let isLoose = false;
    const first: CodePointRange[] = [];
    for (const line of lines) {
      let open = false;
      for (const [place, step] of line.entries()) {
        if (step.kind !== 'call') continue;
        const part = this.#facts[step.rule] ?? UNKNOWN;
        const all = weight(step, part) * part.anywhere;
        const isSure = !open && (step.max === 1 || part.isPrefixFree);
        anywhere = Math.max(anywhere, all);
        once = Math.max(once, isSure ? part.once : all);
        open ||= this.#opens(step, part, line, place);
      }
      isLoose ||= open;
      if (first.length <= MAX_RANGES) first.push(...this.#first(line, 0));
    }
    return {
      first: this.#joined(first),
      isPrefixFree: this.#isPrefixFree(lines),
      isLoose,
      once,
      anywhere,
    };
  }

  /** Whether what follows a call may begin at several places. */
  #opens(step: Call, part: Facts, line: readonly Instruction[], place: number): boolean {
    if (step.min === 1 && step.max === 1) return part.isLoose;
    if (step.counted) return false;
    if (step.min === step.max) return !part.isPrefixFree;
    return this.#overlap(part.first, this.#first(line, place + 1));
  }

  #isPrefixFree(lines: readonly (readonly Instruction[])[]): boolean {
    if (lines.length > MAX_ALTERNATIVES) return false;
    if (!lines.every((line) => this.#endsSurely(line))) return false;
    if (lines.length === 1) return true;
    const firsts = lines.map((line) => this.#first(line, 0));
    const fixed = lines.map(fixedCharacters);
    for (const [index, line] of lines.entries()) {
      if (line.every((step) => this.#mayBeEmpty(step))) return false;
      for (let other = 0; other < index; other++) {
        if (!this.#overlap(firsts[index] ?? [], firsts[other] ?? [])) continue;
        const [a, b] = [fixed[index], fixed[other]];
        if (!a || !b || this.#isTired()) return false;
        if (a.length === b.length) continue;
        const shorter = a.length < b.length ? a : b;
        if (shorter.every((_, at) => this.#overlap(a[at] ?? [], b[at] ?? []))) return false;
      }
    }
    return !this.#isTired();
  }

  #endsSurely(line: readonly Instruction[]): boolean {
    return line.every((step, place) => {
      if (step.kind !== 'call') return step.kind !== 'free';
      const part = this.#facts[step.rule] ?? UNKNOWN;
      if (!part.isPrefixFree) return false;
      if (step.min === step.max) return true;
      const rest = line.slice(place + 1);
      return (
        !rest.every((next) => this.#mayBeEmpty(next)) &&
        !this.#overlap(part.first, this.#first(line, place + 1))
      );
    });
  }

  /** What a line may go on with from a place. */
  #first(line: readonly Instruction[], from: number): Ranges {
    const first: CodePointRange[] = [];
    for (let place = from; place < line.length; place++) {
      const step = line[place];
      if (step === undefined) break;
      const own = this.#firstOf(step);
      this.#looks += 1 + own.length;
      if (own.length > MAX_RANGES || this.#isTired()) return ANYTHING;
      first.push(...own);
      if (first.length > MAX_RANGES || !this.#mayBeEmpty(step)) break;
    }
    return this.#joined(first);
  }

  #joined(ranges: Ranges): Ranges {
    return ranges.length > MAX_RANGES || this.#isTired() ? ANYTHING : joinRanges(ranges);
  }

  #firstOf(step: Instruction): Ranges {
    if (step.kind === 'class') return step.ranges;
    if (step.kind === 'call') return (this.#facts[step.rule] ?? UNKNOWN).first;
    if (step.kind !== 'text') return ANYTHING;
    const point = step.text.codePointAt(0) ?? 0;
    return [[point, point]];
  }

  #mayBeEmpty(step: Instruction): boolean {
    if (step.kind !== 'call') return step.kind === 'free';
    return step.min === 0 || this.#empty[step.rule] === true;
  }

  /** Of two sorted lists. */
  #overlap(a: Ranges, b: Ranges): boolean {
    for (let left = 0, right = 0; ; ) {
      const [one, other] = [a[left], b[right]];
      if (one === undefined || other === undefined) return false;
      if (one[0] <= other[1] && other[0] <= one[1]) return true;
      if (++this.#looks > MAX_LOOKS) return true;
      if (one[1] < other[1]) left++;
      else right++;
    }
  }

  #isTired(): boolean {
    return this.#looks > MAX_LOOKS;
  }
}

/** How much a call's counts below its lower bound weigh. */
function weight({ min, max, counted }: Call, { first }: Facts): number {
  if (counted || max === 1 || min < 2) return 1;
  const points = first.reduce((sum, [from, to]) => sum + to - from + 1, 0);
  return points <= NARROW.codePoints ? Math.ceil(min / NARROW.factor) : min;
}

/** A line that is one character after the other; null where it is anything else. */
function fixedCharacters(line: readonly Instruction[]): Ranges[] | null {
  const characters: Ranges[] = [];
  for (const step of line) {
    if (step.kind === 'class') characters.push(step.ranges);
    else if (step.kind !== 'text') return null;
    else {
      for (const character of step.text) {
        const point = character.codePointAt(0) ?? 0;
        characters.push([[point, point]]);
      }
    }
  }
  return characters;
}
