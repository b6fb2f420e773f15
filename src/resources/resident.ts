/**
 * One model's stay in memory: loading, ready, unloading, gone; and how many leases it carries.
 * Server's main thread. It owns the engine from its start to its end; who may use it, and when it has
 * to go, is the pool's to decide.
 */

import type { Engine, EngineOptions, SlotState } from '../engine/engine.js';
import { HoshikageError, toHoshikageError } from '../errors.js';
import type { ModelEntry } from '../models/registry.js';

/** An engine with what the status route shows without waiting. */
export interface ResidentEngine extends Engine {
  readonly pid: number | null;
  readonly slotStates: readonly SlotState[];
  /** Main memory the engine process holds, at its last news; null before, and where it is this process. */
  readonly memoryBytes: number | null;
}

/** Starts an engine; the signal ends the start at any moment. `onProgress`: 0 to 1. */
export type StartEngine = (
  options: EngineOptions,
  control: { readonly onProgress: (fraction: number) => void; readonly signal: AbortSignal },
) => Promise<ResidentEngine>;

/** What a stay is made of. */
export interface ResidentInput {
  readonly entry: ModelEntry;
  readonly options: EngineOptions;
  readonly key: string;
  /** The file to load; makes it first where it can be made. Codes: model_file_missing, model_file_invalid. */
  readonly locate: (entry: ModelEntry) => Promise<string>;
  readonly startEngine: StartEngine;
  /** Called on every change of state, after it. */
  readonly onChange: (resident: Resident) => void;
}

/** A model in memory, or on its way in or out. `run` starts it; `gone` tells its end. */
export class Resident {
  readonly entry: ModelEntry;
  readonly options: EngineOptions;
  /** Equal keys can be served by the same engine. */
  readonly key: string;
  readonly loadStartedAt = performance.now();
  /** Resolves once the engine has ended and its memory is free. */
  readonly gone: Promise<void>;
  state: 'loading' | 'ready' | 'unloading' | 'gone' = 'loading';
  engine: ResidentEngine | null = null;
  /** Why the load failed; null for one that was given up or succeeded. */
  failure: HoshikageError | null = null;
  loadEndedAt: number | null = null;
  progress = 0;
  leases = 0;
  /** No new leases: it goes when the last one ends. */
  retired = false;
  /** Its registry entry is gone or different: it goes as soon as nobody asks for it. */
  stale = false;
  /** performance.now() since when it carries no lease. */
  idleSince: number | null = null;
  readonly #input: ResidentInput;
  readonly #giveUp = new AbortController();
  #settleGone: () => void = () => {};

  constructor(input: ResidentInput) {
    this.#input = input;
    this.entry = input.entry;
    this.options = input.options;
    this.key = input.key;
    this.gone = new Promise((resolve) => {
      this.#settleGone = resolve;
    });
  }

  /** Loads. Never rejects: what happened is in `state` and `failure`. */
  async run(): Promise<void> {
    try {
      const engine = await this.#start();
      this.engine = engine;
      this.loadEndedAt = performance.now();
      if (this.#giveUp.signal.aborted) await engine.close();
    } catch (error) {
      if (!this.#giveUp.signal.aborted) this.failure = loadFailure(error, this.entry.id);
    }
    const engine = this.engine;
    if (!engine || this.#giveUp.signal.aborted) {
      this.#become('gone');
      return;
    }
    this.idleSince = this.loadEndedAt;
    this.#become('ready');
    await engine.exited;
    this.#become('gone');
  }

  /** Ends it now: a load is given up, an engine closed with whatever still runs in it. */
  end(): void {
    if (this.state === 'loading') {
      this.state = 'unloading';
      this.#giveUp.abort();
    } else if (this.state === 'ready') {
      this.state = 'unloading';
      // `exited` follows, however closing went.
      this.engine?.close().catch(() => {});
    }
  }

  async #start(): Promise<ResidentEngine> {
    const { locate, startEngine, options, entry } = this.#input;
    const modelPath = await locate(entry);
    const { signal } = this.#giveUp;
    if (signal.aborted) throw new HoshikageError('cancelled');
    const onProgress = (fraction: number): void => {
      this.progress = fraction;
    };
    return startEngine({ ...options, modelPath }, { onProgress, signal });
  }

  #become(state: 'ready' | 'gone'): void {
    if (this.state === 'gone') return;
    this.state = state;
    if (state === 'gone') {
      this.engine = null;
      this.#settleGone();
    }
    this.#input.onChange(this);
  }
}

/** A load's error in words that name the model; codes that say more than `model_load_failed` stay. */
export function loadFailure(thrown: unknown, model: string): HoshikageError {
  const error = toHoshikageError(thrown, 'model_load_failed', { model });
  const telling = error.code.startsWith('library_') || error.code.startsWith('model_file_');
  if (telling || error.code === 'addon_missing') return error;
  return new HoshikageError('model_load_failed', { ...error.details, model }, { cause: error });
}
