/**
 * An npm archive with a libllama in it: looked at from end to end, then unpacked. Any process. It must
 * never write outside the given directory, never make a link, and never unpack what it did not look at.
 */
import { basename } from 'node:path';
import { extract, list, type ReadEntry } from 'tar';
import { invalid } from './npm-registry.js';

/** What an archive will put where. */
export interface Contents {
  /** Relative to the directory it is unpacked into, with `/` between names. */
  readonly files: readonly string[];
  readonly bytes: number;
}

const MAX_ENTRIES = 4096;
const FILES: ReadonlySet<string> = new Set(['File', 'OldFile', 'ContiguousFile']);
/** The addon of the project that publishes the packages; nothing here would load it. */
const UNWANTED = /\.node$/;

/** The archive's path of the files that are wanted. */
function prefixOf(directory: string): string {
  return `package/bins/${directory}/`;
}

/**
 * Looks at every entry. Only files below `package/bins/<directory>/` are wanted; one entry whose path
 * leads elsewhere, or a link among the wanted, and the whole archive is refused.
 * Code: package_invalid.
 */
export async function readContents(
  archive: string,
  { name, directory }: { readonly name: string; readonly directory: string },
): Promise<Contents> {
  const prefix = prefixOf(directory);
  const files: string[] = [];
  const problems: string[] = [];
  let bytes = 0;
  let entries = 0;
  const onReadEntry = (entry: ReadEntry): void => {
    const path = String(entry.path);
    entries += 1;
    if (entries > MAX_ENTRIES) problems.push('too many entries');
    else if (!isPlain(path)) problems.push(`the path ${JSON.stringify(path.slice(0, 200))}`);
    else if (path.startsWith(prefix) && entry.type !== 'Directory') {
      if (!FILES.has(entry.type)) problems.push(`${path} is a ${entry.type}`);
      if (UNWANTED.test(path)) return;
      files.push(path.slice(prefix.length));
      bytes += entry.size;
    }
  };
  try {
    await list({ file: archive, strict: true, onReadEntry });
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw invalid(name, `it cannot be unpacked: ${said}`, `展開できません: ${said}`);
  }
  const [problem] = problems;
  if (problem !== undefined)
    throw invalid(name, `it holds ${problem}`, `中に ${problem} があります`);
  if (new Set(files).size !== files.length) {
    throw invalid(name, 'it holds a file twice', '同じファイルが 2 度あります');
  }
  return { files, bytes };
}

/** A relative path of plain names, on every system. */
function isPlain(path: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they have no place in a path
  if (/^[\\/]|^[A-Za-z]:|\\|[\x00-\x1f]/.test(path)) return false;
  return !path.split('/').includes('..');
}

/** Unpacks the wanted files, and nothing else, into a directory. */
export async function unpack(
  archive: string,
  { directory, to }: { readonly directory: string; readonly to: string },
): Promise<void> {
  const prefix = prefixOf(directory);
  await extract({
    file: archive,
    cwd: to,
    strict: true,
    strip: prefix.split('/').length - 1,
    preserveOwner: false,
    noMtime: true,
    dmode: 0o755,
    fmode: 0o644,
    filter: (path, entry) =>
      path.startsWith(prefix) &&
      'type' in entry &&
      (FILES.has(entry.type) || entry.type === 'Directory') &&
      !UNWANTED.test(basename(path)),
  });
}
