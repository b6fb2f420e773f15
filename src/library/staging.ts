/**
 * Directories that belong to a running process: made here, and removed by the next one that makes one
 * where their process is gone. Any process. It must never touch a directory that it does not know by
 * its name, nor one of a process that lives, be it on another machine that shares the disk.
 */
import { createHash, randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { isAlive } from '../models/pid-file.js';

/** A directory this old is nobody's, whatever its number says. */
const OLDEST_MS = 7 * 24 * 60 * 60 * 1000;
const REST = /^([0-9a-f]{8})-(\d+)-[0-9a-f]{8}$/;

/**
 * An empty directory `<prefix>…` of this process in `parent`, which must exist; those that dead
 * processes left there go. Throws what the file system says.
 */
export async function makeStaging(parent: string, prefix: string): Promise<string> {
  await sweep(parent, prefix);
  const path = stagingPath(parent, prefix);
  await mkdir(path);
  return path;
}

/** A path for such a directory, at which there is nothing yet. */
export function stagingPath(parent: string, prefix: string): string {
  const name = `${hostKey()}-${process.pid}-${randomBytes(4).toString('hex')}`;
  return join(parent, prefix + name);
}

async function sweep(parent: string, prefix: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const [, host, pid] = (name.startsWith(prefix) && REST.exec(name.slice(prefix.length))) || [];
    if (host === undefined) continue;
    const path = join(parent, name);
    const facts = await lstat(path).catch(() => null);
    if (!facts?.isDirectory()) continue;
    const lives = host !== hostKey() || isAlive(Number(pid));
    if (lives && Date.now() - facts.mtimeMs < OLDEST_MS) continue;
    // Whatever stays is swept the next time.
    await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}

function hostKey(): string {
  return createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
}
