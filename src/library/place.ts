/**
 * What a libllama is called, and which one in a directory is meant.
 * Any process. It only looks at the file system; it must never open a library.
 */
import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Exact names in order of preference, then a pattern for versioned ones. libllama-common is another. */
const NAMES: Readonly<Record<string, { exact: readonly string[]; versioned: RegExp }>> = {
  darwin: { exact: ['libllama.dylib'], versioned: /^libllama\..*dylib$/ },
  win32: { exact: ['llama.dll', 'libllama.dll'], versioned: /^(lib)?llama\..*\.dll$/i },
};
const ELF_NAMES = {
  exact: ['libllama.so', 'libllama.so.0'],
  versioned: /^libllama\.(.*\.)?so(\.[\w.]+)?$/,
};

/** The real path of the best libllama in a directory, or null. */
export async function libraryIn(
  directory: string,
  platform: NodeJS.Platform,
): Promise<string | null> {
  const names: readonly string[] = await readdir(directory).catch(() => []);
  const { exact, versioned } = namesOf(platform);
  const newestFirst = names
    .filter((name) => versioned.test(name) && !exact.includes(name))
    .sort((one, other) => other.localeCompare(one, 'en', { numeric: true }));
  for (const name of [...exact.filter((one) => names.includes(one)), ...newestFirst]) {
    const path = join(directory, name);
    // A link that leads nowhere is passed over.
    if ((await kindOf(path)) === 'file') return realpath(path);
  }
  return null;
}

/** The file names a libllama has on a platform. */
export function namesOf(platform: NodeJS.Platform): {
  exact: readonly string[];
  versioned: RegExp;
} {
  return NAMES[platform] ?? ELF_NAMES;
}

/** What a path leads to; null where it leads nowhere, or to something else. */
export async function kindOf(path: string): Promise<'file' | 'directory' | null> {
  try {
    const facts = await stat(path);
    if (facts.isFile()) return 'file';
    return facts.isDirectory() ? 'directory' : null;
  } catch {
    return null;
  }
}
