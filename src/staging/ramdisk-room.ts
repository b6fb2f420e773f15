/**
 * Whether a copy on the RAM disk pays and fits, and which others have to leave for it. Pure functions: no copy
 * may bring the machine, or others who use the same place, into distress.
 */

import type { Space } from '../folders/space.js';
import type { LoadFacts, RamDiskSettings } from './ramdisk-types.js';

const MIB = 1024 * 1024;
/** What stays free of a file system that others use too. */
const DISK_SHARE = 0.05;
const MOST_DISK_RESERVE = 1024 * MIB;
/** What stays free of the memory, for everybody. */
const MEMORY_SHARE = 0.1;
const LEAST_MEMORY_RESERVE = 512 * MIB;

/** A smaller model loads at once from anywhere. */
const SMALLEST_BYTES = 64 * MIB;
/** The speed of a file counts only where at least this share of it came from storage. */
const STORAGE_SHARE = 0.5;

/** What the page cache holds is read as fast as a copy, and would only be held twice. */
export function isWorthCopying(
  { bytes, ms, readBytes }: LoadFacts,
  { ramdiskMode, ramdiskMinMbps }: Pick<RamDiskSettings, 'ramdiskMode' | 'ramdiskMinMbps'>,
): boolean {
  if (ramdiskMode !== 'auto') return ramdiskMode === 'always';
  if (bytes < SMALLEST_BYTES || readBytes === null) return false;
  if (readBytes < bytes * STORAGE_SHARE) return false;
  return readBytes / 1000 / Math.max(1, ms) < ramdiskMinMbps;
}

/** Something that could leave. */
export interface Held {
  readonly bytes: number;
  /** Not while it is in use: its memory would not come back. */
  readonly movable: boolean;
  readonly idleMs: number;
}

/** The room beyond the reserves, in bytes; negative where these are touched already. */
function usable({ diskFree, diskTotal, memoryFree, memoryTotal }: Space): {
  readonly disk: number;
  readonly memory: number;
} {
  const diskReserve = Math.min(diskTotal * DISK_SHARE, MOST_DISK_RESERVE);
  const memoryReserve = Math.max(memoryTotal * MEMORY_SHARE, LEAST_MEMORY_RESERVE);
  return { disk: diskFree - diskReserve, memory: memoryFree - memoryReserve };
}

/**
 * Who has to leave, those unused for longest first, so that `bytes` more fit within the limit and the
 * reserves; or what is lacking. `maxBytes` null: half of what were free without any copy.
 */
export function planRoom<T extends Held>(
  bytes: number,
  held: readonly T[],
  space: Space,
  maxBytes: number | null,
): { readonly leave: readonly T[] } | { readonly lack: string } {
  const total = held.reduce((sum, one) => sum + one.bytes, 0);
  const half = (Math.min(space.diskFree, space.memoryFree) + total) / 2;
  const limit = maxBytes ?? half;
  const room = usable(space);
  const leave: T[] = [];
  let freed = 0;
  const candidates = held.filter(({ movable }) => movable).sort((a, b) => b.idleMs - a.idleMs);
  for (;;) {
    const lack = lackOf(bytes, {
      limit: limit - total + freed,
      disk: room.disk + freed,
      memory: room.memory + freed,
    });
    if (lack === null) return { leave };
    const next = candidates.shift();
    if (!next) return { lack };
    leave.push(next);
    freed += next.bytes;
  }
}

/** Throws, in words for the log, where even the next piece of a copy would touch a reserve. */
export function checkPiece(space: Space, bytes: number): void {
  const lack = lackOf(bytes, { limit: Infinity, ...usable(space) });
  if (lack !== null) throw new Error(lack);
}

function lackOf(
  bytes: number,
  room: { readonly limit: number; readonly disk: number; readonly memory: number },
): string | null {
  if (bytes > room.limit) return `RAMDISK_MAX_BYTES leaves no room for ${bytes} bytes`;
  if (bytes > room.disk) return `the file system is short of room for ${bytes} bytes`;
  if (bytes > room.memory) return `the memory is short of room for ${bytes} bytes`;
  return null;
}
