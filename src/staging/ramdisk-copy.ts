/**
 * One copy on the RAM disk: its files, whether they are still what they were, and how it is written down
 * in the folder's manifest for the next server. Server's main thread; it removes nothing.
 */
import { join } from 'node:path';
import { type CopiedFile, type FileFacts, factsOf, isSame } from './copy.js';

/** A finished copy of a model, all its parts in one directory. */
export interface RamDiskCopy {
  /** The model's own (first) file. */
  readonly source: string;
  /** Below the server's folder. */
  readonly directory: string;
  readonly files: readonly CopiedFile[];
  readonly bytes: number;
}

/** The file to load the copy from. */
export function pathOfCopy(folder: string, { directory, files }: RamDiskCopy): string {
  return join(folder, directory, files[0]?.name ?? '');
}

/** Why the copy must not be used, or null: every source and every copy is the file it was. */
export async function problemOf(
  folder: string,
  sources: readonly string[],
  { directory, files }: RamDiskCopy,
): Promise<string | null> {
  if (sources.length !== files.length) return 'its source has other parts now';
  for (const [index, file] of files.entries()) {
    const source = await factsOf(sources[index] ?? '').catch(() => null);
    if (!source || !isSame(source, file.source)) return 'its source has changed';
    const copy = await factsOf(join(folder, directory, file.name)).catch(() => null);
    if (!copy || !isSame(copy, file.copy)) return 'somebody else has changed or removed it';
  }
  return null;
}

/** What one server notes for the next one. */
export function toNotes(copies: Iterable<RamDiskCopy>): {
  readonly copies: readonly RamDiskCopy[];
} {
  return { copies: [...copies] };
}

/** The copies that a manifest speaks of; whatever does not look like one is left out. */
export function fromNotes(notes: unknown): readonly RamDiskCopy[] {
  if (!isRecord(notes) || !Array.isArray(notes.copies)) return [];
  return notes.copies.filter(isCopy);
}

function isCopy(value: unknown): value is RamDiskCopy {
  return (
    isRecord(value) &&
    typeof value.source === 'string' &&
    isName(value.directory) &&
    typeof value.bytes === 'number' &&
    Array.isArray(value.files) &&
    value.files.length > 0 &&
    value.files.every((file) => isRecord(file) && isName(file.name) && areFacts(file))
  );
}

/** Nothing that leads out of the folder. */
function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[^/\\\0]+$/.test(value) && value !== '.' && value !== '..';
}

function areFacts({ source, copy }: Readonly<Record<string, unknown>>): boolean {
  return isFacts(source) && isFacts(copy);
}

function isFacts(value: unknown): value is FileFacts {
  return (
    isRecord(value) &&
    typeof value.size === 'number' &&
    [value.ino, value.mtimeNs, value.ctimeNs].every((part) => typeof part === 'string')
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
