/**
 * What Linux tells of a process in /proc: memory, descriptors, sockets, children. Read-only.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** False where these facts cannot be read. */
export const hasProc = process.platform === 'linux';

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  return statusBytes(pid, 'VmRSS');
}

/** Resident memory in bytes that is no file's: the part that is only its own. */
export function privateBytes(pid: number): number {
  return statusBytes(pid, 'RssAnon');
}

function statusBytes(pid: number, key: string): number {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(lines)?.[1]) * 1024;
}

/** Its threads, by their ids in the system. */
export function threadsOf(pid: number): readonly number[] {
  return readdirSync(`/proc/${pid}/task`).map(Number);
}

/** How often its threads have been given a processor so far: each wake-up is one such time. */
export function wakeUps(pid: number): number {
  const turns = threadsOf(pid).map((thread) => {
    const [, , slices] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
    return Number(slices);
  });
  return turns.reduce((sum, count) => sum + count, 0);
}

/** The niceness of each of its threads; without those that ended while we looked. */
export function niceness(pid: number): readonly number[] {
  return threadsOf(pid).flatMap((thread) => {
    try {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
      return [Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])];
    } catch {
      return [];
    }
  });
}

/** What its open descriptors point at, by number; without those that closed while we looked. */
export function openFiles(pid: number): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    try {
      found.set(Number(name), readlinkSync(`/proc/${pid}/fd/${name}`));
    } catch {
      // Closed since the listing.
    }
  }
  return found;
}

/** Files it has mapped into its memory: its libraries, among others. */
export function mappedFiles(pid: number): readonly string[] {
  const lines = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n');
  return [...new Set(lines.map((line) => line.slice(line.indexOf('/'))))].filter((file) =>
    file.startsWith('/'),
  );
}

/** A network socket of a process. */
export interface Socket {
  readonly protocol: string;
  readonly local: string;
  readonly remote: string;
  readonly state: 'listen' | 'other';
}

/** Its network sockets (TCP, UDP, raw; IPv4 and IPv6), addresses as `hex:port`. */
export function networkSockets(pid: number): readonly Socket[] {
  const inodes = new Set<string>();
  for (const target of openFiles(pid).values()) {
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined) inodes.add(inode);
  }
  return ['tcp', 'tcp6', 'udp', 'udp6', 'raw', 'raw6'].flatMap((protocol) =>
    table(pid, protocol)
      .filter((columns) => inodes.has(columns[9] ?? ''))
      .map((columns) => ({
        protocol,
        local: address(columns[1]),
        remote: address(columns[2]),
        state: columns[3] === '0A' ? ('listen' as const) : ('other' as const),
      })),
  );
}

function table(pid: number, protocol: string): string[][] {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/net/${protocol}`, 'utf8');
  } catch {
    // A kernel without that protocol.
    return [];
  }
  const [, ...lines] = text.trim().split('\n');
  return lines.map((line) => line.trim().split(/\s+/));
}

function address(column = ''): string {
  const [host = '', port = ''] = column.split(':');
  return `${host}:${Number.parseInt(port, 16)}`;
}

/** Pids whose parent this is. */
export function childrenOf(pid: number): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => parentOf(child) === pid);
}

function parentOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; state and parent follow the last one.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return null;
  }
}

/** What it was started as, with its arguments; '' once it has ended. */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}

/** False once it has ended (a zombie nobody has waited for counts as ended). */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^\) [ZX]/.test(stat.slice(stat.lastIndexOf(')')));
  } catch {
    return false;
  }
}
