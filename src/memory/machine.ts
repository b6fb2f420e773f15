/**
 * How much main memory could be had right now without pushing out anything that is in use. Server's
 * main thread, reads a few small files of the kernel. It must err on the side of too much: a model is
 * refused by it.
 */
import { readFile } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';
import { dirname, join } from 'node:path';

/** Main memory in bytes, as far as this process may have it. */
export interface MachineMemory {
  readonly totalBytes: number;
  /** Free, or holding only copies of files that nobody has written to. */
  readonly availableBytes: number;
}

/** The machine as it is looked at; a test gives its own. */
export interface MemorySource {
  readonly platform: NodeJS.Platform;
  readonly totalBytes: number;
  readonly freeBytes: number;
  /** A file's text; null where it cannot be read. */
  readonly read: (path: string) => Promise<string | null>;
}

/** A part of all memory within bounds, bytes. */
const SYSTEM_SHARE = 1 / 32;
const SYSTEM_LEAST = 64 * 2 ** 20;
const SYSTEM_MOST = 512 * 2 ** 20;

/** What the system keeps for itself of so much memory, bytes. */
export function systemKeeps(totalBytes: number): number {
  return Math.min(SYSTEM_MOST, Math.max(SYSTEM_LEAST, totalBytes * SYSTEM_SHARE));
}

const thisMachine = (): MemorySource => ({
  platform: process.platform,
  totalBytes: totalmem(),
  freeBytes: freemem(),
  read: (path) => readFile(path, 'utf8').catch(() => null),
});

/** Looks at this machine, limits of control groups included. */
export async function machineMemory(source: MemorySource = thisMachine()): Promise<MachineMemory> {
  const { platform, totalBytes, freeBytes } = source;
  // macOS tells pages that hold nothing, not those it would give: only the total is certain.
  if (platform === 'darwin') return { totalBytes, availableBytes: totalBytes };
  if (platform !== 'linux') return { totalBytes, availableBytes: freeBytes };
  const available = field(await source.read('/proc/meminfo'), 'MemAvailable:');
  const whole = {
    totalBytes,
    availableBytes: available === null ? freeBytes : available * 1024,
  };
  const groups = await controlGroups(source);
  return [whole, ...groups].reduce((least, group) => ({
    totalBytes: Math.min(least.totalBytes, group.totalBytes),
    availableBytes: Math.min(least.availableBytes, group.availableBytes),
  }));
}

/** The names of version 2 and 1 of the same three files. */
const VERSIONS = [
  {
    root: '/sys/fs/cgroup',
    entry: /^0::(.*)$/m,
    limit: 'memory.max',
    used: 'memory.current',
    cache: ['inactive_file', 'active_file'],
  },
  {
    root: '/sys/fs/cgroup/memory',
    entry: /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m,
    limit: 'memory.limit_in_bytes',
    used: 'memory.usage_in_bytes',
    cache: ['total_inactive_file', 'total_active_file'],
  },
] as const;

/** What the control groups of this process allow; those without a limit are left out. */
async function controlGroups({ read }: MemorySource): Promise<readonly MachineMemory[]> {
  const own = (await read('/proc/self/cgroup')) ?? '';
  const groups: MachineMemory[] = [];
  for (const { root, entry, limit, used, cache } of VERSIONS) {
    const path = entry.exec(own)?.[1];
    if (path === undefined) continue;
    // A limit may be set at any level; in a container the path may be one of the host's.
    for (const directory of upwards(join('/', path))) {
      const totalBytes = Number.parseInt((await read(join(root, directory, limit))) ?? '', 10);
      const usedBytes = Number.parseInt((await read(join(root, directory, used))) ?? '', 10);
      if (!(totalBytes > 0) || Number.isNaN(usedBytes)) continue;
      const stat = await read(join(root, directory, 'memory.stat'));
      // The group's use counts cached files too, which go when somebody needs the memory.
      const cached = cache.reduce((sum, name) => sum + (field(stat, name) ?? 0), 0);
      const availableBytes = Math.max(0, totalBytes - usedBytes + cached);
      groups.push({ totalBytes, availableBytes });
    }
  }
  return groups;
}

function upwards(path: string): readonly string[] {
  return path === '/' ? [path] : [path, ...upwards(dirname(path))];
}

/** The number after a name at the beginning of a line. */
function field(text: string | null, name: string): number | null {
  const line = text?.split('\n').find((one) => one.split(/\s+/)[0] === name);
  const value = Number(line?.split(/\s+/)[1]);
  return line !== undefined && Number.isFinite(value) ? value : null;
}
