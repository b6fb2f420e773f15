/**
 * Reads the export and import directories of PE files (Windows DLLs).
 * Any process, on any system. Every offset and count is checked against the file; what contradicts
 * itself is Damage.
 */
import {
  type BinaryFacts,
  type BinaryFile,
  Damage,
  forEachRow,
  isTelling,
  MAX_NAME_BYTES,
  type ReadOptions,
} from './binary.js';
import { because, type PartName } from './reasons.js';

const IS_DLL = 0x2000;
const MAX_SECTIONS = 96;
const MAX_NAMES = 1_000_000;
const MAX_LIBRARIES = 512;
const MAX_IMPORTS = 65_536;

const MACHINES: Readonly<Record<number, string>> = {
  332: 'ia32',
  452: 'arm',
  34404: 'x64',
  43620: 'arm64',
};

interface Section {
  readonly address: number;
  readonly size: number;
  readonly offset: number;
}

interface Headers {
  readonly machine: string;
  readonly wide: boolean;
  readonly sections: readonly Section[];
  /** Address and size of each data directory. */
  readonly directories: readonly (readonly [number, number])[];
}

/** The facts of a DLL. Throws Damage, or RangeError for a wild number. */
export async function readPe(file: BinaryFile, options: ReadOptions): Promise<BinaryFacts> {
  const headers = await readHeaders(file);
  const reader = new PeReader(file, headers);
  const { name, exports } = await reader.exports(options.symbols);
  const { needed, imports } = await reader.imports(options.symbols);
  return {
    format: 'pe',
    bits: headers.wide ? 64 : 32,
    machine: headers.machine,
    soname: name,
    needed,
    runpath: null,
    exports,
    imports,
    versions: {},
    provides: {},
  };
}

async function readHeaders(file: BinaryFile): Promise<Headers> {
  const what = 'the PE header';
  const start = (await file.bytes(0, 64, what)).readUInt32LE(60);
  const coff = await file.bytes(start, 24, what);
  if (coff.toString('latin1', 0, 4) !== 'PE\0\0') throw file.damage(what);
  if ((coff.readUInt16LE(22) & IS_DLL) === 0)
    throw new Damage(because('no_library', { file: file.name }));
  const optional = await file.bytes(start + 24, coff.readUInt16LE(20), what);
  const magic = optional.readUInt16LE(0);
  if (magic !== 0x10b && magic !== 0x20b) throw file.damage(what);
  const wide = magic === 0x20b;
  const first = wide ? 112 : 96;
  const count = Math.min(optional.readUInt32LE(first - 4), 16);
  const sectionCount = coff.readUInt16LE(6);
  if (sectionCount > MAX_SECTIONS) throw file.damage('the section table');
  const rows = await file.bytes(
    start + 24 + optional.length,
    sectionCount * 40,
    'the section table',
  );
  const sections = Array.from({ length: sectionCount }, (_, index) => {
    const row = rows.subarray(index * 40, index * 40 + 40);
    const [virtualSize, address] = [row.readUInt32LE(8), row.readUInt32LE(12)];
    const [rawSize, offset] = [row.readUInt32LE(16), row.readUInt32LE(20)];
    if (rawSize > 0) file.part(offset, rawSize, 'a section');
    return { address, size: Math.min(virtualSize || rawSize, rawSize), offset };
  });
  return {
    machine: MACHINES[coff.readUInt16LE(4)] ?? `0x${coff.readUInt16LE(4).toString(16)}`,
    wide,
    sections,
    directories: Array.from({ length: count }, (_, index) => [
      optional.readUInt32LE(first + index * 8),
      optional.readUInt32LE(first + index * 8 + 4),
    ]),
  };
}

class PeReader {
  readonly #file: BinaryFile;
  readonly #headers: Headers;

  constructor(file: BinaryFile, headers: Headers) {
    this.#file = file;
    this.#headers = headers;
  }

  async exports(symbols: boolean): Promise<{ name: string | null; exports: string[] }> {
    const [address, size] = this.#headers.directories[0] ?? [0, 0];
    if (address === 0 || size === 0) return { name: null, exports: [] };
    const what = 'the export directory';
    const row = await this.#bytes(address, 40, what);
    const name = await this.#name(row.readUInt32LE(12), what);
    const count = row.readUInt32LE(24);
    if (!symbols || count === 0) return { name, exports: [] };
    if (count > MAX_NAMES) throw this.#file.damage(what);
    const table = await this.#bytes(row.readUInt32LE(32), count * 4, what);
    // The names lie together; one read has them all.
    let [low, high] = [Number.POSITIVE_INFINITY, 0];
    await forEachRow(table, 4, (at) => {
      low = Math.min(low, table.readUInt32LE(at));
      high = Math.max(high, table.readUInt32LE(at));
    });
    const { offset, length } = this.#place(low, what);
    const wanted = Math.min(length, high - low + MAX_NAME_BYTES + 1);
    const names = await this.#file.bytes(offset, wanted, what);
    const exports: string[] = [];
    await forEachRow(table, 4, (at) => {
      const start = table.readUInt32LE(at) - low;
      if (start >= names.length) throw this.#file.damage(what);
      const one = this.#file.tellingName(names, start, what);
      if (one !== null) exports.push(one);
    });
    return { name, exports };
  }

  async imports(symbols: boolean): Promise<{ needed: string[]; imports: string[] }> {
    const [address, size] = this.#headers.directories[1] ?? [0, 0];
    const needed: string[] = [];
    const imports: string[] = [];
    if (address === 0 || size === 0) return { needed, imports };
    const what = 'the import directory';
    for (let index = 0; ; index += 1) {
      const row = await this.#bytes(address + index * 20, 20, what);
      const name = row.readUInt32LE(12);
      if (name === 0) break;
      if (index === MAX_LIBRARIES) throw this.#file.damage(what);
      const library = await this.#name(name, what);
      needed.push(library);
      const thunks = row.readUInt32LE(0) || row.readUInt32LE(16);
      if (symbols && /ggml|llama/i.test(library)) imports.push(...(await this.#imported(thunks)));
    }
    return { needed, imports };
  }

  async #imported(thunks: number): Promise<string[]> {
    const what = 'an import table';
    const step = this.#headers.wide ? 8 : 4;
    const { offset, length } = this.#place(thunks, what);
    const table = await this.#file.bytes(offset, Math.min(length, MAX_IMPORTS * step), what);
    const names: string[] = [];
    for (let at = 0; at + step <= table.length; at += step) {
      const [low, high] = [table.readUInt32LE(at), table.readUInt32LE(at + step - 4)];
      if (low === 0 && high === 0) break;
      // The highest bit: by number instead of by name.
      if (high >= 0x80000000) continue;
      const name = await this.#name(low + 2, what);
      if (isTelling(name)) names.push(name);
    }
    return names;
  }

  async #name(address: number, what: PartName): Promise<string> {
    const { offset, length } = this.#place(address, what);
    const bytes = await this.#file.bytes(offset, Math.min(length, MAX_NAME_BYTES + 1), what);
    const name = this.#file.text(bytes, 0, what);
    if (name === null) throw this.#file.damage(what);
    return name;
  }

  async #bytes(address: number, length: number, what: PartName): Promise<Buffer> {
    const place = this.#place(address, what);
    if (length > place.length) throw this.#file.damage(what);
    return this.#file.bytes(place.offset, length, what);
  }

  /** Where in the file an address lies, and how much of its section follows. */
  #place(address: number, what: PartName): { readonly offset: number; readonly length: number } {
    const home = this.#headers.sections.find(
      (one) => address >= one.address && address < one.address + one.size,
    );
    if (!home) throw this.#file.damage(what);
    const inside = address - home.address;
    return { offset: home.offset + inside, length: home.size - inside };
  }
}
