/**
 * Which bytes of a file are there: ranges that neither overlap nor touch, in their order. Pure; any
 * process. Ends are not included.
 */

/** From `start` up to, not including, `end`. */
export type Range = readonly [start: number, end: number];

/** A set of bytes that grows. */
export class Ranges {
  #list: Range[] = [];

  constructor(ranges: Iterable<Range> = []) {
    for (const range of ranges) this.add(range);
  }

  /** In their order. */
  list(): readonly Range[] {
    return [...this.#list];
  }

  /** How many bytes. */
  get bytes(): number {
    return this.#list.reduce((sum, [start, end]) => sum + end - start, 0);
  }

  add([start, end]: Range): void {
    if (end <= start) return;
    const apart = this.#list.filter(([from, to]) => to < start || from > end);
    const joined = this.#list.filter(([from, to]) => to >= start && from <= end);
    const range: Range = [
      Math.min(start, ...joined.map(([from]) => from)),
      Math.max(end, ...joined.map(([, to]) => to)),
    ];
    this.#list = [...apart, range].sort(([a], [b]) => a - b);
  }

  /** The first bytes below `size` that are neither here nor in `others`, `most` at most; null = none. */
  firstGap(size: number, most: number, others: Iterable<Range> = []): Range | null {
    const all = new Ranges([...this.#list, ...others]);
    let at = 0;
    for (const [start, end] of all.#list) {
      if (start > at) break;
      at = end;
    }
    if (at >= size) return null;
    const next = all.#list.find(([start]) => start > at)?.[0] ?? size;
    return [at, Math.min(next, size, at + most)];
  }
}

/** Ranges as they stand in a file, or null where they are none of a file of `size` bytes. */
export function readRanges(value: unknown, size: number): Ranges | null {
  if (!Array.isArray(value) || value.length > 10_000) return null;
  let last = 0;
  for (const pair of value) {
    if (!Array.isArray(pair) || pair.length !== 2) return null;
    const [start, end]: unknown[] = pair;
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end)) return null;
    // Checked on the line before.
    const [from, to] = [start as number, end as number];
    if (from < last || to <= from || to > size) return null;
    last = to;
  }
  return new Ranges(value as Range[]);
}
