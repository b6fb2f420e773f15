/**
 * One model's stay in memory: loading, ready, unloading, gone; and how many leases it carries.
 * Server's main thread. It owns the engine from its start to its end; who may use it, and when it has
 * to go, is the pool's to decide.
 */
import type { EngineExit, EngineOptions, ResidentEngine } from '../engine/engine.js';
import { HoshikageError, toHoshikageError } from '../errors.js';
import type { UnloadReason } from '../events.js';
import { NO_MEMORY, withSlots } from '../memory/use.js';
import type { ModelEntry } from '../models/registry.js';
import type { SavedModel } from '../states/saved-model.js';
import { unlessGone } from './gone.js';
import { inTime } from './look.js';
import type { PoolDeps } from './pool-deps.js';
import type { Purpose } from './pool-status.js';
import { WatchedEngine } from './watched-engine.js';

/** What a stay is made of. */
export interface ResidentInput {
  /** No other has the same number. */
  readonly serial: number;
  readonly entry: ModelEntry;
  readonly options: EngineOptions;
  readonly key: string;
  readonly purpose: Purpose;
  readonly keepAliveMs: number;
  /** Settles when those that go for it have gone. */
  readonly room: Promise<unknown>;
  /** What is known of it where nobody has to go first; else it is all found out then. */
  readonly ready: { readonly source: string; readonly options: EngineOptions } | null;
  readonly deps: Pick<
    PoolDeps,
    'locate' | 'stage' | 'plan' | 'startEngine' | 'states' | 'events' | 'onActivity'
  >;
  /** Called on every change of state, after it. */
  readonly onChange: (resident: Resident) => void;
  /** Called after every request its engine has carried out. */
  readonly onFinished: (resident: Resident) => void;
}

/** Before which ends the conversations are saved: the model may well come back as it was. */
const SAVING: ReadonlySet<UnloadReason> = new Set(['idle', 'keep_alive', 'switch', 'request']);

/** A model in memory, or on its way in or out. `run` starts it; `gone` tells its end. */
export class Resident {
  readonly serial: number;
  /** The first one it serves that is still in the registry, if any is. */
  entry: ModelEntry;
  readonly purpose: Purpose;
  /** Equal keys can be served by the same engine. */
  readonly key: string;
  /** Of all entries that it has served, less those that have gone while others stayed. */
  readonly names = new Set<string>();
  /** Resolves once the engine has ended and its memory is free. */
  readonly gone: Promise<void>;
  state: 'loading' | 'ready' | 'unloading' | 'gone' = 'loading';
  engine: WatchedEngine | null = null;
  /** Of its process, also after that has ended. */
  pid: number | null = null;
  /** How it is loaded, as far as that is settled. */
  options: EngineOptions;
  /** Why the load failed; null for one that was given up or succeeded. */
  failure: HoshikageError | null = null;
  /** How its engine ended; null before, or where there was none. */
  exit: EngineExit | null = null;
  /** Why it was asked to go; null where nobody did. */
  reason: UnloadReason | null = null;
  /** performance.now(), once there was room. */
  loadStartedAt: number | null = null;
  loadEndedAt: number | null = null;
  progress = 0;
  /** All that use it, and those of them that have a slot. */
  leases = 0;
  slotLeases = 0;
  /** No new leases: it goes, for this reason, when the last one ends. */
  retired: UnloadReason | null = null;
  /** All its registry entries are gone or different: it goes as soon as nobody asks for it. */
  stale = false;
  /** How long it stays without a lease; the last request said so. */
  keepAliveMs: number;
  /** performance.now() since when it carries no lease. */
  idleSince: number | null = null;
  /** performance.now() of the last lease's begin or end. */
  usedAt = performance.now();
  idleTimer: NodeJS.Timeout | null = null;
  readonly #input: ResidentInput;
  readonly #giveUp = new AbortController();
  #active = false;
  #settleGone: () => void = () => {};
  readonly #hurry = new AbortController();

  constructor(input: ResidentInput) {
    this.#input = input;
    this.serial = input.serial;
    this.entry = input.entry;
    this.purpose = input.purpose;
    this.options = input.ready?.options ?? input.options;
    this.key = input.key;
    this.keepAliveMs = input.keepAliveMs;
    this.names.add(input.entry.id);
    this.gone = new Promise((resolve) => {
      this.#settleGone = resolve;
    });
  }

  /** It is there or on its way, and nobody has asked it to go. */
  get stays(): boolean {
    return (this.state === 'loading' || this.state === 'ready') && this.retired === null;
  }

  /** Loads. Never rejects: what happened is in `state`, `failure` and `exit`. */
  async run(): Promise<void> {
    try {
      const engine = await this.#start();
      this.engine = new WatchedEngine(engine, () => this.#input.onFinished(this));
      this.options = withSlots(this.options, engine.info.slots);
      this.loadEndedAt = performance.now();
      if (this.#giveUp.signal.aborted) await engine.close();
    } catch (error) {
      if (!this.#giveUp.signal.aborted) this.#fail(error);
    }
    const engine = this.engine;
    if (!engine || this.#giveUp.signal.aborted) {
      this.#become('gone');
      return;
    }
    this.idleSince = this.loadEndedAt;
    this.pid = engine.pid;
    this.#emitLoad('ready', {
      ...(engine.pid !== null && { pid: engine.pid }),
      bytes: engine.info.model.sizeBytes,
      ms: this.#loadMs(),
    });
    this.#become('ready');
    this.exit = await engine.exited;
    this.#become('gone');
  }

  /** Ends it now: a load is given up, an engine closed with whatever still runs in it. */
  end(reason: UnloadReason): void {
    if (this.state === 'loading') {
      this.reason = reason;
      this.state = 'unloading';
      this.#giveUp.abort();
    } else if (this.state === 'ready') {
      this.reason = reason;
      this.state = 'unloading';
      void this.#leave(reason);
    } else if (reason === 'shutdown') {
      this.#hurry.abort();
    }
  }

  /** Lets it go when its last lease has ended; `shutdown` also hurries one that is going. */
  retire(reason: UnloadReason): void {
    this.retired ??= reason;
    if (this.leases === 0) this.end(reason);
  }

  /** Of the entries that it has served these are left; it is stale where none is. */
  keepNames(entries: readonly ModelEntry[]): void {
    const [first] = entries;
    this.stale = first === undefined;
    if (!first) return;
    this.entry = first;
    this.names.clear();
    for (const { id } of entries) this.names.add(id);
  }

  /** A lease begins, for a request by this name. */
  begin(takesSlot: boolean, name: string): void {
    this.names.add(name);
    if (this.idleTimer) clearTimeout(this.idleTimer);
    this.idleTimer = null;
    this.idleSince = null;
    this.usedAt = performance.now();
    this.leases += 1;
    this.slotLeases += takesSlot ? 1 : 0;
    this.#tellActivity();
  }

  /** A lease ends; after the last one a retired model goes. */
  finish(tookSlot: boolean): void {
    this.usedAt = performance.now();
    this.leases -= 1;
    this.slotLeases -= tookSlot ? 1 : 0;
    if (this.leases > 0) return;
    this.idleSince = this.usedAt;
    this.#tellActivity();
    if (this.retired !== null) this.end(this.retired);
  }

  /** Brings back a saved state for a prompt, as Lease.recall says. */
  async recall(prompt: Int32Array, signal: AbortSignal): Promise<number> {
    const { states } = this.#input.deps;
    if (!states || !this.engine || this.engine.ending || signal.aborted) return 0;
    return states.recall(this.#saved(this.engine), prompt, signal).catch(() => 0);
  }

  async #start(): Promise<ResidentEngine> {
    const { room, deps } = this.#input;
    const { signal } = this.#giveUp;
    await unlessGone(room, signal);
    this.loadStartedAt = performance.now();
    // Neither who waits for it nor who ends it may depend on a file that does not answer.
    this.options = await unlessGone(inTime(this.#staged()), signal);
    this.#emitLoad('started', {});
    const onProgress = (fraction: number): void => {
      this.progress = fraction;
    };
    return deps.startEngine(this.options, { onProgress, signal });
  }

  /** Its options with the file that it is really loaded from. */
  async #staged(): Promise<EngineOptions> {
    const { ready, entry, deps } = this.#input;
    const source = ready?.source ?? (await deps.locate(entry));
    const chosen = ready?.options ?? (await this.#planned(source));
    const modelPath = await deps.stage(source);
    return { ...chosen, modelPath, ...(modelPath !== source && { sourcePath: source }) };
  }

  async #planned(source: string): Promise<EngineOptions> {
    const { entry, options, deps } = this.#input;
    const located = { ...options, modelPath: source };
    return deps.plan ? deps.plan(entry, located, NO_MEMORY) : located;
  }

  #fail(error: unknown): void {
    this.failure = loadFailure(error, this.entry.id);
    this.#emitLoad('failed', { code: this.failure.code, ms: this.#loadMs() });
  }

  #loadMs(): number {
    return Math.round(performance.now() - (this.loadStartedAt ?? performance.now()));
  }

  #emitLoad(
    state: 'started' | 'ready' | 'failed',
    more: Partial<Extract<Parameters<PoolDeps['events']['emit']>[0], { type: 'load' }>>,
  ): void {
    const { events } = this.#input.deps;
    events.emit({
      ...more,
      type: 'load',
      model: this.entry.id,
      path: this.options.modelPath,
      state,
    });
  }

  /** What its slots hold is kept first, as far as that pays; then the process ends. */
  async #leave(reason: UnloadReason): Promise<void> {
    const { engine } = this;
    if (!engine) return;
    const { states } = this.#input.deps;
    if (states && this.#isWorthSaving(reason) && !engine.ending) {
      const saved = states.save(this.#saved(engine));
      const over = Promise.race([saved, engine.exited]);
      await unlessGone(over, this.#hurry.signal).catch(() => {});
    }
    // `exited` follows, however closing went.
    engine.close().catch(() => {});
  }

  /** Nobody will ask for the states of a model that is not made like this any more. */
  #isWorthSaving(reason: UnloadReason): boolean {
    return SAVING.has(reason) && !this.stale && this.purpose === 'generate';
  }

  #saved(engine: WatchedEngine): SavedModel {
    const { memory } = this.options;
    const { contextTokens, slots } = engine.info;
    const kvBytes = memory?.kvBytesPerLayer.reduce((sum, bytes) => sum + bytes, 0) ?? 0;
    const knows = kvBytes > 0 && !engine.info.model.isRecurrent;
    return {
      id: this.entry.id,
      key: this.key,
      engine,
      get caches() {
        return engine.caches;
      },
      ...(knows && { bytesPerToken: kvBytes / (contextTokens * Math.max(1, slots)) }),
      prefillMsPerToken: engine.prefillMsPerToken,
    };
  }

  /** Whether it is used; one whose engine is gone is not, whoever still holds a lease. */
  #tellActivity(): void {
    const active = this.leases > 0 && this.state !== 'gone';
    if (active === this.#active) return;
    this.#active = active;
    this.#input.deps.onActivity(this.entry, active);
  }

  #become(state: 'ready' | 'gone'): void {
    if (this.state === 'gone') return;
    this.state = state;
    if (state === 'gone') {
      if (this.idleTimer) clearTimeout(this.idleTimer);
      if (this.exit && this.reason !== null) this.#emitUnload(this.reason);
      this.engine = null;
      this.#tellActivity();
      this.#settleGone();
    }
    this.#input.onChange(this);
  }

  #emitUnload(reason: UnloadReason): void {
    const residentMs = Math.round(performance.now() - (this.loadEndedAt ?? performance.now()));
    this.#input.deps.events.emit({ type: 'unload', model: this.entry.id, reason, residentMs });
  }
}

/** A load's error in words that name the model; codes that say more than `model_load_failed` stay. */
export function loadFailure(thrown: unknown, model: string): HoshikageError {
  const error = toHoshikageError(thrown, 'model_load_failed', { model });
  const telling = ['library_', 'model_file_', 'draft_model_', 'engine_'].some((start) =>
    error.code.startsWith(start),
  );
  if (telling || error.code === 'addon_missing') return error;
  if (error.code === 'memory_short') {
    // An engine that says so knows only the file.
    return new HoshikageError(error.code, { ...error.details, model }, { cause: error.cause });
  }
  return new HoshikageError('model_load_failed', { ...error.details, model }, { cause: error });
}
