/**
 * Looks at a model and at the machine before anything is allocated: fills in what an engine will
 * take, and refuses what cannot fit. Server's main thread; it holds no model and no memory, and it
 * must never refuse on a guess: where it cannot look, it lets the engine try.
 */
import { statfs } from 'node:fs/promises';
import type { Device, EngineOptions } from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import type { Log } from '../log.js';
import type { GgufFacts } from '../models/gguf.js';
import { Headers } from '../models/headers.js';
import type { ModelEntry } from '../models/registry.js';
import { sizeText } from '../models/size-text.js';
import { adviceFor } from './advice.js';
import { type MachineMemory, machineMemory, systemKeeps } from './machine.js';
import { type EngineFiles, needOf, type Room, shortageOf } from './room.js';
import { moreSlots } from './slots.js';
import type { MemoryUse } from './use.js';

/** What the guard works with. */
export interface MemoryGuardDeps {
  readonly log: Log;
  /** False: needs are filled in, and nothing is refused. */
  readonly refuses: boolean;
  /** The devices of the library in use; null where nobody knows them. It must not reject. */
  readonly devices: () => Promise<readonly Device[] | null>;
  /** The file that a model's file would really be loaded from. */
  readonly stage?: (source: string) => Promise<string>;
  /** What was read of model files lately. */
  readonly headers?: Headers;
  readonly machine?: () => Promise<MachineMemory>;
  readonly platform?: NodeJS.Platform;
}

/** statfs type of a file system that lies in main memory. */
const TMPFS = 0x0102_1994;

/** Checks models against memory. */
export class MemoryGuard {
  readonly #deps: MemoryGuardDeps;
  readonly #headers: Headers;

  constructor(deps: MemoryGuardDeps) {
    this.#deps = deps;
    this.#headers = deps.headers ?? new Headers();
  }

  /**
   * The options with `memory` filled in. `freed`: what models that go first will give back.
   * Codes: memory_short, and those of Headers.read.
   */
  async plan(entry: ModelEntry, options: EngineOptions, freed: MemoryUse): Promise<EngineOptions> {
    const files = await this.#filesOf(options);
    const room = await this.#room(options, freed);
    // With `auto` one slot decides whether a model is loaded; there are more where they fit.
    const { slots } = options;
    const sized = { ...options, slots: slots === 'auto' ? 1 : slots };
    const planned: EngineOptions = {
      ...options,
      memory: needOf(files, sized, room),
      ...(slots === 'auto' && { moreSlots: moreSlots(files, options, room) }),
      memoryChecked: this.#deps.refuses,
    };
    const shortage = shortageOf(files, sized, room);
    if (shortage === null) return planned;
    const { needed, free } = shortage;
    if (!this.#deps.refuses) {
      const figures = { needed: sizeText(needed), free: sizeText(free) };
      this.#deps.log.warn('a model may not fit into memory', { model: entry.id, ...figures });
      return planned;
    }
    const advice = adviceFor(files, sized, room, shortage);
    throw new HoshikageError('memory_short', {
      model: entry.id,
      needed: sizeText(needed),
      free: sizeText(free),
      short: sizeText(needed - free),
      needed_bytes: needed,
      free_bytes: free,
      advice: advice.en,
      advice_ja: advice.ja,
    });
  }

  async #room(options: EngineOptions, freed: MemoryUse): Promise<Room> {
    const { machine = machineMemory, devices, platform = process.platform } = this.#deps;
    const { totalBytes, availableBytes } = await machine();
    return {
      // What goes may have been counted as available already, so the whole is a bound.
      mainBytes: Math.max(
        0,
        Math.min(totalBytes, availableBytes + freed.freedBytes) - systemKeeps(totalBytes),
      ),
      devices: options.gpuLayers === 0 ? [] : await devices(),
      isFileInMemory: await this.#isInMemory(options.modelPath),
      isUnified: platform === 'darwin',
    };
  }

  async #isInMemory(path: string): Promise<boolean> {
    const { stage } = this.#deps;
    const found = await statfs(stage ? await stage(path) : path).catch(() => null);
    return found?.type === TMPFS;
  }

  async #filesOf({ modelPath, speculation }: EngineOptions): Promise<EngineFiles> {
    const draft = speculation?.draftModelPath ?? null;
    return {
      model: await this.#headersOf(modelPath),
      draft: draft === null ? null : await this.#headersOf(draft),
    };
  }

  async #headersOf(path: string): Promise<readonly GgufFacts[]> {
    return (await this.#headers.files(path)).map(({ facts }) => facts);
  }
}
