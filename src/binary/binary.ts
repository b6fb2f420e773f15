/**
 * A binary file as its readers see it: bounded reads, and the facts they give.
 * Any process. Nothing outside the file is ever read, nothing but a plain file is ever opened (a FIFO
 * would wait for a writer for ever), no read is larger than a table has any right to be, and no file, however
 * small, makes us copy more names than a library has.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { because, type PartName, partName, type Reason } from './reasons.js';

/** What a shared library says of itself, whatever its format. */
export interface BinaryFacts {
  readonly format: 'elf' | 'pe' | 'mach-o';
  readonly bits: 32 | 64;
  /** By Node's names (x64, arm64, …), or the format's own number where Node has none. */
  readonly machine: string;
  /** The name it calls itself by: SONAME, the export directory's name, LC_ID_DYLIB. */
  readonly soname: string | null;
  /** Libraries it needs, as written in it. */
  readonly needed: readonly string[];
  /** Where it wants them looked for, entries joined by colons. */
  readonly runpath: string | null;
  /** The llama_*, ggml_* and gguf_* functions (and data) it has for others. */
  readonly exports: readonly string[];
  /** Those it takes from others. */
  readonly imports: readonly string[];
  /** The highest version it needs of what the system has: GLIBC, GLIBCXX, CXXABI, …; macOS. */
  readonly versions: Readonly<Record<string, string>>;
  /** The highest version of these that it provides (the system's own libraries do). */
  readonly provides: Readonly<Record<string, string>>;
}

/** How much a reader is to look at. */
export interface ReadOptions {
  /** False: exports and imports stay empty, which saves reading the symbol table. */
  readonly symbols: boolean;
  /** The slice to take of a file for several machines, by Node's name. */
  readonly arch: string;
}

/** Why a file is no library that can be read. */
export class Damage extends Error {
  readonly why: Reason;

  constructor(why: Reason) {
    super(why.reason);
    this.why = why;
  }
}

/** No table that we read is larger in any real library, bytes. */
const MAX_READ_BYTES = 64 * 1024 * 1024;

/** Longer than any name that we read; what is longer would be ours to copy once for each use of it. */
export const MAX_NAME_BYTES = 4096;
/** A libllama with everything in it has some thousand names of 30 bytes. */
const MAX_NAMES = 65_536;
const MAX_NAMES_BYTES = 8 * 1024 * 1024;
/** Rows of a table between two turns of the event loop. */
const ROWS_A_TURN = 65_536;
/** Names that a reader collects. */
const TELLING_NAME = /^(llama|ggml|gguf)_/;
/** The longest that TELLING_NAME needs to see. */
const TELLING_BYTES = 6;

/** A plain file, or a part of one. Reads outside of it throw Damage. */
export class BinaryFile {
  readonly name: string;
  readonly size: number;
  readonly #file: FileHandle;
  readonly #start: number;
  #names = 0;
  #namesBytes = 0;

  private constructor(file: FileHandle, name: string, start: number, size: number) {
    this.#file = file;
    this.name = name;
    this.#start = start;
    this.size = size;
  }

  /** Throws Damage for what is no plain file, or cannot be read. */
  static async open(path: string): Promise<BinaryFile> {
    const name = basename(path);
    const unreadable = (error: NodeJS.ErrnoException) =>
      new Damage(because('unreadable', { file: name, why: error.code ?? error.message }));
    const isPlain = async (facts: { isFile(): boolean }): Promise<void> => {
      if (!facts.isFile()) throw new Damage(because('not_a_file', { file: name }));
    };
    await isPlain(
      await stat(path).catch((error) => {
        throw unreadable(error);
      }),
    );
    // Not even what took the file's place this very moment may make us wait.
    const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
    const file = await open(path, flags).catch((error) => {
      throw unreadable(error);
    });
    try {
      const facts = await file.stat();
      await isPlain(facts);
      return new BinaryFile(file, name, 0, facts.size);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** A part of this file as a file of its own; only the whole one is closed. */
  part(start: number, size: number, what: PartName): BinaryFile {
    this.#check(start, size, what);
    return new BinaryFile(this.#file, this.name, this.#start + start, size);
  }

  /** Exactly these bytes. `what` they are, for the message. */
  async bytes(offset: number, length: number, what: PartName): Promise<Buffer> {
    this.#check(offset, length, what);
    if (length > MAX_READ_BYTES) throw this.damage(what);
    const buffer = Buffer.alloc(length);
    let filled = 0;
    while (filled < length) {
      const at = this.#start + offset + filled;
      const { bytesRead } = await this.#file.read(buffer, filled, length - filled, at);
      if (bytesRead === 0) throw this.damage(what);
      filled += bytesRead;
    }
    return buffer;
  }

  /** As many of these bytes as there are. */
  async upTo(offset: number, length: number, what: PartName): Promise<Buffer> {
    return this.bytes(offset, Math.max(0, Math.min(length, this.size - offset)), what);
  }

  /**
   * The text up to the next NUL; null where `buffer` ends before one. Throws Damage for a name longer
   * than any, and where the file's names are too many, since one text may be named thousands of times.
   */
  text(buffer: Buffer, offset: number, what: PartName): string | null {
    if (offset < 0 || offset >= buffer.length) return null;
    const part = buffer.subarray(offset, offset + MAX_NAME_BYTES + 1);
    const length = part.indexOf(0);
    if (length < 0 && part.length <= MAX_NAME_BYTES) return null;
    this.#names += 1;
    this.#namesBytes += length;
    if (length < 0 || this.#names > MAX_NAMES || this.#namesBytes > MAX_NAMES_BYTES)
      throw this.damage(what);
    return part.toString('utf8', 0, length);
  }

  /** The name at `offset` where it begins like ours; looks at few bytes where it does not. */
  tellingName(buffer: Buffer, offset: number, what: PartName): string | null {
    // 'll' or 'gg': most of a C++ library's thousands of names begin with '_Z'.
    const first = buffer[offset];
    if ((first !== 0x6c && first !== 0x67) || buffer[offset + 1] !== first) return null;
    const start = buffer.toString('latin1', offset, offset + TELLING_BYTES);
    return isTelling(start) ? this.text(buffer, offset, what) : null;
  }

  /** A table that cannot be what it should be. */
  damage(what: PartName): Damage {
    return new Damage(because('damaged', { file: this.name, ...partName(what) }));
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #check(offset: number, length: number, what: PartName): void {
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0)
      throw this.damage(what);
    if (offset + length > this.size) {
      const [file, end] = [this.name, offset + length];
      throw new Damage(because('cut_off', { file, end, size: this.size, ...partName(what) }));
    }
  }
}

/** Whether a name is one of llama.cpp's. */
export function isTelling(name: string): boolean {
  return TELLING_NAME.test(name);
}

/** Visits the rows of a table, and lets others have their turn now and then. */
export async function forEachRow(
  table: Buffer,
  step: number,
  visit: (at: number) => void,
): Promise<void> {
  for (let at = 0, left = ROWS_A_TURN; at + step <= table.length; at += step) {
    visit(at);
    left -= 1;
    if (left > 0) continue;
    left = ROWS_A_TURN;
    await turn();
  }
}

/** Adds `GLIBC_2.34` and its like to the highest version of each family. */
export function noteVersion(highest: Record<string, string>, text: string): void {
  // The relative relocations of glibc 2.36 are marked by a name instead of a number.
  const [, family, version] =
    /^([A-Z]+)_(\d+(?:\.\d+)*)$/.exec(text === 'GLIBC_ABI_DT_RELR' ? 'GLIBC_2.36' : text) ?? [];
  if (family === undefined || version === undefined) return;
  const known = highest[family];
  if (known === undefined || compareVersions(version, known) > 0) highest[family] = version;
}

/** Like a sort's comparison, number by number. */
export function compareVersions(one: string, other: string): number {
  const [left, right] = [one, other].map((text) => text.split('.').map(Number));
  for (let index = 0; index < Math.max(left?.length ?? 0, right?.length ?? 0); index += 1) {
    const difference = (left?.[index] ?? 0) - (right?.[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
