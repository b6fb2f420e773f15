/**
 * In which order those who wait are served. Pure functions; server's main thread.
 * First by priority, then requests whose model is in memory, then by arrival; but nobody is overtaken
 * more often than he may be. It must never know how a turn is taken.
 */
import type { Priority } from './lease.js';

/** What the order is made of. */
export interface Queued {
  readonly priority: Priority;
  /** Later ones have larger numbers. */
  readonly arrival: number;
  /** How often it was overtaken. */
  readonly skips: number;
}

/**
 * Where a request stands: its model is in memory, or on its way (`served`); it waits for a place that
 * requests of other models keep from it, who would overtake it (the name of the kind of place); or it
 * is in nobody's way (null).
 */
export type Standing = 'served' | 'aside' | { readonly lane: string };

/** Whether they compete: `late` has come later and, served first, overtakes `early`. */
export function overtakes(late: Queued, early: Queued): boolean {
  return late.priority === early.priority && late.arrival > early.arrival;
}

/**
 * All of them in the order in which they will be served, as things are. `laneOf` tells of a served one
 * which places it keeps occupied.
 */
export function turnOrder<T extends Queued>(
  waiters: readonly T[],
  standingOf: (waiter: T) => Standing,
  laneOf: (waiter: T) => string | null,
  maxSkips: number,
): readonly T[] {
  const byArrival = [...waiters].sort((one, other) => one.arrival - other.arrival);
  const classes = (['interactive', 'batch'] as const).map((priority) =>
    byArrival.filter((waiter) => waiter.priority === priority),
  );
  return classes.flatMap((members) => {
    const line = new Line<T>(maxSkips);
    for (const waiter of members) {
      const standing = standingOf(waiter);
      if (typeof standing === 'object') line.hold(waiter, standing.lane);
      else line.pass(waiter, standing === 'served' ? laneOf(waiter) : null);
    }
    return line.end();
  });
}

/** One class on its way into order: those who may be overtaken are held until they may not any more. */
class Line<T extends Queued> {
  readonly #ordered: T[] = [];
  readonly #maxSkips: number;
  /** Held ones of each lane, with the skips they will have had. */
  readonly #held = new Map<string, { readonly waiter: T; skips: number }[]>();

  constructor(maxSkips: number) {
    this.#maxSkips = maxSkips;
  }

  hold(waiter: T, lane: string): void {
    const held = this.#held.get(lane);
    const one = { waiter, skips: waiter.skips };
    if (held) held.push(one);
    else this.#held.set(lane, [one]);
  }

  /** Lets one pass all that are held in its lane; those who cannot be passed go before it. */
  pass(waiter: T, lane: string | null): void {
    const held = lane === null ? undefined : this.#held.get(lane);
    if (held) {
      const last = held.findLastIndex(({ skips }) => skips >= this.#maxSkips);
      for (const one of held.splice(0, last + 1)) this.#ordered.push(one.waiter);
      for (const one of held) one.skips += 1;
    }
    this.#ordered.push(waiter);
  }

  end(): readonly T[] {
    const rest = [...this.#held.values()].flat().map(({ waiter }) => waiter);
    return [...this.#ordered, ...rest.sort((one, other) => one.arrival - other.arrival)];
  }
}
