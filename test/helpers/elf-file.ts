/** Writes the smallest shared objects that have a dynamic section, for tests. */
import { writeFileSync } from 'node:fs';
import { readAbi } from '../../src/engine/addon.js';

/** What an image is to hold besides its needs and its name. */
export interface ElfContent {
  readonly needed?: readonly string[];
  readonly soname?: string | null;
  readonly runpath?: string;
  readonly exports?: readonly string[];
  readonly imports?: readonly string[];
  /** Names of versions it needs, by library. */
  readonly versions?: Readonly<Record<string, readonly string[]>>;
  /** Names of versions it defines. */
  readonly provides?: readonly string[];
  readonly bits?: 32 | 64;
  /** e_machine: 62 = x86-64. */
  readonly machine?: number;
  /** e_type: 3 = shared object. */
  readonly type?: number;
  readonly flags1?: number;
  readonly hash?: 'gnu' | 'sysv';
}

const BASE = 0x10000;

/** A little-endian ELF image. */
export function elfImage(content: ElfContent = {}): Buffer {
  const word = content.bits === 32 ? 4 : 8;
  const strings = new Strings();
  const { needed = [], soname = null, runpath, flags1, hash = 'gnu' } = content;
  const entries: [number, number | string][] = needed.map((name) => [1, strings.add(name)]);
  if (soname !== null) entries.push([14, strings.add(soname)]);
  if (runpath !== undefined) entries.push([29, strings.add(runpath)]);
  if (flags1 !== undefined) entries.push([0x6ffffffb, flags1]);
  const tables: [string, Buffer][] = [];
  if (content.exports || content.imports) {
    const { exports = [], imports = [] } = content;
    const names = [...imports, ...exports].map((name) => strings.add(name));
    tables.push(['symbols', symbolTable(names, imports.length, word)]);
    const make = hash === 'gnu' ? gnuHash : sysvHash;
    tables.push(['hash', make(imports.length + 1, exports.length, word)]);
    entries.push([6, 'symbols'], [hash === 'gnu' ? 0x6ffffef5 : 4, 'hash']);
  }
  if (content.versions) {
    tables.push(['verneed', neededVersions(content.versions, strings)]);
    entries.push([0x6ffffffe, 'verneed']);
  }
  if (content.provides) {
    tables.push(['verdef', providedVersions(content.provides, strings)]);
    entries.push([0x6ffffffc, 'verdef']);
  }
  entries.push([5, 'strings'], [10, strings.bytes().length], [0, 0]);
  tables.push(['strings', strings.bytes()]);
  return assemble(content, word, entries, tables);
}

function assemble(
  { machine = 62, type = 3 }: ElfContent,
  word: 4 | 8,
  entries: readonly (readonly [number, number | string])[],
  tables: readonly (readonly [string, Buffer])[],
): Buffer {
  const [headerSize, rowSize] = word === 8 ? [64, 56] : [52, 32];
  const dynamicAt = headerSize + 2 * rowSize;
  const places = new Map<string, number>();
  let end = dynamicAt + entries.length * 2 * word;
  for (const [name, table] of tables) {
    end = Math.ceil(end / 8) * 8;
    places.set(name, end);
    end += table.length;
  }
  const image = Buffer.alloc(end);
  const put = putter(image, word);
  image.write('\x7fELF', 'latin1');
  image.set([word / 4, 1, 1], 4);
  image.writeUInt16LE(type, 16);
  image.writeUInt16LE(machine, 18);
  put(word === 8 ? 32 : 28, headerSize);
  image.writeUInt16LE(rowSize, word === 8 ? 54 : 42);
  image.writeUInt16LE(2, word === 8 ? 56 : 44);
  const segments = [
    [1, 0, end],
    [2, dynamicAt, entries.length * 2 * word],
  ] as const;
  for (const [index, [kind, offset, size]] of segments.entries()) {
    const at = headerSize + index * rowSize;
    image.writeUInt32LE(kind, at);
    put(at + (word === 8 ? 8 : 4), offset);
    put(at + (word === 8 ? 16 : 8), BASE + offset);
    put(at + (word === 8 ? 32 : 16), size);
  }
  for (const [index, [tag, value]] of entries.entries()) {
    put(dynamicAt + index * 2 * word, tag);
    const number = typeof value === 'string' ? BASE + (places.get(value) ?? 0) : value;
    put(dynamicAt + (index * 2 + 1) * word, number);
  }
  for (const [name, table] of tables) table.copy(image, places.get(name) ?? 0);
  return image;
}

/** Writes an image with these DT_NEEDED and DT_SONAME entries, and more. */
export function writeElf(
  path: string,
  needed: readonly string[] = [],
  soname: string | null = null,
  more: ElfContent = {},
): void {
  writeFileSync(path, elfImage({ needed, soname, ...more }));
}

/** A string table that grows: each text once more, at the offset that is returned. */
class Strings {
  #text = '\0';

  add(text: string): number {
    const at = Buffer.byteLength(this.#text);
    this.#text += `${text}\0`;
    return at;
  }

  bytes(): Buffer {
    return Buffer.from(this.#text);
  }
}

function putter(buffer: Buffer, word: 4 | 8): (at: number, value: number) => void {
  return (at, value) => {
    if (word === 8) buffer.writeBigUInt64LE(BigInt(value), at);
    else buffer.writeUInt32LE(value, at);
  };
}

/** Undefined ones first, as a GNU hash table wants it. */
function symbolTable(names: readonly number[], undefinedCount: number, word: 4 | 8): Buffer {
  const size = word === 8 ? 24 : 16;
  const table = Buffer.alloc((names.length + 1) * size);
  for (const [index, name] of names.entries()) {
    const at = (index + 1) * size;
    const defined = index >= undefinedCount;
    table.writeUInt32LE(name, at);
    // Global; a function where it is defined.
    table.writeUInt8(defined ? 0x12 : 0x10, at + (word === 8 ? 4 : 12));
    table.writeUInt16LE(defined ? 1 : 0, at + (word === 8 ? 6 : 14));
  }
  return table;
}

/** One bucket with one chain: enough to count by. */
function gnuHash(first: number, count: number, word: 4 | 8): Buffer {
  const table = Buffer.alloc(16 + word + 4 + count * 4);
  for (const [index, value] of [1, first, 1, 0].entries()) table.writeUInt32LE(value, index * 4);
  table.writeUInt32LE(count > 0 ? first : 0, 16 + word);
  if (count > 0) table.writeUInt32LE(1, table.length - 4);
  return table;
}

function sysvHash(first: number, count: number): Buffer {
  const table = Buffer.alloc(8 + 4 + (first + count) * 4);
  table.writeUInt32LE(1, 0);
  table.writeUInt32LE(first + count, 4);
  return table;
}

function neededVersions(
  versions: Readonly<Record<string, readonly string[]>>,
  strings: Strings,
): Buffer {
  const libraries = Object.entries(versions);
  const parts = libraries.map(([library, names], index) => {
    const part = Buffer.alloc(16 + names.length * 16);
    part.writeUInt16LE(1, 0);
    part.writeUInt16LE(names.length, 2);
    part.writeUInt32LE(strings.add(library), 4);
    part.writeUInt32LE(16, 8);
    part.writeUInt32LE(index + 1 < libraries.length ? part.length : 0, 12);
    for (const [row, name] of names.entries()) {
      part.writeUInt32LE(strings.add(name), 16 + row * 16 + 8);
      part.writeUInt32LE(row + 1 < names.length ? 16 : 0, 16 + row * 16 + 12);
    }
    return part;
  });
  return Buffer.concat(parts);
}

function providedVersions(names: readonly string[], strings: Strings): Buffer {
  const parts = names.map((name, index) => {
    const part = Buffer.alloc(20 + 8);
    part.writeUInt16LE(1, 0);
    part.writeUInt16LE(1, 6);
    part.writeUInt32LE(20, 12);
    part.writeUInt32LE(index + 1 < names.length ? part.length : 0, 16);
    part.writeUInt32LE(strings.add(name), 20);
    return part;
  });
  return Buffer.concat(parts);
}

/** The functions of a libllama that is as new as our table. */
export function llamaFunctions(): readonly string[] {
  const { symbols, alwaysThere } = readAbi();
  return [
    ...symbols.filter(([, , gone]) => gone >= 9_999_999).map(([name]) => name),
    ...alwaysThere,
  ];
}

/** Writes what a scan takes for a libllama of today. */
export function writeLlama(
  path: string,
  needed: readonly string[] = [],
  more: ElfContent = {},
): void {
  writeElf(path, needed, 'libllama.so', { exports: llamaFunctions(), ...more });
}
