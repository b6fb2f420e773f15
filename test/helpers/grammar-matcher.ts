/**
 * Reads and walks compiled grammars, in the plainest way: every place of the text against every rule,
 * remembered. Written from the layout in src/grammar/program.ts alone, so that a test can hold both the
 * compiler and the native engine against it. For short texts; it must never be fast at the cost of
 * being plain.
 */
import { OP, PROGRAM_VERSION } from '../../src/grammar/program.js';

/** An instruction as numbers: its op and what belongs to it. */
interface Step {
  readonly op: number;
  readonly numbers: readonly number[];
  /** Of UNTIL and FREE. */
  readonly texts: readonly (readonly number[])[];
}

/** The alternatives of every rule; rule 0 is the beginning. */
function read(program: Int32Array): Step[][][] {
  const at = (place: number): number => {
    const value = program[place];
    if (value === undefined) throw new Error(`place ${place} is outside the program`);
    return value;
  };
  if (at(0) !== PROGRAM_VERSION) throw new Error(`version ${at(0)}`);
  return Array.from({ length: at(1) }, (_, rule) => {
    const place = at(2 + rule);
    return Array.from({ length: at(place) }, (_, index) => {
      const steps: Step[] = [];
      for (let pc = at(place + 1 + index); at(pc) !== OP.END; ) pc = readStep(at, pc, steps);
      return steps;
    });
  });
}

function readStep(at: (place: number) => number, pc: number, into: Step[]): number {
  const op = at(pc);
  const slice = (from: number, count: number): number[] =>
    Array.from({ length: count }, (_, index) => at(from + index));
  if (op === OP.CHAR || op === OP.RULE || op === OP.REPEAT) {
    const count = op === OP.REPEAT ? 3 : 1;
    into.push({ op, numbers: slice(pc + 1, count), texts: [] });
    return pc + 1 + count;
  }
  if (op === OP.CLASS) {
    into.push({ op, numbers: slice(pc + 2, 2 * at(pc + 1)), texts: [] });
    return pc + 2 + 2 * at(pc + 1);
  }
  if (op !== OP.UNTIL && op !== OP.FREE) throw new Error(`op ${op} at ${pc}`);
  const texts: number[][] = [];
  let place = pc + 2;
  for (let left = at(pc + 1); left > 0; left--) {
    texts.push(slice(place + 1, at(place)));
    place += 1 + at(place);
  }
  into.push({ op, numbers: [], texts });
  return place;
}

const inRanges = (point: number, ranges: readonly number[]): boolean =>
  ranges.some(
    (first, index) => index % 2 === 0 && point >= first && point <= (ranges[index + 1] ?? 0),
  );

const pointsOf = (text: string): number[] =>
  Array.from(text, (character) => character.codePointAt(0) ?? 0);

/** Whether the program writes the text: wholly, as the beginning of something longer, or not at all. */
export function accepts(program: Int32Array, text: string): boolean | 'prefix' {
  return new Matcher(program, pointsOf(text)).verdict();
}

class Matcher {
  readonly #rules: Step[][][];
  readonly #text: readonly number[];
  readonly #known = new Map<string, ReadonlySet<number>>();
  #metEnd = false;

  constructor(program: Int32Array, text: readonly number[]) {
    this.#rules = read(program);
    this.#text = text;
  }

  verdict(): boolean | 'prefix' {
    if (this.#ends(0, 0).has(this.#text.length)) return true;
    return this.#metEnd ? 'prefix' : false;
  }

  /** Every place where a rule that begins at a place may end. */
  #ends(rule: number, from: number): ReadonlySet<number> {
    const key = `${rule} ${from}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const ends = new Set<number>();
    for (const steps of this.#rules[rule] ?? []) {
      let places = new Set([from]);
      for (const step of steps) {
        const next = new Set<number>();
        for (const place of places) for (const end of this.#step(step, place)) next.add(end);
        places = next;
      }
      for (const place of places) ends.add(place);
    }
    this.#known.set(key, ends);
    return ends;
  }

  #step({ op, numbers, texts }: Step, from: number): Iterable<number> {
    const [first = 0, min = 0, max = 0] = numbers;
    const point = this.#text[from];
    if (op === OP.RULE) return this.#ends(first, from);
    if (op === OP.REPEAT) return this.#repeat(first, min, max, from);
    if (op === OP.UNTIL || op === OP.FREE) return this.#search(texts, from, op === OP.UNTIL);
    if (point === undefined) {
      this.#metEnd = true;
      return [];
    }
    const matches = op === OP.CHAR ? point === first : inRanges(point, numbers);
    return matches ? [from + 1] : [];
  }

  #repeat(rule: number, min: number, max: number, from: number): Set<number> {
    const ends = new Set<number>();
    const seen = new Set<string>();
    const waiting: [count: number, place: number][] = [[0, from]];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const [count, place] = next;
      const key = `${count} ${place}`;
      if (seen.has(key)) continue;
      seen.add(key);
      if (count >= min) ends.add(place);
      if (max >= 0 && count >= max) continue;
      const after = max < 0 ? Math.min(count + 1, min) : count + 1;
      for (const end of this.#ends(rule, place)) waiting.push([after, end]);
    }
    return ends;
  }

  #search(texts: readonly (readonly number[])[], from: number, isUntil: boolean): number[] {
    const ends: number[] = isUntil ? [] : [from];
    for (let place = from; place < this.#text.length; place++) {
      const hit = texts.some(
        (text) =>
          place + 1 - from >= text.length &&
          text.every((point, index) => this.#text[place + 1 - text.length + index] === point),
      );
      if (hit) return isUntil ? [place + 1] : ends;
      if (!isUntil) ends.push(place + 1);
    }
    this.#metEnd = true;
    return ends;
  }
}

/** Numbers from 0 to 1 that depend on the seed only (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * A random sentence of the program. Past `budget` code points it takes the shortest ways to the end.
 */
export function walk(program: Int32Array, random: () => number, budget = 400): string {
  const rules = read(program);
  const costs = costsOf(rules);
  const out: number[] = [];
  const lineCost = (steps: readonly Step[]): number =>
    steps.reduce((sum, step) => sum + stepCost(step, costs), 0);
  const write = (rule: number): void => {
    const lines = rules[rule] ?? [];
    const least = Math.min(...lines.map(lineCost));
    const open = lines.filter((line) =>
      out.length < budget ? Number.isFinite(lineCost(line)) : lineCost(line) === least,
    );
    for (const step of open[Math.floor(random() * open.length)] ?? []) writeStep(step);
  };
  const writeStep = ({ op, numbers, texts }: Step): void => {
    const [first = 0, min = 0, max = 0] = numbers;
    if (op === OP.CHAR) out.push(first);
    else if (op === OP.CLASS) out.push(pick(numbers, random));
    else if (op === OP.RULE) write(first);
    else if (op === OP.REPEAT) {
      const most = max < 0 ? min + 6 : max;
      const span = random() < 0.5 ? Math.min(most, min + 3) : most;
      const count = min + Math.floor(random() * (span - min + 1));
      for (let done = 0; done < (out.length < budget ? count : min); done++) write(first);
    } else {
      for (let left = Math.floor(random() * 8); left > 0; left--) out.push(pick([97, 122], random));
      if (op === OP.UNTIL) out.push(...(texts[Math.floor(random() * texts.length)] ?? []));
    }
  };
  write(0);
  return String.fromCodePoint(...out);
}

/** One code point of a class; more often an ASCII one where there are some. */
function pick(ranges: readonly number[], random: () => number): number {
  const pairs: [number, number][] = [];
  for (let index = 0; index < ranges.length; index += 2) {
    pairs.push([ranges[index] ?? 0, ranges[index + 1] ?? 0]);
  }
  const ascii = pairs.filter(([first]) => first < 0x80).map(([a, b]) => [a, Math.min(b, 0x7e)]);
  const from = ascii.length > 0 && random() < 0.8 ? ascii : pairs;
  const [first = 0, last = 0] = from[Math.floor(random() * from.length)] ?? [];
  return first + Math.floor(random() * (Math.max(first, last) - first + 1));
}

function stepCost({ op, numbers, texts }: Step, costs: readonly number[]): number {
  const [first = 0, min = 0] = numbers;
  if (op === OP.RULE) return costs[first] ?? 0;
  if (op === OP.REPEAT) return min === 0 ? 0 : min * (costs[first] ?? 0);
  if (op === OP.UNTIL) return Math.min(...texts.map((text) => text.length));
  if (op === OP.CLASS && numbers.length === 0) return Number.POSITIVE_INFINITY;
  return op === OP.FREE ? 0 : 1;
}

/** The fewest code points of each rule, plus one for each rule on the way so that ways are finite. */
function costsOf(rules: readonly Step[][][]): number[] {
  const costs = rules.map(() => Number.POSITIVE_INFINITY);
  for (let changed = true; changed; ) {
    changed = false;
    for (const [index, lines] of rules.entries()) {
      for (const line of lines) {
        const cost = 1 + line.reduce((sum, step) => sum + stepCost(step, costs), 0);
        if (cost >= (costs[index] ?? 0)) continue;
        costs[index] = cost;
        changed = true;
      }
    }
  }
  return costs;
}
