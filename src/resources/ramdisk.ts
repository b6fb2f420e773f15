/**
 * Copies of models on a RAM disk: which file a model is loaded from, when a copy is made in the
 * background, and when it goes. Server's main thread. It decides; what lies there is its store's. It
 * must never leave the machine short of memory, and never let a
 * failure of its own reach a request: the model's own file always works.
 */
import type { Log } from '../log.js';
import type { TryLock } from '../models/lock.js';
import { factsOf, SourceChanged } from './copy.js';
import type { ResourceFact } from './events.js';
import { FolderRefused } from './private-folder.js';
import type { RamDiskCopy } from './ramdisk-copy.js';
import { checkPiece, planRoom } from './ramdisk-room.js';
import { CopyStore, partsOf } from './ramdisk-store.js';
import { isInMemory, type Space, spaceAt } from './space.js';
import { Usage } from './usage.js';

/** The settings it goes by; a Config has them all. */
export interface RamDiskSettings {
  readonly ramdiskPath: string | null;
  readonly ramdiskMode: 'auto' | 'always' | 'off';
  /** MB/s (10^6 bytes). */
  readonly ramdiskMinMbps: number;
  /** Null: half of what is free. */
  readonly ramdiskMaxBytes: number | null;
  readonly ramdiskKeep: boolean;
  /** 0 = never. */
  readonly greatTimeoutMs: number;
}

/** What happened to a copy, for the bus of events. */
export type CopyEvent = Extract<ResourceFact, { readonly type: 'copy' }>;

/** What a RAM disk is made of. */
export interface RamDiskInput {
  readonly settings: RamDiskSettings;
  /** Whether the user has set any of it: then it is said aloud where it cannot be had. */
  readonly asked: boolean;
  readonly log: Log;
  readonly events: { emit(event: CopyEvent): void };
  readonly tryLock?: TryLock;
  /** The machine; another one for tests. */
  readonly platform?: NodeJS.Platform;
  readonly space?: (path: string) => Promise<Space>;
}

/** How a model was read while it was loaded from its own file. */
export interface LoadFacts {
  /** Of the model, all parts. */
  readonly bytes: number;
  /** How long there was reading, ms. */
  readonly ms: number;
  /** What came from storage, not from the page cache; null where this system does not tell. */
  readonly readBytes: number | null;
}

/** What the status route shows. */
export interface RamDiskStatus {
  /** `off` also where it was switched on and cannot be had. */
  readonly mode: RamDiskSettings['ramdiskMode'];
  readonly path: string | null;
  readonly copies: readonly {
    readonly source: string;
    readonly bytes: number;
    readonly idleMs: number;
    /** Its model is loaded from it, or being loaded. */
    readonly inUse: boolean;
  }[];
  readonly copying: {
    readonly source: string;
    readonly bytes: number;
    readonly copied: number;
  } | null;
}

interface Copying {
  readonly source: string;
  readonly bytes: number;
  copied: number;
}

/** A smaller model loads at once from anywhere. */
const SMALLEST_BYTES = 64 * 1024 * 1024;
/** The speed of a file counts only where at least this share of it came from storage. */
const STORAGE_SHARE = 0.5;
/** Node's timers end here. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The copies of one server. */
export class RamDisk {
  readonly #input: RamDiskInput;
  readonly #settings: RamDiskSettings;
  readonly #base: string;
  readonly #log: Log;
  readonly #store: CopyStore;
  readonly #usage = new Usage();
  readonly #ready: Promise<void>;
  readonly #closing = new AbortController();
  /** False where there is no RAM disk to be had: from then on nothing is done. */
  #on: boolean;
  #inMemory = true;
  /** Sources that could not be copied, as they were then. */
  readonly #refused = new Map<string, string>();
  /** Sources for which the lack of room was said. */
  readonly #lacking = new Set<string>();
  readonly #queue: string[] = [];
  #copying: Copying | null = null;
  #worker: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;

  private constructor(input: RamDiskInput) {
    const { settings, tryLock } = input;
    this.#input = input;
    this.#settings = settings;
    this.#base = settings.ramdiskPath ?? '';
    this.#log = input.log;
    this.#on = settings.ramdiskPath !== null;
    this.#store = new CopyStore({ base: this.#base, kind: 'ramdisk', ...(tryLock && { tryLock }) });
    this.#ready = this.#start();
  }

  /** Opens it; what dead servers left there is swept, or taken over, in the background. */
  static open(input: RamDiskInput): RamDisk {
    return new RamDisk(input);
  }

  /** Whether it asks how fast files are read. */
  get measures(): boolean {
    return this.#on && this.#settings.ramdiskMode === 'auto';
  }

  /** The file to load: the verified copy, or the source itself. Never rejects. */
  async pathFor(source: string): Promise<string> {
    this.#usage.touch(source);
    await this.#ready;
    const copy = this.#store.get(source);
    if (!copy) return source;
    const verified = await this.#store.verify(copy);
    if ('path' in verified) return verified.path;
    await this.#remove(copy, verified.problem);
    return source;
  }

  /** An engine is going to load it, from wherever: its copy stays until `done`. */
  begin(source: string): void {
    this.#usage.engineBegins(source);
  }

  /** That engine has ended, or never came to be. */
  done(source: string): void {
    this.#usage.engineEnds(source);
    this.#arm();
  }

  /** The copy could not be loaded: it goes. */
  async drop(source: string, reason: string): Promise<void> {
    const copy = this.#store.get(source);
    if (!copy) return;
    this.#log.warn('a copy on the RAM disk is dropped', { source, reason });
    await this.#remove(copy, reason);
  }

  /** A model was loaded from its own file; where that was slow, a copy is made in the background. */
  loaded(source: string, facts: LoadFacts): void {
    if (!this.#on || this.#closing.signal.aborted || !this.#isWorthIt(facts)) return;
    if (this.#store.get(source) || this.#copying?.source === source) return;
    if (this.#queue.includes(source)) return;
    this.#queue.push(source);
    this.#worker ??= this.#work().finally(() => {
      this.#worker = null;
    });
  }

  /** A model's first request has begun, or its last one has ended. */
  activity(source: string, active: boolean): void {
    this.#usage.activity(source, active);
    this.#arm();
  }

  /** What is there now, at once. */
  status(): RamDiskStatus {
    const { ramdiskMode, ramdiskPath } = this.#settings;
    return {
      mode: this.#on ? ramdiskMode : 'off',
      path: ramdiskPath,
      copies: this.#store.all.map(({ source, bytes }) => ({
        source,
        bytes,
        idleMs: this.#usage.idleMs(source),
        inUse: this.#usage.isUsed(source),
      })),
      copying: this.#copying && { ...this.#copying },
    };
  }

  /** Ends a running copy and removes everything; with RAMDISK_KEEP finished copies stay. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    if (this.#timer) clearTimeout(this.#timer);
    await this.#ready;
    await this.#worker;
    const keep = this.#settings.ramdiskKeep;
    if (!keep) for (const copy of this.#store.all) this.#tell('removed', copy, 'shutdown');
    await this.#store.close({ keep });
  }

  async #start(): Promise<void> {
    if (!this.#on) return;
    const { asked, log, platform = process.platform } = this.#input;
    const { ramdiskMode, ramdiskKeep } = this.#settings;
    const wanted = ramdiskMode !== 'off';
    if (platform !== 'linux') {
      this.#on = false;
      if (asked && wanted)
        log.warn('RAM disks are used on Linux only; files are loaded as they are');
      return;
    }
    try {
      this.#inMemory = await isInMemory(this.#base);
      if (!this.#inMemory && asked && wanted) {
        log.warn('RAMDISK_PATH is no RAM disk (tmpfs); used all the same', { path: this.#base });
      }
      await this.#store.open({ adopt: ramdiskKeep && wanted });
      for (const { source, bytes } of this.#store.all) {
        this.#usage.touch(source);
        log.info('took over a copy on the RAM disk', { source, bytes });
      }
      this.#arm();
    } catch (error) {
      this.#giveUp(error);
    }
    if (!wanted) this.#on = false;
  }

  /** No RAM disk for this server: said once, and where it merely is not there, only to who wanted it. */
  #giveUp(error: unknown): void {
    this.#on = false;
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    const level = this.#input.asked || !isMissing ? 'warn' : 'debug';
    this.#log[level]('no RAM disk is used', { path: this.#base, reason: reasonOf(error) });
  }

  /** What the page cache holds is read as fast as a copy, and would only be held twice. */
  #isWorthIt({ bytes, ms, readBytes }: LoadFacts): boolean {
    const { ramdiskMode, ramdiskMinMbps } = this.#settings;
    if (ramdiskMode !== 'auto') return ramdiskMode === 'always';
    if (bytes < SMALLEST_BYTES || readBytes === null) return false;
    if (readBytes < bytes * STORAGE_SHARE) return false;
    return readBytes / 1000 / Math.max(1, ms) < ramdiskMinMbps;
  }

  /** Copies one source after the other. Never rejects. */
  async #work(): Promise<void> {
    await this.#ready;
    for (let source = this.#queue.shift(); source !== undefined; source = this.#queue.shift()) {
      if (!this.#on || this.#closing.signal.aborted) return;
      this.#copying = { source, bytes: 0, copied: 0 };
      await this.#consider(source);
      this.#copying = null;
    }
  }

  /** Makes the copy where there is room; one that failed is not tried again until its source changes. */
  async #consider(source: string): Promise<void> {
    let facts = '';
    let bytes = 0;
    try {
      const sources = await partsOf(source);
      const parts = await Promise.all(sources.map(factsOf));
      facts = JSON.stringify(parts);
      bytes = parts.reduce((sum, { size }) => sum + size, 0);
      if (this.#refused.get(source) === facts) return;
      const lack = await this.#makeRoom(bytes);
      if (lack === null) await this.#copy(source, sources, bytes);
      else this.#sayLack(source, lack);
    } catch (error) {
      this.#failed(source, { facts, bytes }, error);
    }
  }

  async #copy(source: string, sources: readonly string[], bytes: number): Promise<void> {
    const startedAt = performance.now();
    const reason = this.#settings.ramdiskMode === 'always' ? 'always' : 'slow file';
    const progress = { source, bytes, copied: 0 };
    this.#copying = progress;
    this.#input.events.emit({ type: 'copy', source, state: 'started', bytes, reason });
    const copy = await this.#store.make(source, {
      sources,
      guard: async (piece) => checkPiece(await this.#room(), piece),
      onWritten: (written) => {
        progress.copied += written;
      },
      signal: this.#closing.signal,
    });
    const ms = Math.round(performance.now() - startedAt);
    this.#lacking.delete(source);
    this.#log.info('copied a model to the RAM disk', { source, bytes: copy.bytes, ms, reason });
    this.#tell('done', copy, reason, ms);
    this.#arm();
  }

  #failed(
    source: string,
    { facts, bytes }: { facts: string; bytes: number },
    error: unknown,
  ): void {
    const isEnd = this.#closing.signal.aborted;
    const reason = isEnd ? 'shutdown' : reasonOf(error);
    this.#input.events.emit({ type: 'copy', source, state: 'failed', bytes, reason });
    if (isEnd) return;
    this.#log.warn('a copy on the RAM disk failed; the file itself is used', { source, reason });
    if (error instanceof FolderRefused || isForbidden(error)) this.#on = false;
    // A file that changed is another one: its next load decides anew.
    if (!(error instanceof SourceChanged)) this.#refused.set(source, facts);
  }

  /** Room may come, so every load asks again; saying it once is enough. */
  #sayLack(source: string, reason: string): void {
    if (this.#lacking.has(source)) return;
    this.#lacking.add(source);
    this.#log.info('no copy on the RAM disk: there is no room', { source, reason });
  }

  /** What there is; the memory does not matter where the place is on a disk. */
  async #room(): Promise<Space> {
    const space = await (this.#input.space ?? spaceAt)(this.#base);
    return this.#inMemory ? space : { ...space, memoryFree: Number.POSITIVE_INFINITY };
  }

  /** Removes what was unused for longest until a copy of that size fits; else says why it cannot. */
  async #makeRoom(bytes: number): Promise<string | null> {
    for (;;) {
      const space = await this.#room();
      // Nothing comes between this look and the removal: a copy may come into use at any moment.
      const held = this.#store.all.map((copy) => ({
        copy,
        bytes: copy.bytes,
        movable: !this.#usage.isUsed(copy.source),
        idleMs: this.#usage.idleMs(copy.source),
      }));
      const plan = planRoom(bytes, held, space, this.#settings.ramdiskMaxBytes);
      if ('lack' in plan) return plan.lack;
      const [first] = plan.leave;
      if (!first) return null;
      await this.#remove(first.copy, 'room for another model');
    }
  }

  async #remove(copy: RamDiskCopy, reason: string): Promise<void> {
    const { source } = copy;
    try {
      await this.#store.remove(copy);
      this.#log.info('removed a copy from the RAM disk', { source, reason });
    } catch (error) {
      const problem = reasonOf(error);
      this.#log.warn('a copy on the RAM disk could not be removed', { source, reason: problem });
    }
    this.#tell('removed', copy, reason);
  }

  #tell(state: 'done' | 'removed', copy: RamDiskCopy, reason: string, ms?: number): void {
    const { source, bytes } = copy;
    const took = ms === undefined ? {} : { ms };
    this.#input.events.emit({ type: 'copy', source, state, bytes, ...took, reason });
  }

  /** Sleeps until the next copy is due; one in use is looked at when its use ends. */
  #arm(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const { greatTimeoutMs } = this.#settings;
    if (greatTimeoutMs === 0 || this.#closing.signal.aborted) return;
    const unused = this.#store.all.filter(({ source }) => !this.#usage.isUsed(source));
    if (unused.length === 0) return;
    const longest = Math.max(...unused.map(({ source }) => this.#usage.idleMs(source)));
    const ms = Math.min(Math.max(0, greatTimeoutMs - longest), LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => void this.#expire(), ms).unref();
  }

  async #expire(): Promise<void> {
    for (const copy of this.#store.all) {
      const { source } = copy;
      if (this.#usage.isUsed(source)) continue;
      // A timer may be early by less than a millisecond.
      if (this.#usage.idleMs(source) < this.#settings.greatTimeoutMs - 1) continue;
      await this.#remove(copy, 'idle');
    }
    this.#arm();
  }
}

/** It will be so for every other model as well. */
function isForbidden(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : '';
  return code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
}

function reasonOf(error: unknown): string {
  if (error instanceof SourceChanged) return 'the file changed while it was copied';
  return error instanceof Error ? error.message : String(error);
}
