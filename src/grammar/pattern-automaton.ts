/**
 * Patterns as automata: Thompson's construction, made deterministic one state at a time and only where
 * somebody looks. Pure, any thread; states and work are bounded.
 */
import type { CodePointRange } from './expression.js';
import { ANY_CHARACTER, type Part } from './pattern-parse.js';

/** The most states of one automaton, its counts written out. */
const MAX_STATES = 4_000;
/** The most steps that are looked at for one automaton. */
const MAX_STEPS = 50_000;

/** Where the characters of a range lead. */
export interface Step {
  readonly range: CodePointRange;
  readonly to: number;
}

/** Thrown where a bound is passed; whoever asked says what that means. */
export class TooManyStates extends Error {}

/** A nondeterministic automaton: begins at state 0, ends in `end`. */
interface Automaton {
  readonly steps: { readonly ranges: readonly CodePointRange[]; readonly to: number }[][];
  readonly silent: number[][];
  readonly end: number;
}

/** A deterministic automaton; state 0 is where it begins. Throws TooManyStates. */
export class Deterministic {
  readonly #automaton: Automaton;
  readonly #sets: (readonly number[])[] = [];
  readonly #known = new Map<string, number>();
  readonly #next = new Map<number, readonly Step[]>();
  /** States of the other automaton from which any text leads to the end. */
  readonly #universal: ReadonlySet<number>;
  #work = 0;

  constructor(part: Part) {
    this.#automaton = automatonOf(part);
    this.#universal = universalOf(this.#automaton);
    this.#stateOf([0]);
  }

  /** Whether these code points, all of them, lead to the end. */
  accepts(points: readonly number[]): boolean {
    let state = 0;
    for (const point of points) {
      const step = this.next(state).find(({ range }) => point >= range[0] && point <= range[1]);
      if (step === undefined) return false;
      state = step.to;
    }
    return this.isEnd(state);
  }

  isEnd(state: number): boolean {
    return this.#sets[state]?.includes(this.#automaton.end) === true;
  }

  /** Whether whatever follows leads to the end. */
  isUniversal(state: number): boolean {
    const [first = -1] = this.#sets[state] ?? [];
    return this.#universal.has(first);
  }

  /** The steps from a state, in order of their ranges, none overlapping another. */
  next(state: number): readonly Step[] {
    const known = this.#next.get(state);
    if (known !== undefined) return known;
    const { steps } = this.#automaton;
    const open = (this.#sets[state] ?? []).flatMap((inner) => steps[inner] ?? []);
    const found: Step[] = [];
    for (const range of pieces(open.flatMap(({ ranges }) => ranges))) {
      this.#work += open.length;
      if (this.#work > MAX_STEPS) throw new TooManyStates();
      const reached = open.filter(({ ranges }) => isIn(range[0], ranges)).map(({ to }) => to);
      if (reached.length === 0) continue;
      const to = this.#stateOf(reached);
      const before = found.at(-1);
      if (before?.to === to && before.range[1] + 1 === range[0]) {
        found[found.length - 1] = { range: [before.range[0], range[1]], to };
      } else found.push({ range, to });
    }
    this.#next.set(state, found);
    return found;
  }

  #stateOf(from: readonly number[]): number {
    const short = from.join();
    const before = this.#known.get(short);
    if (before !== undefined) return before;
    const all = withSilent(this.#automaton, from);
    // Where any text will do, it does not matter what else would.
    const any = all.find((state) => this.#universal.has(state));
    const set = any === undefined ? all : [any, ...withSilent(this.#automaton, [any])];
    this.#work += set.length;
    const key = `all ${set.join()}`;
    const number = this.#known.get(key) ?? this.#sets.push(set) - 1;
    if (number >= MAX_STATES) throw new TooManyStates();
    this.#known.set(key, number);
    this.#known.set(short, number);
    return number;
  }
}

/** Thompson's construction; a bounded count is written out. */
function automatonOf(part: Part): Automaton {
  const steps: Automaton['steps'] = [[]];
  const silent: number[][] = [[]];
  const state = (): number => {
    if (steps.length >= MAX_STATES) throw new TooManyStates();
    silent.push([]);
    return steps.push([]) - 1;
  };
  /** From a state to the one where the part has been read. */
  const add = (one: Part, from: number): number => {
    switch (one.kind) {
      case 'class': {
        const to = state();
        steps[from]?.push({ ranges: one.ranges, to });
        return to;
      }
      case 'sequence':
        return one.parts.reduce((place, inner) => add(inner, place), from);
      case 'choice': {
        const to = state();
        for (const option of one.options) {
          const begin = state();
          silent[from]?.push(begin);
          silent[add(option, begin)]?.push(to);
        }
        return to;
      }
      case 'repeat':
        return addRepeat(one, from);
    }
  };
  const addRepeat = (one: Extract<Part, { kind: 'repeat' }>, from: number): number => {
    let place = from;
    let begun: number | null = null;
    for (let count = 0; count < one.min; count++) {
      // Also where the part is empty: every round must count.
      begun = state();
      silent[place]?.push(begun);
      place = add(one.part, begun);
    }
    if (one.max === one.min) return place;
    const to = state();
    if (!Number.isFinite(one.max) && begun !== null) {
      // The last of those that must be there is also every further one.
      silent[place]?.push(begun);
      silent[place]?.push(to);
      return to;
    }
    if (!Number.isFinite(one.max)) {
      const begin = state();
      silent[place]?.push(begin);
      silent[begin]?.push(to);
      silent[add(one.part, begin)]?.push(begin);
      return to;
    }
    for (let count = one.min; count < one.max; count++) {
      silent[place]?.push(to);
      // A state of its own: what follows must not come back to what went before.
      const begin = state();
      silent[place]?.push(begin);
      place = add(one.part, begin);
    }
    silent[place]?.push(to);
    return to;
  };
  return { steps, silent, end: add(part, 0) };
}

/** Where any text at all may stand before the end: a loop over every character. */
function universalOf({ steps, silent, end }: Automaton): Set<number> {
  const universal = new Set<number>();
  for (const [state, own] of steps.entries()) {
    const [only] = own;
    if (own.length !== 1 || only?.ranges !== ANY_CHARACTER) continue;
    const reached = withSilent({ steps, silent, end }, [only.to]);
    if (reached.includes(state) && reached.includes(end)) universal.add(state);
  }
  return universal;
}

/** These states and all that are reached without a character, in order. */
function withSilent({ silent }: Automaton, from: readonly number[]): number[] {
  const reached = new Set(from);
  for (const state of reached) for (const next of silent[state] ?? []) reached.add(next);
  return [...reached].sort((a, b) => a - b);
}

/** The ranges cut where any of them begins or ends, so that each piece lies in or out of each. */
function pieces(ranges: readonly CodePointRange[]): CodePointRange[] {
  const cuts = new Set<number>();
  for (const [first, last] of ranges) cuts.add(first).add(last + 1);
  const sorted = [...cuts].sort((a, b) => a - b);
  return sorted.slice(0, -1).map((first, index) => [first, (sorted[index + 1] ?? 0) - 1]);
}

function isIn(point: number, ranges: readonly CodePointRange[]): boolean {
  return ranges.some(([first, last]) => point >= first && point <= last);
}
