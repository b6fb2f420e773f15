/**
 * The files of the log, one a day: their last lines, and what is added to them. Runs in the CLI process; it
 * only reads, in pieces, and follows from one day's file to the next. No more than a piece is held at once
 * but for the lines that were asked for.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PIECE = 64 * 1024;
/** Of the last lines so much is read at most, whatever their number. */
const MOST_BYTES = 64 * 1024 * 1024;
const LOOK_MS = 250;

/** A place in the log. */
export interface LogPlace {
  /** The file's name, which ends with its day. */
  readonly name: string;
  readonly offset: number;
}

/** The last lines, and where they end; null where there is no file. */
export interface LastLines {
  readonly text: string;
  readonly end: LogPlace | null;
}

/** The names of the log's files, oldest first. */
async function logFiles(path: string): Promise<readonly string[]> {
  const prefix = `${basename(path)}.`;
  const found = await readdir(dirname(path), { withFileTypes: true }).catch(() => []);
  return found
    .filter((one) => one.isFile() || one.isSymbolicLink())
    .map(({ name }) => name)
    .filter((name) => name.startsWith(prefix))
    .filter((name) => /^\d{4}-\d\d-\d\d$/.test(name.slice(prefix.length)))
    .sort();
}

/** The last `count` lines of the log at `path` (LOG_FILE_PATH), over as many days as they take. */
export async function lastLines(path: string, count: number): Promise<LastLines> {
  const names = await logFiles(path);
  let end: LogPlace | null = null;
  const parts: Buffer[] = [];
  let [missing, left] = [count, MOST_BYTES];
  for (const name of [...names].reverse()) {
    const file = await openFile(path, name);
    if (!file) continue;
    try {
      const { size } = await file.stat();
      end ??= { name, offset: size };
      const found = await tailOf(file, { size, count: missing, limit: left });
      parts.unshift(found.bytes);
      missing -= found.lines;
      left -= found.bytes.length;
    } finally {
      await file.close();
    }
    if (missing <= 0 || left <= 0) break;
  }
  return { text: Buffer.concat(parts).toString('utf8'), end };
}

/** The end of one file: whole lines, `count` of them at most. */
async function tailOf(
  file: FileHandle,
  { size, count, limit }: { readonly size: number; readonly count: number; readonly limit: number },
): Promise<{ readonly bytes: Buffer; readonly lines: number }> {
  const parts: Buffer[] = [];
  let [from, lines] = [size, 0];
  // The newline that ends the last line ends no line before it.
  while (from > 0 && size - from < limit && count > 0) {
    const length = Math.min(PIECE, from);
    from -= length;
    const piece = await readAt(file, from, length);
    for (let at = piece.length - 1; at >= 0; at -= 1) {
      if (piece[at] !== 0x0a || from + at === size - 1) continue;
      lines += 1;
      if (lines === count) return { bytes: joinTail(piece.subarray(at + 1), parts), lines };
    }
    parts.unshift(piece);
  }
  const bytes = Buffer.concat(parts);
  return { bytes, lines: bytes.length > 0 ? lines + 1 : 0 };
}

const joinTail = (first: Buffer, rest: readonly Buffer[]): Buffer =>
  Buffer.concat([first, ...rest]);

/** What comes after a place in the log. */
export class LogFollower {
  readonly #path: string;
  #place: LogPlace | null;
  #decoder = new TextDecoder();

  /** `from`: null = from the first file that will be there. */
  constructor(path: string, from: LogPlace | null) {
    this.#path = path;
    this.#place = from;
  }

  /** What is added, as it is added, until the signal aborts. */
  async *follow(signal: AbortSignal): AsyncGenerator<string> {
    while (!signal.aborted) {
      yield* this.#added();
      const next = await this.#nextFile();
      if (next) {
        // The old file may have grown until the new one was there.
        if (this.#place) yield* this.#added();
        this.#place = { name: next, offset: 0 };
        this.#decoder = new TextDecoder();
        continue;
      }
      await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
    }
  }

  async #nextFile(): Promise<string | undefined> {
    const names = await logFiles(this.#path);
    const now = this.#place?.name;
    return now === undefined ? names.at(-1) : names.find((name) => name > now);
  }

  async *#added(): AsyncGenerator<string> {
    if (!this.#place) return;
    const { name } = this.#place;
    const file = await openFile(this.#path, name);
    // Gone: the next day's file will be there.
    if (!file) return;
    try {
      const { size } = await file.stat();
      // Cut short: it was begun anew.
      let offset = size < this.#place.offset ? 0 : this.#place.offset;
      while (offset < size) {
        const piece = await readAt(file, offset, Math.min(PIECE, size - offset));
        if (piece.length === 0) break;
        offset += piece.length;
        this.#place = { name, offset };
        yield this.#decoder.decode(piece, { stream: true });
      }
      this.#place = { name, offset };
    } finally {
      await file.close();
    }
  }
}

async function openFile(path: string, name: string): Promise<FileHandle | null> {
  const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
  const file = await open(join(dirname(path), name), flags).catch(() => null);
  if (!file || (await file.stat()).isFile()) return file;
  await file.close();
  return null;
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  return buffer.subarray(0, bytesRead);
}
