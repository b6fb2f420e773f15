import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { readBinary } from '../../src/binary/formats.js';
import { elfImage } from '../helpers/elf-file.js';
import { fatImage, machOImage } from '../helpers/macho-file.js';
import { peImage } from '../helpers/pe-file.js';

const directory = mkdtempSync(join(tmpdir(), 'hoshikage-formats-'));
after(() => rmSync(directory, { recursive: true }));
const path = join(directory, 'lib');

const functions = { exports: ['llama_decode', 'ggml_init'], imports: ['ggml_free'] };
const IMAGES = [
  elfImage({ ...functions, needed: ['a.so'], versions: { 'libc.so.6': ['GLIBC_2.34'] } }),
  elfImage({ ...functions, bits: 32, hash: 'sysv', provides: ['GLIBC_2.1'] }),
  peImage({ ...functions, imports: { 'ggml.dll': ['ggml_free'] } }),
  machOImage({ ...functions, needed: ['@rpath/a.dylib'], trie: ['llama_x'] }),
  fatImage([{ machine: 0x01000007, image: machOImage(functions) }]),
];

/** Any of the images with bytes changed, cut off and something behind. */
const damaged = fc
  .tuple(
    fc.constantFrom(...IMAGES),
    fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 12 }),
    fc.nat(),
    fc.uint8Array({ maxLength: 40 }),
  )
  .map(([image, changes, cut, tail]) => {
    const bytes = Buffer.from(image);
    for (const [at, value] of changes) bytes[at % bytes.length] = value;
    const length = cut % 3 === 0 ? cut % bytes.length : bytes.length;
    return Buffer.concat([bytes.subarray(0, length), tail]);
  });

test('whatever a file holds, there is an answer and no exception', async () => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(damaged, fc.uint8Array({ maxLength: 600 })), async (bytes) => {
      writeFileSync(path, bytes);
      const facts = await readBinary(path);
      if ('problem' in facts) assert.ok(facts.problem.includes('lib') && facts.problem_ja);
      else assert.ok(facts.exports.every((name) => /^(llama|ggml|gguf)_/.test(name)));
    }),
    { numRuns: 1500 },
  );
});

test('a file of gigabytes is not read whole', async () => {
  for (const image of IMAGES) {
    writeFileSync(path, image);
    truncateSync(path, 2 ** 34);
    const facts = await readBinary(path, { arch: 'x64' });
    assert.ok(!('problem' in facts), JSON.stringify(facts));
    assert.ok(facts.exports.includes('llama_decode'));
  }
});

test('a FIFO without a writer, a device and a directory are answered at once', async () => {
  const fifo = join(directory, 'fifo');
  execFileSync('mkfifo', [fifo]);
  for (const one of [fifo, '/dev/tty', '/dev/zero', directory]) {
    const facts = await readBinary(one);
    assert.match('problem' in facts ? facts.problem : '', /not a plain file|cannot be read/);
  }
});

const SOURCE = 'int llama_decode() { return 1; }';

function compile(output: string, ...flags: readonly string[]) {
  const args = ['-shared', '-fPIC', '-nostdlib', ...flags, '-xc', '-', '-o', output];
  return spawnSync('gcc', args, { input: SOURCE, encoding: 'utf8' });
}

const noGcc = spawnSync('gcc', ['--version']).error ? 'gcc is not installed' : false;
const narrow = join(directory, 'narrow.so');
const noNarrow = noGcc || (compile(narrow, '-m32').status !== 0 && 'gcc cannot build for 32 bits');

test('a 32-bit library from a real compiler reads as such', { skip: noNarrow }, async () => {
  const facts = await readBinary(narrow);
  assert.ok(!('problem' in facts), JSON.stringify(facts));
  assert.deepEqual([facts.bits, facts.exports], [32, ['llama_decode']]);
});

test('a real library cut off anywhere is told, down to the last byte', {
  skip: noGcc,
}, async () => {
  const whole = join(directory, 'whole.so');
  assert.equal(compile(whole).status, 0);
  const { size } = statSync(whole);
  for (let cut = 1; cut < size; cut = cut * 2 + 1) {
    truncateSync(whole, size - cut);
    const facts = await readBinary(whole);
    assert.match('problem' in facts ? facts.problem : '', /cut off|empty|damaged|no known|a text/);
    assert.equal(compile(whole).status, 0);
  }
});
