/**
 * The libraries as the files say: what is installed, where the search order leads, and what a path or
 * an id means. Runs in the CLI process; a library is only ever opened by a process of its own.
 */
import { isAbsolute, resolve } from 'node:path';
import type { Config } from '../src/config.js';
import { HoshikageError } from '../src/errors.js';
import type { SearchPlaces } from '../src/library/find.js';
import type { LibraryStore } from '../src/library/store.js';
import type { TryLock } from '../src/models/lock.js';
import { ask, findServer } from './admin-client.js';
import { Interrupted, type SIGNAL_EXITS, usageError } from './fail.js';
import { ownCommand, type Words } from './print.js';

/** What a command on libraries works with. */
export interface LocalLibraries {
  readonly config: Config;
  /** The environment that engine processes have. */
  readonly env: NodeJS.ProcessEnv;
  readonly places: SearchPlaces;
  readonly store: LibraryStore;
  /** For what locks beside the store. */
  readonly tryLock: TryLock;
}

/** One that was named. */
export interface Named {
  /** null: nothing is chosen, the search order decides. */
  readonly id: string | null;
  /** The libllama: absolute, or (`default` only) a bare name. */
  readonly path: string;
  /** What to link where it is not installed yet. */
  readonly link: string | null;
  readonly shown: string;
}

/** The word for choosing nothing. */
export const DEFAULT = 'default';

/** The libraries of this user. */
export async function localLibraries(config: Config): Promise<LocalLibraries> {
  const { engineEnvironmentOf } = await import('../src/config.js');
  const { searchPlaces } = await import('../src/library/find.js');
  const { LibraryStore } = await import('../src/library/store.js');
  const { loadAddon } = await import('../src/engine/addon.js');
  // Asked only where fs-ext is missing; the server then locks in the same way.
  const tryLock: TryLock = (fd) => loadAddon().tryLock(fd);
  const env = engineEnvironmentOf(config);
  const places = searchPlaces(config, env);
  const { libDir, platform } = places;
  return { config, env, places, tryLock, store: new LibraryStore(libDir, { platform, tryLock }) };
}

/**
 * What the user means: an id, or a path that is written as one; a bare name never becomes a path, so
 * that a mistyped id cannot mean whatever lies in this directory.
 * Codes: library_unknown, library_not_found, usage.
 */
export async function resolveNamed(text: string, libraries: LocalLibraries): Promise<Named> {
  const { places, store } = libraries;
  if (text === DEFAULT) return resolveDefault(libraries);
  if (!/[\\/]|^[.~]/.test(text) && !isAbsolute(text)) {
    const isHere = text !== '' && !(await store.get(text)) && (await exists(resolve(text)));
    if (!isHere) return resolveInstalled(text, libraries);
    throw usageError({
      ja: `${text} という名前の libllama は入っていません。ここにあるファイルやディレクトリのことなら、./${text} と書いてください`,
      en: `no libllama named ${text} is installed; if you mean the file or directory here, write ./${text}`,
    });
  }
  const { libraryAt } = await import('../src/library/store.js');
  const { homedir } = await import('node:os');
  const link = resolve(text.replace(/^~(?=[\\/])/, () => homedir()));
  const path = await libraryAt(link, places.platform);
  if (path === null) throw await nothingAt(link);
  const same = (await store.list()).find((one) => one.path === path);
  if (same) return { id: same.id, path, link: null, shown: same.id };
  return { id: null, path, link, shown: link };
}

/** The installed library of that id, and nothing else. Codes: library_unknown, library_not_found. */
export async function resolveInstalled(id: string, { store }: LocalLibraries): Promise<Named> {
  const installed = await store.get(id);
  if (!installed) throw notInstalled(id);
  const { path } = installed;
  if (path !== null) return { id, path, link: null, shown: id };
  throw new HoshikageError('library_not_found', {
    reason: `${id} holds no libllama any more`,
    reason_ja: `${id} にはもう libllama がありません`,
  });
}

/** What is called as `lib install` calls its own can be installed. */
function notInstalled(id: string): HoshikageError {
  const [, variant, version] = /^(cpu|cuda|vulkan|metal)-(\d[\w.+-]*)$/.exec(id) ?? [];
  if (variant === undefined) return new HoshikageError('library_unknown', { id });
  const command = `${ownCommand()} lib install ${variant} --version ${version}`;
  return new HoshikageError('library_not_found', {
    reason: `${id} is not installed yet; to install it: ${command}`,
    reason_ja: `${id} はまだ入っていません。入れるには: ${command}`,
  });
}

/** Why a path means no libllama: nothing is there, models are, or something else. */
async function nothingAt(path: string): Promise<HoshikageError> {
  const { readdir } = await import('node:fs/promises');
  if (!(await exists(path))) {
    return new HoshikageError('library_not_found', {
      reason: `there is no ${path}`,
      reason_ja: `${path} がありません`,
    });
  }
  const names: readonly string[] = await readdir(path).catch(() => []);
  const hasModels = names.some((name) => /\.gguf$/i.test(name));
  const command = `${ownCommand()} add`;
  return new HoshikageError('library_not_found', {
    reason: hasModels
      ? `${path} holds models (.gguf), no libllama; a model is registered with ${command}`
      : `${path} holds no libllama`,
    reason_ja: hasModels
      ? `${path} にあるのはモデル(.gguf)で、libllama ではありません。モデルの登録は ${command} です`
      : `${path} に libllama はありません`,
  });
}

/** What the search order finds without a choice. Code: library_not_found. */
export async function resolveDefault({ places }: LocalLibraries): Promise<Named> {
  const { findLibrary } = await import('../src/library/find.js');
  const { path } = await findLibrary(places, null);
  return { id: null, path, link: null, shown: DEFAULT };
}

async function exists(path: string): Promise<boolean> {
  const { stat } = await import('node:fs/promises');
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** What a running server says of its library; null where none runs or none answers. */
export async function serverLibrary(
  config: Config,
): Promise<Readonly<Record<string, unknown>> | null> {
  const server = findServer(config);
  const answer = server && (await ask(server, 'GET', '/admin/library').catch(() => null));
  const library = answer?.body.library;
  if (typeof library !== 'object' || library === null) return null;
  return library as Record<string, unknown>; // an object has string keys
}

/**
 * Runs `work` with a signal that Ctrl-C and an end from outside abort; what it has begun is then taken
 * back before the process ends. Throws Interrupted where the work ended by that; `words` say what became
 * of it where something has changed.
 */
export async function untilInterrupted<T>(
  work: (signal: AbortSignal) => Promise<T>,
  words?: Words | (() => Words),
): Promise<T> {
  const abort = new AbortController();
  let came: keyof typeof SIGNAL_EXITS = 'SIGINT';
  const stop = (signal: NodeJS.Signals): void => {
    came = signals.find((name) => name === signal) ?? came;
    abort.abort();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of signals) process.on(name, stop);
  try {
    return await work(abort.signal);
  } catch (error) {
    if (abort.signal.aborted && isCancelled(error)) {
      throw new Interrupted(came, error, typeof words === 'function' ? words() : words);
    }
    throw error;
  } finally {
    for (const name of signals) process.off(name, stop);
  }
}

function isCancelled(error: unknown): boolean {
  if (error instanceof HoshikageError) return error.code === 'cancelled';
  return error instanceof Error && error.name === 'AbortError';
}
