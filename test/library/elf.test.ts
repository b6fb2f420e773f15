import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readElf } from '../../src/library/elf.js';
import { elfImage, writeElf } from '../helpers/elf-file.js';

const directory = mkdtempSync(join(tmpdir(), 'hoshikage-elf-'));
after(() => rmSync(directory, { recursive: true }));
const path = join(directory, 'lib.so');

test('the needed libraries and the own name are read in order', async () => {
  writeElf(path, ['libggml.so', 'libc.so.6'], 'libllama.so.0');
  assert.deepEqual(await readElf(path), {
    needed: ['libggml.so', 'libc.so.6'],
    soname: 'libllama.so.0',
  });
});

test('a library without a name of its own has none', async () => {
  writeElf(path, ['libm.so.6']);
  assert.deepEqual(await readElf(path), { needed: ['libm.so.6'], soname: null });
});

test('what is no ELF file has no facts', async () => {
  for (const content of ['', 'MZ', '#!/bin/sh\necho hello to everybody\n', '\x7fELF']) {
    writeFileSync(path, content, 'latin1');
    assert.equal(await readElf(path), null);
  }
});

test('a file cut off anywhere gives null, never an exception', async () => {
  const image = elfImage(['libggml.so'], 'libllama.so');
  for (let length = 0; length < image.length; length += 1) {
    writeFileSync(path, image.subarray(0, length));
    assert.equal(await readElf(path), null, `cut at ${length}`);
  }
});

test('a damaged byte anywhere never throws', async () => {
  const image = elfImage(['libggml.so'], 'libllama.so');
  for (let at = 0; at < image.length; at += 1) {
    const damaged = Buffer.from(image);
    damaged[at] = 0xff;
    writeFileSync(path, damaged);
    const facts = await readElf(path);
    assert.ok(facts === null || Array.isArray(facts.needed), `byte ${at}`);
  }
});

test('a missing file is an error of its own', async () => {
  await assert.rejects(readElf(join(directory, 'none.so')), { code: 'ENOENT' });
});
