/**
 * Several choices of one request: side by side on slots that nobody else waits for, else one after the
 * other. Server's main thread, one call per request, on a lease that the caller holds. It must never wait
 * for a slot, and leave none taken and no choice running however it ends.
 */
import { HoshikageError } from '../errors.js';
import type { ExtraSlot, Lease } from '../resources/lease.js';

/** One choice; it is called once, or never where another has failed before. */
export type Work<E> = (signal: AbortSignal) => AsyncGenerator<E, unknown, undefined>;

/**
 * The events of all works: of each in its order, those of different ones mixed as they come where there
 * are slots for more than one. The first error ends them all and is thrown. The signal ends them, too.
 */
export async function* sideBySide<E>(
  works: readonly Work<E>[],
  lease: Pick<Lease, 'more'>,
  signal: AbortSignal,
): AsyncGenerator<E, void, undefined> {
  const extra = works.length > 1 ? lease.more(works.length - 1) : [];
  if (extra.length === 0) {
    for (const work of works) yield* work(signal);
    return;
  }
  const lines = new Lines(works);
  const end = (): void => lines.end();
  signal.addEventListener('abort', end, { once: true });
  try {
    if (signal.aborted) end();
    lines.start([null, ...extra]);
    yield* lines.events();
  } finally {
    signal.removeEventListener('abort', end);
    lines.end();
    await lines.over;
  }
}

/**
 * As many works at once as there are slots; each slot takes the next one when its own is done, but for
 * an extra one that somebody waits for: what is left then is for the others.
 */
class Lines<E> {
  /** Settles when none is running any more, and all slots have been given back. */
  over: Promise<unknown> = Promise.resolve();
  readonly #left: Iterator<Work<E>>;
  readonly #ending = new AbortController();
  readonly #events: E[] = [];
  #running = 0;
  #failure: { readonly error: unknown } | null = null;
  #wake: () => void = () => {};

  constructor(works: readonly Work<E>[]) {
    this.#left = works.values();
  }

  /** Null is the slot of the lease, which its holder gives back. */
  start(slots: readonly (ExtraSlot | null)[]): void {
    this.#running = slots.length;
    this.over = Promise.all(slots.map((slot) => this.#run(slot)));
  }

  end(): void {
    this.#ending.abort();
  }

  async *events(): AsyncGenerator<E, void, undefined> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) yield event;
      else if (this.#running === 0) break;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
    if (this.#failure) throw this.#failure.error;
  }

  async #run(slot: ExtraSlot | null): Promise<void> {
    const { signal } = this.#ending;
    try {
      while (!signal.aborted && !slot?.isWanted()) {
        const { done, value: work } = this.#left.next();
        if (done) break;
        for await (const event of work(signal)) {
          this.#events.push(event);
          this.#wake();
        }
      }
      if (signal.aborted) throw new HoshikageError('cancelled');
    } catch (error) {
      // What the others say of being ended for it is no news.
      this.#failure ??= { error };
      this.end();
    } finally {
      slot?.release();
      this.#running -= 1;
      this.#wake();
    }
  }
}
