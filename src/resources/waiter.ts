/**
 * One request that waits: settled exactly once, by whoever is first. Server's main thread. It owns its
 * timer and its listener on the signal, and must leave neither behind.
 */
import type { EngineOptions } from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import type { ModelEntry } from '../models/registry.js';
import type { AcquireOptions, Lease, Priority } from './lease.js';
import type { Queued } from './queue.js';
import { after } from './timer.js';

/** What a waiter is made of. */
export interface WaiterInput {
  readonly entry: ModelEntry;
  readonly options: EngineOptions;
  readonly key: string;
  readonly arrival: number;
  readonly asked: AcquireOptions;
  readonly timeoutMs: number;
  /** Its client has gone, or its time is over. */
  readonly onChange: () => void;
  /** It waits no more, whatever came of it. */
  readonly onSettled: (waiter: Waiter) => void;
}

/** A request without a lease. */
export class Waiter implements Queued {
  readonly entry: ModelEntry;
  readonly options: EngineOptions;
  /** Equal keys can be served by the same engine. */
  readonly key: string;
  readonly arrival: number;
  readonly priority: Priority;
  readonly need: 'slot' | 'model';
  readonly keepAliveMs: number | undefined;
  readonly signal: AbortSignal;
  /** performance.now() of its arrival. */
  readonly since = performance.now();
  /** Settles with the lease, or rejects with why there is none. */
  readonly lease: Promise<Lease>;
  skips = 0;
  /** Its turn has come, and only its model is waited for. */
  placed = false;
  /** Its time is over; it stays only while its model is being loaded for it. */
  overdue = false;
  /** The queue had room for it, now or when it came for the first time. */
  accepted: boolean;
  readonly #input: WaiterInput;
  readonly #timer: NodeJS.Timeout;
  #outcome: ((outcome: Lease | HoshikageError) => void) | null = null;

  constructor(input: WaiterInput) {
    this.#input = input;
    const { entry, options, key, arrival, asked, timeoutMs, onChange } = input;
    this.entry = entry;
    this.options = options;
    this.key = key;
    this.arrival = arrival;
    this.priority = asked.priority ?? 'interactive';
    this.need = asked.need ?? 'slot';
    this.keepAliveMs = asked.keepAliveMs;
    this.signal = asked.signal;
    this.accepted = asked.again ?? false;
    this.lease = new Promise((resolve, reject) => {
      this.#outcome = (outcome) => {
        if (outcome instanceof HoshikageError) reject(outcome);
        else resolve(outcome);
      };
    });
    this.signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#timer = after(timeoutMs, () => {
      this.overdue = true;
      onChange();
    });
  }

  get waits(): boolean {
    return this.#outcome !== null;
  }

  /** Ends the waiting; only the first call counts. */
  settle(outcome: Lease | HoshikageError): void {
    const tell = this.#outcome;
    if (!tell) return;
    this.#outcome = null;
    clearTimeout(this.#timer);
    this.signal.removeEventListener('abort', this.#onAbort);
    this.#input.onSettled(this);
    tell(outcome);
  }

  readonly #onAbort = (): void => {
    this.settle(new HoshikageError('cancelled'));
    this.#input.onChange();
  };
}
