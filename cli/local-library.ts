/**
 * The libraries as the files say: what is installed, where the search order leads, and what a path or
 * an id means. Runs in the CLI process; a library is only ever opened by a process of its own.
 */
import { resolve } from 'node:path';
import type { Config } from '../src/config.js';
import { HoshikageError } from '../src/errors.js';
import type { SearchPlaces } from '../src/library/find.js';
import type { LibraryStore } from '../src/library/store.js';
import type { TryLock } from '../src/models/lock.js';
import { ask, findServer } from './admin-client.js';

/** What a command on libraries works with. */
export interface LocalLibraries {
  readonly config: Config;
  /** The environment that engine processes have. */
  readonly env: NodeJS.ProcessEnv;
  readonly places: SearchPlaces;
  readonly store: LibraryStore;
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
  const { LibraryStore } = await import('../src/library/store.js');
  const { loadAddon } = await import('../src/engine/addon.js');
  // Asked only where fs-ext is missing; the server then locks in the same way.
  const tryLock: TryLock = (fd) => loadAddon().tryLock(fd);
  const env = engineEnvironmentOf(config);
  const { libPath, libDir } = config;
  const { platform, arch } = process;
  const searchPath = (platform === 'darwin' ? env.DYLD_LIBRARY_PATH : env.LD_LIBRARY_PATH) ?? '';
  const places = { libPath, libDir, platform, arch, searchPath };
  return { config, env, places, store: new LibraryStore(libDir, { platform, tryLock }) };
}

/**
 * What the user means: an id first, then a file or a directory.
 * Codes: library_unknown, library_not_found.
 */
export async function resolveNamed(text: string, libraries: LocalLibraries): Promise<Named> {
  const { places, store } = libraries;
  if (text === DEFAULT) return resolveDefault(libraries);
  const installed = await store.get(text);
  if (installed) {
    const { id, path } = installed;
    if (path !== null) return { id, path, link: null, shown: id };
    throw new HoshikageError('library_not_found', {
      reason: `${id} holds no libllama any more`,
      reason_ja: `${id} にはもう libllama がありません`,
    });
  }
  const { libraryAt, noLibraryAt } = await import('../src/library/store.js');
  const { homedir } = await import('node:os');
  const link = resolve(text.replace(/^~(?=[\\/])/, () => homedir()));
  const path = await libraryAt(link, places.platform);
  if (path === null) {
    const isPath = /[\\/]|^[.~]/.test(text) || (await exists(link));
    throw isPath ? noLibraryAt(link) : new HoshikageError('library_unknown', { id: text });
  }
  const same = (await store.list()).find((one) => one.path === path);
  if (same) return { id: same.id, path, link: null, shown: same.id };
  return { id: null, path, link, shown: link };
}

/** What the search order finds without a choice. Code: library_not_found. */
async function resolveDefault({ places }: LocalLibraries): Promise<Named> {
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
 * back before the process ends.
 */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of signals) process.on(name, stop);
  try {
    return await work(abort.signal);
  } finally {
    for (const name of signals) process.off(name, stop);
  }
}
