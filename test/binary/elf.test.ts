import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { BinaryFacts } from '../../src/binary/binary.js';
import { readBinary } from '../../src/binary/formats.js';
import { type ElfContent, elfImage, writeElf } from '../helpers/elf-file.js';

const directory = mkdtempSync(join(tmpdir(), 'hoshikage-elf-'));
after(() => rmSync(directory, { recursive: true }));
const path = join(directory, 'lib.so');

const WHOLE: ElfContent = {
  needed: ['libggml.so', 'libc.so.6'],
  soname: 'libllama.so.0',
  runpath: '$ORIGIN',
  exports: ['llama_decode', 'other', 'ggml_init'],
  imports: ['ggml_free', 'malloc'],
  versions: {
    'libc.so.6': ['GLIBC_2.9', 'GLIBC_2.34', 'GLIBC_PRIVATE', 'GLIBC_2.2.5'],
    'libstdc++.so.6': ['GLIBCXX_3.4.29', 'CXXABI_1.3.9'],
  },
  provides: ['LIB_1.2', 'LIB_1.10'],
};

async function read(content: ElfContent): Promise<BinaryFacts> {
  writeFileSync(path, elfImage(content));
  const facts = await readBinary(path);
  assert.ok(!('problem' in facts), JSON.stringify(facts));
  return facts;
}

async function problemOf(content: Buffer | string): Promise<string> {
  writeFileSync(path, content);
  const facts = await readBinary(path);
  assert.ok('problem' in facts);
  return facts.problem;
}

for (const bits of [64, 32] as const) {
  for (const hash of ['gnu', 'sysv'] as const) {
    test(`names, needs, versions and functions are read (${bits} bits, ${hash} hash)`, async () => {
      assert.deepEqual(await read({ ...WHOLE, bits, hash }), {
        format: 'elf',
        bits,
        machine: 'x64',
        soname: 'libllama.so.0',
        needed: ['libggml.so', 'libc.so.6'],
        runpath: '$ORIGIN',
        exports: ['llama_decode', 'ggml_init'],
        imports: ['ggml_free'],
        versions: { GLIBC: '2.34', GLIBCXX: '3.4.29', CXXABI: '1.3.9' },
        provides: { LIB: '1.10' },
      });
    });
  }
}

test('a library without a name, needs or functions has none', async () => {
  const facts = await read({});
  assert.deepEqual([facts.soname, facts.needed, facts.exports], [null, [], []]);
});

test('the relative relocations of glibc 2.36 count as that version', async () => {
  const versions = { 'libc.so.6': ['GLIBC_2.4', 'GLIBC_ABI_DT_RELR'] };
  assert.deepEqual((await read({ versions })).versions, { GLIBC: '2.36' });
});

test('machines have the names that Node gives them', async () => {
  assert.equal((await read({ machine: 183 })).machine, 'arm64');
  assert.equal((await read({ machine: 3, bits: 32 })).machine, 'ia32');
});

test('a program, an object file and a big-endian library are told apart', async () => {
  assert.match(await problemOf(elfImage({ type: 2 })), /not a shared library/);
  assert.match(await problemOf(elfImage({ type: 1 })), /not a shared library/);
  assert.match(await problemOf(elfImage({ flags1: 0x08000000 })), /not a shared library/);
  const big = elfImage();
  big[5] = 2;
  assert.match(await problemOf(big), /big-endian/);
});

for (const bits of [64, 32] as const) {
  test(`a file cut off anywhere is a problem, never an exception (${bits} bits)`, async () => {
    const image = elfImage({ ...WHOLE, bits });
    for (let length = 0; length < image.length; length += 1) {
      const problem = await problemOf(image.subarray(0, length));
      if (length >= 20) assert.match(problem, /cut off|damaged/, `cut at ${length}`);
    }
  });

  test(`a damaged byte anywhere never throws (${bits} bits)`, async () => {
    const image = elfImage({ ...WHOLE, bits });
    for (let at = 0; at < image.length; at += 1) {
      for (const value of [0xff, 0, 0x80]) {
        const damaged = Buffer.from(image);
        damaged[at] = value;
        writeFileSync(path, damaged);
        const facts = await readBinary(path);
        assert.ok('problem' in facts || Array.isArray(facts.needed), `byte ${at}`);
      }
    }
  });
}

test('version rows that lead in circles come to an end', async () => {
  // One entry whose own list of 4000 rows is entered again and again.
  const names = Array.from({ length: 4000 }, (_, index) => `X_${index}`);
  const versions = Object.fromEntries([1, 2, 3].map((one) => [`lib${one}.so`, names]));
  writeElf(path, [], null, { versions });
  assert.ok('problem' in (await readBinary(path)));
});

/** Where the value of a dynamic entry lies in a 64-bit image. */
function entryAt(image: Buffer, tag: number): number {
  for (let at = 64 + 2 * 56; at < image.length; at += 16) {
    if (image.readBigUInt64LE(at) === BigInt(tag)) return at + 8;
  }
  return assert.fail(`no entry ${tag}`);
}

/** Where the table of a dynamic entry lies in the file; the helper's images begin at 0x10000. */
function tableAt(image: Buffer, tag: number): number {
  return Number(image.readBigUInt64LE(entryAt(image, tag))) - 0x10000;
}

test('a name longer than any is damage, wherever it is', async () => {
  const long = 'a'.repeat(5000);
  for (const content of [
    { needed: [long] },
    { soname: long },
    { runpath: long },
    { exports: [`llama_${long}`] },
    { versions: { 'libc.so.6': [`GLIBC_${long}`] } },
    { provides: [long] },
  ]) {
    assert.match(await problemOf(elfImage(content)), /damaged \(the string table\)/);
  }
  const longest = 'a'.repeat(4096);
  assert.deepEqual((await read({ needed: [longest] })).needed, [longest]);
});

test('one text that is named thousands of times is damage, not memory', async () => {
  const name = 'a'.repeat(4000);
  const image = elfImage({ needed: [name, ...Array.from({ length: 3000 }, () => 'b')] });
  const first = image.readBigUInt64LE(entryAt(image, 1));
  for (let index = 0; index <= 3000; index += 1) {
    image.writeBigUInt64LE(first, 64 + 2 * 56 + index * 16 + 8);
  }
  assert.match(await problemOf(image), /damaged \(the string table\)/);
  const symbols = elfImage({ exports: [`llama_${name}`, ...Array(3000).fill('b')] });
  const table = tableAt(symbols, 6);
  const one = symbols.readUInt32LE(table + 24);
  for (let row = 1; row <= 3001; row += 1) symbols.writeUInt32LE(one, table + row * 24);
  assert.match(await problemOf(symbols), /damaged \(the string table\)/);
});

test('others have their turn while a long symbol table is read', async () => {
  const image = elfImage({ exports: ['llama_decode'], hash: 'sysv' });
  const rows = 1_000_000;
  const size = tableAt(image, 6) + rows * 24;
  image.writeUInt32LE(rows, tableAt(image, 4) + 4);
  image.writeBigUInt64LE(BigInt(size), 64 + 32);
  writeFileSync(path, image);
  truncateSync(path, size);
  let [turns, isOver] = [0, false];
  const others = (): void => {
    turns += 1;
    if (!isOver) setImmediate(others);
  };
  setImmediate(others);
  const facts = await readBinary(path);
  isOver = true;
  assert.ok('problem' in facts || facts.exports.includes('llama_decode'));
  assert.ok(turns > 15, `${turns} turns`);
});

test('a hash chain through a hole of a terabyte comes to an end', {
  skip: process.platform === 'win32' ? 'a file has no holes here' : false,
}, async () => {
  const image = elfImage({ exports: ['llama_decode', 'llama_encode'] });
  const size = 2 ** 40;
  // The last words of the table are the chain; its end mark is taken away.
  image.writeUInt32LE(0, tableAt(image, 0x6ffffef5) + 16 + 8 + 4 + 4);
  image.fill(0, tableAt(image, 5));
  image.writeBigUInt64LE(BigInt(size), 64 + 32);
  writeFileSync(path, image);
  truncateSync(path, size);
  const facts = await readBinary(path);
  assert.match('problem' in facts ? facts.problem : '', /damaged \(the hash table\)/);
});
