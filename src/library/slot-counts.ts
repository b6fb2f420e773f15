/**
 * With how many slots each model makes the most tokens by each library, as engines have measured it:
 * slot-counts.json in the cache directory. Server's main thread; the file is replaced whole, and the
 * last writer wins. A number is a shortcut only: where it is lost, the next load measures again.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { addonPath, readAbiText } from '../engine/addon.js';
import type { EngineInfo, EngineOptions } from '../engine/engine.js';
import type { KnownSlots } from '../engine/slot-count.js';
import { modelIdentity } from '../engine/state-file.js';
import type { Log } from '../log.js';
import { type Entry, type EntryKind, recallEntry, rememberEntry } from './remembered.js';
import { verdictKey } from './verdict.js';

interface StoredCount extends KnownSlots, Entry {}

const COUNTS: EntryKind<StoredCount> = {
  format: 1,
  list: 'counts',
  most: 256,
  isEntry: (value): value is StoredCount & typeof value =>
    Number.isSafeInteger(value.best) &&
    Number(value.best) >= 1 &&
    typeof value.conditions === 'string',
};

/** What remembering works with. */
export interface SlotCountsInput {
  readonly cacheDir: string;
  /** The whole environment of the engines: it may change what a library loads. */
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
}

/** What engines have measured. */
export class SlotCounts {
  readonly #input: SlotCountsInput;

  constructor(input: SlotCountsInput) {
    this.#input = input;
  }

  /**
   * Starts an engine whose number of slots is left open, telling it what is known and keeping what it
   * finds out; any other is only started. Rejects as `start` does.
   */
  async start<E extends { readonly info: Pick<EngineInfo, 'slotChoice'> }>(
    libraryPath: string,
    options: EngineOptions,
    start: (options: EngineOptions) => Promise<E>,
  ): Promise<E> {
    if (options.slots !== 'auto' || options.purpose === 'embed') return start(options);
    const key = await this.#keyOf(libraryPath, options).catch(() => null);
    const found = key === null ? null : await recallEntry(this.#file, COUNTS, key);
    const knownSlots = found && { best: found.best, conditions: found.conditions };
    const engine = await start({ ...options, ...(knownSlots && { knownSlots }) });
    const { slotChoice } = engine.info;
    if (key !== null && slotChoice?.how === 'measured') await this.#keep(key, slotChoice.known);
    return engine;
  }

  get #file(): string {
    return join(this.#input.cacheDir, 'slot-counts.json');
  }

  async #keep(key: string, known: KnownSlots | null): Promise<void> {
    if (!known) return;
    try {
      await rememberEntry(this.#file, COUNTS, { key, at: Date.now(), ...known });
    } catch (error) {
      this.#input.log.warn('the measured number of slots cannot be remembered', { error });
    }
  }

  /** The files of model and library, and the options that change how long a step takes. */
  async #keyOf(libraryPath: string, options: EngineOptions): Promise<string | null> {
    const { sourcePath, modelPath, flashAttention, cacheTypeK, cacheTypeV } = options;
    const model = await modelIdentity(sourcePath ?? modelPath);
    const ours = { abiText: readAbiText(), addonPath: addonPath() };
    const library = await verdictKey(libraryPath, ours, this.#input.env);
    if (model === null || library === null) return null;
    const { tensorSplit, mainGpu, cpuExpertLayers } = options;
    const facts = [
      ...[model, library, flashAttention, cacheTypeK, cacheTypeV],
      ...[tensorSplit ?? null, mainGpu ?? null, cpuExpertLayers ?? null],
    ];
    return createHash('sha256').update(JSON.stringify(facts)).digest('hex');
  }
}
