/**
 * What is remembered about libraries that were identified: the verdict cache and its key.
 * Any process; the file is replaced whole, and the last writer wins. A verdict is a shortcut for the
 * status only: every engine identifies its library again.
 */
import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import type { LibraryIdentity } from '../engine/engine.js';
import type { WireError } from '../engine/protocol.js';
import { type Entry, type EntryKind, isRecord, recallEntry, rememberEntry } from './remembered.js';

/** How the identification of a library ended. */
export type Verdict =
  | { readonly identity: LibraryIdentity; readonly error: null }
  | { readonly identity: null; readonly error: WireError };

/** Devices come and go (a driver, an eGPU), so even a fitting verdict is renewed now and then. */
const MAX_AGE_MS = 24 * 60 * 60 * 1000;
const MAX_VERDICTS = 16;
const FORMAT = 3;

/** Variables that change what a library finds or loads. */
const TELLING_VARIABLES = /^(LD_|DYLD_|GGML_|CUDA_|HIP_|HSA_|ROCR_|VK_|ONEAPI_|SYCL_)/;

interface StoredVerdict extends Entry {
  readonly verdict: Verdict;
}

const VERDICTS: EntryKind<StoredVerdict> = {
  format: FORMAT,
  list: 'verdicts',
  most: MAX_VERDICTS,
  isEntry: (value): value is StoredVerdict & typeof value =>
    isRecord(value.verdict) && (isRecord(value.verdict.identity) || isRecord(value.verdict.error)),
};

/**
 * A digest of everything a verdict depends on: the files of the library, what we know of its
 * interface and whether we insist on it, our addon, and the variables it looks at. Null for a bare name.
 */
export async function verdictKey(
  path: string,
  ours: {
    readonly abiText: string;
    readonly addonPath: string;
    readonly allowUnknown?: boolean;
  },
  env: NodeJS.ProcessEnv,
): Promise<string | null> {
  if (!isAbsolute(path)) return null;
  const directory = dirname(path);
  const siblings = (await readdir(directory)).filter((name) => /^(lib)?ggml/.test(name)).sort();
  const files = [path, ...siblings.map((name) => join(directory, name)), ours.addonPath];
  const facts = await Promise.all(files.map(fileFacts));
  const variables = Object.entries(env).filter(([name]) => TELLING_VARIABLES.test(name));
  return createHash('sha256')
    .update(
      JSON.stringify([FORMAT, facts, ours.abiText, variables.sort(), ours.allowUnknown === true]),
    )
    .digest('hex');
}

async function fileFacts(path: string): Promise<readonly string[]> {
  const facts = await stat(path, { bigint: true }).catch(() => null);
  // A link that leads nowhere, or a file replaced this very moment.
  if (!facts) return [path];
  const { dev, ino, size, mtimeNs, ctimeNs } = facts;
  // A copy in place may keep size and mtime; ctime is nobody's to set.
  return [path, ...[dev, ino, size, mtimeNs, ctimeNs].map(String)];
}

/** The remembered verdict, or null where there is none that still counts. */
export async function recallVerdict(file: string, key: string): Promise<Verdict | null> {
  const stored = await recallEntry(file, VERDICTS, key);
  return stored && Date.now() - stored.at < MAX_AGE_MS ? stored.verdict : null;
}

/** Remembers a verdict among the newest ones. Rejects where the directory cannot be written. */
export function rememberVerdict(file: string, key: string, verdict: Verdict): Promise<void> {
  return rememberEntry(file, VERDICTS, { key, at: Date.now(), verdict });
}
