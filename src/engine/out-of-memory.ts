/**
 * How it shows that an engine ended, or could not do something, for want of memory: words, and the
 * kernel's count of processes it killed for it. Any process. It must never guess where nothing says so.
 */
import { readFile } from 'node:fs/promises';

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
 * How many processes the kernel has killed for want of memory so far, on the machine and in our own
 * control group together; 0 where nobody counts. Two readings tell whether it did so in between.
 */
export async function oomKills(files: OomFiles = LINUX): Promise<number> {
  const machine = countIn(await textOf(files.vmstat), /^oom_kill (\d+)$/m);
  const groups = await textOf(files.cgroup);
  const unified = /^0::(\/.*)$/m.exec(groups)?.[1];
  const older = /^\d+:(?:[\w,]+,)?memory(?:,[\w,]+)?:(\/.*)$/m.exec(groups)?.[1];
  const root = files.cgroupRoot;
  const counts = [
    unified !== undefined && `${root}${unified}/memory.events`,
    older !== undefined && `${root}/memory${older}/memory.oom_control`,
  ];
  let kills = machine;
  for (const path of counts) {
    if (path !== false) kills += countIn(await textOf(path), /^oom_kill (\d+)$/m);
  }
  return kills;
}

function countIn(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? 0);
}

function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
