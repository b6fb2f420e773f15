/**
 * How much room there is: on a file system, and in this machine's (or container's) memory.
 * Any process, through libuv; it owns nothing and decides nothing.
 */
import { statfs } from 'node:fs/promises';
import { totalmem } from 'node:os';

/** Room, in bytes. */
export interface Space {
  /** What this user may still write on the file system, and its size. */
  readonly diskFree: number;
  readonly diskTotal: number;
  /** What can be used without swapping (MemAvailable), or what a control group still allows. */
  readonly memoryFree: number;
  readonly memoryTotal: number;
}

const TMPFS = 0x01021994;
const RAMFS = 0x858458f6;

/** The room at `path` now. Throws what the file system says. */
export async function spaceAt(path: string): Promise<Space> {
  const { bsize, bavail, blocks } = await statfs(path);
  return {
    diskFree: bavail * bsize,
    diskTotal: blocks * bsize,
    memoryFree: process.availableMemory(),
    memoryTotal: memoryTotal(),
  };
}

/** Whether what is written at `path` stays in memory (Linux). Throws what the file system says. */
export async function isInMemory(path: string): Promise<boolean> {
  const { type } = await statfs(path);
  return type === TMPFS || type === RAMFS;
}

function memoryTotal(): number {
  // Without a limit this is 0, or a number without meaning that is larger than the machine.
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
