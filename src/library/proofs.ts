/**
 * Which libraries passed the canary: library-proofs.json in the cache directory.
 * Any process; the file is replaced whole, and the last writer wins. A proof belongs to files, not to a
 * name: whatever changes in them, in our table or in our addon makes it another library.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { addonPath, readAbiText } from '../engine/addon.js';
import { replaceFile } from '../models/map-file.js';
import { verdictKey } from './verdict.js';

/** That a library passed, and how. */
export interface Proof {
  /** It passed in the minimal mode, and may only be used in it. */
  readonly minimal: boolean;
  /** Epoch time in ms. */
  readonly at: number;
}

const FORMAT = 1;
const MAX_PROOFS = 64;

interface StoredProof extends Proof {
  readonly key: string;
}

/** The proof of the libllama at an absolute path, or null where its files never passed as they are. */
export async function recallProof(cacheDir: string, path: string): Promise<Proof | null> {
  const key = await proofKey(path);
  const found = (await readAll(cacheDir)).find((one) => one.key === key);
  return found ? { minimal: found.minimal, at: found.at } : null;
}

/** Remembers that the libllama at a path passed. Rejects where the cache cannot be written. */
export async function recordProof(
  cacheDir: string,
  path: string,
  { minimal }: { readonly minimal: boolean },
): Promise<void> {
  const key = await proofKey(path);
  if (key === null) throw new Error(`no proof of a bare name: ${path}`);
  const others = (await readAll(cacheDir)).filter((one) => one.key !== key);
  const proofs = [{ key, minimal, at: Date.now() }, ...others].slice(0, MAX_PROOFS);
  await mkdir(cacheDir, { recursive: true });
  await replaceFile(fileIn(cacheDir), `${JSON.stringify({ format: FORMAT, proofs })}\n`, 0o600);
}

/**
 * The environment stays out: the command that ran the canary and the server that asks for the proof
 * need not share one, and the server identifies the library in its own anyway.
 */
function proofKey(path: string): Promise<string | null> {
  return verdictKey(path, { abiText: readAbiText(), addonPath: addonPath() }, {});
}

function fileIn(cacheDir: string): string {
  return join(cacheDir, 'library-proofs.json');
}

async function readAll(cacheDir: string): Promise<readonly StoredProof[]> {
  try {
    const value: unknown = JSON.parse(await readFile(fileIn(cacheDir), 'utf8'));
    const isOurs = isRecord(value) && value.format === FORMAT && Array.isArray(value.proofs);
    return isOurs ? (value.proofs as unknown[]).filter(isStored) : [];
  } catch {
    // A missing or broken file only costs another canary.
    return [];
  }
}

function isStored(value: unknown): value is StoredProof {
  if (!isRecord(value)) return false;
  const { key, minimal, at } = value;
  return typeof key === 'string' && typeof minimal === 'boolean' && typeof at === 'number';
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
