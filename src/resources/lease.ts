/**
 * What a request asks of the pool, and what it gets. Types only; server's main thread.
 */
import type { Engine, Priority } from '../engine/engine.js';
import type { ModelEntry } from '../models/registry.js';

export type { Priority };

/** How a request wants its model. */
export interface AcquireOptions {
  /** Ends the waiting; who holds a lease must release it all the same. */
  readonly signal: AbortSignal;
  /**
   * `slot` (default): to generate. `model`: only the resident model, to tokenise or to embed; it takes
   * no slot and waits for none.
   */
  readonly need?: 'slot' | 'model';
  /** `interactive` where absent. */
  readonly priority?: Priority;
  /**
   * How long the model stays after this request, ms; 0 = it goes at once, Infinity = for ever. Where
   * absent the entry's, then IDLE_TIMEOUT.
   */
  readonly keepAliveMs?: number;
  /**
   * A request with this signal lost its engine and is run again: it has been accepted, however long
   * the queue is now, and keeps its place in the order of arrival.
   */
  readonly again?: boolean;
}

/** The right to a resident model, and to one slot unless only the model was asked for. */
export interface Lease {
  readonly engine: Engine;
  readonly entry: ModelEntry;
  /** As it was asked for; the engine is to know as well. */
  readonly priority: Priority;
  /** Waited for others, without the load. */
  readonly queuedMs: number;
  /** Waited for the model to be loaded; 0 where it was resident. */
  readonly loadMs: number;
  /**
   * Brings back a saved state that holds more of the prompt than any slot does; before start(). Gives
   * the tokens it brought back, 0 = none. Never rejects.
   */
  recall(prompt: Int32Array, signal: AbortSignal): Promise<number>;
  /**
   * Takes further slots of the model, `most` at most, as far as they are free at once and nobody waits.
   * Each has to be given back before the lease is.
   */
  more(most: number): readonly ExtraSlot[];
  /** Idempotent. */
  release(): void;
}

/** The right to one slot more than a lease has. */
export interface ExtraSlot {
  /** Whether somebody waits: then it is to be given back as soon as what it does is done. */
  isWanted(): boolean;
  /** Idempotent. */
  release(): void;
}

/** Where a request stands that has no lease yet. */
export interface WaitState {
  /** 1 = next; 0 = its turn has come, and only its model is waited for. */
  readonly position: number;
  readonly waitedMs: number;
  readonly state: 'queued' | 'loading';
  /** 0 to 1 while its model is being loaded, else null. */
  readonly progress: number | null;
}
