/**
 * What several patterns have in common: a pattern and a length, two patterns, a pattern and a format.
 * Their automata are run side by side and written down as rules. Pure, any thread; an intersection may
 * be exponentially larger than its parts, so its states are bounded.
 */

import type { RuleSet } from './expression.js';
import {
  type CodePointRange,
  choice,
  type Expression,
  joinRanges,
  otherRanges,
  rule,
  sequence,
  text,
} from './expression.js';
import { type Lengths, written } from './pattern.js';
import { Deterministic, type Step, TooManyStates } from './pattern-automaton.js';
import type { Condition } from './pattern-parse.js';
import { ImpossibleSchema, unsupportedSchema } from './refusal.js';

/** The most states of all side by side, the count of characters included. */
const MAX_COMMON_STATES = 2_200;

/** So many ranges of characters are one step of work. */
const RANGES_PER_STEP = 40;

/** A state of each automaton with the characters so far, and where each character leads. */
interface Common {
  readonly states: readonly number[];
  readonly count: number;
  readonly isEnd: boolean;
  readonly next: Map<number, CodePointRange[]>;
}

/**
 * The inside of a JSON string that matches all of these wholly and has `lengths` code points. `spend`
 * is told of the work. Codes: schema_unsupported at the pointer, where there is no such string
 * or too many states to write down.
 */
export function commonExpression(
  conditions: readonly Condition[],
  lengths: Lengths,
  pointer: string,
  rules: RuleSet,
  spend: (steps: number) => void,
): Expression {
  const states = tryTogether(conditions, lengths, pointer, spend);
  const alive = leadingToEnd(states);
  if (!alive.has(0)) {
    throw new ImpossibleSchema(
      pointer,
      'no text matches it together with the other keywords of the string',
      'ほかの条件と同時に満たせる文字列がありません',
    );
  }
  const classes = new Map<string, Expression>();
  const classOf = (ranges: readonly CodePointRange[]): Expression => {
    const joined = joinRanges(ranges);
    const made = classes.get(joined.join()) ?? written(joined);
    classes.set(joined.join(), made);
    return made;
  };
  return rules.add('pattern', (self) => {
    const nameOf = (state: number): string => `${self.kind === 'rule' ? self.name : ''} ${state}`;
    for (const [number, state] of states.entries()) {
      if (!alive.has(number)) continue;
      const options = state.isEnd ? [text('')] : [];
      for (const [to, ranges] of state.next) {
        if (alive.has(to)) options.push(sequence(classOf(ranges), rule(nameOf(to))));
      }
      rules.add(nameOf(number), () => choice(...options));
    }
    return rule(nameOf(0));
  });
}

function tryTogether(
  conditions: readonly Condition[],
  lengths: Lengths,
  pointer: string,
  spend: (steps: number) => void,
): Common[] {
  try {
    return runTogether(conditions, lengths, spend);
  } catch (thrown) {
    if (!(thrown instanceof TooManyStates)) throw thrown;
    throw unsupportedSchema(
      pointer,
      'together with the other keywords of the string it has too many states',
      'ほかの条件と組み合わせると状態が多くなりすぎます',
    );
  }
}

/** An automaton of which the texts that lead to no end may be the ones that are meant. */
interface Side {
  readonly automaton: Deterministic;
  readonly isForbidden: boolean;
}

/** Where the automaton of what is forbidden is left: nothing that follows can be forbidden. */
const OUTSIDE = -1;
const ALL: readonly Step[] = [{ range: [0, 0x10ffff], to: OUTSIDE }];

function isEnd({ automaton, isForbidden }: Side, state: number): boolean {
  return state === OUTSIDE || automaton.isEnd(state) !== isForbidden;
}

/** The steps from a state; for what is forbidden, with those that lead outside. */
function nextOf({ automaton, isForbidden }: Side, state: number): readonly Step[] {
  if (state === OUTSIDE) return ALL;
  const steps = automaton.next(state);
  if (!isForbidden) return steps;
  const others = otherRanges(steps.map(({ range }) => range));
  const open = steps.filter(({ to }) => !automaton.isUniversal(to));
  return [...open, ...others.map((range) => ({ range, to: OUTSIDE }))];
}

function runTogether(
  conditions: readonly Condition[],
  { min, max }: Lengths,
  spend: (steps: number) => void,
): Common[] {
  const automata = conditions.map(
    ({ part, isForbidden }): Side => ({ automaton: new Deterministic(part), isForbidden }),
  );
  const states: Common[] = [];
  const known = new Map<string, number>();
  const stateOf = (inner: readonly number[], count: number): number => {
    const key = `${count} ${inner.join()}`;
    const number = known.get(key) ?? states.length;
    if (number < states.length) return number;
    if (number >= MAX_COMMON_STATES) throw new TooManyStates();
    // What a state costs grows with the automata that are in it.
    spend(automata.length);
    known.set(key, number);
    const isLast = count >= min && automata.every((one, index) => isEnd(one, inner[index] ?? 0));
    states.push({ states: inner, count, isEnd: isLast, next: new Map() });
    return number;
  };
  stateOf(
    automata.map(() => 0),
    0,
  );
  for (const { states: inner, count, next } of states) {
    if (count >= max) continue;
    // Without an upper bound only the way up to the lower one matters.
    const after = max === Number.POSITIVE_INFINITY ? Math.min(count + 1, min) : count + 1;
    const steps = stepsOf(automata, inner);
    spend(Math.ceil(steps.length / RANGES_PER_STEP));
    for (const { range, to } of steps) {
      const number = stateOf(to, after);
      const ranges = next.get(number);
      if (ranges === undefined) next.set(number, [range]);
      else ranges.push(range);
    }
  }
  return states;
}

/** The steps that all automata can take at once. */
function stepsOf(
  automata: readonly Side[],
  states: readonly number[],
): { readonly range: CodePointRange; readonly to: readonly number[] }[] {
  let all = [{ range: [0, 0x10ffff] as CodePointRange, to: [] as readonly number[] }];
  for (const [index, automaton] of automata.entries()) {
    const steps = nextOf(automaton, states[index] ?? 0);
    all = all.flatMap(({ range, to }) =>
      within(range, steps).map((step) => ({ range: step.range, to: [...to, step.to] })),
    );
  }
  return all;
}

function within([first, last]: CodePointRange, steps: readonly Step[]): Step[] {
  const found: Step[] = [];
  for (const { range, to } of steps) {
    const both: CodePointRange = [Math.max(first, range[0]), Math.min(last, range[1])];
    if (both[0] <= both[1]) found.push({ range: both, to });
  }
  return found;
}

/** The states from which the end can be reached. */
function leadingToEnd(states: readonly Common[]): Set<number> {
  const before: number[][] = states.map(() => []);
  const alive = new Set<number>();
  for (const [number, { next, isEnd }] of states.entries()) {
    for (const to of next.keys()) before[to]?.push(number);
    if (isEnd) alive.add(number);
  }
  for (const state of alive) for (const from of before[state] ?? []) alive.add(from);
  return alive;
}
