/**
 * The map's file as bytes: read whole, replaced whole. Any process, main thread; writers hold the
 * lock (lock.ts). It knows the file's JSON and nothing of what an entry means, so that whatever an
 * entry holds is written back as it was.
 */
import { randomBytes } from 'node:crypto';
import { type BigIntStats, constants } from 'node:fs';
import { open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** An entry as the map's file holds it, unknown keys included. */
export type RawEntry = Readonly<Record<string, unknown>>;

/** All entries in the file's order. */
export type RawMap = ReadonlyMap<string, RawEntry>;

/** What the file held. `version` is equal exactly while the file has not changed. */
export interface MapFile {
  readonly raw: RawMap;
  readonly version: string;
}

const MAX_MAP_BYTES = 16 * 1024 * 1024;
/** A temporary file this old belongs to a writer that was killed. */
const STALE_TEMPORARY_MS = 60_000;
const NO_FILE = 'none';

/**
 * Reads the map; no file and an empty one are an empty map. Throws a plain Error that says what is
 * wrong with the file.
 */
export async function readMapFile(path: string): Promise<MapFile> {
  const found = await readSmallFile(path, MAX_MAP_BYTES);
  if (!found) return { raw: new Map(), version: NO_FILE };
  // Fatal: a byte we cannot read would be lost by the next write.
  const text = new TextDecoder('utf-8', { fatal: true }).decode(found.bytes);
  return { raw: deserialise(text), version: toVersion(found.facts) };
}

/** A file as it was read, and what it was then. */
export interface SmallFile {
  readonly bytes: Uint8Array;
  readonly facts: BigIntStats;
}

/**
 * Reads a regular file of at most `maxBytes` whole; null where there is none. It never waits for a
 * writer, whatever lies at the path. Throws what the file system says, or what is wrong with the file.
 */
export async function readSmallFile(path: string, maxBytes: number): Promise<SmallFile | null> {
  const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
  const handle = await open(path, flags).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return null;
    throw cause;
  });
  if (!handle) return null;
  try {
    const facts = await handle.stat({ bigint: true });
    if (!facts.isFile()) throw new Error('not a regular file');
    if (facts.size > maxBytes) throw new Error(`larger than ${maxBytes} bytes`);
    return { bytes: await handle.readFile(), facts };
  } finally {
    await handle.close();
  }
}

/** The version of the file at `path` without reading it. */
export async function mapFileVersion(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  return found ? toVersion(found) : NO_FILE;
}

function toVersion(found: {
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
}): string {
  return `${found.ino}:${found.size}:${found.mtimeNs}`;
}

function deserialise(text: string): RawMap {
  if (text.trim() === '') return new Map();
  const value: unknown = JSON.parse(text);
  if (!isRecord(value)) throw new Error('not a JSON object of models');
  return new Map(
    Object.entries(value).map(([id, entry]) => {
      if (!isRecord(entry)) throw new Error(`${JSON.stringify(id)}: not a JSON object`);
      return [id, entry];
    }),
  );
}

/** Whether a value of JSON is an object with members to look at. */
export function isRecord(value: unknown): value is RawEntry {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Replaces the map whole or not at all. Throws what the file system says. */
export async function writeMapFile(target: string, raw: RawMap): Promise<void> {
  // fromEntries defines own properties, so an alias like __proto__ stays an alias.
  await replaceFile(target, `${JSON.stringify(Object.fromEntries(raw), null, 2)}\n`);
}

/**
 * Replaces a file whole or not at all, and on the disk before it counts: temporary file, fsync,
 * rename, fsync of the directory. The mode stays; `mode` is a new file's. Throws what the file system
 * says.
 */
export async function replaceFile(target: string, text: string, mode = 0o666): Promise<void> {
  const directory = dirname(target);
  await removeTemporaries(target, STALE_TEMPORARY_MS);
  const temporary = join(
    directory,
    `${temporaryPrefix(target)}${randomBytes(6).toString('hex')}.tmp`,
  );
  const before = await stat(target).catch(() => null);
  try {
    const handle = await open(temporary, 'wx', mode);
    try {
      // What a device allows (a link to /dev/null, as systemd masks a unit) is no mode for a file.
      if (before?.isFile()) await handle.chmod(before.mode & 0o777);
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await renameOver(temporary, target);
  } catch (cause) {
    await unlink(temporary).catch(() => undefined);
    throw cause;
  }
  await syncDirectory(directory);
}

const temporaryPrefix = (target: string): string => `.${basename(target)}.`;

/**
 * Removes what writers of `target` have left that were killed: temporary files of at least that age. 0
 * is only for whoever keeps all other writers away. Throws what the file system says.
 */
export async function removeTemporaries(target: string, ageMs: number): Promise<void> {
  const directory = dirname(target);
  const prefix = temporaryPrefix(target);
  const oldest = Date.now() - ageMs;
  for (const name of await readdir(directory)) {
    if (!name.startsWith(prefix) || !/^[0-9a-f]{12}\.tmp$/.test(name.slice(prefix.length)))
      continue;
    const path = join(directory, name);
    const found = await stat(path).catch(() => null);
    if (found && found.mtimeMs <= oldest) await unlink(path).catch(() => undefined);
  }
}

/** On Windows a reader that has the map open makes the rename fail for a moment. */
async function renameOver(from: string, to: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await rename(from, to);
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? cause.code : '';
      const isBusy = code === 'EPERM' || code === 'EACCES' || code === 'EBUSY';
      if (process.platform !== 'win32' || !isBusy || attempt === 20) throw cause;
      await sleep(10 * attempt);
    }
  }
}

/** Windows has no fsync for directories; elsewhere a failure is a failure. */
export async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
