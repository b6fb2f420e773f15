/** Writes the smallest dylibs with load commands, symbols and an export trie, for tests. */

/** What a dylib is to hold. */
export interface MachOContent {
  readonly name?: string;
  readonly needed?: readonly string[];
  readonly rpaths?: readonly string[];
  /** Defined functions, in the symbol table. */
  readonly exports?: readonly string[];
  /** Undefined ones. */
  readonly imports?: readonly string[];
  /** Defined functions that are in the export trie only. */
  readonly trie?: readonly string[];
  /** The least macOS, as LC_BUILD_VERSION packs it. */
  readonly minimum?: number;
  /** CPU_TYPE: 0x0100000c = arm64. */
  readonly machine?: number;
  /** 6 = a dylib. */
  readonly type?: number;
}

/** A 64-bit Mach-O image. */
export function machOImage(content: MachOContent = {}): Buffer {
  const { needed = [], rpaths = [], exports = [], imports = [], trie = [] } = content;
  const names = [...exports, ...imports].map((name) => `_${name}\0`);
  const strings = Buffer.from(`\0${names.join('')}`);
  const symbols = Buffer.alloc(names.length * 16);
  let nameAt = 1;
  for (const [index, name] of names.entries()) {
    symbols.writeUInt32LE(nameAt, index * 16);
    // N_SECT | N_EXT, or N_UNDF | N_EXT.
    symbols.writeUInt8(index < exports.length ? 0x0f : 0x01, index * 16 + 4);
    nameAt += Buffer.byteLength(name);
  }
  const exportTrie = trie.length > 0 ? trieOf(trie.map((name) => `_${name}`)) : Buffer.alloc(0);
  const fixed = [
    dylib(0xd, content.name ?? '@rpath/libllama.dylib'),
    ...needed.map((name) => dylib(0xc, name)),
    ...rpaths.map((path) => named(0x8000001c, 12, path)),
    ...(content.minimum === undefined ? [] : [words(0x32, 24, 1, content.minimum, 0, 0)]),
  ];
  const size = Buffer.concat(fixed).length + 24 + (trie.length > 0 ? 16 : 0);
  const at = 32 + size;
  const commands = Buffer.concat([
    ...fixed,
    words(2, 24, at, names.length, at + symbols.length, strings.length),
    ...(trie.length > 0
      ? [words(0x80000033, 16, at + symbols.length + strings.length, exportTrie.length)]
      : []),
  ]);
  const count = fixed.length + 1 + (trie.length > 0 ? 1 : 0);
  const { machine = 0x0100000c, type = 6 } = content;
  const header = words(0xfeedfacf, machine, 0, type, count, commands.length, 0, 0);
  return Buffer.concat([header, commands, symbols, strings, exportTrie]);
}

/** A file for several machines. */
export function fatImage(slices: readonly { machine: number; image: Buffer }[]): Buffer {
  const parts: Buffer[] = [];
  const table = Buffer.alloc(8 + slices.length * 20);
  table.writeUInt32BE(0xcafebabe, 0);
  table.writeUInt32BE(slices.length, 4);
  let at = table.length;
  for (const [index, { machine, image }] of slices.entries()) {
    const row = 8 + index * 20;
    table.writeUInt32BE(machine, row);
    table.writeUInt32BE(at, row + 8);
    table.writeUInt32BE(image.length, row + 12);
    parts.push(image);
    at += image.length;
  }
  return Buffer.concat([table, ...parts]);
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, index * 4);
  return bytes;
}

function dylib(kind: number, name: string): Buffer {
  return named(kind, 24, name);
}

/** A load command whose text begins at `offset`. */
function named(kind: number, offset: number, text: string): Buffer {
  const size = Math.ceil((offset + Buffer.byteLength(text) + 1) / 8) * 8;
  const command = Buffer.alloc(size);
  command.writeUInt32LE(kind, 0);
  command.writeUInt32LE(size, 4);
  command.writeUInt32LE(offset, 8);
  command.write(text, offset);
  return command;
}

/** A trie of two levels: the root leads to every name at once. Offsets below 128 take one byte. */
function trieOf(names: readonly string[]): Buffer {
  const leaf = Buffer.from([2, 0, 0, 0]);
  const labels = names.map((name) => Buffer.from(`${name}\0`));
  const rootSize = 2 + labels.reduce((sum, label) => sum + label.length + 1, 0);
  const root = [Buffer.from([0, names.length])];
  for (const [index, label] of labels.entries()) {
    root.push(label, Buffer.from([rootSize + index * leaf.length]));
  }
  return Buffer.concat([...root, ...names.map(() => leaf)]);
}
