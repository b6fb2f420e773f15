/**
 * What the pool and the cache of saved states tell each other about an engine and the conversations in
 * its slots. Types only; server's main thread. Whoever fills them in must tell what the slots really
 * hold: a state is brought back only where no slot holds as much of the prompt.
 */
import type { Engine } from '../engine/engine.js';

/** What one slot's cache holds, as far as the server knows. */
export interface SlotCache {
  readonly slot: number;
  /** Prompt and kept output, in order; empty = nothing, or nothing that is known. */
  readonly tokens: Int32Array;
  /** performance.now() at the end of its last completion. */
  readonly usedAt: number;
  /** A completion is running in it. */
  readonly busy: boolean;
}

/** An engine as the cache of states needs it. */
export interface SavedModel {
  /** Its name in the log and in events. */
  readonly id: string;
  /** Equal keys mean equal engine options, so that a state of one fits the other. */
  readonly key: string;
  /** The one that keeps `caches` true: a restored state must show up in them. */
  readonly engine: Pick<Engine, 'info' | 'saveState' | 'restoreState'>;
  /** As they are now. */
  readonly caches: readonly SlotCache[];
  /** Bytes of cache per token where that is known from the model's file. */
  readonly bytesPerToken?: number;
  /** How long its prompts took lately, ms per computed token; null or absent = unknown. */
  readonly prefillMsPerToken?: number | null;
}

/** What the pool asks of the cache of states. */
export interface StateKeeper {
  /**
   * Keeps what the idle slots hold, before the engine goes. Never rejects, and ends within its own
   * limit of time; the engine may be closed as soon as it has settled.
   */
  save(model: SavedModel): Promise<void>;
  /**
   * Brings back the state that saves the most, into an idle slot. Gives the tokens of the prompt that
   * need not be computed any more because of it; 0 = nothing was brought back. Never rejects.
   */
  recall(model: SavedModel, prompt: Int32Array, signal: AbortSignal): Promise<number>;
  /** Forgets all states of engines with this key. */
  drop(key: string): void;
}
