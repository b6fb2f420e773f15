/**
 * The one place where requests wait: who may use which model, and what stays in memory.
 * Server's main thread. One model is resident at a time; requests are served strictly in the order
 * they came, so one for another model waits for those before it and everyone behind it waits too.
 * It must never hold a native object, and never let a waiter outlive its signal or its time.
 */

import type { Engine, EngineOptions } from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import type { ModelEntry } from '../models/registry.js';
import type { AcquireOptions, Lease, WaitState } from './lease.js';
import { engineOptionsOf } from './options.js';
import type { PoolDeps } from './pool-deps.js';
import type { PoolStatus, ResidentStatus } from './pool-status.js';
import { loadFailure, Resident } from './resident.js';

/** The longest wait a timer can keep, ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

interface Waiter {
  readonly entry: ModelEntry;
  readonly options: EngineOptions;
  readonly key: string;
  readonly since: number;
  readonly signal: AbortSignal;
  /** Its time is over; it stays only while its model is being loaded for it. */
  overdue: boolean;
  /** What is known of its file; asked only before another model has to go for it. */
  file: 'unknown' | 'looking' | 'sound';
  settle(outcome: Lease | HoshikageError): void;
}

/** Residency and the queue. */
export class ModelPool {
  readonly #deps: PoolDeps;
  #waiters: Waiter[] = [];
  #resident: Resident | null = null;
  #idleTimer: NodeJS.Timeout | null = null;
  #stopping = false;

  constructor(deps: PoolDeps) {
    this.#deps = deps;
  }

  /**
   * Waits for the model and a slot. Codes: queue_full, queue_timeout, model_load_failed,
   * model_file_missing, library_not_found, library_incompatible, addon_missing, shutting_down,
   * cancelled.
   */
  acquire(entry: ModelEntry, { signal }: AcquireOptions): Promise<Lease> {
    if (this.#stopping) return Promise.reject(new HoshikageError('shutting_down'));
    if (signal.aborted) return Promise.reject(new HoshikageError('cancelled'));
    return new Promise((resolve, reject) => {
      const options = engineOptionsOf(this.#deps.settings, entry);
      const waiter: Waiter = {
        entry,
        options,
        key: JSON.stringify(options),
        since: performance.now(),
        signal,
        overdue: false,
        file: 'unknown',
        settle: (outcome) => {
          clearTimeout(timer);
          signal.removeEventListener('abort', onAbort);
          this.#waiters = this.#waiters.filter((other) => other !== waiter);
          if (outcome instanceof HoshikageError) reject(outcome);
          else resolve(outcome);
        },
      };
      const onAbort = (): void => this.#leave(waiter, new HoshikageError('cancelled'));
      signal.addEventListener('abort', onAbort, { once: true });
      const timer = after(this.#deps.settings.queueTimeoutMs, () => {
        waiter.overdue = true;
        this.#pump();
      });
      this.#waiters.push(waiter);
      this.#pump();
      this.#refuseIfFull(waiter);
    });
  }

  /** Makes the model resident, in its turn. Codes: those of `acquire`. */
  async load(entry: ModelEntry, options: { signal: AbortSignal }): Promise<void> {
    const lease = await this.acquire(entry, options);
    lease.release();
  }

  /**
   * Takes the resident model (or the one named) out of memory after its running requests; one being
   * loaded is given up. Requests that wait for it load it again. Gives the names of those that went.
   */
  async unload(id?: string): Promise<readonly string[]> {
    const resident = this.#resident;
    if (!resident || (id !== undefined && resident.entry.id !== id)) return [];
    resident.retired = true;
    if (resident.leases === 0) resident.end();
    await resident.gone;
    return [resident.entry.id];
  }

  /**
   * Tells the pool that engines are made of another library now: what is resident goes after its
   * running requests, what is being loaded is loaded anew. Requests that wait get a new engine.
   */
  renew(): void {
    const resident = this.#resident;
    if (!resident) return;
    resident.retired = true;
    if (resident.leases === 0) resident.end();
  }

  /** Tells the pool that the registry changed: what is resident goes when its entry did. */
  refresh(lookup: (id: string) => ModelEntry | undefined): void {
    const resident = this.#resident;
    if (!resident) return;
    const entry = lookup(resident.entry.id);
    resident.stale = !entry || this.#keyOf(entry) !== resident.key;
    this.#pump();
  }

  /**
   * Ends: who waits or comes gets shutting_down, who runs may go on for `graceMs`, then the engine is
   * closed. Resolves when it has ended. Calling it again may only shorten the grace.
   */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    for (const waiter of [...this.#waiters]) waiter.settle(new HoshikageError('shutting_down'));
    const resident = this.#resident;
    if (!resident) return;
    resident.retired = true;
    if (resident.leases === 0) resident.end();
    // Not unref'd: ending well is worth waiting for, and it is cleared below.
    const deadline = setTimeout(() => resident.end(), Math.min(graceMs, LONGEST_TIMER_MS));
    try {
      await resident.gone;
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Where the request stands that waits with this signal; null where none does. */
  waitOf(signal: AbortSignal): WaitState | null {
    const index = this.#waiters.findIndex((waiter) => waiter.signal === signal);
    const waiter = this.#waiters[index];
    return waiter ? this.#waitState(waiter, index) : null;
  }

  /** What is resident and who waits, at once. */
  status(): PoolStatus {
    const now = performance.now();
    const waiting = this.#waiters.slice(this.#placed());
    return {
      residents: this.#resident ? [this.#residentStatus(this.#resident, now)] : [],
      queue: {
        length: waiting.length,
        limit: this.#deps.settings.queueSize,
        oldestWaitMs: waiting[0] ? now - waiting[0].since : 0,
        waiting: this.#waiters.map((waiter, index) => {
          const { progress: _, ...state } = this.#waitState(waiter, index);
          return { ...state, model: waiter.entry.id, priority: 'interactive' };
        }),
      },
      held: [],
    };
  }

  #waitState(waiter: Waiter, index: number): WaitState {
    const placed = this.#placed();
    const isPlaced = index < placed;
    const resident = this.#resident;
    return {
      position: Math.max(0, index + 1 - placed),
      waitedMs: performance.now() - waiter.since,
      state: isPlaced ? 'loading' : 'queued',
      progress: isPlaced && resident?.state === 'loading' ? resident.progress : null,
    };
  }

  #residentStatus(resident: Resident, now: number): ResidentStatus {
    const { idleTimeoutMs } = this.#deps.settings;
    const { entry, engine, state, leases, idleSince } = resident;
    const idleMs = state === 'ready' && idleSince !== null ? now - idleSince : null;
    return {
      id: entry.id,
      state: state === 'loading' || state === 'ready' ? state : 'unloading',
      purpose: 'generate',
      progress: state === 'loading' ? resident.progress : null,
      info: engine?.info ?? null,
      slots: engine?.slotStates ?? [],
      active: leases,
      idleMs,
      unloadInMs:
        idleMs === null || idleTimeoutMs === 0 ? null : Math.max(0, idleTimeoutMs - idleMs),
      pid: engine?.pid ?? null,
      memoryBytes: null,
      loadedFrom: resident.options.modelPath,
    };
  }

  /** Does whatever can be done now. Called after every change; safe to call at any time. */
  #pump(): void {
    do this.#grantTurns();
    while (this.#dropOverdue());
    const head = this.#waiters[0];
    if (!head) this.#rest();
    else if (!this.#resident) this.#load(head);
    else if (this.#resident.key !== head.key || this.#resident.retired) {
      // The turn is another model's: nobody waits for this one before it.
      if (this.#resident.leases === 0) this.#makeRoom(this.#resident, head);
    }
  }

  /** The file is looked at first: an entry that cannot be loaded must not cost the model that works. */
  #makeRoom(resident: Resident, head: Waiter): void {
    if (resident.retired || head.file === 'sound') {
      resident.end();
    } else if (head.file === 'unknown') {
      head.file = 'looking';
      this.#deps
        .locate(head.entry)
        .then(() => {
          head.file = 'sound';
        })
        .catch((thrown: unknown) => this.#failWaiters(head, loadFailure(thrown, head.entry.id)))
        .finally(() => this.#pump());
    }
  }

  #grantTurns(): void {
    const resident = this.#resident;
    const engine = resident?.engine;
    if (resident?.state !== 'ready' || resident.retired || !engine) return;
    for (;;) {
      const head = this.#waiters[0];
      if (head?.key !== resident.key || resident.leases >= resident.options.slots) return;
      this.#grant(head, resident, engine);
    }
  }

  /**
   * Nobody waits. A load that everybody left goes on, since its client often comes back for it; the
   * idle time bounds that too, for a load that never ends.
   */
  #rest(): void {
    const resident = this.#resident;
    if (!resident || resident.leases > 0) return;
    if (resident.stale || resident.retired) resident.end();
    else if (resident.state !== 'unloading') this.#armIdleTimer(resident);
  }

  #armIdleTimer(resident: Resident): void {
    const { idleTimeoutMs } = this.#deps.settings;
    if (idleTimeoutMs === 0 || this.#idleTimer) return;
    this.#idleTimer = after(idleTimeoutMs, () => {
      this.#idleTimer = null;
      if (resident.leases > 0 || this.#waiters.length > 0) return;
      this.#deps.log.info('unloading an idle model', { model: resident.entry.id });
      resident.end();
    });
  }

  #disarmIdleTimer(): void {
    if (this.#idleTimer) clearTimeout(this.#idleTimer);
    this.#idleTimer = null;
  }

  #load(head: Waiter): void {
    const { entry, options, key } = head;
    const { locate, startEngine, log } = this.#deps;
    log.info('loading a model', { model: entry.id, path: entry.path });
    const onChange = (resident: Resident): void => this.#changed(resident);
    this.#resident = new Resident({ entry, options, key, locate, startEngine, onChange });
    void this.#resident.run();
  }

  #changed(resident: Resident): void {
    const { log } = this.#deps;
    const model = resident.entry.id;
    this.#disarmIdleTimer();
    if (resident.state === 'ready') {
      const loadMs = Math.round((resident.loadEndedAt ?? 0) - resident.loadStartedAt);
      log.info('model loaded', { model, loadMs, pid: resident.engine?.pid ?? null });
    } else {
      this.#resident = null;
      if (resident.failure) this.#failWaiters(resident, resident.failure);
      else log.info('model unloaded', { model });
    }
    this.#pump();
  }

  #failWaiters({ key, entry }: Pick<Resident, 'key' | 'entry'>, failure: HoshikageError): void {
    this.#deps.log.error('a model could not be loaded', {
      model: entry.id,
      code: failure.code,
      error: failure,
    });
    for (const waiter of [...this.#waiters]) {
      if (waiter.key === key) waiter.settle(failure);
    }
  }

  #grant(waiter: Waiter, resident: Resident, engine: Engine): void {
    this.#disarmIdleTimer();
    resident.leases += 1;
    resident.idleSince = null;
    const now = performance.now();
    const loadEnded = resident.loadEndedAt ?? now;
    const loadMs = Math.max(0, loadEnded - Math.max(resident.loadStartedAt, waiter.since));
    let held = true;
    waiter.settle({
      engine,
      entry: waiter.entry,
      queuedMs: Math.max(0, now - waiter.since - loadMs),
      loadMs,
      recall: async () => 0,
      release: () => {
        if (!held) return;
        held = false;
        this.#released(resident);
      },
    });
  }

  #released(resident: Resident): void {
    resident.leases -= 1;
    if (resident.leases > 0) {
      this.#pump();
      return;
    }
    resident.idleSince = performance.now();
    if (resident.retired) resident.end();
    this.#pump();
  }

  #leave(waiter: Waiter, error: HoshikageError): void {
    waiter.settle(error);
    this.#pump();
  }

  /** True when somebody was dropped, so that another's turn may have come. */
  #dropOverdue(): boolean {
    const seconds = Math.round(this.#deps.settings.queueTimeoutMs / 1000);
    const dropped = this.#waiters.slice(this.#placed()).filter((waiter) => waiter.overdue);
    for (const waiter of dropped) waiter.settle(new HoshikageError('queue_timeout', { seconds }));
    return dropped.length > 0;
  }

  #refuseIfFull(waiter: Waiter): void {
    const limit = this.#deps.settings.queueSize;
    const waiting = this.#waiters.length - this.#placed();
    if (waiting <= limit || !this.#waiters.includes(waiter)) return;
    waiter.settle(new HoshikageError('queue_full', { limit }));
  }

  /** How many at the head of the queue have their turn already and only wait for their model. */
  #placed(): number {
    const head = this.#waiters[0];
    const resident = this.#resident;
    if (!head) return 0;
    const leaving =
      resident?.leases === 0 && (resident.state === 'unloading' || head.file === 'looking');
    const arriving = resident?.state === 'loading' && resident.key === head.key;
    if (resident && !leaving && !arriving) return 0;
    const others = this.#waiters.findIndex((waiter) => waiter.key !== head.key);
    return Math.min(others < 0 ? this.#waiters.length : others, head.options.slots);
  }

  #keyOf(entry: ModelEntry): string {
    return JSON.stringify(engineOptionsOf(this.#deps.settings, entry));
  }
}

/** A timer that keeps no process alive. */
function after(ms: number, call: () => void): NodeJS.Timeout {
  return setTimeout(call, Math.min(ms, LONGEST_TIMER_MS)).unref();
}
