/**
 * The map of models, `model_map.json`: the one module that understands and changes it, for the server
 * and the CLI alike. Any process, main thread. Every change is read, made and written whole under a
 * lock; a file that cannot be understood is never written.
 */
import { mkdir, realpath } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { HoshikageError } from '../errors.js';
import { type TryLock, withFileLock } from './lock.js';
import {
  type MapFile,
  mapFileVersion,
  type RawEntry,
  type RawMap,
  readMapFile,
  writeMapFile,
} from './map-file.js';
import { readModelFiles } from './model-files.js';
import {
  firstIssue,
  invalidValue,
  type ModelSettings,
  readModelSettings,
  SETTINGS_SHAPE,
  toSettings,
  writeModelSettings,
} from './model-settings.js';

/** A model somebody can ask for. */
export interface ModelEntry {
  readonly id: string;
  /** Absolute path of the GGUF file (of a split model: the first part). */
  readonly path: string;
  readonly stop: readonly string[];
  /** The map, a file found in MODEL_DIR, or the model that comes with Hoshikage. */
  readonly origin: 'map' | 'scan' | 'builtin';
  readonly settings: ModelSettings;
}

/** What a caller says about a new entry. */
export interface NewModel {
  /** The GGUF file; relative to the working directory, `~` allowed. */
  readonly path: string;
  readonly stop?: readonly string[];
  readonly settings?: ModelSettings;
  /** Replace an entry of the same name. */
  readonly force?: boolean;
}

/** The stop strings an entry may have. */
export const STOP_SHAPE = z.array(z.string().min(1).max(256)).max(64);
const entryShape = z.object({
  path: z.string(),
  model: z.string().min(1),
  stop: STOP_SHAPE.default([]),
  ...SETTINGS_SHAPE.shape,
});

/** The keys of an entry that we know; all others are kept as they are. */
const KNOWN_KEYS: ReadonlySet<string> = new Set(Object.keys(entryShape.shape));

/** How to work on the map. */
export interface RegistryOptions {
  /** How long a change waits for other writers; 10 s by default. */
  readonly lockTimeoutMs?: number;
  /** The addon's `tryLock`, for where fs-ext is not installed; may throw where it is missing. */
  readonly tryLock?: TryLock;
  readonly warn?: (message: string) => void;
}

/** What `add` did. `unchanged`: the same entry was there already. */
export interface Added {
  readonly entry: ModelEntry;
  readonly outcome: 'added' | 'replaced' | 'unchanged';
}

/** The map at one moment. `version` is equal exactly while the file has not changed. */
export interface MapSnapshot {
  readonly entries: readonly ModelEntry[];
  readonly version: string;
}

/** What a change answers, and the new map where it makes one. */
interface Decision<T> {
  readonly result: T;
  readonly write?: RawMap;
}

/** The map file at one path. Holds no state but an order for its own changes. */
export class ModelRegistry {
  /** The map's path, as configured. */
  readonly path: string;
  readonly #options: RegistryOptions;
  #lastChange: Promise<unknown> = Promise.resolve();

  constructor(path: string, options: RegistryOptions = {}) {
    this.path = path;
    this.#options = options;
  }

  /** All entries in the file's order; none where there is no file yet. Code: map_broken. */
  async read(): Promise<readonly ModelEntry[]> {
    return (await this.snapshot()).entries;
  }

  /** The entries with the version of the file they came from. Code: map_broken. */
  async snapshot(): Promise<MapSnapshot> {
    const { raw, version } = await this.#load();
    return { entries: this.#parse(raw), version };
  }

  /** The version of the file without reading it. */
  async version(): Promise<string> {
    return mapFileVersion(this.path);
  }

  /**
   * Adds a model after checking its files' headers. The same entry again is a success, so that a
   * retry is safe. Codes: invalid_value, those of readModelFiles, model_exists, map_broken,
   * map_locked, map_unwritable.
   */
  async add(id: string, model: NewModel): Promise<Added> {
    const alias = toAlias(id);
    const checked = checkNewModel(model);
    const file = toAbsolute(model.path, process.cwd());
    await readModelFiles(file);
    return this.#change<Added>((raw) => {
      const before = findEntry(this.#parse(raw), alias);
      const key = before?.id ?? alias;
      const value = toRawEntry(file, checked, raw.get(key));
      const entry = parseEntry(key, value, dirname(this.path));
      if (before && isSameEntry(before, entry)) {
        return { result: { entry: before, outcome: 'unchanged' } };
      }
      if (before && !model.force) throw new HoshikageError('model_exists', { model: alias });
      const result = { entry, outcome: before ? 'replaced' : 'added' } as const;
      return { result, write: new Map(raw).set(key, value) };
    });
  }

  /**
   * Takes an entry out of the map; its file stays. Gives the entry that was there.
   * Codes: model_not_found, map_broken, map_locked, map_unwritable.
   */
  async remove(id: string): Promise<ModelEntry> {
    return this.#change((raw) => {
      const entries = this.#parse(raw);
      const entry = findEntry(entries, id);
      if (!entry) throw new HoshikageError('model_not_found', { model: id });
      const write = new Map(raw);
      write.delete(entry.id);
      return { result: entry, write };
    });
  }

  /** One change at a time in this process, then against other processes by the lock. */
  async #change<T>(decide: (raw: RawMap) => Decision<T>): Promise<T> {
    const change = this.#lastChange.then(() => this.#changeNow(decide));
    this.#lastChange = change.catch(() => undefined);
    return change;
  }

  async #changeNow<T>(decide: (raw: RawMap) => Decision<T>): Promise<T> {
    // Through a link to the file it means: a rename would replace the link.
    const target = await realpath(this.path).catch(() => this.path);
    const { lockTimeoutMs, tryLock, warn } = this.#options;
    const lockOptions = {
      ...(lockTimeoutMs === undefined ? {} : { timeoutMs: lockTimeoutMs }),
      ...(tryLock ? { tryLock } : {}),
      ...(warn ? { warn } : {}),
    };
    try {
      await mkdir(dirname(target), { recursive: true });
      return await withFileLock(
        target,
        async () => {
          const { raw } = await this.#load();
          const { result, write } = decide(raw);
          if (write) await writeMapFile(target, write);
          return result;
        },
        lockOptions,
      );
    } catch (cause) {
      if (cause instanceof HoshikageError) throw cause;
      throw new HoshikageError(
        'map_unwritable',
        { path: this.path, reason: reasonOf(cause) },
        { cause },
      );
    }
  }

  async #load(): Promise<MapFile> {
    try {
      return await readMapFile(this.path);
    } catch (cause) {
      throw this.#broken(cause);
    }
  }

  #parse(raw: RawMap): readonly ModelEntry[] {
    try {
      return [...raw].map(([id, value]) => parseEntry(id, value, dirname(this.path)));
    } catch (cause) {
      throw this.#broken(cause);
    }
  }

  #broken(cause: unknown): HoshikageError {
    const details = { path: this.path, reason: reasonOf(cause) };
    return new HoshikageError('map_broken', details, { cause });
  }
}

/** The entry called `id`, in either Unicode spelling. */
export function findEntry(entries: readonly ModelEntry[], id: string): ModelEntry | undefined {
  const alias = id.normalize('NFC');
  return (
    entries.find((entry) => entry.id === id) ??
    entries.find((entry) => entry.id.normalize('NFC') === alias)
  );
}

/** Why a name cannot be an alias, or null where it can. */
export function aliasProblem(id: string): { readonly en: string; readonly ja: string } | null {
  if (id.trim() === '') return { en: 'it is empty', ja: '空です' };
  if ([...id].length > 256) {
    return { en: 'it is longer than 256 characters', ja: '256 文字を超えています' };
  }
  if (/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(id)) {
    return { en: 'it has control characters', ja: '制御文字が含まれています' };
  }
  return null;
}

/** A URL parser takes it for a step in a path, so that no request could name the model. */
const NO_ADDRESS = { en: 'no address can hold it', ja: 'URL で表せない名前です' };

/** The alias in the one form that is compared: macOS and others spell が in two ways. */
function toAlias(id: string): string {
  const isStep = id === '.' || id === '..';
  // Only new ones: a map that has such a name already stays readable.
  const problem = isStep ? NO_ADDRESS : aliasProblem(id);
  if (problem) {
    const { en: reason, ja } = problem;
    throw new HoshikageError('invalid_value', { param: 'name', reason, reason_ja: ja });
  }
  return id.normalize('NFC');
}

/** `path` absolute, `~` expanded, relative to `base`. */
export function toAbsolute(path: string, base: string): string {
  if (path === '~') return homedir();
  if (/^~[\\/]/.test(path)) return join(homedir(), path.slice(2));
  return resolve(base, path);
}

/** Checks what a caller says about a new entry. Code: invalid_value. */
function checkNewModel(model: NewModel): { stop: readonly string[]; settings: RawEntry } {
  if (model.path === '' || model.path.includes('\0')) {
    const [reason, ja] = ['it names no file', 'ファイルの名前ではありません'];
    throw new HoshikageError('invalid_value', { param: 'path', reason, reason_ja: ja });
  }
  const stop = STOP_SHAPE.safeParse(model.stop ?? []);
  if (!stop.success) throw invalidValue(stop.error, 'stop');
  const settings = writeModelSettings(model.settings ?? {});
  readModelSettings(settings);
  return { stop: stop.data, settings };
}

/**
 * The entry that a value of the map means. `base`: what a relative `path` is relative to.
 * Throws a plain Error with the reason where the value has the wrong shape.
 */
function parseEntry(id: string, value: unknown, base: string): ModelEntry {
  const problem = aliasProblem(id);
  if (problem) throw new Error(`the name ${JSON.stringify(id.slice(0, 80))}: ${problem.en}`);
  const parsed = entryShape.safeParse(value);
  if (!parsed.success) {
    const { message, where } = firstIssue(parsed.error);
    throw new Error(`${[JSON.stringify(id), ...where].join('.')}: ${message}`);
  }
  const { path, model, stop, ...settings } = parsed.data;
  const file = resolve(toAbsolute(path, base), model);
  return { id, path: file, stop, origin: 'map', settings: toSettings(settings) };
}

/** The map's value of a new entry; what `before` had besides the keys we know stays. */
function toRawEntry(
  file: string,
  { stop, settings }: { stop: readonly string[]; settings: RawEntry },
  before: RawEntry = {},
): RawEntry {
  const others = Object.entries(before).filter(([key]) => !KNOWN_KEYS.has(key));
  const known = { path: dirname(file), model: basename(file), stop: [...stop], ...settings };
  // fromEntries defines own properties, so a key like __proto__ stays a key.
  return Object.fromEntries([...Object.entries(known), ...others]);
}

/** True where both mean the same model with the same settings. */
export function isSameEntry(a: ModelEntry, b: ModelEntry): boolean {
  return fingerprint(a) === fingerprint(b);
}

function fingerprint({ id, path, stop, origin, settings }: ModelEntry): string {
  const sorted = Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([id, path, stop, origin, sorted]);
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
