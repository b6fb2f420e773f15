import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readBinary } from '../../src/binary/formats.js';
import { type PeContent, peImage } from '../helpers/pe-file.js';

const directory = mkdtempSync(join(tmpdir(), 'hoshikage-pe-'));
after(() => rmSync(directory, { recursive: true }));
const path = join(directory, 'llama.dll');

const WHOLE: PeContent = {
  exports: ['ggml_other', 'llama_decode', 'unrelated'],
  imports: { 'ggml-base.dll': ['ggml_init', 'gguf_free'], 'KERNEL32.dll': ['ggml_is_not_mine'] },
};

async function read(content: PeContent) {
  writeFileSync(path, peImage(content));
  return readBinary(path);
}

for (const wide of [true, false]) {
  test(`name, needs and functions of a DLL are read (${wide ? 64 : 32} bits)`, async () => {
    assert.deepEqual(await read({ ...WHOLE, wide }), {
      format: 'pe',
      bits: wide ? 64 : 32,
      machine: 'x64',
      soname: 'llama.dll',
      needed: ['ggml-base.dll', 'KERNEL32.dll'],
      runpath: null,
      exports: ['ggml_other', 'llama_decode'],
      imports: ['ggml_init', 'gguf_free'],
      versions: {},
      provides: {},
    });
  });
}

test('a DLL without exports or imports has none, and a program is no library', async () => {
  const facts = await read({ machine: 0xaa64 });
  assert.ok(!('problem' in facts));
  assert.deepEqual([facts.machine, facts.exports, facts.needed], ['arm64', [], []]);
  const program = await read({ ...WHOLE, characteristics: 0x22 });
  assert.match('problem' in program ? program.problem : '', /not a shared library/);
});

test('a DLL cut off anywhere is a problem, never an exception', async () => {
  const image = peImage(WHOLE);
  for (let length = 2; length < image.length; length += 1) {
    writeFileSync(path, image.subarray(0, length));
    const facts = await readBinary(path);
    assert.ok('problem' in facts, `cut at ${length}`);
    assert.match(facts.problem, /cut off|damaged/);
  }
});

test('a damaged byte anywhere never throws', async () => {
  const image = peImage(WHOLE);
  for (let at = 0; at < image.length; at += 1) {
    const damaged = Buffer.from(image);
    damaged[at] = 0xff;
    writeFileSync(path, damaged);
    const facts = await readBinary(path);
    assert.ok('problem' in facts || Array.isArray(facts.exports), `byte ${at}`);
  }
});

/** The word at an address of an image of the helper's. */
const fileAt = (address: number): number => address - 0x1000 + 0x400;

test('one name that is shared by thousands of functions is damage, not an hour of work', async () => {
  const long = 'a'.repeat(4000);
  const others = Array<string>(3000).fill('b');
  for (const [name, isDamage] of [
    [`llama_${long}`, true],
    // Nobody's name of ours: looked at, never copied.
    [`other_${long}`, false],
  ] as const) {
    const image = peImage({ exports: [name, ...others] });
    const names = fileAt(image.readUInt32LE(fileAt(image.readUInt32LE(0x98 + 112)) + 32));
    for (let row = 1; row <= 3000; row += 1) image.copy(image, names + row * 4, names, names + 4);
    writeFileSync(path, image);
    const facts = await readBinary(path);
    const problem = 'problem' in facts ? facts.problem : '';
    assert.match(problem, isDamage ? /damaged \(the export directory\)/ : /^$/);
  }
  const image = peImage({ imports: { 'ggml.dll': [`ggml_${long}`, ...others] } });
  const thunks = fileAt(image.readUInt32LE(fileAt(image.readUInt32LE(0x98 + 120))));
  for (let row = 1; row <= 3000; row += 1) image.copy(image, thunks + row * 8, thunks, thunks + 8);
  writeFileSync(path, image);
  const facts = await readBinary(path);
  assert.match('problem' in facts ? facts.problem : '', /damaged \(an import table\)/);
});

test('a name longer than any is damage', async () => {
  const long = 'a'.repeat(5000);
  for (const content of [
    { name: long, exports: ['llama_decode'] },
    { exports: [`llama_${long}`] },
    { imports: { [long]: ['x'] } },
  ]) {
    const facts = await read(content);
    assert.match('problem' in facts ? facts.problem : '', /damaged/);
  }
});

const COMPILER = 'x86_64-w64-mingw32-g++';
const missing = spawnSync(COMPILER, ['--version']).error ? `${COMPILER} is not installed` : false;

test('a DLL from a real linker reads the same', { skip: missing }, async () => {
  const [base, llama] = [join(directory, 'ggml-base.dll'), join(directory, 'real.dll')];
  const build = (output: string, source: string, ...more: string[]): void => {
    const args = ['-shared', '-x', 'c++', '-', '-x', 'none', ...more, '-o', output];
    execFileSync(COMPILER, args, { input: source });
  };
  const exported = 'extern "C" __declspec(dllexport)';
  build(base, `${exported} int ggml_init() { return 1; }`);
  const use = 'extern "C" __declspec(dllimport) int ggml_init();';
  build(llama, `${use}${exported} int llama_decode() { return ggml_init(); }`, base);
  const facts = await readBinary(llama);
  assert.ok(!('problem' in facts), JSON.stringify(facts));
  assert.deepEqual(
    [facts.format, facts.bits, facts.machine, facts.soname],
    ['pe', 64, 'x64', 'real.dll'],
  );
  assert.deepEqual([facts.exports, facts.imports], [['llama_decode'], ['ggml_init']]);
  assert.ok(facts.needed.includes('ggml-base.dll'));
});
