/**
 * Where a file came from that no hash speaks for: `.X.origin.json` beside it names the address (as a hash:
 * it may hold a secret) and what the server said of the file. Any process; the caller holds the lock. It
 * must never be there beside bytes that came from somewhere else.
 */
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isRecord, readSmallFile, replaceFile } from '../models/map-file.js';
import { type Identity, isSameFile, textOf } from './part-file.js';

const MAX_BYTES = 4096;

/** Forgets where a file came from. To be called before other bytes take its place. */
export async function forgetOrigin(target: string): Promise<void> {
  await rm(originPath(target), { force: true });
}

/** Notes where a file came from, once it is in its place. */
export async function noteOrigin(target: string, url: URL, identity: Identity): Promise<void> {
  const { size, etag, modified } = identity;
  const said = { format: 1, url: hashOf(url), size, etag, modified };
  await replaceFile(originPath(target), `${JSON.stringify(said)}\n`);
}

/** Whether a file is what the server has at this address still. */
export async function isFrom(target: string, url: URL, identity: Identity): Promise<boolean> {
  try {
    const file = await readSmallFile(originPath(target), MAX_BYTES);
    const said: unknown = file && JSON.parse(new TextDecoder().decode(file.bytes));
    if (!isRecord(said) || said.format !== 1 || said.url !== hashOf(url)) return false;
    const { size, etag, modified } = said;
    if (typeof size !== 'number') return false;
    const before = { size, sha256: null, etag: textOf(etag), modified: textOf(modified) };
    return isSameFile(before, identity);
  } catch {
    // Written by somebody else: it says nothing.
    return false;
  }
}

function originPath(target: string): string {
  return join(dirname(target), `.${basename(target)}.origin.json`);
}

function hashOf(url: URL): string {
  return createHash('sha256')
    .update(url.origin + url.pathname + url.search)
    .digest('hex');
}
