/**
 * Which libraries passed the canary: library-proofs.json in the cache directory.
 * Any process; the file is replaced whole, and the last writer wins. A proof belongs to files, not to a
 * name: whatever changes in them, in our table or in our addon makes it another library.
 */
import { join } from 'node:path';
import { addonPath, readAbiText } from '../engine/addon.js';
import { type Entry, type EntryKind, recallEntry, rememberEntry } from './remembered.js';
import { verdictKey } from './verdict.js';

/** That a library passed, and how. */
export interface Proof {
  /** It passed in the minimal mode, and may only be used in it. */
  readonly minimal: boolean;
  /** Epoch time in ms. */
  readonly at: number;
}

interface StoredProof extends Proof, Entry {}

const PROOFS: EntryKind<StoredProof> = {
  format: 1,
  list: 'proofs',
  most: 64,
  isEntry: (value): value is StoredProof & typeof value => typeof value.minimal === 'boolean',
};

/** The proof of the libllama at an absolute path, or null where its files never passed as they are. */
export async function recallProof(cacheDir: string, path: string): Promise<Proof | null> {
  const key = await proofKey(path);
  const found = key && (await recallEntry(fileIn(cacheDir), PROOFS, key));
  return found ? { minimal: found.minimal, at: found.at } : null;
}

/**
 * Remembers that the files of that key passed. The key is to be taken before they are proved: whoever
 * took it afterwards would record files that nobody has tried. Rejects where the cache cannot be written.
 */
export async function recordProof(
  cacheDir: string,
  key: string,
  { minimal }: { readonly minimal: boolean },
): Promise<void> {
  await rememberEntry(fileIn(cacheDir), PROOFS, { key, minimal, at: Date.now() });
}

/**
 * What a proof of the libllama at a path belongs to: its files as they are now; null for a bare name.
 * The environment stays out: the command that ran the canary and the server that asks for the proof
 * need not share one, and the server identifies the library in its own anyway.
 */
export function proofKey(path: string): Promise<string | null> {
  return verdictKey(path, { abiText: readAbiText(), addonPath: addonPath() }, {});
}

function fileIn(cacheDir: string): string {
  return join(cacheDir, 'library-proofs.json');
}
