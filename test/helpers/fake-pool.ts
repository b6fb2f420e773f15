/**
 * A pool and a catalogue over one FakeEngine, for tests of what stands above them. The pool gives
 * leases at once, or when the test says so; it counts what was given and what came back.
 */
import { countersOf } from '../../src/engine/counters.js';
import { HoshikageError } from '../../src/errors.js';
import type { ModelEntry, NewModel } from '../../src/models/registry.js';
import type { AcquireOptions, ExtraSlot, Lease, WaitState } from '../../src/resources/lease.js';
import type { PoolStatus, ResidentStatus } from '../../src/resources/pool-status.js';
import { FakeEngine } from './fake-engine.js';

/** An entry of the map with sensible values. */
export function entryNamed(id: string, more: Partial<ModelEntry> = {}): ModelEntry {
  return { id, path: `/models/${id}.gguf`, stop: [], origin: 'map', settings: {}, ...more };
}

export class FakePool {
  readonly engine: FakeEngine;
  given = 0;
  released = 0;
  /** Thrown by acquire() instead of giving a lease. */
  refusal: HoshikageError | null = null;
  /** acquire() waits for this, or for its signal. */
  gate: Promise<void> = Promise.resolve();
  /** How each acquire() was asked for, the newest last. */
  readonly asked: AcquireOptions[] = [];
  residents: ResidentStatus[] = [];
  /** What waitOf() gives. */
  wait: WaitState | null = null;
  /** How many slots more() has to give, and how many of them are taken. */
  spareSlots = 0;
  takenSlots = 0;
  /** Whether somebody waits for one of them. */
  isAwaited = false;
  /** What recall() gives. */
  recalledTokens = 0;
  /** Prompts that recall() was asked for. */
  readonly recalled: Int32Array[] = [];

  constructor(engine: FakeEngine = new FakeEngine()) {
    this.engine = engine;
  }

  async acquire(entry: ModelEntry, options: AcquireOptions): Promise<Lease> {
    const { signal } = options;
    this.asked.push(options);
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(new HoshikageError('cancelled')));
      if (signal.aborted) reject(new HoshikageError('cancelled'));
      this.gate.then(resolve, reject);
    });
    if (this.refusal) throw this.refusal;
    this.given += 1;
    let isHeld = true;
    const release = () => {
      this.released += isHeld ? 1 : 0;
      isHeld = false;
    };
    const recall = async (prompt: Int32Array) => {
      this.recalled.push(prompt);
      return this.recalledTokens;
    };
    const { priority = 'interactive' } = options;
    const more = (most: number) =>
      Array.from({ length: Math.min(most, this.spareSlots - this.takenSlots) }, () => this.#slot());
    return { engine: this.engine, entry, priority, queuedMs: 1, loadMs: 2, recall, more, release };
  }

  #slot(): ExtraSlot {
    this.takenSlots += 1;
    let isHeld = true;
    return {
      isWanted: () => this.isAwaited,
      release: () => {
        this.takenSlots -= isHeld ? 1 : 0;
        isHeld = false;
      },
    };
  }

  async load(entry: ModelEntry, options: { signal: AbortSignal }): Promise<void> {
    const lease = await this.acquire(entry, options);
    lease.release();
    this.residents.unshift({
      id: entry.id,
      state: 'ready',
      purpose: 'generate',
      progress: null,
      info: this.engine.info,
      slots: await this.engine.slots(),
      counters: countersOf({ steps: 12, generatedTokens: 9, longestStepMs: 7.4 }),
      active: 0,
      idleMs: 5,
      unloadInMs: 1000,
      pid: 42,
      memoryBytes: 5000,
      estimate: { weightsBytes: 600, kvBytes: 200, computeBytes: 100, freedBytes: 900 },
      loadedFrom: entry.path,
    });
  }

  async unload(id?: string): Promise<readonly string[]> {
    const gone = this.residents.filter((one) => id === undefined || one.id === id);
    this.residents = this.residents.filter((one) => !gone.includes(one));
    return gone.map((one) => one.id);
  }

  waitOf(_signal: AbortSignal): WaitState | null {
    return this.wait;
  }

  status(): PoolStatus {
    const queue = { length: 0, limit: 64, oldestWaitMs: 0, waiting: [] };
    return { residents: this.residents, queue, held: [] };
  }
}

export class FakeCatalog {
  problem: HoshikageError | null = null;
  reloads = 0;
  readonly #entries = new Map<string, ModelEntry>();

  constructor(entries: readonly ModelEntry[] = [entryNamed('m')]) {
    for (const entry of entries) this.#entries.set(entry.id, entry);
  }

  list(): readonly ModelEntry[] {
    return [...this.#entries.values()];
  }

  get(id: string): ModelEntry | undefined {
    return this.#entries.get(id);
  }

  async add(id: string, { path, stop = [], settings = {}, force }: NewModel): Promise<ModelEntry> {
    if (this.#entries.has(id) && !force) throw new HoshikageError('model_exists', { model: id });
    const entry = entryNamed(id, { path, stop, settings });
    this.#entries.set(id, entry);
    return entry;
  }

  async remove(id: string): Promise<void> {
    if (!this.#entries.delete(id)) throw new HoshikageError('model_not_found', { model: id });
  }

  async reload(): Promise<void> {
    this.reloads += 1;
  }

  async facts(): Promise<null> {
    return null;
  }
}
