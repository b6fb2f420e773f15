/**
 * Copies of models on a RAM disk: which file a model is loaded from, when a copy is made in the
 * background, and when it goes. Server's main thread. It decides; what lies there is its store's. It
 * must never leave the machine short of memory, and never let a
 * failure of its own reach a request: the model's own file always works.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FolderRefused } from '../folders/private-folder.js';
import { isInMemory, type Space, spaceAt } from '../folders/space.js';
import type { Log } from '../log.js';
import type { SpareMemory } from '../memory/spare.js';
import type { TryLock } from '../models/lock.js';
import { factsOf, SourceChanged } from './copy.js';
import type { RamDiskCopy } from './ramdisk-copy.js';
import { checkPiece, isWorthCopying, planRoom } from './ramdisk-room.js';
import { CopyStore, partsOf } from './ramdisk-store.js';
import type { CopyEvent, LoadFacts, RamDiskSettings, RamDiskStatus } from './ramdisk-types.js';
import { Usage } from './usage.js';

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

interface Copying {
  readonly source: string;
  bytes: number;
  copied: number;
}

/** A file that does not answer holds up neither the server's end nor a model's load for longer, ms. */
const STOP_LIMIT_MS = 2000;
/** Why a copy goes before a model is refused. */
const NEEDED = 'a model needs the memory';
/** Node's timers end here. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The copies of one server. */
export class RamDisk implements SpareMemory {
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
  /** Ends the running copy; settles with it. */
  #stopper = new AbortController();
  #considered: Promise<void> = Promise.resolve();
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
    if (!this.#on || this.#closing.signal.aborted || !isWorthCopying(facts, this.#settings)) return;
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

  spareFor(source: string, leaving: readonly string[]): number {
    if (!this.#inMemory) return 0;
    const copies = this.#sparesFor(source, leaving).reduce((sum, { bytes }) => sum + bytes, 0);
    return copies + (this.#copying?.copied ?? 0);
  }

  async giveBack(bytes: number, source: string): Promise<number> {
    if (!this.#inMemory) return 0;
    let given = await this.#stopCopying();
    const idle = ({ source: one }: RamDiskCopy): number => this.#usage.idleMs(one);
    for (const copy of this.#sparesFor(source, []).sort((a, b) => idle(b) - idle(a))) {
      if (given >= bytes) break;
      // It may have come into use while another one was removed.
      if (this.#usage.isUsed(copy.source)) continue;
      given += copy.bytes;
      await this.#remove(copy, NEEDED);
    }
    return given;
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
    await Promise.race([this.#ready.then(() => this.#worker), stopLimit()]);
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

  /** Copies one source after the other. Never rejects. */
  async #work(): Promise<void> {
    await this.#ready;
    for (let source = this.#queue.shift(); source !== undefined; source = this.#queue.shift()) {
      if (!this.#on || this.#closing.signal.aborted) return;
      const copying = { source, bytes: 0, copied: 0 };
      this.#copying = copying;
      this.#stopper = new AbortController();
      this.#considered = this.#consider(copying);
      await this.#considered;
      this.#copying = null;
    }
  }

  /** Makes the copy where there is room; one that failed is not tried again until its source changes. */
  async #consider(copying: Copying): Promise<void> {
    const { source } = copying;
    let facts = '';
    let bytes = 0;
    try {
      const sources = await partsOf(source);
      const parts = await Promise.all(sources.map(factsOf));
      facts = JSON.stringify(parts);
      bytes = parts.reduce((sum, { size }) => sum + size, 0);
      if (this.#refused.get(source) === facts) return;
      const lack = await this.#makeRoom(bytes);
      copying.bytes = bytes;
      if (lack === null) await this.#copy(copying, sources);
      else this.#sayLack(source, lack);
    } catch (error) {
      this.#failed(source, { facts, bytes }, error);
    }
  }

  async #copy(copying: Copying, sources: readonly string[]): Promise<void> {
    const { source, bytes } = copying;
    const startedAt = performance.now();
    const reason = this.#settings.ramdiskMode === 'always' ? 'always' : 'slow file';
    this.#input.events.emit({ type: 'copy', source, state: 'started', bytes, reason });
    const copy = await this.#store.make(source, {
      sources,
      guard: async (piece) => checkPiece(await this.#room(), piece),
      onWritten: (written) => {
        copying.copied += written;
      },
      signal: AbortSignal.any([this.#closing.signal, this.#stopper.signal]),
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
    const isNeeded = this.#stopper.signal.aborted;
    const reason = isEnd ? 'shutdown' : isNeeded ? NEEDED : reasonOf(error);
    this.#input.events.emit({ type: 'copy', source, state: 'failed', bytes, reason });
    if (isEnd || isNeeded) return;
    this.#log.warn('a copy on the RAM disk failed; the file itself is used', { source, reason });
    if (error instanceof FolderRefused || isForbidden(error)) this.#on = false;
    // A file that changed is another one: its next load decides anew.
    if (!(error instanceof SourceChanged)) this.#refused.set(source, facts);
  }

  /** Copies that may go for a model of this file, once the leaving ones' engines have ended. */
  #sparesFor(source: string, leaving: readonly string[]): RamDiskCopy[] {
    const isSpare = (one: string): boolean =>
      one !== source && (leaving.includes(one) || !this.#usage.isUsed(one));
    return this.#store.all.filter((copy) => isSpare(copy.source));
  }

  /** Gives the bytes that this frees; the next load decides anew whether a copy is made. */
  async #stopCopying(): Promise<number> {
    const copied = this.#copying?.copied ?? 0;
    if (!this.#copying) return 0;
    this.#queue.length = 0;
    this.#stopper.abort();
    await Promise.race([this.#considered, stopLimit()]);
    return copied;
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

function stopLimit(): Promise<void> {
  return sleep(STOP_LIMIT_MS, undefined, { ref: false });
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
