/**
 * What happens to models and memory, told to whoever listens: loads, unloads, crashes, copies, states.
 * Server's main thread. It keeps nothing, and a listener that fails must never reach the one who told.
 */
import type { ErrorCode } from './errors.js';

/** Why a model left memory while its engine was sound. */
export type UnloadReason =
  | 'idle'
  | 'keep_alive'
  | 'switch'
  | 'request'
  | 'library'
  | 'registry'
  | 'shutdown';

/** One thing that happened. Times in ms, sizes in bytes; models by the names they were asked for. */
export type ResourceFact =
  | {
      readonly type: 'load';
      readonly model: string;
      readonly state: 'started' | 'ready' | 'failed';
      /** The file it is loaded from: the model's own, or a copy of it. */
      readonly path: string;
      readonly ms?: number;
      readonly pid?: number;
      readonly bytes?: number;
      readonly code?: ErrorCode;
    }
  | {
      readonly type: 'unload';
      readonly model: string;
      readonly reason: UnloadReason;
      /** From ready to gone. */
      readonly residentMs: number;
    }
  | {
      readonly type: 'crash';
      readonly model: string;
      readonly code: ErrorCode;
      readonly detail: string;
      readonly pid: number | null;
      /** When a request may have it started again at the earliest; null where it is held back. */
      readonly restartInMs: number | null;
      readonly held: boolean;
    }
  | {
      readonly type: 'copy';
      readonly source: string;
      readonly state: 'started' | 'done' | 'failed' | 'removed';
      readonly bytes: number;
      readonly ms?: number;
      readonly reason: string;
    }
  | {
      readonly type: 'state';
      readonly model: string;
      readonly action: 'saved' | 'restored' | 'dropped';
      readonly tokens: number;
      readonly bytes: number;
      readonly ms: number;
      readonly reason?: string;
    };

/** One thing that happened, and when: epoch time in ms. */
export type ResourceEvent = ResourceFact & { readonly at: number };

/** Hands every event to all who listen, in the order in which they began to. */
export class EventBus {
  readonly #listeners = new Set<(event: ResourceEvent) => void>();

  /** Tells all listeners at once. Never throws. */
  emit(fact: ResourceFact): void {
    const event = { ...fact, at: Date.now() };
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch {
        // Whoever loads or unloads a model is not the one to answer for a listener.
      }
    }
  }

  /** Listens until the returned function is called. */
  subscribe(listener: (event: ResourceEvent) => void): () => void {
    const own = (event: ResourceEvent): void => listener(event);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }
}
