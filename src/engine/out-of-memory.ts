/**
 * How it shows that an engine ended, or could not do something, for want of memory: words, and the
 * kernel's count of processes it killed for it. Any process. It must never guess where nothing says so.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What libllama, libggml, its backends, the C++ runtime and Node say. */
const WORDS =
  /out of memory|out of (?:device|host) ?memory|ErrorOutOf(?:Device|Host)Memory|bad_alloc|cannot allocate|(?:failed|unable|not able) to (?:re)?(?:allocate|alloc|reserve)|could not (?:allocate|reserve)|allocation (?:of .{1,40} )?failed|insufficient (?:device |gpu )?memory|not enough (?:device |gpu )?memory|decode returned -2\b/i;

/** Whether a text says that memory could not be had. */
export function speaksOfMemory(text: string): boolean {
  return WORDS.test(text);
}

/** Where the kernel counts; files that are not there count nothing. */
export interface OomFiles {
  /** Of the whole machine. */
  readonly vmstat: string;
  /** Which control group this process is in. */
  readonly cgroup: string;
  /** Below it the groups' own counts. */
  readonly cgroupRoot: string;
}

const LINUX: OomFiles = {
  vmstat: '/proc/vmstat',
  cgroup: '/proc/self/cgroup',
  cgroupRoot: '/sys/fs/cgroup',
};

/**
 * How many processes the kernel has killed for want of memory so far; 0 where nobody counts. Two
 * readings tell whether it did so in between. The nearest control group that counts tells it of those
 * that share it, ours included; only where there is none the machine's own count must do, which
 * other people's processes are in as well.
 */
export async function oomKills(files: OomFiles = LINUX): Promise<number> {
  const groups = await textOf(files.cgroup);
  const unified = /^0::(\/.*)$/m.exec(groups)?.[1];
  const older = /^\d+:(?:[\w,]+,)?memory(?:,[\w,]+)?:(\/.*)$/m.exec(groups)?.[1];
  const root = files.cgroupRoot;
  const kills =
    (await killsOfGroup(root, unified, 'memory.events')) ??
    (await killsOfGroup(join(root, 'memory'), older, 'memory.oom_control'));
  return kills ?? countIn(await textOf(files.vmstat)) ?? 0;
}

/** The count of a group or of the nearest one above it, by which its memory is then limited. */
async function killsOfGroup(
  root: string,
  group: string | undefined,
  file: string,
): Promise<number | null> {
  if (group === undefined) return null;
  // Below `root` whatever it says: a container may be shown a path outside of what it sees.
  const parts = group.split('/').filter((part) => part !== '' && part !== '..');
  for (let depth = parts.length; depth >= 0; depth -= 1) {
    const kills = countIn(await textOf(join(root, ...parts.slice(0, depth), file)));
    if (kills !== null) return kills;
  }
  return null;
}

function countIn(text: string): number | null {
  const count = /^oom_kill (\d+)$/m.exec(text)?.[1];
  return count === undefined ? null : Number(count);
}

function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
