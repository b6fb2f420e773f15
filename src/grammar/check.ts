/**
 * What a grammar must be before anything runs it: every rule can end, none begins with itself, and no
 * text leaves open more ways of reading it than the engine can hold. Pure, any thread; every pass is a
 * loop over the rules, never a recursion.
 */
import type { CodePointRange } from './expression.js';
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
  checkCounts(rules);
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

function checkCounts(rules: readonly FlatRule[]): void {
  const calls = rules.map(({ alternatives }) => {
    const own: Extract<Instruction, { kind: 'call' }>[] = [];
    for (const line of alternatives)
      for (const step of line) if (step.kind === 'call') own.push(step);
    return own;
  });
  const { group, groups } = circles(calls.map((own) => own.map(({ rule }) => rule)));
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

/** Strongly connected rules (Tarjan 1972, with a stack of its own), callees before callers. */
function circles(calls: readonly number[][]): { group: number[]; groups: number[][] } {
  const index: number[] = [];
  const low: number[] = [];
  const group: number[] = [];
  const groups: number[][] = [];
  const path: number[] = [];
  let count = 0;
  for (const root of calls.keys()) {
    if (index[root] !== undefined) continue;
    const work: { readonly rule: number; next: number }[] = [{ rule: root, next: 0 }];
    for (let top = work.at(-1); top !== undefined; top = work.at(-1)) {
      const { rule } = top;
      if (top.next === 0) {
        index[rule] = count;
        low[rule] = count++;
        path.push(rule);
      }
      const callee = calls[rule]?.[top.next++];
      if (callee !== undefined) {
        if (index[callee] === undefined) work.push({ rule: callee, next: 0 });
        else if (group[callee] === undefined) {
          low[rule] = Math.min(low[rule] ?? 0, index[callee] ?? 0);
        }
        continue;
      }
      work.pop();
      const caller = work.at(-1)?.rule;
      if (caller !== undefined) low[caller] = Math.min(low[caller] ?? 0, low[rule] ?? 0);
      if (low[rule] !== index[rule]) continue;
      const members = path.splice(path.lastIndexOf(rule));
      for (const member of members) group[member] = groups.length;
      groups.push(members);
    }
  }
  return { group, groups };
}
