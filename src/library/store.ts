/**
 * The libraries that are installed: directories in the lib directory, each with an id, its name.
 * Any process. It must never take a path for an id, never write over what is there, and never delete
 * what it did not make itself.
 */
import { createHash } from 'node:crypto';
import { lstat, mkdir, readdir, realpath, rename } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { HoshikageError } from '../errors.js';
import type { TryLock } from '../models/lock.js';
import { readSmallFile, replaceFile } from '../models/map-file.js';
import {
  type Active,
  type Choice,
  changeActive,
  isLibraryId,
  readActive,
  underLock,
  unwritable,
} from './active.js';
import { kindOf, libraryIn } from './place.js';
import { removeFiles } from './removal.js';
import { makeStaging, stagingPath } from './staging.js';

/** One installed library. */
export interface Installed {
  readonly id: string;
  readonly dir: string;
  /** The libllama in it (real, absolute); null where there is none any more. */
  readonly path: string | null;
  /**
   * `npm`: lib install put it there; `link`: lib use PATH; `user`: somebody put it there by hand, a copy
   * of an installation or a link to one included.
   */
  readonly source: 'npm' | 'user' | 'link';
  readonly variant?: string;
  readonly version?: string;
  readonly sizeBytes: number;
  /** Epoch time in ms. */
  readonly installedAt?: number;
}

/** What an installation knows of itself. */
export interface Manifest {
  readonly variant: string;
  readonly version: string;
  /** What it was made of. */
  readonly packages: readonly { readonly name: string; readonly integrity: string }[];
  /** The files it put there, relative to its directory. */
  readonly files: readonly string[];
  /** Bytes of each file as it was put there; absent from older installations. */
  readonly sizes?: Readonly<Record<string, number>>;
}

const FORMAT = 1;
const MANIFEST = 'installed.json';
const LINK = 'link.json';
/** Where archives of llama.cpp keep their libraries. */
const SUBDIRECTORIES = ['', 'build/bin', 'bin', 'lib'];
/** How the names of directories begin that are not installed yet, or not any more. */
const STAGING = '.tmp-';
const MAX_FILES = 4096;
const MAX_JSON_BYTES = 4 * 1024 * 1024;

/** The installed library of that id, or null. Whatever is not an id is not installed. */
export async function findInstalled(
  libDir: string,
  id: string,
  platform: NodeJS.Platform = process.platform,
): Promise<Installed | null> {
  if (!isLibraryId(id)) return null;
  // By the listing, since a file system that ignores case would find it by other names too.
  const names: readonly string[] = await readdir(libDir).catch(() => []);
  const dir = join(libDir, id);
  if (!names.includes(id) || (await kindOf(dir)) !== 'directory') return null;
  // What a link leads to was made for another place.
  const isReal = (await lstat(dir).catch(() => null))?.isDirectory() === true;
  const manifest = isReal ? await readManifest(dir) : null;
  if (manifest?.id === id) {
    const { variant, version, installedAt } = manifest;
    const path = await libraryIn(dir, platform);
    const sizeBytes = await sizeOf(dir);
    return { id, dir, path, source: 'npm', variant, version, sizeBytes, installedAt };
  }
  const target = await readLink(dir);
  if (target !== null) {
    const path = await libraryAt(target, platform);
    const sizeBytes = path === null ? 0 : await librarySize(path);
    return { id, dir, path, source: isReal ? 'link' : 'user', sizeBytes };
  }
  const path = await libraryAt(dir, platform);
  return { id, dir, path, source: 'user', sizeBytes: await sizeOf(dir) };
}

/** The libllama that a file or a directory means, or null. */
export async function libraryAt(path: string, platform: NodeJS.Platform): Promise<string | null> {
  const kind = await kindOf(path);
  if (kind === 'file') return realpath(path);
  if (kind === null) return null;
  for (const name of SUBDIRECTORIES) {
    const found = await libraryIn(join(path, name), platform);
    if (found !== null) return found;
  }
  return null;
}

interface KnownManifest extends Manifest {
  /** The name it was installed by. */
  readonly id: string;
  readonly installedAt: number;
}

async function readManifest(dir: string): Promise<KnownManifest | null> {
  const value = await readJson(join(dir, MANIFEST));
  if (value?.format !== FORMAT) return null;
  const { variant, version, installedAt, packages, files, sizes } = value;
  if (typeof variant !== 'string' || typeof version !== 'string') return null;
  if (!Array.isArray(files) || !Array.isArray(packages)) return null;
  const names = files.filter((name): name is string => typeof name === 'string');
  return {
    id: typeof value.id === 'string' ? value.id : `${variant}-${version}`,
    variant,
    version,
    installedAt: typeof installedAt === 'number' ? installedAt : 0,
    packages: packages.filter(isPackage),
    files: names,
    sizes: sizesIn(sizes, names),
  };
}

function sizesIn(value: unknown, names: readonly string[]): Readonly<Record<string, number>> {
  if (typeof value !== 'object' || value === null) return {};
  const ours = new Set(names);
  const known = Object.entries(value).filter(([name]) => ours.has(name));
  return Object.fromEntries(known.filter(([, size]) => typeof size === 'number'));
}

function isPackage(value: unknown): value is { name: string; integrity: string } {
  if (typeof value !== 'object' || value === null) return false;
  const { name, integrity } = value as Record<string, unknown>; // each is checked here
  return typeof name === 'string' && typeof integrity === 'string';
}

async function readLink(dir: string): Promise<string | null> {
  const value = await readJson(join(dir, LINK));
  const path = value?.format === FORMAT ? value.path : null;
  return typeof path === 'string' && isAbsolute(path) ? path : null;
}

async function readJson(path: string): Promise<Readonly<Record<string, unknown>> | null> {
  try {
    const found = await readSmallFile(path, MAX_JSON_BYTES);
    const value: unknown = found && JSON.parse(Buffer.from(found.bytes).toString('utf8'));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : null; // an object has string keys
  } catch {
    return null;
  }
}

/** Bytes of a libllama's files where others may lie beside them. */
export function librarySize(path: string): Promise<number> {
  return sizeOf(dirname(path), /^(lib)?(llama|ggml)/);
}

/** Bytes of the files in a directory and below, links not followed. */
async function sizeOf(dir: string, names = /^/): Promise<number> {
  let bytes = 0;
  let left = MAX_FILES;
  const visit = async (directory: string): Promise<void> => {
    const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      left -= 1;
      if (left < 0 || !names.test(entry.name)) continue;
      const path = join(directory, entry.name);
      if (entry.isDirectory()) await visit(path);
      else if (entry.isFile()) bytes += (await lstat(path).catch(() => null))?.size ?? 0;
    }
  };
  await visit(dir);
  return bytes;
}

/** What is installed and what is chosen of it. */
export class LibraryStore {
  readonly #libDir: string;
  readonly #platform: NodeJS.Platform;
  readonly #tryLock: TryLock | undefined;

  /** `tryLock`: used where fs-ext is not installed. */
  constructor(
    libDir: string,
    options: { readonly platform?: NodeJS.Platform; readonly tryLock?: TryLock } = {},
  ) {
    this.#libDir = libDir;
    this.#platform = options.platform ?? process.platform;
    this.#tryLock = options.tryLock;
  }

  /** All of them by id; a directory without a libllama that nobody but a user made is none. */
  async list(): Promise<Installed[]> {
    const names: readonly string[] = await readdir(this.#libDir).catch(() => []);
    const found: Installed[] = [];
    for (const name of [...names].sort()) {
      const one = await this.get(name);
      if (one && (one.path !== null || one.source !== 'user')) found.push(one);
    }
    return found;
  }

  /** The one of that id, or null. */
  get(id: string): Promise<Installed | null> {
    return findInstalled(this.#libDir, id, this.#platform);
  }

  /** What an installation says of itself; null where `id` is none of ours. */
  async manifest(id: string): Promise<Manifest | null> {
    return isLibraryId(id) ? readManifest(join(this.#libDir, id)) : null;
  }

  /** Passes where nothing has the name of an installation to be. Code: library_exists. */
  async assertFree(id: string): Promise<void> {
    const path = join(this.#libDir, id);
    if (!isLibraryId(id)) throw new HoshikageError('library_unknown', { id });
    const isThere = await lstat(path).catch(() => null);
    if (isThere) throw new HoshikageError('library_exists', { id, path });
  }

  /** What is chosen. Code: library_not_found where active.json cannot be read. */
  active(): Promise<Active> {
    return readActive(this.#libDir);
  }

  /**
   * Chooses an installed library, or with null lets the search order decide; what was chosen before
   * is remembered. On the disk when it resolves. An active.json whose content is broken is mended.
   * Codes: library_unknown, library_not_found where active.json cannot be read, library_locked,
   * library_unwritable.
   */
  async activate(id: string | null, { minimal = false } = {}): Promise<void> {
    const change = async (before: Active): Promise<Active> => {
      if (id !== null && !(await this.get(id))) throw new HoshikageError('library_unknown', { id });
      const active: Choice | null = id === null ? null : { id, minimal };
      if (active?.id !== before.active?.id) return { active, previous: before.active };
      return { ...before, active };
    };
    await changeActive(this.#libDir, change, { mends: true, tryLock: this.#tryLock });
  }

  /**
   * The id under which a path is linked; made now where it is not. A path inside an installed
   * directory is that one's. Codes: library_not_found, library_locked, library_unwritable.
   */
  async link(path: string): Promise<{ readonly id: string; readonly created: boolean }> {
    const found = await libraryAt(path, this.#platform);
    if (found === null) throw noLibraryAt(path);
    const same = (await this.list()).find((one) => one.path === found);
    if (same) return { id: same.id, created: false };
    const id = linkId(path, found);
    return underLock(
      this.#libDir,
      async () => {
        const dir = join(this.#libDir, id);
        await mkdir(dir, { recursive: true }).catch((cause) => unwritable(dir, cause));
        const text = `${JSON.stringify({ format: FORMAT, path }, null, 2)}\n`;
        await replaceFile(join(dir, LINK), text).catch((cause) => unwritable(dir, cause));
        return { id, created: true };
      },
      this.#tryLock,
    );
  }

  /** An empty directory of this process beside the installed ones; what dead processes left goes. */
  async stage(): Promise<string> {
    await mkdir(this.#libDir, { recursive: true }).catch((c) => unwritable(this.#libDir, c));
    return makeStaging(this.#libDir, STAGING).catch((cause) => unwritable(this.#libDir, cause));
  }

  /**
   * Makes a staged directory the installed library `id`, with its manifest; all of it or nothing.
   * Codes: library_exists, library_locked, library_unwritable.
   */
  async place(staged: string, id: string, manifest: Manifest): Promise<Installed> {
    const dir = join(this.#libDir, id);
    const facts = { format: FORMAT, id, ...manifest, installedAt: Date.now() };
    const text = `${JSON.stringify(facts, null, 2)}\n`;
    await underLock(
      this.#libDir,
      async () => {
        await this.assertFree(id);
        await replaceFile(join(staged, MANIFEST), text).catch((cause) => unwritable(dir, cause));
        await rename(staged, dir).catch((cause) => unwritable(dir, cause));
      },
      this.#tryLock,
    );
    const installed = await this.get(id);
    if (!installed) throw new HoshikageError('library_unknown', { id });
    return installed;
  }

  /**
   * Deletes what `place` or `link` made; a link's target stays, and files that somebody added stay
   * with their directory. True where nothing is left.
   * Codes: library_unknown, library_in_use, library_not_ours, library_not_found where active.json does
   * not say what is chosen, library_locked, library_unwritable.
   */
  async remove(id: string): Promise<boolean> {
    let gone = false;
    const change = async (before: Active): Promise<Active> => {
      const installed = await this.get(id);
      if (!installed) throw new HoshikageError('library_unknown', { id });
      const { dir, source } = installed;
      if (before.active?.id === id) throw new HoshikageError('library_in_use', { id });
      if (source === 'user') throw new HoshikageError('library_not_ours', { id, path: dir });
      const files = source === 'link' ? [] : ((await readManifest(dir))?.files ?? []);
      const last = source === 'link' ? LINK : MANIFEST;
      gone = await removeFiles(dir, [...files, last], stagingPath(this.#libDir, STAGING));
      return before.previous?.id === id ? { active: before.active } : before;
    };
    await changeActive(this.#libDir, change, { mends: false, tryLock: this.#tryLock });
    return gone;
  }
}

/** Tells what its directory was for, and stays the same for the same path. */
function linkId(path: string, found: string): string {
  const name = basename(dirname(found)).replace(/[^A-Za-z0-9._-]/g, '') || 'libllama';
  const start = name.replace(/^[^A-Za-z0-9]+/, '').slice(0, 40) || 'libllama';
  return `${start}-${createHash('sha256').update(path).digest('hex').slice(0, 8)}`;
}

/** library_not_found for a place that was named. */
export function noLibraryAt(path: string): HoshikageError {
  return new HoshikageError('library_not_found', {
    reason: `there is none at ${path}`,
    reason_ja: `${path} にはありません`,
  });
}
