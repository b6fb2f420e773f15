/**
 * Reads the load commands and symbols of Mach-O files (macOS dylibs), also of those for several
 * machines at once.
 * Any process, on any system. Every offset and count is checked against the file; what contradicts
 * itself is Damage.
 */
import {
  type BinaryFacts,
  type BinaryFile,
  Damage,
  forEachRow,
  isTelling,
  type ReadOptions,
} from './binary.js';
import { because } from './reasons.js';

const MH_DYLIB = 6;
const MH_BUNDLE = 8;
const MAX_SLICES = 32;
const MAX_COMMANDS = 10_000;
const MAX_TRIE_DEPTH = 512;
const MAX_TRIE_NODES = 131_072;
const MAX_TRIE_NAME = 4096;

const LC_SYMTAB = 0x2;
const LC_LOAD_DYLIB = 0xc;
const LC_ID_DYLIB = 0xd;
const LC_SEGMENT_64 = 0x19;
const LC_LOAD_WEAK_DYLIB = 0x80000018;
const LC_RPATH = 0x8000001c;
const LC_REEXPORT_DYLIB = 0x8000001f;
const LC_DYLD_INFO = 0x22;
const LC_DYLD_INFO_ONLY = 0x80000022;
const LC_VERSION_MIN_MACOSX = 0x24;
const LC_BUILD_VERSION = 0x32;
const LC_DYLD_EXPORTS_TRIE = 0x80000033;

const MACHINES: Readonly<Record<number, string>> = {
  7: 'ia32',
  12: 'arm',
  16777223: 'x64',
  16777228: 'arm64',
};

/** What the load commands say. */
interface Commands {
  soname: string | null;
  readonly needed: string[];
  readonly rpaths: string[];
  minimum: string | null;
  symbols: { readonly at: number; readonly count: number; readonly names: Part } | null;
  trie: Part | null;
}

interface Part {
  readonly at: number;
  readonly size: number;
}

/** The facts of a dylib. Throws Damage, or RangeError for a wild number. */
export async function readMachO(file: BinaryFile, options: ReadOptions): Promise<BinaryFacts> {
  const magic = (await file.bytes(0, 4, 'the Mach-O header')).readUInt32BE(0);
  const slice =
    magic === 0xcafebabe || magic === 0xcafebabf
      ? await sliceOf(file, magic === 0xcafebabf, options.arch)
      : file;
  const header = await slice.bytes(0, 28, 'the Mach-O header');
  const wide = header.readUInt32LE(0) === 0xfeedfacf;
  if (!wide && header.readUInt32LE(0) !== 0xfeedface) throw file.damage('the Mach-O header');
  const type = header.readUInt32LE(12);
  if (type !== MH_DYLIB && type !== MH_BUNDLE)
    throw new Damage(because('no_library', { file: file.name }));
  const [count, size] = [header.readUInt32LE(16), header.readUInt32LE(20)];
  const table = await slice.bytes(wide ? 32 : 28, size, 'the load commands');
  const commands = readCommands(slice, table, count);
  const { exports, imports } = options.symbols
    ? await readSymbols(slice, commands, wide)
    : { exports: [], imports: [] };
  return {
    format: 'mach-o',
    bits: wide ? 64 : 32,
    machine: machineOf(header.readUInt32LE(4)),
    soname: commands.soname,
    needed: commands.needed,
    runpath: commands.rpaths.length > 0 ? commands.rpaths.join(':') : null,
    exports,
    imports,
    versions: commands.minimum === null ? {} : { macOS: commands.minimum },
    provides: {},
  };
}

function machineOf(type: number): string {
  return MACHINES[type] ?? `0x${type.toString(16)}`;
}

/** The part for `arch` of a file for several machines; another one where it has none for it. */
async function sliceOf(file: BinaryFile, wide: boolean, arch: string): Promise<BinaryFile> {
  const what = 'the table of machines';
  const count = (await file.bytes(4, 4, what)).readUInt32BE(0);
  // Java's class files begin with the same four bytes; their version is a larger number.
  if (count === 0 || count > MAX_SLICES)
    throw new Damage(because('unknown_format', { file: file.name }));
  const step = wide ? 32 : 20;
  const table = await file.bytes(8, count * step, what);
  const rows = Array.from({ length: count }, (_, index) => {
    const at = index * step;
    return {
      machine: machineOf(table.readUInt32BE(at)),
      offset: wide ? Number(table.readBigUInt64BE(at + 8)) : table.readUInt32BE(at + 8),
      size: wide ? Number(table.readBigUInt64BE(at + 16)) : table.readUInt32BE(at + 12),
    };
  });
  const chosen = rows.find(({ machine }) => machine === arch) ?? rows[0];
  if (!chosen) throw file.damage(what);
  return file.part(chosen.offset, chosen.size, 'the part for this machine');
}

function readCommands(file: BinaryFile, table: Buffer, count: number): Commands {
  const what = 'the load commands';
  if (count > MAX_COMMANDS) throw file.damage(what);
  const found: Commands = {
    soname: null,
    needed: [],
    rpaths: [],
    minimum: null,
    symbols: null,
    trie: null,
  };
  for (let index = 0, at = 0; index < count; index += 1) {
    const size = table.readUInt32LE(at + 4);
    if (size < 8 || at + size > table.length) throw file.damage(what);
    readCommand(file, table.subarray(at, at + size), found);
    at += size;
  }
  return found;
}

function readCommand(file: BinaryFile, row: Buffer, found: Commands): void {
  const kind = row.readUInt32LE(0);
  const name = (): string => {
    const text = file.text(row, row.readUInt32LE(8), 'the load commands');
    if (text === null) throw file.damage('the load commands');
    return text;
  };
  if (kind === LC_ID_DYLIB) found.soname = name();
  else if (kind === LC_LOAD_DYLIB || kind === LC_REEXPORT_DYLIB) found.needed.push(name());
  else if (kind === LC_LOAD_WEAK_DYLIB) return;
  else if (kind === LC_RPATH) found.rpaths.push(name());
  else if (kind === LC_VERSION_MIN_MACOSX) found.minimum = versionOf(row.readUInt32LE(8));
  else if (kind === LC_BUILD_VERSION) found.minimum = versionOf(row.readUInt32LE(12));
  else if (kind === LC_SYMTAB) {
    const names = { at: row.readUInt32LE(16), size: row.readUInt32LE(20) };
    found.symbols = { at: row.readUInt32LE(8), count: row.readUInt32LE(12), names };
  } else if (kind === LC_DYLD_EXPORTS_TRIE) {
    found.trie = { at: row.readUInt32LE(8), size: row.readUInt32LE(12) };
  } else if (kind === LC_DYLD_INFO || kind === LC_DYLD_INFO_ONLY) {
    found.trie = { at: row.readUInt32LE(40), size: row.readUInt32LE(44) };
  } else if (kind === LC_SEGMENT_64) {
    file.part(Number(row.readBigUInt64LE(40)), Number(row.readBigUInt64LE(48)), 'a segment');
  }
}

/** `13.3` from its packed form. */
function versionOf(packed: number): string {
  return `${packed >>> 16}.${(packed >>> 8) & 255}`;
}

async function readSymbols(
  file: BinaryFile,
  { symbols, trie }: Commands,
  wide: boolean,
): Promise<{ exports: readonly string[]; imports: readonly string[] }> {
  const exports = new Set<string>();
  const imports: string[] = [];
  if (symbols && symbols.count > 0) {
    const step = wide ? 16 : 12;
    const table = await file.bytes(symbols.at, symbols.count * step, 'the symbol table');
    const names = await file.bytes(symbols.names.at, symbols.names.size, 'the string table');
    await forEachRow(table, step, (at) => {
      const type = table[at + 4] ?? 0;
      // External, and neither private to its linkage nor a debugger's.
      if ((type & 1) === 0 || (type & 0xf0) !== 0) return;
      // C names carry a leading underscore.
      const name = file.tellingName(names, table.readUInt32LE(at) + 1, 'the string table');
      if (name === null) return;
      if ((type & 0x0e) === 0x0e) exports.add(name);
      else if ((type & 0x0e) === 0) imports.push(name);
    });
  }
  // A stripped file may have its exports in the trie only.
  if (trie && trie.size > 0) {
    const table = await file.bytes(trie.at, trie.size, 'the export trie');
    for (const name of trieNames(file, table)) exports.add(name);
  }
  return { exports: [...exports], imports };
}

/** The telling names of an export trie; it may not lead back, nor on for ever. */
function trieNames(file: BinaryFile, table: Buffer): string[] {
  const names: string[] = [];
  const seen = new Set<number>();
  const open: { readonly at: number; readonly prefix: string; readonly depth: number }[] = [
    { at: 0, prefix: '', depth: 0 },
  ];
  for (let node = open.pop(); node; node = open.pop()) {
    const { at, prefix, depth } = node;
    const isTooMuch = seen.size >= MAX_TRIE_NODES || prefix.length > MAX_TRIE_NAME;
    if (seen.has(at) || depth > MAX_TRIE_DEPTH || isTooMuch) throw file.damage('the export trie');
    seen.add(at);
    const [terminal, afterSize] = unsignedAt(table, at);
    if (terminal > 0 && isTelling(prefix.slice(1))) names.push(prefix.slice(1));
    let cursor = afterSize + terminal;
    const children = table.readUInt8(cursor);
    cursor += 1;
    for (let index = 0; index < children; index += 1) {
      const label = file.text(table, cursor, 'the export trie');
      if (label === null) throw file.damage('the export trie');
      const [child, next] = unsignedAt(table, cursor + Buffer.byteLength(label) + 1);
      cursor = next;
      if (mayTell(prefix + label))
        open.push({ at: child, prefix: prefix + label, depth: depth + 1 });
    }
  }
  return names;
}

/** Whether a telling name (with its underscore) can begin or go on like this. */
function mayTell(prefix: string): boolean {
  return ['_llama_', '_ggml_', '_gguf_'].some(
    (start) => start.startsWith(prefix) || prefix.startsWith(start),
  );
}

/** A ULEB128 number and the offset after it. */
function unsignedAt(table: Buffer, start: number): readonly [number, number] {
  let [value, factor] = [0, 1];
  for (let at = start; ; at += 1) {
    const byte = table.readUInt8(at);
    value += (byte & 0x7f) * factor;
    factor *= 128;
    if (value > 2 ** 40) throw new RangeError('a number beyond any trie');
    if (byte < 0x80) return [value, at + 1];
  }
}
