/**
 * Reads the dynamic section of ELF files: names, needs, versions and symbols, as the loader sees them.
 * Any process. No section headers are needed, so a stripped file reads the same; every offset and
 * count is checked against the file, and whatever contradicts itself is Damage.
 */
import {
  type BinaryFacts,
  type BinaryFile,
  Damage,
  forEachRow,
  noteVersion,
  type ReadOptions,
} from './binary.js';
import { because, type PartName } from './reasons.js';

const MAX_PROGRAM_HEADERS = 256;
const MAX_DYNAMIC_ENTRIES = 4096;
const MAX_VERSION_BYTES = 256 * 1024;
const MAX_VERSION_ROWS = 4096;
/** A file with holes in it has room for a chain of any length. */
const MAX_SYMBOLS = 4 * 1024 * 1024;
const HASH_STEP_BYTES = 64 * 1024;

const ET_DYN = 3;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT_NULL = 0;
const DT_NEEDED = 1;
const DT_HASH = 4;
const DT_STRTAB = 5;
const DT_SYMTAB = 6;
const DT_STRSZ = 10;
const DT_SONAME = 14;
const DT_RPATH = 15;
const DT_RUNPATH = 29;
const DT_GNU_HASH = 0x6ffffef5;
const DT_FLAGS_1 = 0x6ffffffb;
const DT_VERDEF = 0x6ffffffc;
const DT_VERNEED = 0x6ffffffe;
const DF_1_PIE = 0x08000000;

/** The tags whose values must be numbers that we can use; others hold values of all sizes. */
const READ_TAGS = new Set([
  DT_NEEDED,
  DT_HASH,
  DT_STRTAB,
  DT_SYMTAB,
  DT_STRSZ,
  DT_SONAME,
  DT_RPATH,
  DT_RUNPATH,
  DT_GNU_HASH,
  DT_FLAGS_1,
  DT_VERDEF,
  DT_VERNEED,
]);

const MACHINES: Readonly<Record<number, string>> = {
  3: 'ia32',
  8: 'mips',
  20: 'ppc',
  21: 'ppc64',
  22: 's390x',
  40: 'arm',
  62: 'x64',
  183: 'arm64',
  243: 'riscv64',
  258: 'loong64',
};

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
  readonly symbolSize: number;
}

const FORMATS: Readonly<Record<number, Format>> = {
  1: { word: 4, headerSize: 52, programHeaderSize: 32, symbolSize: 16 },
  2: { word: 8, headerSize: 64, programHeaderSize: 56, symbolSize: 24 },
};

/** The facts of a little-endian ELF shared object. Throws Damage, or RangeError for a wild number. */
export async function readElf(file: BinaryFile, options: ReadOptions): Promise<BinaryFacts> {
  const ident = await file.bytes(0, 20, 'the ELF header');
  const format = FORMATS[ident[4] ?? 0];
  if (!format) throw file.damage('the ELF header');
  if (ident[5] !== 1) throw new Damage(because('big_endian', { file: file.name }));
  if (ident.readUInt16LE(16) !== ET_DYN)
    throw new Damage(because('no_library', { file: file.name }));
  return new ElfReader(file, format, MACHINES[ident.readUInt16LE(18)]).read(options);
}

class ElfReader {
  readonly #file: BinaryFile;
  readonly #format: Format;
  readonly #machine: string | undefined;
  #segments: readonly Segment[] = [];
  #entries: readonly (readonly [number, number])[] = [];
  #strings: Buffer = Buffer.alloc(0);

  constructor(file: BinaryFile, format: Format, machine: string | undefined) {
    this.#file = file;
    this.#format = format;
    this.#machine = machine;
  }

  async read(options: ReadOptions): Promise<BinaryFacts> {
    await this.#readSegments();
    await this.#readDynamic();
    const flags = this.#value(DT_FLAGS_1) ?? 0;
    // Unsigned and 32 bits wide at least, so no bit operator of JavaScript's would do on all of it.
    if (Math.floor(flags / DF_1_PIE) % 2 === 1)
      throw new Damage(because('no_library', { file: this.#file.name }));
    await this.#readStrings();
    const { exports, imports } = options.symbols
      ? await this.#symbols()
      : { exports: [], imports: [] };
    return {
      format: 'elf',
      bits: this.#format.word === 8 ? 64 : 32,
      machine: this.#machine ?? 'unknown',
      soname: this.#names(DT_SONAME)[0] ?? null,
      needed: this.#names(DT_NEEDED),
      runpath: this.#names(DT_RUNPATH)[0] ?? this.#names(DT_RPATH)[0] ?? null,
      exports,
      imports,
      versions: await this.#neededVersions(),
      provides: await this.#providedVersions(),
    };
  }

  async #readSegments(): Promise<void> {
    const { word, headerSize, programHeaderSize } = this.#format;
    const file = this.#file;
    const header = await file.bytes(0, headerSize, 'the ELF header');
    const start = wordAt(header, word === 8 ? 32 : 28, word);
    const size = header.readUInt16LE(word === 8 ? 54 : 42);
    const count = header.readUInt16LE(word === 8 ? 56 : 44);
    if (size !== programHeaderSize || count > MAX_PROGRAM_HEADERS)
      throw file.damage('the program headers');
    const table = await file.bytes(start, size * count, 'the program headers');
    this.#segments = Array.from({ length: count }, (_, index) => {
      const row = table.subarray(index * size, (index + 1) * size);
      return {
        type: row.readUInt32LE(0),
        offset: wordAt(row, word === 8 ? 8 : 4, word),
        address: wordAt(row, word === 8 ? 16 : 8, word),
        fileSize: wordAt(row, word === 8 ? 32 : 16, word),
      };
    });
    // The loader maps a segment without looking; touching what is not there is SIGBUS.
    for (const { type, offset, fileSize } of this.#segments) {
      if (type === PT_LOAD) file.part(offset, fileSize, 'a segment');
    }
    const sections = wordAt(header, word === 8 ? 40 : 32, word);
    const sectionSize = header.readUInt16LE(word === 8 ? 58 : 46);
    const sectionCount = header.readUInt16LE(word === 8 ? 60 : 48);
    // Nobody needs them at run time, but they come last: a download that broke off ends before.
    if (sections > 0) file.part(sections, sectionSize * sectionCount, 'the section headers');
  }

  async #readDynamic(): Promise<void> {
    const { word } = this.#format;
    const segment = this.#segments.find(({ type }) => type === PT_DYNAMIC);
    if (!segment) throw new Damage(because('no_library', { file: this.#file.name }));
    const count = Math.min(Math.floor(segment.fileSize / (2 * word)), MAX_DYNAMIC_ENTRIES);
    const table = await this.#file.bytes(segment.offset, count * 2 * word, 'the dynamic section');
    const entries: (readonly [number, number])[] = [];
    for (let at = 0; at < table.length; at += 2 * word) {
      const tag = rawWordAt(table, at, word);
      if (tag === DT_NULL) break;
      if (READ_TAGS.has(tag)) entries.push([tag, wordAt(table, at + word, word)]);
    }
    this.#entries = entries;
  }

  async #readStrings(): Promise<void> {
    const address = this.#value(DT_STRTAB);
    if (address === undefined) throw this.#file.damage('the dynamic section');
    const { offset, length } = this.#place(address, 'the string table');
    const size = Math.min(this.#value(DT_STRSZ) ?? length, length);
    this.#strings = await this.#file.bytes(offset, size, 'the string table');
  }

  async #symbols(): Promise<{ exports: string[]; imports: string[] }> {
    const address = this.#value(DT_SYMTAB);
    const exports: string[] = [];
    const imports: string[] = [];
    if (address === undefined) return { exports, imports };
    const { word, symbolSize } = this.#format;
    const { offset, length } = this.#place(address, 'the symbol table');
    const count = await this.#symbolCount();
    if (count * symbolSize > length) throw this.#file.damage('the symbol table');
    const table = await this.#file.bytes(offset, count * symbolSize, 'the symbol table');
    const [infoAt, sectionAt] = word === 8 ? [4, 6] : [12, 14];
    await forEachRow(table, symbolSize, (at) => {
      const name = this.#file.tellingName(
        this.#strings,
        table.readUInt32LE(at),
        'the string table',
      );
      if (name === null) return;
      const [type, binding] = [(table[at + infoAt] ?? 0) & 15, (table[at + infoAt] ?? 0) >> 4];
      const visibility = (table[at + infoAt + 1] ?? 0) & 3;
      if (binding !== 1 && binding !== 2) return;
      if (table.readUInt16LE(at + sectionAt) === 0) {
        // A weak one may stay unresolved.
        if (binding === 1) imports.push(name);
      } else if ((type === 1 || type === 2 || type === 10) && visibility % 3 === 0) {
        exports.push(name);
      }
    });
    return { exports, imports };
  }

  /** How many symbols there are: nothing says it but the hash tables. */
  async #symbolCount(): Promise<number> {
    const what = 'the hash table';
    const plain = this.#value(DT_HASH);
    if (plain !== undefined) {
      const { offset } = this.#place(plain, what);
      return (await this.#file.bytes(offset, 8, what)).readUInt32LE(4);
    }
    const gnu = this.#value(DT_GNU_HASH);
    if (gnu === undefined) return 0;
    const { offset, length } = this.#place(gnu, what);
    const header = await this.#file.bytes(offset, 16, what);
    const [buckets, first, bloom] = [0, 4, 8].map((at) => header.readUInt32LE(at));
    if (buckets === undefined || first === undefined || bloom === undefined) return 0;
    const bucketsAt = offset + 16 + bloom * this.#format.word;
    const table = await this.#file.bytes(bucketsAt, buckets * 4, what);
    let last = 0;
    await forEachRow(table, 4, (at) => {
      last = Math.max(last, table.readUInt32LE(at));
    });
    if (last < first) return first;
    const end = await this.#endOfChain(bucketsAt + buckets * 4, last - first, offset + length);
    return first + end;
  }

  /** The index after the end of the chain that begins at `index`: its last entry is odd. */
  async #endOfChain(chains: number, index: number, end: number): Promise<number> {
    const what = 'the hash table';
    for (let at = index; ; ) {
      const length = Math.min(HASH_STEP_BYTES, end - (chains + at * 4));
      const part = await this.#file.bytes(chains + at * 4, length - (length % 4), what);
      if (part.length === 0 || at > MAX_SYMBOLS) throw this.#file.damage(what);
      for (let offset = 0; offset < part.length; offset += 4) {
        at += 1;
        if ((part.readUInt32LE(offset) & 1) === 1) return at;
      }
    }
  }

  async #neededVersions(): Promise<Record<string, string>> {
    const table = await this.#versionTable(DT_VERNEED);
    const highest: Record<string, string> = {};
    const budget = { rows: MAX_VERSION_ROWS };
    eachRow(table, 0, 12, budget, (at) => {
      const auxiliary = at + table.readUInt32LE(at + 8);
      eachRow(table, auxiliary, 12, budget, (one) => {
        noteVersion(highest, this.#text(table.readUInt32LE(one + 8)) ?? '');
      });
    });
    return highest;
  }

  async #providedVersions(): Promise<Record<string, string>> {
    const table = await this.#versionTable(DT_VERDEF);
    const highest: Record<string, string> = {};
    eachRow(table, 0, 16, { rows: MAX_VERSION_ROWS }, (at) => {
      const auxiliary = at + table.readUInt32LE(at + 12);
      noteVersion(highest, this.#text(table.readUInt32LE(auxiliary)) ?? '');
    });
    return highest;
  }

  async #versionTable(tag: number): Promise<Buffer> {
    const address = this.#value(tag);
    if (address === undefined) return Buffer.alloc(0);
    const { offset, length } = this.#place(address, 'the version table');
    const size = Math.min(length, MAX_VERSION_BYTES);
    return this.#file.bytes(offset, size, 'the version table');
  }

  #value(tag: number): number | undefined {
    return this.#entries.find(([one]) => one === tag)?.[1];
  }

  #names(tag: number): string[] {
    return this.#entries
      .filter(([one]) => one === tag)
      .map(([, offset]) => {
        const name = this.#text(offset);
        if (name === null) throw this.#file.damage('the string table');
        return name;
      });
  }

  #text(offset: number): string | null {
    return this.#file.text(this.#strings, offset, 'the string table');
  }

  /** Where in the file an address lies, and how much of its segment follows. */
  #place(address: number, what: PartName): { readonly offset: number; readonly length: number } {
    const home = this.#segments.find(
      (one) =>
        one.type === PT_LOAD && address >= one.address && address < one.address + one.fileSize,
    );
    if (!home) throw this.#file.damage(what);
    const inside = address - home.address;
    return { offset: home.offset + inside, length: home.fileSize - inside };
  }
}

/** Rows that are linked by a word of theirs: how far the next one is, 0 = none. */
function eachRow(
  table: Buffer,
  start: number,
  nextAt: number,
  budget: { rows: number },
  visit: (at: number) => void,
): void {
  if (table.length === 0) return;
  for (let at = start; ; ) {
    budget.rows -= 1;
    if (budget.rows < 0) throw new RangeError('more rows than any library has');
    visit(at);
    const step = table.readUInt32LE(at + nextAt);
    if (step === 0) return;
    at += step;
  }
}

function rawWordAt(buffer: Buffer, offset: number, word: 4 | 8): number {
  return word === 8 ? Number(buffer.readBigUInt64LE(offset)) : buffer.readUInt32LE(offset);
}

function wordAt(buffer: Buffer, offset: number, word: 4 | 8): number {
  const value = rawWordAt(buffer, offset, word);
  if (!Number.isSafeInteger(value)) throw new RangeError('a number beyond any file');
  return value;
}
