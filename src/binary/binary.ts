/**
 * A binary file as its readers see it: bounded reads, and the facts they give.
 * Any process. Nothing outside the file is ever read, nothing but a plain file is ever opened (a FIFO
 * would wait for a writer for ever), and no read is larger than a table has any right to be.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename } from 'node:path';
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

/** A plain file, or a part of one. Reads outside of it throw Damage. */
export class BinaryFile {
  readonly name: string;
  readonly size: number;
  readonly #file: FileHandle;
  readonly #start: number;

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

/** Names that a reader collects. */
export const TELLING_NAME = /^(llama|ggml|gguf)_/;

/** The text up to the next NUL; null where there is none. */
export function textAt(buffer: Buffer, offset: number): string | null {
  if (offset < 0 || offset >= buffer.length) return null;
  const end = buffer.indexOf(0, offset);
  return end < 0 ? null : buffer.toString('utf8', offset, end);
}

/** The name at `offset` where it is one of TELLING_NAME; looks at few bytes where it is not. */
export function tellingNameAt(buffer: Buffer, offset: number): string | null {
  // 'll' or 'gg': most of a C++ library's thousands of names begin with '_Z'.
  const first = buffer[offset];
  if ((first !== 0x6c && first !== 0x67) || buffer[offset + 1] !== first) return null;
  const name = textAt(buffer, offset);
  return name !== null && TELLING_NAME.test(name) ? name : null;
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
