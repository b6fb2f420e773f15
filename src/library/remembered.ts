/**
 * The newest entries of one kind, by key, in one JSON file of the cache directory.
 * Any process; the file is replaced whole, and the last writer wins. What cannot be read is not there:
 * whoever remembers something here must be able to find it out again.
 */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readSmallFile, replaceFile } from '../models/map-file.js';

const MAX_BYTES = 16 * 1024 * 1024;

/** What every entry has; `at` is epoch time in ms. */
export interface Entry {
  readonly key: string;
  readonly at: number;
}

/** A kind of entries and how its file looks. */
export interface EntryKind<T extends Entry> {
  /** A file of another format counts as empty. */
  readonly format: number;
  /** Name of the list in the file. */
  readonly list: string;
  /** How many are kept. */
  readonly most: number;
  /** Whether a value that has a key and a time is an entry. */
  readonly isEntry: (value: Entry & Readonly<Record<string, unknown>>) => value is T & typeof value;
}

/** The entry of that key, or null. */
export async function recallEntry<T extends Entry>(
  file: string,
  kind: EntryKind<T>,
  key: string,
): Promise<T | null> {
  return (await readAll(file, kind)).find((one) => one.key === key) ?? null;
}

/** Remembers an entry among the newest ones. Rejects where the directory cannot be written. */
export async function rememberEntry<T extends Entry>(
  file: string,
  kind: EntryKind<T>,
  entry: T,
): Promise<void> {
  const others = (await readAll(file, kind)).filter((one) => one.key !== entry.key);
  const all = [entry, ...others].slice(0, kind.most);
  await mkdir(dirname(file), { recursive: true });
  const text = JSON.stringify({ format: kind.format, [kind.list]: all });
  await replaceFile(file, `${text}\n`, 0o600);
}

async function readAll<T extends Entry>(file: string, kind: EntryKind<T>): Promise<readonly T[]> {
  try {
    const found = await readSmallFile(file, MAX_BYTES);
    const content: unknown = found && JSON.parse(Buffer.from(found.bytes).toString('utf8'));
    if (!isRecord(content) || content.format !== kind.format) return [];
    const list: unknown = content[kind.list];
    return Array.isArray(list) ? list.filter(isKeyed).filter(kind.isEntry) : [];
  } catch {
    return [];
  }
}

function isKeyed(value: unknown): value is Entry & Readonly<Record<string, unknown>> {
  return isRecord(value) && typeof value.key === 'string' && typeof value.at === 'number';
}

/** Whether a value is an object with members to look at. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
