/**
 * Changes the .env file on the disk: read, changed and replaced whole under a lock. Runs in the CLI process.
 * A link to the file stays a link; a file that holds a secret is readable for its owner only.
 */
import { chmod, mkdir, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HoshikageError } from '../src/errors.js';
import { withFileLock } from '../src/models/lock.js';
import { readSmallFile, replaceFile } from '../src/models/map-file.js';
import { holdsSecret, withoutSetting, withSetting } from '../src/settings/env-edit.js';

const MAX_BYTES = 1024 * 1024;
const PRIVATE = 0o600;

/**
 * Sets `key`, or takes it out where `value` is null; false where the file says so already.
 * Codes: setting_unwritable, map_locked.
 */
export async function changeEnvFile(
  path: string,
  key: string,
  value: string | null,
): Promise<boolean> {
  const { loadAddon } = await import('../src/engine/addon.js');
  const target = await realpath(path).catch(() => path);
  try {
    await mkdir(dirname(target), { recursive: true, mode: 0o700 });
    return await withFileLock(target, () => changeNow(target, key, value), {
      // Asked only where fs-ext is missing; whoever changes the file locks in the same way.
      tryLock: (fd) => loadAddon().tryLock(fd),
    });
  } catch (cause) {
    if (cause instanceof HoshikageError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HoshikageError('setting_unwritable', { key, reason }, { cause });
  }
}

async function changeNow(target: string, key: string, value: string | null): Promise<boolean> {
  const found = await readSmallFile(target, MAX_BYTES);
  // Fatal: a byte that cannot be read would be lost by writing.
  const before = found
    ? new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(found.bytes)
    : '';
  const after = value === null ? withoutSetting(before, key) : withSetting(before, key, value);
  const isSecret = holdsSecret(after);
  if (after === before) return false;
  // Before the secret is in it.
  if (found && isSecret) await makePrivate(target);
  await replaceFile(target, after, PRIVATE);
  return true;
}

async function makePrivate(target: string): Promise<void> {
  const { mode } = await stat(target);
  if ((mode & 0o077) !== 0) await chmod(target, mode & 0o700);
}
