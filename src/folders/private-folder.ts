/**
 * A folder of our own in a place that others may write to as well, such as /dev/shm:
 * `<base>/hoshikage-<uid>/<kind>-<random>`, mode 0700, one per server, with a lock that is held while the
 * server lives and a manifest. Server's main thread. What a dead server left is swept, or adopted where
 * it was left to be kept; it must never touch what it did not make, nor what belongs to a server that
 * lives, be it in a container with process numbers of its own.
 */
import { randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { holdLock, type Release, type TryLock } from '../models/lock.js';
import { readSmallFile, replaceFile } from '../models/map-file.js';
import { removeAtExit } from './at-exit.js';
import { hasEnded, type Incarnation, isIncarnation, thisIncarnation } from './incarnation.js';

/** What a folder is for. Each kind is swept only by its own. */
export type FolderKind = 'ramdisk' | 'states';

/** Where folders are, and how to lock them. */
export interface FolderPlace {
  /** A directory: tmpfs, or wherever the user wants it. */
  readonly base: string;
  readonly kind: FolderKind;
  /** Makes `base` where it is missing. */
  readonly makeBase?: boolean;
  /** Used where fs-ext is not installed. */
  readonly tryLock?: TryLock;
}

/** Why a place is not used, in words for the log; nothing was changed there. */
export class FolderRefused extends Error {}

interface Manifest {
  readonly format: 1;
  readonly server: Incarnation;
  /** Whether the lock tells that the server lives; its process has to be asked otherwise. */
  readonly flock: boolean;
  /** Left behind on purpose, for the next server. */
  readonly keep: boolean;
  /** The owner's own notes. */
  readonly content: unknown;
}

/** A folder that a server left to be kept, its lock taken by us. */
interface Kept {
  readonly path: string;
  readonly manifest: Manifest;
  readonly release: Release | null;
  /** When it was left, epoch ms. */
  readonly at: number;
}

const MANIFEST = 'manifest.json';
const LOCK = 'lock';
const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
/** A folder that is being made has its lock long before. */
const HALF_MADE_MS = 60_000;
/** Somebody who cleans up may remove the empty parent just before we make something in it. */
const TRIES = 10;
/** The owner's number where it has no meaning in this user namespace. */
const OVERFLOW_UID = 65_534;
const STICKY = 0o1000;

/** A folder of this server's. `close` it: nothing else removes it while this process lives. */
export class PrivateFolder {
  readonly path: string;
  /** What its last owner had noted where it was adopted; null for a new one. */
  readonly inherited: unknown;
  readonly #server: Incarnation;
  /** Null where there is no flock at this place. */
  readonly #release: Release | null;
  readonly #forget: () => void;
  #content: unknown = null;
  #closed: Promise<void> | null = null;

  private constructor(path: string, made: Made, inherited: unknown) {
    this.path = path;
    this.inherited = inherited;
    this.#server = made.server;
    this.#release = made.release;
    this.#content = inherited;
    this.#forget = removeAtExit(path);
  }

  /** Makes a folder. Throws FolderRefused, or what the file system says. */
  static async open(place: FolderPlace): Promise<PrivateFolder> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await PrivateFolder.#make(place);
      } catch (error) {
        if (attempt === TRIES || !hasCode(error, 'ENOENT')) throw error;
      }
    }
  }

  static async #make(place: FolderPlace): Promise<PrivateFolder> {
    const parent = await makeParent(place);
    const path = join(parent, `${place.kind}-${randomName()}`);
    const making = join(parent, `.new-${basename(path)}`);
    try {
      await mkdir(making, { mode: 0o700 });
      return await PrivateFolder.#settle(making, path, place, null);
    } catch (error) {
      await rm(making, { recursive: true, force: true }).catch(() => {});
      throw error;
    }
  }

  /**
   * Removes what dead servers left of this kind. With `adopt` the newest folder that was left to be
   * kept becomes this server's instead; null where there is none. Makes nothing. Throws FolderRefused,
   * or what the file system says.
   */
  static async sweep(
    place: FolderPlace,
    { adopt }: { adopt: boolean },
  ): Promise<PrivateFolder | null> {
    const parent = await findParent(place);
    if (parent === null) return null;
    const kept: Kept[] = [];
    for (const name of await namesIn(parent)) {
      const path = join(parent, name);
      const found = await takeOver(path, place).catch(() => null);
      if (!found) continue;
      const { manifest, release } = found;
      if (adopt && manifest?.keep && nameOf(name)?.state === 'whole') {
        const at = (await stat(join(path, MANIFEST)).catch(() => null))?.mtimeMs ?? 0;
        kept.push({ path, manifest, release, at });
        continue;
      }
      await discard(path).catch(() => {});
      await release?.().catch(() => {});
    }
    const adopted = await adoptNewest(kept, (one) => PrivateFolder.#adopt(one, place));
    await rmdir(parent).catch(() => {});
    return adopted;
  }

  /** The old lock is held (where there is one) until the folder has its new name and manifest. */
  static async #adopt(kept: Kept, place: FolderPlace): Promise<PrivateFolder> {
    const target = join(dirname(kept.path), `${place.kind}-${randomName()}`);
    const making = join(dirname(kept.path), `.new-${basename(target)}`);
    // Of two servers that want it, one finds it gone.
    await rename(kept.path, making);
    return PrivateFolder.#settle(making, target, place, kept);
  }

  /** Gives a folder its lock and its manifest before it gets the name by which others judge it. */
  static async #settle(
    making: string,
    path: string,
    place: FolderPlace,
    old: Kept | null,
  ): Promise<PrivateFolder> {
    const release = old?.release ?? (await lockOf(making, place));
    try {
      const made = { server: await thisIncarnation(), release };
      const content = old?.manifest.content ?? null;
      await writeManifest(making, made, { keep: false, content });
      await rename(making, path);
      return new PrivateFolder(path, made, content);
    } catch (error) {
      await release?.();
      throw error;
    }
  }

  /** Keeps the owner's notes in the manifest, for whoever adopts the folder. Rejects on a full disk. */
  async note(content: unknown): Promise<void> {
    this.#content = content;
    await writeManifest(this.path, this.#made(), { keep: false, content });
  }

  /**
   * Removes the folder with all that is in it, and the parent where it is empty; with `keep` it stays
   * for the next server. Never rejects; idempotent.
   */
  close({ keep = false }: { keep?: boolean } = {}): Promise<void> {
    this.#closed ??= this.#end(keep);
    return this.#closed;
  }

  async #end(keep: boolean): Promise<void> {
    try {
      const content = this.#content;
      if (keep) await writeManifest(this.path, this.#made(), { keep, content });
      else await discard(this.path);
    } catch {
      // What cannot be kept goes; what cannot be removed is swept by the next server.
      await discard(this.path).catch(() => {});
    } finally {
      this.#forget();
      await this.#release?.().catch(() => {});
    }
    await rmdir(dirname(this.path)).catch(() => {});
  }

  #made(): Made {
    return { server: this.#server, release: this.#release };
  }
}

/** What a folder has from the moment on at which it is one. */
interface Made {
  readonly server: Incarnation;
  readonly release: Release | null;
}

function randomName(): string {
  return randomBytes(8).toString('hex');
}

/** What a name below the parent says; null for what is not ours. */
function nameOf(name: string): { kind: string; state: 'making' | 'whole' | 'leaving' } | null {
  const [, prefix, kind] = /^(\.new-|\.old-)?(ramdisk|states)-[0-9a-f]{16}$/.exec(name) ?? [];
  if (kind === undefined) return null;
  if (prefix === undefined) return { kind, state: 'whole' };
  return { kind, state: prefix === '.new-' ? 'making' : 'leaving' };
}

/** A folder whose server is certainly dead, with its lock taken where there is one; else null. */
async function takeOver(
  path: string,
  place: FolderPlace,
): Promise<{ readonly manifest: Manifest | null; readonly release: Release | null } | null> {
  const named = nameOf(basename(path));
  if (named?.kind !== place.kind) return null;
  const facts = await lstat(path);
  if (!facts.isDirectory() || !isOurs(facts)) return null;
  if (named.state === 'leaving') return { manifest: null, release: null };
  if (named.state === 'making' && Date.now() - facts.ctimeMs < HALF_MADE_MS) return null;
  const manifest = await readManifest(path);
  const release = await holdLock(join(path, LOCK), lockOptions(place));
  if (release === 'held') return null;
  if (release === 'unsupported') {
    return manifest && (await hasEnded(manifest.server)) ? { manifest, release: null } : null;
  }
  // It was made where, or when, there was no flock: a free lock says nothing.
  if (manifest?.flock === false && !(await hasEnded(manifest.server))) {
    await release();
    return null;
  }
  return { manifest, release };
}

/** The newest one that can be had; the others go. */
async function adoptNewest(
  kept: readonly Kept[],
  adopt: (one: Kept) => Promise<PrivateFolder>,
): Promise<PrivateFolder | null> {
  let adopted: PrivateFolder | null = null;
  for (const one of [...kept].sort((a, b) => b.at - a.at)) {
    if (adopted === null) {
      adopted = await adopt(one).catch(() => null);
      if (adopted !== null) continue;
    }
    await discard(one.path).catch(() => {});
    await one.release?.().catch(() => {});
  }
  return adopted;
}

async function namesIn(parent: string): Promise<readonly string[]> {
  return readdir(parent).catch((error) => {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  });
}

/** First out of the way, so that nobody takes half a folder for a whole one. */
async function discard(path: string): Promise<void> {
  const leaving = join(dirname(path), basename(path).replace(/^(\.new-|\.old-)?/, '.old-'));
  if (leaving !== path) await rename(path, leaving);
  await rm(leaving, { recursive: true, force: true });
}

async function lockOf(path: string, place: FolderPlace): Promise<Release | null> {
  const release = await holdLock(join(path, LOCK), lockOptions(place));
  return typeof release === 'function' ? release : null;
}

function lockOptions({ tryLock }: FolderPlace): { tryLock?: TryLock } {
  return tryLock ? { tryLock } : {};
}

async function writeManifest(
  path: string,
  { server, release }: Made,
  said: Pick<Manifest, 'keep' | 'content'>,
): Promise<void> {
  const manifest: Manifest = { format: 1, server, flock: release !== null, ...said };
  await replaceFile(join(path, MANIFEST), `${JSON.stringify(manifest)}\n`, 0o600);
}

/** Null where there is none that can be read: the folder's lock alone decides then. */
async function readManifest(path: string): Promise<Manifest | null> {
  try {
    const found = await readSmallFile(join(path, MANIFEST), MAX_MANIFEST_BYTES);
    const value: unknown = found && JSON.parse(Buffer.from(found.bytes).toString('utf8'));
    return isManifest(value) ? value : null;
  } catch {
    return null;
  }
}

function isManifest(value: unknown): value is Manifest {
  if (typeof value !== 'object' || value === null) return false;
  if (!('format' in value && 'server' in value && 'flock' in value && 'keep' in value))
    return false;
  const { format, server, flock, keep } = value;
  return (
    format === 1 && isIncarnation(server) && typeof flock === 'boolean' && typeof keep === 'boolean'
  );
}

/** The folder of this user's, made where it is missing and checked in any case. */
async function makeParent(place: FolderPlace): Promise<string> {
  if (place.makeBase) await makeDirectories(place.base);
  const parent = parentOf(place);
  await checkBase(place.base);
  await mkdir(parent, { mode: 0o700 }).catch((error) => {
    if (!hasCode(error, 'EEXIST')) throw error;
  });
  await checkParent(parent);
  return parent;
}

/** Node's own recursive mkdir never comes back where the kernel makes no directories, as in /proc. */
async function makeDirectories(path: string): Promise<void> {
  const make = () => mkdir(path, { mode: 0o700 });
  try {
    await make();
  } catch (error) {
    if ((await stat(path).catch(() => null))?.isDirectory()) return;
    if (!hasCode(error, 'ENOENT') || dirname(path) === path) throw error;
    await makeDirectories(dirname(path));
    await make().catch((again) => {
      if (!hasCode(again, 'EEXIST')) throw again;
    });
  }
}

async function findParent(place: FolderPlace): Promise<string | null> {
  const parent = parentOf(place);
  if (!(await lstat(parent).catch(() => null))) return null;
  await checkBase(place.base);
  try {
    await checkParent(parent);
    return parent;
  } catch (error) {
    // The last server that had something there has just left.
    if (hasCode(error, 'ENOENT')) return null;
    throw error;
  }
}

function parentOf({ base }: FolderPlace): string {
  return join(base, `hoshikage-${process.getuid?.() ?? 'user'}`);
}

/** Whoever may rename our folder could put another in its place between two of our looks. */
async function checkBase(base: string): Promise<void> {
  const facts = await stat(base);
  if (!facts.isDirectory()) throw new FolderRefused(`${base} is not a directory`);
  const me = process.getuid?.();
  if (me === undefined) return;
  if (![me, 0, OVERFLOW_UID].includes(facts.uid)) {
    throw new FolderRefused(`${base} belongs to another user (${facts.uid})`);
  }
  // A group of one's own may write where the umask is 002, as many systems have it.
  const others = facts.gid === process.getgid?.() ? 0o002 : 0o022;
  if ((facts.mode & others) !== 0 && (facts.mode & STICKY) === 0) {
    throw new FolderRefused(`others may change ${base}, and it has no sticky bit`);
  }
}

async function checkParent(parent: string): Promise<void> {
  const facts = await lstat(parent);
  if (!facts.isDirectory()) throw new FolderRefused(`${parent} is not a directory`);
  if (!isOurs(facts)) throw new FolderRefused(`${parent} is not this user's alone (0700)`);
}

/** Windows and its home directories know no modes. */
function isOurs({ uid, mode }: { readonly uid: number; readonly mode: number }): boolean {
  const me = process.getuid?.();
  return me === undefined || (uid === me && (mode & 0o077) === 0);
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
