/**
 * What was unpacked is on the disk before it counts as installed, and can be told from what a power cut
 * left of it later. Any process. It must never change a file.
 */
import { lstat, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory } from '../models/map-file.js';

/** Bytes of each file, by its name relative to the installation. */
export type Sizes = Readonly<Record<string, number>>;

/** Writes files and their directories through to the disk, and gives their sizes. */
export async function settle(directory: string, files: readonly string[]): Promise<Sizes> {
  const sizes: [string, number][] = [];
  for (const name of files) sizes.push([name, await syncFile(join(directory, name))]);
  const directories = new Set(files.map((name) => dirname(join(directory, name))));
  for (const path of [...directories, directory]) await syncDirectory(path);
  return Object.fromEntries(sizes);
}

/** Windows flushes only what is open for writing. */
async function syncFile(path: string): Promise<number> {
  const handle = await open(path, 'r+');
  try {
    await handle.sync();
    return (await handle.stat()).size;
  } finally {
    await handle.close();
  }
}

/** Whether all files are there with the sizes that they had. */
export async function isWhole(directory: string, sizes: Sizes): Promise<boolean> {
  for (const [name, size] of Object.entries(sizes)) {
    const facts = await lstat(join(directory, name)).catch(() => null);
    if (!facts?.isFile() || facts.size !== size) return false;
  }
  return true;
}
