/**
 * The files below a folder that another program owns. Any process, main thread. It only reads names; links
 * are followed, none twice, and what cannot be read, is too deep or is too much is left alone.
 */
import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Nobody keeps models deeper, or in so many files. */
const MOST_LEVELS = 8;
const MOST_ENTRIES = 200_000;

/** A folder that could not be read. */
export interface Unreadable {
  readonly path: string;
  readonly code: string;
}

/** What lies below a folder. */
export interface Below {
  /** Paths below the folder, by name; hidden files and folders are left out. */
  readonly files: readonly string[];
  readonly unreadable: readonly Unreadable[];
}

/** The files below `root`; a root that is not there has none. */
export async function filesBelow(root: string): Promise<Below> {
  const files: string[] = [];
  const unreadable: Unreadable[] = [];
  const seen = new Set<string>();
  let left = MOST_ENTRIES;
  const visit = async (folder: string, level: number): Promise<void> => {
    const real = await realpath(folder).catch(() => null);
    if (real === null || seen.has(real)) return;
    seen.add(real);
    const entries = await namesIn(folder, unreadable);
    for (const entry of entries) {
      left -= 1;
      if (left < 0) return;
      const path = join(folder, entry.name);
      const kind = await kindOf(entry, path);
      if (kind === 'file') files.push(path);
      else if (kind === 'folder' && level < MOST_LEVELS) await visit(path, level + 1);
    }
  };
  await visit(root, 0);
  return { files, unreadable };
}

async function namesIn(folder: string, unreadable: Unreadable[]): Promise<readonly Dirent[]> {
  try {
    const found = await readdir(folder, { withFileTypes: true });
    return found
      .filter(({ name }) => !name.startsWith('.'))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable';
    if (code !== 'ENOENT' && code !== 'ENOTDIR') unreadable.push({ path: folder, code });
    return [];
  }
}

async function kindOf(entry: Dirent, path: string): Promise<'file' | 'folder' | 'other'> {
  const facts = entry.isSymbolicLink() ? await stat(path).catch(() => null) : entry;
  if (facts?.isFile()) return 'file';
  return facts?.isDirectory() ? 'folder' : 'other';
}
