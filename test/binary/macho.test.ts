import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readBinary } from '../../src/binary/formats.js';
import { fatImage, type MachOContent, machOImage } from '../helpers/macho-file.js';

const directory = mkdtempSync(join(tmpdir(), 'hoshikage-macho-'));
after(() => rmSync(directory, { recursive: true }));
const path = join(directory, 'libllama.dylib');
const [ARM, INTEL] = [0x0100000c, 0x01000007];

const WHOLE: MachOContent = {
  needed: ['@rpath/libggml.dylib', '/usr/lib/libSystem.B.dylib'],
  rpaths: ['@loader_path', '/opt/lib'],
  exports: ['llama_decode', 'other'],
  imports: ['ggml_init', 'malloc'],
  trie: ['llama_only_in_trie', 'else'],
  minimum: 0x000d0300,
};

async function read(image: Buffer, arch = 'arm64') {
  writeFileSync(path, image);
  return readBinary(path, { arch });
}

test('name, needs, functions and the least macOS of a dylib are read', async () => {
  assert.deepEqual(await read(machOImage(WHOLE)), {
    format: 'mach-o',
    bits: 64,
    machine: 'arm64',
    soname: '@rpath/libllama.dylib',
    needed: ['@rpath/libggml.dylib', '/usr/lib/libSystem.B.dylib'],
    runpath: '@loader_path:/opt/lib',
    exports: ['llama_decode', 'llama_only_in_trie'],
    imports: ['ggml_init'],
    versions: { macOS: '13.3' },
    provides: {},
  });
});

test('of a file for several machines the part for this one is read', async () => {
  const fat = fatImage([
    { machine: INTEL, image: machOImage({ machine: INTEL, exports: ['llama_intel'] }) },
    { machine: ARM, image: machOImage({ machine: ARM, exports: ['llama_arm'] }) },
  ]);
  for (const [arch, machine, name] of [
    ['arm64', 'arm64', 'llama_arm'],
    ['x64', 'x64', 'llama_intel'],
    ['riscv64', 'x64', 'llama_intel'],
  ] as const) {
    const facts = await read(fat, arch);
    assert.ok(!('problem' in facts), JSON.stringify(facts));
    assert.deepEqual([facts.machine, facts.exports], [machine, [name]]);
  }
});

test('a program and a Java class, which begins alike, are no libraries', async () => {
  const program = await read(machOImage({ type: 2 }));
  assert.match('problem' in program ? program.problem : '', /not a shared library/);
  const java = await read(Buffer.from('cafebabe00000041', 'hex'));
  assert.match('problem' in java ? java.problem : '', /no known format/);
});

test('a dylib cut off anywhere is a problem, never an exception', async () => {
  const image = machOImage(WHOLE);
  for (let length = 4; length < image.length; length += 1) {
    const facts = await read(image.subarray(0, length));
    assert.ok('problem' in facts, `cut at ${length}`);
    assert.match(facts.problem, /cut off|damaged/);
  }
});

test('a damaged byte anywhere never throws', async () => {
  const image = machOImage(WHOLE);
  for (let at = 0; at < image.length; at += 1) {
    const damaged = Buffer.from(image);
    damaged[at] = 0xff;
    const facts = await read(damaged);
    assert.ok('problem' in facts || Array.isArray(facts.exports), `byte ${at}`);
  }
});

test('an export trie that leads back to itself is damage, not a loop', async () => {
  const image = machOImage({ trie: ['llama_a'] });
  const at = image.indexOf('_llama_a\0') + '_llama_a\0'.length;
  image[at] = 0;
  const facts = await read(image);
  assert.match('problem' in facts ? facts.problem : '', /export trie/);
});

test('a name longer than any is damage, in a command, a table or the trie', async () => {
  const long = 'a'.repeat(5000);
  for (const content of [
    { needed: [long] },
    { name: long },
    { exports: [`llama_${long}`] },
    { trie: [`llama_${long}`] },
  ]) {
    const facts = await read(machOImage(content));
    assert.match('problem' in facts ? facts.problem : '', /damaged/);
  }
});
