/**
 * A lock made of a file that must not exist yet, with its holder inside, for places where flock does
 * not work. Any process, main thread. A holder that died leaves its file behind; it is taken over so
 * that no two processes can both believe they removed it.
 */
import { randomBytes } from 'node:crypto';
import { open, readFile, stat, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';

/** Nothing holds the lock this long: older means that the holder's pid belongs to someone new. */
const OLDEST_MS = 10 * 60 * 1000;
/** For holders that cannot be asked: another host's, or a file whose writing was cut off. */
const OLDEST_UNKNOWN_MS = 60 * 1000;
/** Takers that die while they take over from a dead taker ...: deeper than this is no accident. */
const MAX_DEPTH = 4;

interface Holder {
  readonly token: string;
  readonly isDead: boolean;
}

/** Takes the lock file: its token, or null where somebody else holds it (then try again later). */
export async function takePidFile(path: string, depth = 0): Promise<string | null> {
  const token = randomBytes(6).toString('hex');
  if (await create(path, token)) return token;
  const holder = await readHolder(path);
  if (!holder?.isDead || depth >= MAX_DEPTH) return null;
  // Whoever holds the claim on this very token may remove the file, nobody else: between looking
  // and removing, the file cannot become someone else's.
  const claimPath = `${path}.${holder.token}`;
  const claim = await takePidFile(claimPath, depth + 1);
  if (claim === null) return null;
  try {
    const now = await readHolder(path);
    if (now?.isDead && now.token === holder.token) await unlink(path);
  } finally {
    await unlink(claimPath);
  }
  return null;
}

/** Gives the lock back. A file that is not ours any more is left alone. */
export async function releasePidFile(path: string, token: string): Promise<void> {
  if ((await readHolder(path))?.token === token) await unlink(path);
}

async function create(path: string, token: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx');
    try {
      await handle.writeFile(`${process.pid} ${token} ${hostname()}\n`);
    } finally {
      await handle.close();
    }
    return true;
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') return false;
    throw cause;
  }
}

async function readHolder(path: string): Promise<Holder | null> {
  try {
    const text = await readFile(path, 'utf8');
    const { mtimeMs, ino } = await stat(path);
    const ageMs = Date.now() - mtimeMs;
    const match = /^(\d+) ([0-9a-f]{12}) (.*)\n$/.exec(text);
    if (!match?.[2]) return { token: `torn-${ino}`, isDead: ageMs > OLDEST_UNKNOWN_MS };
    if (match[3] !== hostname()) return { token: match[2], isDead: ageMs > OLDEST_UNKNOWN_MS };
    return { token: match[2], isDead: ageMs > OLDEST_MS || !isAlive(Number(match[1])) };
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return null;
    throw cause;
  }
}

/** Whether a process of this machine has that number now. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    // EPERM: it lives, as somebody else's.
    return cause instanceof Error && 'code' in cause && cause.code === 'EPERM';
  }
}
