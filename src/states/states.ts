/**
 * Conversations that outlive their engine: what its slots hold is saved before it goes, and brought
 * back when a prompt begins with it again. Server's main thread; the bytes themselves are written and
 * read by the engine processes, which refuse whatever is not exactly theirs. It owns the files in its
 * place and their budget. It must never make a request fail or wait without limit: whatever goes wrong
 * here costs computing the prompt, and a line in the log.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { EventBus } from '../events.js';
import type { Log } from '../log.js';
import type { SpareMemory } from '../memory/spare.js';
import type { SavedModel, SlotCache, StateKeeper } from './saved-model.js';
import { type KeptState, LEAST_TOKENS, reusable, StateIndex } from './state-index.js';
import { removeState, type StatePlace } from './state-place.js';

/** How long all states of an engine may take; its end waits for them, and so may a request. */
const SAVE_LIMIT_MS = 10_000;
/** Share of it that the place may take to answer; one that does not is not asked again. */
const PLACE_SHARE = 0.5;
/** How long a request waits for a state at most. */
const RECALL_LIMIT_MS = 10_000;
/** How long the removal of all files may hold up the end of the server. */
const CLOSE_LIMIT_MS = 5000;
/** By how much a file is larger than the library's part and its tokens: header, key and checksum. */
const FILE_EXTRA_BYTES = 64 * 1024;

/** What a cache of states works with. */
export interface StateCacheDeps {
  /** Found out meanwhile; null = states are not kept. It must not reject. */
  readonly place: Promise<StatePlace | null>;
  /** STATE_CACHE_BYTES. */
  readonly limitBytes: number;
  readonly log: Log;
  readonly events: Pick<EventBus, 'emit'>;
  /** For tests; 10 s each where absent. */
  readonly limits?: { readonly saveMs: number; readonly recallMs: number };
}

/** What /v1/status shows. */
export interface StateCacheStatus {
  /** Null = off. */
  readonly place: 'memory' | 'disk' | null;
  readonly bytes: number;
  readonly limitBytes: number;
  readonly states: number;
}

/** Saved sequence states of all models. */
export class StateCache implements StateKeeper, SpareMemory {
  readonly #deps: StateCacheDeps;
  readonly #index = new StateIndex();
  #place: StatePlace | null = null;
  /** The place has failed: nothing more is put there. */
  #isOff = false;
  /** Of the last state of each key: how much it takes per token. */
  readonly #bytesPerToken = new Map<string, number>();
  /** By key, of the engine that went last: a new one does not know its pace yet. */
  readonly #prefillMsPerToken = new Map<string, number>();
  /** How fast states came back lately, over all models; null = not known yet. */
  #bytesPerMs: number | null = null;
  /** Settles when nobody saves any more: each has all the room there is. */
  #saving: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(deps: StateCacheDeps) {
    this.#deps = deps;
    void deps.place.then((place) => {
      this.#place = place;
    });
  }

  async save(model: SavedModel): Promise<void> {
    const { limitBytes, limits, log } = this.#deps;
    const place = this.#place;
    if (!place || limitBytes === 0 || this.#isOff || this.#closed) return;
    const deadline = AbortSignal.timeout(limits?.saveMs ?? SAVE_LIMIT_MS);
    if (model.prefillMsPerToken) this.#prefillMsPerToken.set(model.key, model.prefillMsPerToken);
    const before = this.#saving;
    const saving = unlessAborted(before, deadline)
      .then(() => this.#saveAll(place, model, deadline))
      .catch(() => {});
    this.#saving = Promise.all([before, saving]).then(() => {});
    await saving;
    if (deadline.aborted && !this.#isOff)
      log.warn('saving conversations took too long', { model: model.id });
  }

  async recall(model: SavedModel, prompt: Int32Array, signal: AbortSignal): Promise<number> {
    const reuse = { prompt, trims: !model.engine.info.model.isRecurrent };
    if (!this.#index.best(model.key, reuse)) return 0;
    const limit = AbortSignal.timeout(this.#deps.limits?.recallMs ?? RECALL_LIMIT_MS);
    const patience = AbortSignal.any([signal, limit]);
    while (!patience.aborted && !this.#closed) {
      const held = model.caches
        .filter(({ busy }) => !busy)
        .reduce((most, { tokens }) => Math.max(most, reusable(tokens, reuse)), 0);
      const best = this.#index.best(model.key, reuse);
      if (!best || !this.#pays(model, best.state, best.tokens - held)) return 0;
      if (await this.#restore(model, best.state, { patience, limit })) return best.tokens;
    }
    return 0;
  }

  drop(key: string): void {
    for (const state of this.#index.of(key)) void this.#drop(state, 'its model has changed');
    this.#bytesPerToken.delete(key);
    this.#prefillMsPerToken.delete(key);
  }

  status(): StateCacheStatus {
    const { limitBytes } = this.#deps;
    const place = limitBytes > 0 && !this.#isOff ? this.#place : null;
    const kind = place?.inMemory ? 'memory' : 'disk';
    return {
      place: place && kind,
      bytes: this.#index.bytes,
      limitBytes,
      states: this.#index.size,
    };
  }

  spareFor(): number {
    return this.#place?.inMemory ? this.#index.bytes : 0;
  }

  async giveBack(bytes: number): Promise<number> {
    if (!this.#place?.inMemory) return 0;
    const before = this.#index.bytes;
    for (const state of this.#index.olderThan(Number.POSITIVE_INFINITY)) {
      if (before - this.#index.bytes >= bytes) break;
      await this.#drop(state, 'a model needs the memory');
    }
    return before - this.#index.bytes;
  }

  /** Forgets everything and removes its files. Never rejects; idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    const closing = this.#deps.place.then((place) => place?.close());
    // What is left on a disk that does not answer is swept by the next server.
    await unlessAborted(closing, AbortSignal.timeout(CLOSE_LIMIT_MS)).catch(() => {});
  }

  async #saveAll(place: StatePlace, model: SavedModel, deadline: AbortSignal): Promise<void> {
    const caches = model.caches
      .filter(({ busy, tokens }) => !busy && tokens.length >= LEAST_TOKENS)
      .sort((one, other) => other.usedAt - one.usedAt);
    for (const cache of caches) {
      if (deadline.aborted || this.#isOff) break;
      const saving = this.#saveOne(place, { model, cache, deadline });
      await unlessAborted(saving, deadline).catch((error: unknown) => {
        saving.catch(() => {});
        if (deadline.aborted || this.#isOff) return;
        this.#deps.log.warn('a conversation could not be saved', { model: model.id, error });
      });
    }
  }

  async #saveOne(place: StatePlace, { model, cache, deadline }: Saving): Promise<void> {
    const { key, id, engine } = model;
    const known = this.#index.covering(key, cache.tokens);
    if (known) {
      known.usedAt = Math.max(known.usedAt, cache.usedAt);
      return;
    }
    const estimate = this.#estimate(model, cache.tokens.length);
    const { folder, free } = await this.#ask(place);
    const room = await this.#makeRoom(free, cache, estimate);
    if (room === null) return;
    const path = join(folder, `${randomUUID()}.state`);
    deadline.throwIfAborted();
    const started = performance.now();
    const saving = engine.saveState(cache.slot, path, room - FILE_EXTRA_BYTES);
    try {
      const saved = await unlessAborted(saving, deadline);
      if (!saved) return;
      const { tokens, bytes } = saved;
      this.#bytesPerToken.set(key, bytes / tokens.length);
      const ms = Math.round(performance.now() - started);
      this.#keep({ path, key, model: id, tokens, bytes, usedAt: cache.usedAt }, ms);
    } catch (error) {
      // The engine writes on, or dies at it: what it leaves is removed when that is over.
      const clean = (): void => void removeState(path);
      saving.then(clean, clean);
      if (!deadline.aborted) throw error;
    }
  }

  /**
   * Where to write, and how much there is room for. A place that fails, or does not answer, is off
   * from then on: every unload, and who waits for it, would pay for it again.
   */
  async #ask(place: StatePlace): Promise<{ readonly folder: string; readonly free: number }> {
    const { limits, log } = this.#deps;
    const patience = AbortSignal.timeout((limits?.saveMs ?? SAVE_LIMIT_MS) * PLACE_SHARE);
    const asking = async () => ({ folder: await place.folder(), free: await place.room() });
    try {
      return await unlessAborted(asking(), patience);
    } catch (error) {
      if (!this.#isOff && !this.#closed) {
        log.warn('conversations are not saved any more: their place failed', { error });
      }
      this.#isOff = true;
      throw error;
    }
  }

  #keep(state: KeptState, ms: number): void {
    const { log, events } = this.#deps;
    if (this.#closed) {
      void removeState(state.path);
      return;
    }
    const replaced = this.#index.add(state);
    const { model, tokens, bytes } = state;
    log.info('conversation saved', { model, tokens: tokens.length, bytes, ms });
    events.emit({ type: 'state', model, action: 'saved', tokens: tokens.length, bytes, ms });
    for (const old of replaced) void this.#gone(old, 'replaced by a newer one');
  }

  /** By what is known of the model, else by an upper bound: every head with a cache of its own. */
  #estimate(model: SavedModel, tokens: number): Estimate {
    const known = this.#bytesPerToken.get(model.key) ?? model.bytesPerToken;
    const { layers, embeddingLength } = model.engine.info.model;
    const perToken = known ?? layers * embeddingLength * 4;
    return {
      bytes: Math.ceil(tokens * (perToken + 4)) + FILE_EXTRA_BYTES,
      sure: known !== undefined,
    };
  }

  /**
   * Bytes that this state may have, after older ones have made room for it; null where it would not
   * fit even then. What was used more recently never goes for it.
   */
  async #makeRoom(free: number, cache: SlotCache, estimate: Estimate): Promise<number | null> {
    const held = (): number => this.#index.bytes;
    // The files that are there are counted in what is taken already.
    const capacity = Math.min(this.#deps.limitBytes, this.#index.bytes + free);
    const older = this.#index.olderThan(cache.usedAt);
    const most = capacity - held() + this.#index.bytesOf(older);
    if (most < (estimate.sure ? estimate.bytes : FILE_EXTRA_BYTES)) return null;
    const wanted = Math.min(estimate.bytes, most);
    for (const state of older) {
      if (capacity - held() >= wanted) break;
      await this.#drop(state, 'room for a newer one');
    }
    return capacity - held();
  }

  /** Whether bringing it back is likely to be quicker than computing what it saves. */
  #pays({ key, prefillMsPerToken }: SavedModel, state: KeptState, gained: number): boolean {
    if (gained < LEAST_TOKENS) return false;
    const msPerToken = prefillMsPerToken ?? this.#prefillMsPerToken.get(key) ?? null;
    if (this.#bytesPerMs === null || msPerToken === null) return true;
    if (state.bytes / this.#bytesPerMs < gained * msPerToken) return true;
    // What was slow once need not stay so: it is tried again some time.
    this.#bytesPerMs *= 1.25;
    return false;
  }

  /** True when the state is in a slot now. What cannot be read is forgotten. */
  async #restore(
    model: SavedModel,
    state: KeptState,
    { patience, limit }: Waiting,
  ): Promise<boolean> {
    const { log, events } = this.#deps;
    const started = performance.now();
    const restoring = model.engine.restoreState(state.path);
    try {
      const restored = await unlessAborted(restoring, patience);
      if (!restored) {
        void this.#drop(state, 'it could not be used');
        return false;
      }
    } catch (error) {
      // It may still succeed, for nobody; a client that left says nothing about the state.
      restoring.catch(() => {});
      if (!patience.aborted || limit.aborted) {
        log.warn('a saved conversation could not be brought back', { model: model.id, error });
        void this.#drop(state, limit.aborted ? 'it took too long' : 'the engine failed at it');
      }
      return false;
    }
    const ms = Math.round(performance.now() - started);
    this.#bytesPerMs = state.bytes / Math.max(ms, 1);
    state.usedAt = performance.now();
    const { bytes } = state;
    const tokens = state.tokens.length;
    log.info('conversation brought back', { model: model.id, tokens, bytes, ms });
    events.emit({ type: 'state', model: model.id, action: 'restored', tokens, bytes, ms });
    return true;
  }

  async #drop(state: KeptState, reason: string): Promise<void> {
    if (this.#index.delete(state)) await this.#gone(state, reason);
  }

  /** Settles when the file is gone. Never rejects. */
  async #gone({ path, model, tokens, bytes }: KeptState, reason: string): Promise<void> {
    const { log, events } = this.#deps;
    log.info('saved conversation dropped', { model, tokens: tokens.length, bytes, reason });
    const fact = { tokens: tokens.length, bytes, ms: 0, reason };
    events.emit({ type: 'state', model, action: 'dropped', ...fact });
    await removeState(path);
  }
}

interface Saving {
  readonly model: SavedModel;
  readonly cache: SlotCache;
  readonly deadline: AbortSignal;
}

interface Waiting {
  /** The client's and the limit. */
  readonly patience: AbortSignal;
  readonly limit: AbortSignal;
}

interface Estimate {
  readonly bytes: number;
  /** Learned, not guessed. */
  readonly sure: boolean;
}

/** What `work` gives; throws the signal's reason when that is first. `work` goes on. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
  });
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
