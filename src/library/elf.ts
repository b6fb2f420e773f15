/**
 * A small reader of ELF files: which libraries one needs, and what it calls itself.
 * Any process. Every offset and count is checked against the file's size before it is used; it must
 * never throw for a file's content, and never read more than it has to.
 */
import { type FileHandle, open } from 'node:fs/promises';

/** The dynamic section's facts, in the file's order. */
export interface ElfFacts {
  readonly needed: readonly string[];
  readonly soname: string | null;
}

const MAX_PROGRAM_HEADERS = 256;
const MAX_DYNAMIC_ENTRIES = 4096;
const MAX_NAME_BYTES = 4096;

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT_NULL = 0;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_SONAME = 14;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
}

/** What differs between the 32-bit and the 64-bit format. */
interface Format {
  readonly word: 4 | 8;
  readonly headerSize: number;
  readonly programHeaderSize: number;
}

const FORMATS: Readonly<Record<number, Format>> = {
  1: { word: 4, headerSize: 52, programHeaderSize: 32 },
  2: { word: 8, headerSize: 64, programHeaderSize: 56 },
};

/** The facts of a little-endian ELF file; null for anything else, broken or cut off. */
export async function readElf(path: string): Promise<ElfFacts | null> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    return await new ElfReader(file, size).read();
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  } finally {
    await file.close();
  }
}

class ElfReader {
  readonly #file: FileHandle;
  readonly #size: number;

  constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.#size = size;
  }

  async read(): Promise<ElfFacts | null> {
    const ident = await this.#bytes(0, 16);
    const format = FORMATS[ident[4] ?? 0];
    if (ident.toString('latin1', 0, 4) !== '\x7fELF' || ident[5] !== 1 || !format) return null;
    const segments = await this.#segments(format);
    const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC);
    if (!dynamic) return { needed: [], soname: null };
    const entries = await this.#dynamic(dynamic, format);
    const table = entries.find(([tag]) => tag === DT_STRTAB);
    if (!table) return null;
    const strings = offsetOf(table[1], segments);
    const needed: string[] = [];
    let soname: string | null = null;
    for (const [tag, value] of entries) {
      if (tag === DT_NEEDED) needed.push(await this.#name(strings + value));
      if (tag === DT_SONAME) soname = await this.#name(strings + value);
    }
    return { needed, soname };
  }

  async #segments({ word, headerSize, programHeaderSize }: Format): Promise<Segment[]> {
    const header = await this.#bytes(0, headerSize);
    const start = wordAt(header, word === 8 ? 32 : 28, word);
    const size = header.readUInt16LE(word === 8 ? 54 : 42);
    const count = header.readUInt16LE(word === 8 ? 56 : 44);
    if (size !== programHeaderSize || count > MAX_PROGRAM_HEADERS) throw new RangeError('headers');
    const table = await this.#bytes(start, size * count);
    return Array.from({ length: count }, (_, index) => {
      const row = table.subarray(index * size, (index + 1) * size);
      return {
        type: row.readUInt32LE(0),
        offset: wordAt(row, word === 8 ? 8 : 4, word),
        address: wordAt(row, word === 8 ? 16 : 8, word),
        fileSize: wordAt(row, word === 8 ? 32 : 16, word),
      };
    });
  }

  async #dynamic(segment: Segment, { word }: Format): Promise<(readonly [number, number])[]> {
    const count = Math.min(Math.floor(segment.fileSize / (2 * word)), MAX_DYNAMIC_ENTRIES);
    const table = await this.#bytes(segment.offset, count * 2 * word);
    const entries: (readonly [number, number])[] = [];
    for (let at = 0; at < table.length; at += 2 * word) {
      const tag = rawWordAt(table, at, word);
      if (tag === DT_NULL) break;
      // Processor-specific entries hold values of all sizes; only ours must be numbers we can use.
      if (tag === DT_NEEDED || tag === DT_STRTAB || tag === DT_SONAME) {
        entries.push([tag, wordAt(table, at + word, word)]);
      }
    }
    return entries;
  }

  async #name(offset: number): Promise<string> {
    const bytes = await this.#bytes(offset, Math.min(MAX_NAME_BYTES, this.#size - offset));
    const end = bytes.indexOf(0);
    if (end < 0) throw new RangeError('a name without end');
    return bytes.toString('utf8', 0, end);
  }

  async #bytes(offset: number, length: number): Promise<Buffer> {
    if (!(offset >= 0) || !(length >= 0) || offset + length > this.#size) {
      throw new RangeError('outside the file');
    }
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await this.#file.read(buffer, 0, length, offset);
    if (bytesRead < length) throw new RangeError('the file became shorter');
    return buffer;
  }
}

/** Where in the file a virtual address lies. */
function offsetOf(address: number, segments: readonly Segment[]): number {
  const home = segments.find(
    (one) => one.type === PT_LOAD && address >= one.address && address < one.address + one.fileSize,
  );
  if (!home) throw new RangeError('an address outside all segments');
  return address - home.address + home.offset;
}

function rawWordAt(buffer: Buffer, offset: number, word: 4 | 8): number {
  return word === 8 ? Number(buffer.readBigUInt64LE(offset)) : buffer.readUInt32LE(offset);
}

function wordAt(buffer: Buffer, offset: number, word: 4 | 8): number {
  const value = rawWordAt(buffer, offset, word);
  if (!Number.isSafeInteger(value)) throw new RangeError('a number beyond any file');
  return value;
}
