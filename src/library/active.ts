/**
 * Which installed library was chosen: active.json in the lib directory, and what was chosen before it.
 * Any process. A file that cannot be read is an error in words, never "nothing chosen": the user's
 * choice must not be replaced by another library without a word.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { HoshikageError } from '../errors.js';
import { type TryLock, withFileLock } from '../models/lock.js';
import { readSmallFile, replaceFile } from '../models/map-file.js';
import { isRecord } from './remembered.js';

/** One choice: an installed library, and whether it is driven in the minimal mode. */
export interface Choice {
  readonly id: string;
  /** Its layouts are unknown; the canary passed with the minimal mode. */
  readonly minimal: boolean;
}

/** What is chosen; null = nothing, the search order decides. `previous` is absent where there was none. */
export interface Active {
  readonly active: Choice | null;
  readonly previous?: Choice | null;
}

const FORMAT = 1;
const NONE: Active = { active: null };
/** Nothing here is held longer than it takes to write one small file. */
const LOCK_LIMIT_MS = 5000;
const MAX_ACTIVE_BYTES = 64 * 1024;

/** A name that can stand for an installed library: never a path, never hidden, not our own word. */
export function isLibraryId(id: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(id) && !/^default$/i.test(id) && !/\.$/.test(id);
}

/** Where the choice is kept. */
export function activeFile(libDir: string): string {
  return join(libDir, 'active.json');
}

/** Reads the choice; no file is no choice. Code: library_not_found, with what is wrong with the file. */
export async function readActive(libDir: string): Promise<Active> {
  const active = await readChoice(libDir);
  if (active instanceof HoshikageError) throw active;
  return active;
}

/**
 * The choice, or what is wrong with the content of its file. Throws where the file cannot be read: then
 * nobody knows what is chosen. Code: library_not_found.
 */
async function readChoice(libDir: string): Promise<Active | HoshikageError> {
  const path = activeFile(libDir);
  const found = await readSmallFile(path, MAX_ACTIVE_BYTES).catch((cause: unknown) => {
    const remedy = {
      en: 'check its permissions, or remove the file',
      ja: '権限を確かめるか、このファイルを消してください',
    };
    throw unreadable(path, cause, remedy);
  });
  if (!found) return NONE;
  try {
    return parseActive(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(found.bytes)));
  } catch (cause) {
    const remedy = {
      en: 'choose again with hoshikage lib use, or remove the file',
      ja: 'hoshikage lib use で選び直すか、このファイルを消してください',
    };
    return unreadable(path, cause, remedy);
  }
}

function unreadable(
  path: string,
  cause: unknown,
  remedy: { readonly en: string; readonly ja: string },
): HoshikageError {
  const said = cause instanceof Error ? cause.message : String(cause);
  const reason = `${path} cannot be read: ${said}; ${remedy.en}`;
  const reason_ja = `${path} を読めません: ${said}。${remedy.ja}`;
  return new HoshikageError('library_not_found', { reason, reason_ja }, { cause });
}

function parseActive(value: unknown): Active {
  if (!isRecord(value) || value.format !== FORMAT) throw new Error(`not of format ${FORMAT}`);
  const active = parseChoice(value.active);
  if (value.previous === undefined) return { active };
  return { active, previous: parseChoice(value.previous) };
}

function parseChoice(value: unknown): Choice | null {
  if (value === null) return null;
  if (!isRecord(value) || typeof value.id !== 'string' || !isLibraryId(value.id)) {
    throw new Error('not a choice');
  }
  return { id: value.id, minimal: value.minimal === true };
}

/** How the choice is changed. */
export interface ChangeOptions {
  /** A file whose content is broken counts as no choice: choosing anew is how it is mended. */
  readonly mends: boolean;
  readonly tryLock?: TryLock | undefined;
}

/**
 * Runs `change` on the choice under its lock and writes what it gives, on the disk when this resolves.
 * Codes: library_not_found where active.json cannot be read, library_locked, library_unwritable, those
 * of `change`.
 */
export async function changeActive(
  libDir: string,
  change: (active: Active) => Active | Promise<Active>,
  { mends, tryLock }: ChangeOptions,
): Promise<void> {
  const work = async (): Promise<void> => {
    const found = await readChoice(libDir);
    if (found instanceof HoshikageError && !mends) throw found;
    const before = found instanceof HoshikageError ? NONE : found;
    const after = await change(before);
    if (after === before) return;
    const text = `${JSON.stringify({ format: FORMAT, ...after }, null, 2)}\n`;
    await replaceFile(activeFile(libDir), text).catch((cause) => unwritable(libDir, cause));
  };
  await underLock(libDir, work, tryLock);
}

/** Runs `work` while nobody else changes what is installed or chosen. Codes: library_locked, library_unwritable. */
export async function underLock<T>(
  libDir: string,
  work: () => Promise<T>,
  tryLock?: TryLock,
): Promise<T> {
  await mkdir(libDir, { recursive: true }).catch((cause) => unwritable(libDir, cause));
  const path = activeFile(libDir);
  const options = { timeoutMs: LOCK_LIMIT_MS, ...(tryLock && { tryLock }) };
  try {
    return await withFileLock(path, work, options);
  } catch (cause) {
    if (cause instanceof HoshikageError && cause.code === 'map_locked') {
      throw new HoshikageError('library_locked', { path }, { cause });
    }
    // A lock file that cannot be made.
    if (cause instanceof Error && 'syscall' in cause && cause.syscall === 'open') {
      unwritable(libDir, cause);
    }
    throw cause;
  }
}

/** Throws what a failed write in the lib directory means. Code: library_unwritable. */
export function unwritable(path: string, cause: unknown): never {
  const reason = cause instanceof Error ? cause.message : String(cause);
  throw new HoshikageError('library_unwritable', { path, reason }, { cause });
}
