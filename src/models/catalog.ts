/**
 * The server's view of the models: the map's, those found in MODEL_DIR, and the built-in one while
 * there is no other. Main thread of the server. It notices a changed map by itself (a watch on the
 * directory, and a poll for what watches miss); a map that breaks while it runs is reported, and the
 * last good one stays. It never keeps the process alive and never writes but through the registry.
 */
import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { HoshikageError, toHoshikageError } from '../errors.js';
import type { Log } from '../log.js';
import { type GgufFacts, readGguf } from './gguf.js';
import { GUIDE_ID, guidePath, modelNotFound } from './guide.js';
import type { TryLock } from './lock.js';
import {
  findEntry,
  isSameEntry,
  type ModelEntry,
  ModelRegistry,
  type NewModel,
} from './registry.js';
import { scanModels } from './scan.js';

/** What the catalogue is made from. */
export interface CatalogOptions {
  readonly modelMapFile: string;
  readonly modelDir: string;
  readonly log: Log;
  /** The addon's `tryLock`, for where fs-ext is not installed; may throw where it is missing. */
  readonly tryLock?: TryLock;
  /** How often the map is looked at besides the watch; 2 s by default. */
  readonly pollMs?: number;
}

const DEFAULT_POLL_MS = 2000;
/** An editor's save is several events; the map is read when they have settled. */
const SETTLE_MS = 50;

interface CachedFacts {
  readonly version: string;
  readonly facts: Promise<GgufFacts | null>;
}

/** The models that can be asked for now. */
export class ModelCatalog {
  readonly #options: CatalogOptions;
  readonly #registry: ModelRegistry;
  readonly #listeners = new Set<() => void>();
  readonly #facts = new Map<string, CachedFacts>();
  #mapEntries: readonly ModelEntry[] = [];
  #mapVersion = '';
  #scanEntries: readonly ModelEntry[] = [];
  #entries: readonly ModelEntry[] = [];
  #problem: HoshikageError | null = null;
  #lastRefresh: Promise<unknown> = Promise.resolve();
  #watcher: FSWatcher | null = null;
  #poll: NodeJS.Timeout | null = null;
  #settle: NodeJS.Timeout | null = null;
  #closed = false;

  private constructor(options: CatalogOptions) {
    this.#options = options;
    this.#registry = new ModelRegistry(options.modelMapFile, {
      warn: (message) => options.log.warn(message),
      ...(options.tryLock ? { tryLock: options.tryLock } : {}),
    });
  }

  /** Reads the map, scans MODEL_DIR and begins to watch. Code: map_broken. */
  static async open(options: CatalogOptions): Promise<ModelCatalog> {
    const catalog = new ModelCatalog(options);
    // Watching first: a change between reading and watching would go unseen until the poll.
    catalog.#watch();
    try {
      await catalog.reload();
    } catch (cause) {
      catalog.close();
      throw cause;
    }
    return catalog;
  }

  /** All models: the map's in its order, then those of MODEL_DIR by name. */
  list(): readonly ModelEntry[] {
    return this.#entries;
  }

  get(id: string): ModelEntry | undefined {
    return findEntry(this.#entries, id);
  }

  /** What is wrong with the map since it was last read well; null while nothing is. */
  get problem(): HoshikageError | null {
    return this.#problem;
  }

  /** Adds a model to the map; see ModelRegistry.add for the codes. */
  async add(id: string, model: NewModel): Promise<ModelEntry> {
    const { entry } = await this.#registry.add(id, model);
    await this.#refreshQuietly();
    return entry;
  }

  /**
   * Takes a model out of the map. Codes: those of ModelRegistry.remove, model_not_in_map for one
   * that only lies in MODEL_DIR, and model_built_in.
   */
  async remove(id: string): Promise<void> {
    try {
      await this.#registry.remove(id);
    } catch (cause) {
      const entry = this.get(id);
      const isUnknown = cause instanceof HoshikageError && cause.code === 'model_not_found';
      if (isUnknown && !entry) throw modelNotFound(id);
      if (!isUnknown || !entry || entry.origin === 'map') throw cause;
      if (entry.origin === 'builtin') throw new HoshikageError('model_built_in', { model: id });
      throw new HoshikageError('model_not_in_map', { model: entry.id, path: entry.path });
    }
    await this.#refreshQuietly();
  }

  /** Reads the map and scans MODEL_DIR again. Code: map_broken (the last good map stays). */
  async reload(): Promise<void> {
    await this.#refresh({ scan: true });
  }

  /** What a model's file says about itself; null where there is no sound file. Cached. */
  async facts(id: string): Promise<GgufFacts | null> {
    const entry = this.get(id);
    const found = entry && (await stat(entry.path, { bigint: true }).catch(() => null));
    if (!entry || !found) return null;
    const version = `${found.ino}:${found.size}:${found.mtimeNs}`;
    const cached = this.#facts.get(entry.path);
    if (cached?.version === version) return cached.facts;
    const facts = readGguf(entry.path).catch((cause: unknown) => {
      this.#options.log.warn('a model file cannot be read', { model: entry.id, error: cause });
      return null;
    });
    this.#facts.set(entry.path, { version, facts });
    return facts;
  }

  /** Calls `listener` after the list has changed, until the function it gives is called. */
  onChange(listener: () => void): () => void {
    const own = (): void => listener();
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  /** Stops watching. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    this.#watcher = null;
    if (this.#poll) clearInterval(this.#poll);
    if (this.#settle) clearTimeout(this.#settle);
    this.#listeners.clear();
  }

  /** One refresh after the other, so that an older reading never replaces a newer one. */
  async #refresh(options: { readonly scan: boolean }): Promise<void> {
    const refresh = this.#lastRefresh.then(() => this.#refreshNow(options));
    this.#lastRefresh = refresh.catch(() => undefined);
    await refresh;
  }

  async #refreshNow({ scan }: { readonly scan: boolean }): Promise<void> {
    if (scan) await this.#scan();
    try {
      const { entries, version } = await this.#registry.snapshot();
      this.#mapEntries = entries;
      this.#mapVersion = version;
      if (this.#problem) this.#options.log.info('the model map can be read again');
      this.#problem = null;
    } catch (cause) {
      this.#problem = toHoshikageError(cause, 'map_broken', { path: this.#registry.path });
      throw this.#problem;
    } finally {
      this.#merge();
    }
  }

  async #scan(): Promise<void> {
    const { log, modelDir } = this.#options;
    try {
      const { entries, skipped } = await scanModels(modelDir);
      this.#scanEntries = entries;
      for (const file of skipped) log.warn('a file in MODEL_DIR is not offered', file);
    } catch (cause) {
      log.warn('MODEL_DIR cannot be read', { path: modelDir, error: cause });
    }
  }

  /** Makes the list from its three sources. */
  #merge(): void {
    const files = new Set(this.#mapEntries.map(({ path }) => path));
    const offered = this.#scanEntries.filter(
      ({ id, path }) => !files.has(path) && !findEntry(this.#mapEntries, id),
    );
    const registered = [...this.#mapEntries, ...offered];
    const entries = registered.length > 0 ? registered : [this.#builtin()];
    const isSame =
      entries.length === this.#entries.length &&
      entries.every((entry, index) => {
        const before = this.#entries[index];
        return before !== undefined && isSameEntry(entry, before);
      });
    if (isSame) return;
    this.#entries = entries;
    const paths = new Set(entries.map(({ path }) => path));
    for (const path of this.#facts.keys()) if (!paths.has(path)) this.#facts.delete(path);
    for (const listener of [...this.#listeners]) this.#notify(listener);
  }

  #notify(listener: () => void): void {
    try {
      listener();
    } catch (error) {
      this.#options.log.error('a listener to the list of models failed', { error });
    }
  }

  #builtin(): ModelEntry {
    return { id: GUIDE_ID, path: guidePath(), stop: [], origin: 'builtin', settings: {} };
  }

  #watch(): void {
    const { modelMapFile, pollMs = DEFAULT_POLL_MS } = this.#options;
    const name = basename(modelMapFile);
    try {
      this.#watcher = watch(dirname(modelMapFile), { persistent: false }, (_, changed) => {
        if (changed === null || changed === name) this.#readSoon();
      });
      this.#watcher.on('error', (error) => {
        this.#options.log.debug('watching the model map ended; polling goes on', { error });
        this.#watcher?.close();
        this.#watcher = null;
      });
    } catch (error) {
      this.#options.log.debug('the model map cannot be watched; it is polled', { error });
    }
    this.#poll = setInterval(() => void this.#readIfChanged(), pollMs);
    this.#poll.unref();
  }

  #readSoon(): void {
    if (this.#closed) return;
    if (this.#settle) clearTimeout(this.#settle);
    this.#settle = setTimeout(() => void this.#readIfChanged(), SETTLE_MS);
    this.#settle.unref();
  }

  async #readIfChanged(): Promise<void> {
    const version = await this.#registry.version();
    // A map with a problem is read again even if it looks the same: the reading may have failed.
    if (this.#closed || (version === this.#mapVersion && !this.#problem)) return;
    await this.#refreshQuietly();
  }

  /** A refresh nobody asked for: what is wrong goes to the log, once. */
  async #refreshQuietly(): Promise<void> {
    const before = this.#problem?.message;
    try {
      await this.#refresh({ scan: false });
    } catch (error) {
      if (before === this.#problem?.message) return;
      this.#options.log.error('the model map is broken; the last good one stays', { error });
    }
  }
}
