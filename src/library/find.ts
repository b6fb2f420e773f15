/**
 * Where libllama is: the search order, and what has to be opened before it.
 * Any process. It only looks at the file system; it must never open a library, and never fall through
 * a place that the user named.
 */
import { realpath } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { delimiter, isAbsolute, join } from 'node:path';
import { readBinary } from '../binary/formats.js';
import type { LibraryFiles } from '../engine/protocol.js';
import { HoshikageError } from '../errors.js';
import { type Choice, readActive } from './active.js';
import { kindOf, libraryIn, namesOf } from './place.js';
import { familyOf } from './siblings.js';
import { findInstalled } from './store.js';

/** Which step of the search order found it. */
export type LibraryOrigin = 'HOSHIKAGE_LIB_PATH' | 'active' | 'config' | 'package' | 'system';

/** A libllama to open: a real, absolute path, or (system only) a bare name. */
export interface FoundLibrary {
  readonly path: string;
  readonly origin: LibraryOrigin;
  /** In words, for the log: which place it was found in. */
  readonly reason: string;
  /** The choice it follows from; only with the origin `active`. */
  readonly choice?: Choice;
}

/** Where to look. */
export interface SearchPlaces {
  /** HOSHIKAGE_LIB_PATH: a file or a directory. */
  readonly libPath: string | null;
  /** `<config>/hoshikage/lib`. */
  readonly libDir: string;
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  /** LD_LIBRARY_PATH (DYLD_LIBRARY_PATH on macOS) as the engine process will have it. */
  readonly searchPath: string;
  /** node_modules directories, nearest first; absent = as Node would look from here. */
  readonly packageRoots?: readonly string[];
}

/** Where a process with this environment would look on this machine (or on that of a doctor's patient). */
export function searchPlaces(
  { libPath, libDir }: Pick<SearchPlaces, 'libPath' | 'libDir'>,
  env: NodeJS.ProcessEnv,
  { platform, arch }: Pick<SearchPlaces, 'platform' | 'arch'> = process,
): SearchPlaces {
  const searchPath = (platform === 'darwin' ? env.DYLD_LIBRARY_PATH : env.LD_LIBRARY_PATH) ?? '';
  return { libPath, libDir, platform, arch, searchPath };
}

/** The npm package with the plain build, by `platform-arch`. */
export const PACKAGE_BY_PLATFORM: Readonly<Record<string, string>> = {
  'linux-x64': 'linux-x64',
  'linux-arm64': 'linux-arm64',
  'linux-arm': 'linux-armv7l',
  'win32-x64': 'win-x64',
  'win32-arm64': 'win-arm64',
  'darwin-arm64': 'mac-arm64-metal',
  'darwin-x64': 'mac-x64',
};

const MULTIARCH: Readonly<Record<string, string>> = {
  x64: 'x86_64-linux-gnu',
  arm64: 'aarch64-linux-gnu',
  arm: 'arm-linux-gnueabihf',
};

/**
 * The first libllama in the search order. `choice`: as if this were chosen (null: nothing) instead of
 * what active.json says. Code: library_not_found, only for a named or chosen place.
 */
export async function findLibrary(
  places: SearchPlaces,
  choice?: Choice | null,
): Promise<FoundLibrary> {
  const { libPath, libDir, platform } = places;
  if (libPath !== null) return findNamed(libPath, platform);
  const chosen = choice === undefined ? (await readActive(libDir)).active : choice;
  if (chosen) return findChosen(chosen, libDir, platform);
  const own = await libraryIn(libDir, platform);
  if (own) return { path: own, origin: 'config', reason: `found in ${libDir}` };
  const packaged = await findPackaged(places);
  if (packaged) return packaged;
  for (const directory of systemDirectories(places)) {
    const path = await libraryIn(directory, platform);
    if (path) return { path, origin: 'system', reason: `found in ${directory}` };
  }
  const name = namesOf(platform).exact[0] ?? 'libllama.so';
  return { path: name, origin: 'system', reason: "left to the system's search path" };
}

async function findNamed(libPath: string, platform: NodeJS.Platform): Promise<FoundLibrary> {
  const origin = 'HOSHIKAGE_LIB_PATH';
  const kind = await kindOf(libPath);
  if (kind === 'file')
    return { path: await realpath(libPath), origin, reason: `set to ${libPath}` };
  const path = kind === 'directory' ? await libraryIn(libPath, platform) : null;
  if (path) return { path, origin, reason: `set to the directory ${libPath}` };
  const isThere = kind === 'directory';
  throw new HoshikageError('library_not_found', {
    reason: `${origin}=${libPath} ${isThere ? 'holds no libllama' : 'does not exist'}`,
    reason_ja: `${origin}=${libPath} ${isThere ? 'に libllama がありません' : 'がありません'}`,
  });
}

/** Whoever chose a library must not get another one without a word. */
async function findChosen(
  choice: Choice,
  libDir: string,
  platform: NodeJS.Platform,
): Promise<FoundLibrary> {
  const installed = await findInstalled(libDir, choice.id, platform);
  if (installed?.path) {
    const reason = `chosen by hoshikage lib use ${choice.id}`;
    return { path: installed.path, origin: 'active', reason, choice };
  }
  const { en, ja } = installed
    ? { en: 'holds no libllama', ja: 'に libllama がありません' }
    : { en: 'is not installed any more', ja: 'はもうありません' };
  throw new HoshikageError('library_not_found', {
    reason: `the chosen ${choice.id} ${en}; choose another with hoshikage lib use or lib rollback`,
    reason_ja: `選ばれている ${choice.id} ${ja}。hoshikage lib use か lib rollback で選び直せます`,
  });
}

async function findPackaged(places: SearchPlaces): Promise<FoundLibrary | null> {
  const id = PACKAGE_BY_PLATFORM[`${places.platform}-${places.arch}`];
  if (!id) return null;
  const name = `@node-llama-cpp/${id}`;
  const roots: readonly string[] =
    places.packageRoots ?? createRequire(import.meta.url).resolve.paths(name) ?? [];
  for (const root of roots) {
    const path = await libraryIn(join(root, name, 'bins', id), places.platform);
    if (path) return { path, origin: 'package', reason: `the package ${name}` };
  }
  return null;
}

function systemDirectories({ platform, arch, searchPath }: SearchPlaces): string[] {
  // An empty or relative entry means the current directory, where anybody's file may lie.
  const listed = searchPath.split(delimiter).filter((directory) => isAbsolute(directory));
  if (platform === 'darwin') return [...listed, '/opt/homebrew/lib', '/usr/local/lib'];
  if (platform === 'win32') return [];
  const triplet = MULTIARCH[arch];
  const multiarch = triplet ? [`/usr/lib/${triplet}`] : [];
  return [...listed, '/usr/local/lib', ...multiarch, '/usr/lib64', '/usr/lib'];
}

/**
 * The library with its siblings by absolute path, each after what it needs itself. Opening them first
 * keeps LD_LIBRARY_PATH from mixing in another version's, and helps builds without a usable RUNPATH.
 * Nothing to open before it on Windows, whose loader looks beside the library first.
 */
export async function withSiblings(path: string): Promise<LibraryFiles> {
  // A bare name is looked for by the system, never in the current directory; so neither here.
  const facts = isAbsolute(path) ? await readBinary(path, { symbols: false }) : null;
  const family =
    facts && !('problem' in facts) && facts.format !== 'pe'
      ? await familyOf(path, facts, { symbols: false })
      : null;
  const preload = family?.siblings.map((one) => one.path) ?? [];
  return { path, preload, unknownSymbols: [], allowUnknown: false };
}
