/**
 * One lock for a file that several processes write: flock on `<file>.lock`, which is made once and
 * never removed (an atomic rename of the file itself would swap the inode under the lock). Any
 * process, main thread. It never waits inside a system call: blocking flock would hold libuv's
 * threads, so it tries, sleeps a jittered moment and tries again until a deadline.
 * The only file that loads fs-ext.
 */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoshikageError } from '../errors.js';
import { releasePidFile, takePidFile } from './pid-file.js';

/** Takes an exclusive flock on `fd` without waiting; false where somebody else holds it. */
export type TryLock = (fd: number) => boolean;

/** How to get the lock. */
export interface LockOptions {
  /** How long to wait for whoever holds it; 10 s by default. */
  readonly timeoutMs?: number;
  /** Used where fs-ext is not installed: the addon's `tryLock`. May throw where it is missing too. */
  readonly tryLock?: TryLock;
  /** Told once per process when flock does not work at the file's place. */
  readonly warn?: (message: string) => void;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const FIRST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 40;
/** This file system has no flock (some network mounts): the lock with a pid inside takes over. */
const UNSUPPORTED: ReadonlySet<string> = new Set(['ENOLCK', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS']);
const HELD: ReadonlySet<string> = new Set(['EAGAIN', 'EWOULDBLOCK', 'EACCES', 'EINTR']);

let fsExt: TryLock | null | undefined;
let warned = false;

/**
 * Runs `work` while holding the lock of `path`, whose directory must exist. The lock is the
 * process's and the call's: two calls in one process exclude each other as well, and a killed
 * holder's lock is free at once. Code: map_locked after the deadline.
 */
export async function withFileLock<T>(
  path: string,
  work: () => Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  const release = await acquire(path, options);
  try {
    return await work();
  } finally {
    await release();
  }
}

/** Gives a lock back. */
export type Release = () => Promise<void>;

async function acquire(path: string, options: LockOptions): Promise<Release> {
  const deadline = performance.now() + (options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  let pauseMs = FIRST_PAUSE_MS;
  for (;;) {
    const release = await attempt(`${path}.lock`, options);
    if (release) return release;
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) throw new HoshikageError('map_locked', { path });
    await sleep(Math.min(leftMs, pauseMs * (0.5 + Math.random())));
    pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS);
  }
}

async function attempt(lockPath: string, options: LockOptions): Promise<Release | null> {
  const outcome = await holdLock(lockPath, options);
  if (outcome === 'unsupported') return attemptPidFile(`${lockPath}.pid`);
  return outcome === 'held' ? null : outcome;
}

/**
 * Takes the flock on the lock file `lockPath` itself, made where it is missing, for as long as the
 * caller likes, without waiting. The kernel gives it back when this process ends, however it ends; it
 * is not inherited. `unsupported`: no flock at this place. Throws what the file system says.
 */
export async function holdLock(
  lockPath: string,
  options: Pick<LockOptions, 'tryLock' | 'warn'> = {},
): Promise<Release | 'held' | 'unsupported'> {
  const handle = await open(lockPath, 'a');
  let kept = false;
  try {
    const outcome = flock(handle, options);
    if (outcome !== 'taken') return outcome;
    if (!(await isStillThere(handle, lockPath))) return 'held';
    kept = true;
    return () => handle.close();
  } finally {
    if (!kept) await handle.close();
  }
}

async function attemptPidFile(pidPath: string): Promise<Release | null> {
  const token = await takePidFile(pidPath);
  return token === null ? null : () => releasePidFile(pidPath, token);
}

function flock(
  handle: FileHandle,
  options: Pick<LockOptions, 'tryLock' | 'warn'>,
): 'taken' | 'held' | 'unsupported' {
  for (const tryLock of [loadFsExt(), options.tryLock]) {
    if (!tryLock) continue;
    try {
      return tryLock(handle.fd) ? 'taken' : 'held';
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
      if (HELD.has(code)) return 'held';
      if (UNSUPPORTED.has(code)) break;
      // Anything else: this way of locking is not there (no addon); the next one may be.
    }
  }
  if (!warned && options.warn) {
    warned = true;
    options.warn('flock is not available for the model map; using a lock file with a pid instead');
  }
  return 'unsupported';
}

/** fs-ext is an optional dependency tied to one Node ABI: missing is normal. */
function loadFsExt(): TryLock | null {
  if (fsExt !== undefined) return fsExt;
  try {
    const loaded: unknown = createRequire(import.meta.url)('fs-ext');
    fsExt = hasFlockSync(loaded) ? toTryLock(loaded) : null;
  } catch {
    fsExt = null;
  }
  return fsExt;
}

/** The one function of fs-ext that is safe here: its async flock blocks or aborts. */
interface FsExt {
  flockSync(fd: number, flags: 'exnb'): void;
}

function hasFlockSync(module: unknown): module is FsExt {
  return (
    typeof module === 'object' &&
    module !== null &&
    'flockSync' in module &&
    typeof module.flockSync === 'function'
  );
}

function toTryLock(module: FsExt): TryLock {
  return (fd) => {
    module.flockSync(fd, 'exnb');
    return true;
  };
}

/** False where somebody removed the lock file: then another process may hold a newer one. */
async function isStillThere(handle: FileHandle, lockPath: string): Promise<boolean> {
  const ours = await handle.stat({ bigint: true });
  const named = await stat(lockPath, { bigint: true }).catch(() => null);
  return named !== null && named.ino === ours.ino && named.dev === ours.dev;
}
