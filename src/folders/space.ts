/**
 * How much room there is: on a file system, and in this machine's (or container's) memory.
 * Any process, through libuv; it owns nothing and decides nothing.
 */
import { statfs } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { type MachineMemory, machineMemory } from '../memory/machine.js';

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
export async function spaceAt(
  path: string,
  memory: () => Promise<MachineMemory> = memoryHere,
): Promise<Space> {
  const { bsize, bavail, blocks } = await statfs(path);
  const { totalBytes, availableBytes } = await memory();
  return {
    diskFree: bavail * bsize,
    diskTotal: blocks * bsize,
    memoryFree: availableBytes,
    memoryTotal: totalBytes,
  };
}

/** Whether what is written at `path` stays in memory (Linux). Throws what the file system says. */
export async function isInMemory(path: string): Promise<boolean> {
  const { type } = await statfs(path);
  return type === TMPFS || type === RAMFS;
}

/**
 * Node's own figure counts the files that a control group has cached as taken: after one model was
 * read, a container with a limit would have no room left for ever.
 */
async function memoryHere(): Promise<MachineMemory> {
  if (process.platform === 'linux') return machineMemory();
  return { totalBytes: totalmem(), availableBytes: process.availableMemory() };
}
