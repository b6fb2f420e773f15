/**
 * An npm archive with a libllama in it: looked at from end to end, then unpacked. Any process. It must
 * never write outside the given directory, never make a link, and never unpack what it did not look at.
 */
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { createGunzip } from 'node:zlib';
import { Parser, type ReadEntry, Unpack } from 'tar';
import { HoshikageError } from '../errors.js';
import { invalid } from './npm-registry.js';

/** What an archive will put where. */
export interface Contents {
  /** Relative to the directory it is unpacked into, with `/` between names. */
  readonly files: readonly string[];
  readonly bytes: number;
}

const MAX_ENTRIES = 4096;
/** Of everything in it, wanted or not: several times the largest package there is. */
const MAX_UNPACKED_BYTES = 4 * 1024 ** 3;
/** Headers, padding and long names beside what the entries hold. */
const ENTRY_ROOM = 16 * 1024 * 1024;
const FILES: ReadonlySet<string> = new Set(['File', 'OldFile', 'ContiguousFile']);
/** The addon of the project that publishes the packages; nothing here would load it. */
const UNWANTED = /\.node$/;

/** The archive's path of the files that are wanted. */
function prefixOf(directory: string): string {
  return `package/bins/${directory}/`;
}

/** What reading an archive takes. */
export interface ArchiveOptions {
  /** Of the package, for the message. */
  readonly name: string;
  /** Its directory below `package/bins/`. */
  readonly directory: string;
  readonly signal: AbortSignal;
  /** How much it may be when unpacked; 4 GiB by default. */
  readonly unpackedBytes?: number | undefined;
}

/**
 * Looks at every entry, up to the first that is wrong. Only files below `package/bins/<directory>/` are
 * wanted; one entry whose path leads elsewhere, or a link among the wanted, and the whole archive is
 * refused. Codes: package_invalid, cancelled.
 */
export async function readContents(archive: string, options: ArchiveOptions): Promise<Contents> {
  const { name, directory, unpackedBytes = MAX_UNPACKED_BYTES } = options;
  const prefix = prefixOf(directory);
  const files: string[] = [];
  let problem: string | null = null;
  let [bytes, allBytes, entries] = [0, 0, 0];
  const look = (entry: ReadEntry): string | null => {
    const path = String(entry.path);
    entries += 1;
    allBytes += entry.size;
    if (entries > MAX_ENTRIES) return 'too many entries';
    if (allBytes > unpackedBytes) return tooMuch(unpackedBytes);
    if (!isPlain(path)) return `the path ${JSON.stringify(path.slice(0, 200))}`;
    if (!path.startsWith(prefix) || entry.type === 'Directory') return null;
    if (!FILES.has(entry.type)) return `${path} is a ${entry.type}`;
    if (UNWANTED.test(path)) return null;
    files.push(path.slice(prefix.length));
    bytes += entry.size;
    return null;
  };
  const onReadEntry = (entry: ReadEntry): void => {
    problem ??= look(entry);
    entry.resume();
  };
  const parser = new Parser({ strict: true, zstd: false, onReadEntry });
  parser.on('ignoredEntry', () => {
    problem ??= 'an entry of no known kind';
  });
  await pour(archive, parser, { ...options, problem: () => problem });
  if (new Set(files).size !== files.length) {
    throw invalid(name, 'it holds a file twice', '同じファイルが 2 度あります');
  }
  return { files, bytes };
}

function tooMuch(bytes: number): string {
  return `more than ${bytes} bytes`;
}

/** What pouring takes; `problem` says what was found wrong so far. */
type Pouring = Pick<ArchiveOptions, 'name' | 'signal' | 'unpackedBytes'> & {
  readonly problem: () => string | null;
};

/** Unpacks an archive into a parser of tar's; stops at a problem, at the limit, or when it is told to. */
async function pour(
  archive: string,
  parser: Parser,
  { name, signal, unpackedBytes = MAX_UNPACKED_BYTES, problem }: Pouring,
): Promise<void> {
  let failure: Error | null = null;
  let leave = (): void => {};
  const over = new Promise<void>((resolve) => {
    parser.once('close', resolve);
    parser.on('error', (error: Error) => {
      failure ??= error;
      resolve();
    });
    leave = resolve;
    signal.addEventListener('abort', leave, { once: true });
  });
  let [bytes, start] = [0, ''];
  const check = (): void => {
    const found = problem();
    if (found !== null) throw invalid(name, `it holds ${found}`, `中に ${found} があります`);
    if (failure) throw failure;
  };
  const write = async (chunks: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > unpackedBytes + ENTRY_ROOM) {
        const much = tooMuch(unpackedBytes);
        throw invalid(name, `it holds ${much}`, `中に ${much} があります`);
      }
      // The parser would unpack a second time what is packed twice, and nobody would count that.
      start = (start + chunk.toString('latin1', 0, 2)).slice(0, 2);
      if (start === '\x1f\x8b') throw new Error('it is packed twice');
      const wantsMore = parser.write(chunk);
      check();
      if (!wantsMore) await once(parser, 'drain', { signal });
    }
  };
  const source = createReadStream(archive, { signal });
  const unpacked = source.pipe(createGunzip());
  source.on('error', (error) => unpacked.destroy(error));
  try {
    await write(unpacked);
    parser.end();
    await over;
    signal.throwIfAborted();
    check();
  } catch (cause) {
    // Whatever is being written to the disk is closed.
    parser.end();
    if (signal.aborted) throw new HoshikageError('cancelled', {}, { cause });
    if (cause instanceof HoshikageError || isOfDisk(cause)) throw cause;
    const said = cause instanceof Error ? cause.message : String(cause);
    throw invalid(name, `it cannot be unpacked: ${said}`, `展開できません: ${said}`);
  } finally {
    signal.removeEventListener('abort', leave);
    source.destroy();
    unpacked.destroy();
  }
}

/** A relative path of plain names, on every system. */
function isPlain(path: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they have no place in a path
  if (/^[\\/]|^[A-Za-z]:|\\|[\x00-\x1f]/.test(path)) return false;
  return !path.split('/').includes('..');
}

/**
 * Unpacks the wanted files, and nothing else, into a directory.
 * Codes: package_invalid, cancelled; throws what the file system says.
 */
export async function unpack(
  archive: string,
  options: ArchiveOptions & { readonly to: string },
): Promise<void> {
  const prefix = prefixOf(options.directory);
  const parser = new Unpack({
    cwd: options.to,
    strict: true,
    zstd: false,
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
  await pour(archive, parser, { ...options, problem: () => null });
}

/** A full disk and its like are no fault of the archive. */
function isOfDisk(thrown: unknown): boolean {
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  return /^(ENOSPC|EDQUOT|EACCES|EPERM|EROFS|EIO|ENOENT|EMFILE)$/.test(code);
}
