/**
 * The SHA-256 of a file, read as fast as the disk gives it. Any process; it reads and never writes.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { HoshikageError } from '../errors.js';

const CHUNK_BYTES = 4 * 2 ** 20;

/** Lower-case hex. `onRead` is told how many bytes are done. Code: cancelled; else what the file system says. */
export async function sha256Of(
  path: string,
  signal: AbortSignal,
  onRead: (bytes: number) => void,
): Promise<string> {
  const hash = createHash('sha256');
  // O_NONBLOCK: whatever has come to lie there, opening it must not wait.
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  try {
    for (let at = 0; ; ) {
      if (signal.aborted) throw new HoshikageError('cancelled');
      const { bytesRead } = await handle.read(chunk, 0, CHUNK_BYTES, at);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(chunk.subarray(0, bytesRead));
      at += bytesRead;
      onRead(at);
    }
  } finally {
    await handle.close();
  }
}
