import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { readAbi } from '../../src/engine/addon.js';
import type { Host } from '../../src/library/host.js';
import { scanLibrary } from '../../src/library/scan.js';
import { llamaFunctions, writeElf, writeLlama } from '../helpers/elf-file.js';

let root = '';
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'hoshikage-needs-')));
});
afterEach(() => rmSync(root, { recursive: true }));

const here: Host = { platform: 'linux', arch: 'x64', glibc: '2.36', glibcxx: '3.4.30' };
const abi = readAbi();

async function scan(host = here) {
  const { refusal, notes } = await scanLibrary(join(root, 'libllama.so'), abi, host);
  return { refusal: refusal && String(refusal.details.reason), notes };
}

/** A libllama that needs these versions of the system. */
function writeNeedy(versions: Readonly<Record<string, readonly string[]>>): void {
  const exports = llamaFunctions();
  writeLlama(join(root, 'libllama.so'), ['libggml.so'], { exports, versions });
  writeElf(join(root, 'libggml.so'));
}

test('a newer glibc than the machine has is refused by both numbers', async () => {
  writeNeedy({ 'libc.so.6': ['GLIBC_2.2.5', 'GLIBC_2.36'] });
  assert.equal((await scan()).refusal, null);
  writeNeedy({ 'libc.so.6': ['GLIBC_2.9', 'GLIBC_2.38'] });
  assert.match(String((await scan()).refusal), /^libllama\.so needs glibc 2\.38, but 2\.36 is/);
  assert.equal((await scan({ ...here, glibc: '2.39' })).refusal, null);
});

test('a newer libstdc++ is, too, and the libggml that needs it is named', async () => {
  writeNeedy({ 'libstdc++.so.6': ['GLIBCXX_3.4.30', 'CXXABI_1.3.9'] });
  assert.equal((await scan()).refusal, null);
  const versions = { 'libstdc++.so.6': ['GLIBCXX_3.4.32'] };
  writeElf(join(root, 'libggml.so'), [], null, { versions });
  assert.match(
    String((await scan()).refusal),
    /^libggml\.so needs libstdc\+\+ \(GLIBCXX\) 3\.4\.32/,
  );
});

const linux = process.platform === 'linux' && existsSync('/etc/ld.so.cache');
const notLinux = linux ? false : 'the C library of this machine is not looked at';

test('without being told, the versions of this machine count', { skip: notLinux }, async () => {
  const host: Host = { platform: 'linux', arch: 'x64' };
  writeNeedy({ 'libc.so.6': ['GLIBC_2.4'], 'libstdc++.so.6': ['GLIBCXX_3.4.9'] });
  assert.equal((await scan(host)).refusal, null);
  writeNeedy({ 'libc.so.6': ['GLIBC_9.1'] });
  assert.match(String((await scan(host)).refusal), /needs glibc 9\.1, but 2\.\d+/);
  writeNeedy({ 'libstdc++.so.6': ['GLIBCXX_9.9'] });
  assert.match(String((await scan(host)).refusal), /needs libstdc\+\+ \(GLIBCXX\) 9\.9, but 3\.4/);
});

test('a library that the loader will not find is named with its remedy', {
  skip: notLinux,
}, async () => {
  for (const [name, remedy] of [
    ['libcudart.so.99', /install the CUDA runtime of that version/],
    ['libnowhere.so.1', /install the package that has it/],
  ] as const) {
    writeLlama(join(root, 'libllama.so'), ['libc.so.6', name]);
    const { refusal } = await scan();
    assert.match(String(refusal), remedy);
    assert.ok(refusal?.startsWith(`libllama.so needs ${name}, which cannot be found`));
  }
});

test('it is looked for where the library and LD_LIBRARY_PATH say', { skip: notLinux }, async () => {
  mkdirSync(join(root, 'own'));
  mkdirSync(join(root, 'listed'));
  writeElf(join(root, 'own', 'libone.so'));
  writeElf(join(root, 'listed', 'libtwo.so'));
  const exports = llamaFunctions();
  const more = { exports, runpath: '$ORIGIN:$ORIGIN/own' };
  writeLlama(join(root, 'libllama.so'), ['libone.so', 'libtwo.so'], more);
  assert.match(String((await scan()).refusal), /needs libtwo\.so/);
  const env = { LD_LIBRARY_PATH: `/nowhere:${join(root, 'listed')}` };
  assert.equal((await scan({ ...here, env })).refusal, null);
});

test('what an accelerator’s backend lacks is noted, since the CPU computes without it', {
  skip: notLinux,
}, async () => {
  writeLlama(join(root, 'libllama.so'));
  writeElf(join(root, 'libggml-cuda.so'), ['libc.so.6', 'libcudart.so.99']);
  const { refusal, notes } = await scan();
  assert.equal(refusal, null);
  assert.equal(notes.length, 1);
  assert.match(notes[0]?.reason ?? '', /libggml-cuda\.so needs libcudart\.so\.99.*CUDA runtime/);
  assert.match(notes[0]?.reason_ja ?? '', /libcudart\.so\.99 が見つかりません/);
});
