/**
 * Deletes the files of an installation, and nothing that somebody else put among them.
 * Any process, under the lock of the lib directory. It must never follow a link out of the directory,
 * and what is only ours is out of sight before its first file goes.
 */
import { lstat, readdir, realpath, rename, rmdir, unlink } from 'node:fs/promises';
import { dirname, join, posix, sep } from 'node:path';
import { unwritable } from './active.js';

/**
 * Deletes `files` (relative to `dir`, the last one last) and the directories that are empty then. Where
 * the directory holds nothing else it is first renamed to `aside`, so that no half of it is ever seen.
 * True where nothing is left. Code: library_unwritable.
 */
export async function removeFiles(
  dir: string,
  files: readonly string[],
  aside: string,
): Promise<boolean> {
  const names = files.map((name) => posix.normalize(name.replaceAll('\\', '/')));
  const directories = directoriesOf(names);
  if (!(await holdsOnly(dir, { files: new Set(names), directories: new Set(directories) }))) {
    return removeEach(dir, names, directories);
  }
  await rename(dir, aside).catch((cause) => unwritable(dir, cause));
  let gone = false;
  try {
    gone = await removeEach(aside, names, directories);
  } finally {
    // A file that could not be deleted, or that was added this very moment.
    if (!gone) await rename(aside, dir).catch((cause) => unwritable(dir, cause));
  }
  return gone;
}

/** All directories that the names lie in, the deepest first. */
function directoriesOf(names: readonly string[]): readonly string[] {
  const found = new Set<string>();
  for (const name of names) {
    for (let at = posix.dirname(name); !/^(\.|\.\.|\/)$/.test(at); at = posix.dirname(at)) {
      found.add(at);
    }
  }
  return [...found].sort().reverse();
}

interface Known {
  readonly files: ReadonlySet<string>;
  readonly directories: ReadonlySet<string>;
}

/** Whether there is nothing in a directory, links included, but what is known. */
async function holdsOnly(dir: string, known: Known, below = ''): Promise<boolean> {
  const entries = await readdir(join(dir, below), { withFileTypes: true }).catch(() => null);
  for (const entry of entries ?? []) {
    const name = posix.join(below, entry.name);
    if (!entry.isDirectory() && known.files.has(name)) continue;
    if (!entry.isDirectory() || !known.directories.has(name)) return false;
    if (!(await holdsOnly(dir, known, name))) return false;
  }
  return entries !== null;
}

async function removeEach(
  dir: string,
  names: readonly string[],
  directories: readonly string[],
): Promise<boolean> {
  const real = await realpath(dir);
  const last = names.at(-1);
  for (const name of names.slice(0, -1)) await removeFile(real, name);
  // One that still holds somebody's files stays, and so does a link in its place.
  for (const name of directories) {
    if (await isInside(real, name)) await rmdir(join(real, name)).catch(() => {});
  }
  // The manifest: with it a removal that was cut off can be done again.
  if (last !== undefined) await removeFile(real, last);
  return rmdir(dir).then(
    () => true,
    () => false,
  );
}

async function removeFile(dir: string, name: string): Promise<void> {
  const path = join(dir, name);
  if (!(await isInside(dir, name))) return;
  const facts = await lstat(path).catch(() => null);
  if (!facts || facts.isDirectory()) return;
  await unlink(path).catch((cause) => unwritable(path, cause));
}

/** Whether a name is one in the directory itself; behind a link it is somebody else's. */
async function isInside(dir: string, name: string): Promise<boolean> {
  const path = join(dir, name);
  if (!path.startsWith(dir + sep)) return false;
  return (await realpath(dirname(path)).catch(() => null)) === dirname(path);
}
