/**
 * The one place where requests wait: who gets a lease, and when.
 * Server's main thread. Whatever happens ends in one pass over all that wait, in the order of their
 * turns, which does everything that can be done now. It must never hold a native object, and never let
 * a waiter outlive its signal or its time.
 */
import type { EngineOptions } from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import type { ModelEntry } from '../models/registry.js';
import { grant, keepAliveOf } from './granting.js';
import type { AcquireOptions, Lease, WaitState } from './lease.js';
import { engineOptionsOf } from './options.js';
import type { PoolDeps } from './pool-deps.js';
import type { PoolStatus, Purpose } from './pool-status.js';
import { overtakes, type Standing, turnOrder } from './queue.js';
import { queueStatus, residentStatus, waitState } from './report.js';
import { Residency } from './residency.js';
import type { Resident } from './resident.js';
import { LONGEST_TIMER_MS } from './timer.js';
import { Turn } from './turn.js';
import { Waiter } from './waiter.js';

/** Residency and the queue. */
export class ModelPool {
  readonly #deps: PoolDeps;
  readonly #residency: Residency;
  /** In the order in which they came. */
  #waiters: readonly Waiter[] = [];
  #arrivals = 0;
  /** By the signals of requests, for those that come again. */
  readonly #arrivalOf = new WeakMap<AbortSignal, number>();
  #pumping = false;
  #pumpAgain = false;
  #stopping = false;

  constructor(deps: PoolDeps) {
    this.#deps = deps;
    this.#residency = new Residency({
      deps,
      onChange: () => this.#pump(),
      onFailure: (key, failure) => this.#failWaiters(key, failure),
      isAwaited: (key) => this.#waiters.some((waiter) => waiter.key === key),
    });
  }

  /**
   * Waits for the model, and for a slot unless only the model is needed. Codes: queue_full,
   * queue_timeout, model_load_failed, model_file_missing, model_file_invalid, model_not_generative,
   * draft_model_unusable, model_held, memory_short, library_not_found, library_incompatible, addon_missing, engine_crashed,
   * engine_hung, engine_out_of_memory, shutting_down, cancelled.
   */
  acquire(entry: ModelEntry, asked: AcquireOptions): Promise<Lease> {
    if (this.#stopping) return Promise.reject(new HoshikageError('shutting_down'));
    if (asked.signal.aborted) return Promise.reject(new HoshikageError('cancelled'));
    const options = this.#optionsOf(entry);
    const waiter = new Waiter({
      entry,
      options,
      key: JSON.stringify(options),
      arrival: this.#arrival(asked),
      asked,
      timeoutMs: this.#deps.settings.queueTimeoutMs,
      onChange: () => this.#pump(),
      onSettled: () => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
      },
    });
    this.#waiters = [...this.#waiters, waiter];
    this.#pump();
    return waiter.lease;
  }

  /**
   * Makes the model resident, in its turn, also one that was held back for its crashes. Codes: those
   * of `acquire`.
   */
  async load(entry: ModelEntry, asked: Omit<AcquireOptions, 'need'>): Promise<void> {
    const { settings } = this.#deps;
    this.#residency.lift(this.#keyOf(entry));
    // Whoever asks for a model by name wants it to be there, also one that usually goes at once.
    const usual = keepAliveOf(settings, entry);
    const keepAliveMs = usual === 0 ? keepAliveOf(settings, { ...entry, settings: {} }) : usual;
    (await this.acquire(entry, { keepAliveMs, ...asked, need: 'model' })).release();
  }

  /**
   * Takes what is resident (or the one named) out of memory after its running requests; one being
   * loaded is given up. Requests that wait for it load it again. Gives the names of those that went,
   * each by the first entry it was loaded for.
   */
  async unload(id?: string): Promise<readonly string[]> {
    const named = this.#residency.all.filter(({ names }) => id === undefined || names.has(id));
    for (const resident of named) resident.retire('request');
    await Promise.all(named.map(({ gone }) => gone));
    return named.map(({ entry }) => entry.id);
  }

  /**
   * Tells the pool that engines are made of another library now: what is resident goes after its
   * running requests, what is being loaded is loaded anew. Requests that wait get a new engine.
   */
  renew(): void {
    this.#residency.renew();
  }

  /** Tells the pool that the registry changed: what is resident goes when its entry did. */
  refresh(lookup: (id: string) => ModelEntry | undefined): void {
    this.#residency.refresh((id, key) => {
      const entry = lookup(id);
      return entry && this.#keyOf(entry) === key ? entry : null;
    });
    this.#pump();
  }

  /**
   * Ends: who waits or comes gets shutting_down, who runs may go on for `graceMs`, then the engines
   * are closed. Resolves when they have ended. Calling it again may only shorten the grace.
   */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    this.#residency.stop();
    for (const waiter of this.#waiters) waiter.settle(new HoshikageError('shutting_down'));
    const residents = this.#residency.all;
    for (const resident of residents) resident.retire('shutdown');
    const close = (): void => {
      for (const resident of residents) resident.end('shutdown');
    };
    // Not unref'd: ending well is worth waiting for, and it is cleared below.
    const deadline = setTimeout(close, Math.min(graceMs, LONGEST_TIMER_MS));
    try {
      await Promise.all(residents.map(({ gone }) => gone));
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Where the request stands that waits with this signal; null where none does. */
  waitOf(signal: AbortSignal): WaitState | null {
    const waiter = this.#waiters.find((one) => one.signal === signal);
    if (!waiter) return null;
    const resident = this.#residency.serving(waiter.key);
    return waitState(waiter, this.#ordered(), resident, performance.now());
  }

  /** What is resident and who waits, at once. */
  status(): PoolStatus {
    const now = performance.now();
    const recent = [...this.#residency.all].sort((one, other) => other.usedAt - one.usedAt);
    return {
      residents: recent.map((resident) => residentStatus(resident, now)),
      queue: queueStatus(this.#ordered(), this.#deps.settings.queueSize, now),
      held: this.#residency.held,
    };
  }

  /** Does whatever can be done now. Called after every change; safe to call at any time. */
  #pump(): void {
    this.#pumpAgain = true;
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#pumpAgain) {
        this.#pumpAgain = false;
        if (!this.#stopping) this.#takeTurns();
        if (this.#dropOverdue() || this.#refuseTooMany()) this.#pumpAgain = true;
      }
      this.#residency.rest();
    } finally {
      this.#pumping = false;
    }
  }

  #takeTurns(): void {
    const turn = new Turn();
    for (const waiter of this.#ordered()) {
      if (!waiter.waits) continue;
      const resident = this.#residency.serving(waiter.key);
      const isTurn = resident
        ? this.#serve(waiter, resident, turn)
        : !this.#refuses(waiter, this.#residency.laneOf(waiter.key)) &&
          this.#residency.admit(waiter, turn);
      waiter.placed = isTurn && turn.hasSlotFor(waiter);
    }
  }

  #ordered(): readonly Waiter[] {
    return turnOrder(
      this.#waiters,
      (waiter) => this.#standingOf(waiter),
      ({ key }) => this.#residency.serving(key)?.purpose ?? null,
      this.#deps.settings.maxSkips,
    );
  }

  #standingOf({ key }: Waiter): Standing {
    if (this.#residency.serving(key)) return 'served';
    const lane = this.#residency.laneOf(key);
    return lane === null ? 'aside' : { lane };
  }

  /** Gives a lease if there is one to give. True where only the load is waited for. */
  #serve(waiter: Waiter, resident: Resident, turn: Turn): boolean {
    // Somebody before him waits for one of its kind to go.
    if (turn.isBarred(resident.purpose)) return false;
    turn.use(resident);
    const { engine } = resident;
    if (this.#refuses(waiter, resident.purpose)) return false;
    if (resident.state === 'loading' || !engine) return true;
    if (engine.ending) return false;
    if (waiter.need === 'slot' && resident.slotLeases >= engine.info.slots) return false;
    this.#countSkips(waiter, resident.purpose);
    const keepAliveMs = keepAliveOf(this.#deps.settings, waiter.entry, waiter.keepAliveMs);
    const onReleased = (): void => this.#pump();
    const isAwaited = (): boolean => this.#stopping || this.#waiters.length > 0;
    waiter.settle(grant({ waiter, resident, engine }, { keepAliveMs, onReleased, isAwaited }));
    return false;
  }

  #countSkips(served: Waiter, purpose: Purpose): void {
    for (const other of this.#waiters) {
      if (!overtakes(served, other)) continue;
      const standing = this.#standingOf(other);
      if (typeof standing === 'object' && standing.lane === purpose) other.skips += 1;
    }
  }

  /** A model that only makes embeddings has no slots, and never will. */
  #refuses(waiter: Waiter, purpose: Purpose | null): boolean {
    if (purpose !== 'embed' || waiter.need !== 'slot') return false;
    waiter.settle(new HoshikageError('model_not_generative', { model: waiter.entry.id }));
    return true;
  }

  #failWaiters(key: string, failure: HoshikageError): void {
    for (const waiter of this.#waiters) if (waiter.key === key) waiter.settle(failure);
  }

  /** True when somebody was dropped, so that another's turn may have come. */
  #dropOverdue(): boolean {
    const seconds = Math.round(this.#deps.settings.queueTimeoutMs / 1000);
    const dropped = this.#waiters.filter(({ overdue, placed }) => overdue && !placed);
    for (const waiter of dropped) waiter.settle(new HoshikageError('queue_timeout', { seconds }));
    return dropped.length > 0;
  }

  /** The same, for those who have just come and find the queue full. */
  #refuseTooMany(): boolean {
    const limit = this.#deps.settings.queueSize;
    const fresh = this.#waiters.filter((waiter) => !waiter.accepted);
    const inLine = (waiter: Waiter): 'turn' | 'load' | null => {
      if (!waiter.placed) return 'turn';
      // They take no slot from anybody; but a load takes its time, and they would pile up.
      return waiter.need === 'model' ? 'load' : null;
    };
    const waiting = this.#waiters.map(inLine);
    const tooMany = {
      turn: waiting.filter((line) => line === 'turn').length - limit,
      load: waiting.filter((line) => line === 'load').length - Math.max(limit, 1),
    };
    let refused = false;
    for (const waiter of fresh.reverse()) {
      const line = inLine(waiter);
      const isKnown = !this.#residency.isUnknown(waiter.key);
      // Who has to wait for his turn is known with the kind of his model only.
      if (line && (isKnown || line === 'load') && tooMany[line] > 0) {
        tooMany[line] -= 1;
        refused = true;
        waiter.settle(new HoshikageError('queue_full', { limit }));
      } else waiter.accepted = isKnown;
    }
    return refused;
  }

  #arrival({ signal, again }: AcquireOptions): number {
    const before = again ? this.#arrivalOf.get(signal) : undefined;
    if (before !== undefined) return before;
    this.#arrivals += 1;
    this.#arrivalOf.set(signal, this.#arrivals);
    return this.#arrivals;
  }

  #optionsOf(entry: ModelEntry): EngineOptions {
    return engineOptionsOf(this.#deps.settings, entry, this.#deps.find);
  }

  #keyOf(entry: ModelEntry): string {
    return JSON.stringify(this.#optionsOf(entry));
  }
}
