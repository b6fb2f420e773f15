/**
 * Where saved states lie: below /dev/shm where that is memory, or below STATE_DIR, in a folder of this
 * server's that is made when the first one is written. Server's main thread. It says how much may be
 * written without leaving the system short; it must never put a conversation on a disk unasked.
 */
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type FolderPlace, PrivateFolder } from '../folders/private-folder.js';
import { isInMemory, spaceAt } from '../folders/space.js';
import type { Log } from '../log.js';
import type { TryLock } from '../models/lock.js';

/** Share of memory and of a file system that stays free, and the most that share can be. */
const RESERVE_SHARE = 0.1;
const MOST_RESERVE_BYTES = 1024 * 1024 * 1024;

/** A place for states. */
export interface StatePlace {
  /** Whether what is written there takes memory. */
  readonly inMemory: boolean;
  /** The folder, made now where it is not there yet. Rejects where it cannot be made. */
  folder(): Promise<string>;
  /** Bytes that may be written to the folder now. Rejects where it cannot be made or looked at. */
  room(): Promise<number>;
  /** Removes the folder and all that is in it. Never rejects; idempotent. */
  close(): Promise<void>;
}

/** What decides where states lie. */
export interface StatePlaceOptions {
  /** STATE_DIR; null = only in memory. */
  readonly stateDir: string | null;
  /** Where there is no flock module. */
  readonly tryLock?: TryLock;
  readonly log: Log;
  readonly platform?: NodeJS.Platform;
  /** `/dev/shm`. */
  readonly sharedMemory?: string;
  /** False: only what dead servers left is removed. */
  readonly isUsed?: boolean;
}

/**
 * Sweeps what dead servers left, then gives the place; null, which is said once, where there is none
 * that can be used. Never rejects.
 */
export async function findStatePlace(options: StatePlaceOptions): Promise<StatePlace | null> {
  const { stateDir, log, tryLock, platform = process.platform, isUsed = true } = options;
  const common = { kind: 'states', ...(tryLock && { tryLock }) } as const;
  const memory = platform === 'linux' ? (options.sharedMemory ?? '/dev/shm') : null;
  // An earlier server may have had another STATE_DIR; what it left in memory is in everybody's way.
  if (memory !== null) await sweep({ ...common, base: memory }, log);
  if (stateDir !== null) {
    const place = { ...common, base: stateDir, makeBase: true };
    if (!isUsed) await sweep(place, log);
    return isUsed ? placeBelow(place, log) : null;
  }
  if (!isUsed) return null;
  if (memory !== null && (await liesInMemory(memory))) {
    return makePlace({ ...common, base: memory }, true);
  }
  log.info('conversations are not saved when a model is unloaded: set STATE_DIR', { memory });
  return null;
}

/** Tried out now: whoever names a place learns at the start, not at every unload, that it is none. */
async function placeBelow(place: FolderPlace, log: Log): Promise<StatePlace | null> {
  try {
    await PrivateFolder.sweep(place, { adopt: false });
    await (await PrivateFolder.open(place)).close();
    return makePlace(place, await isInMemory(place.base));
  } catch (error) {
    const { base: path } = place;
    log.warn('conversations are not saved: STATE_DIR cannot be used', { path, error });
    return null;
  }
}

async function liesInMemory(path: string): Promise<boolean> {
  return isInMemory(path).catch(() => false);
}

async function sweep(place: FolderPlace, log: Log): Promise<void> {
  try {
    await PrivateFolder.sweep(place, { adopt: false });
  } catch (error) {
    log.warn('saved conversations of an earlier server could not be removed', {
      path: place.base,
      error,
    });
  }
}

function makePlace(place: FolderPlace, inMemory: boolean): StatePlace {
  let opening: Promise<PrivateFolder> | null = null;
  let closed = false;
  const folder = async (): Promise<string> => {
    if (closed) throw new Error('the place of states is closed');
    opening ??= PrivateFolder.open(place);
    return (await opening).path;
  };
  return {
    inMemory,
    folder,
    room: async () => roomAt(await folder(), inMemory),
    async close() {
      closed = true;
      const made = await opening?.catch(() => null);
      await made?.close();
    },
  };
}

async function roomAt(path: string, inMemory: boolean): Promise<number> {
  const { diskFree, diskTotal, memoryFree, memoryTotal } = await spaceAt(path);
  const disk = diskFree - reserveOf(diskTotal);
  // The engine holds the state in its own memory while it writes it.
  const memory = (memoryFree - reserveOf(memoryTotal)) / (inMemory ? 2 : 1);
  return Math.max(0, Math.floor(Math.min(disk, memory)));
}

function reserveOf(total: number): number {
  return Math.min(total * RESERVE_SHARE, MOST_RESERVE_BYTES);
}

/** Removes a state's file and what an engine that died left of it. Never rejects. */
export async function removeState(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => {});
  const folder = dirname(path);
  const start = `${basename(path)}.`;
  for (const name of await readdir(folder).catch(() => [])) {
    if (name.startsWith(start)) await rm(join(folder, name), { force: true }).catch(() => {});
  }
}
