import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Headers } from '../../src/models/headers.js';
import { writeEncoder } from '../helpers/encoder-model.js';
import { ggufBytes, smallGguf, splitValues, withValues } from '../helpers/gguf-bytes.js';

test('a header is read once, and again when its file has changed or is gone', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'hoshikage-headers-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'a.gguf');
  const headers = new Headers();
  await assert.rejects(headers.read(path), { code: 'model_file_missing' });
  await writeEncoder(path, 1);
  const first = await headers.read(path);
  assert.equal(first.poolingType, 1);
  assert.equal(await headers.read(path), first);
  await writeEncoder(path, 2);
  assert.equal((await headers.read(path)).poolingType, 2);
  writeFileSync(path, 'GGUF but not for long');
  for (let count = 0; count < 2; count += 1) {
    await assert.rejects(headers.read(path), { code: 'model_file_invalid' });
  }
  rmSync(path);
  await assert.rejects(headers.read(path), { code: 'model_file_missing' });
});

test('only the last ones are remembered', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'hoshikage-headers-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const headers = new Headers();
  const paths = Array.from({ length: 65 }, (_, index) => join(directory, `${index}.gguf`));
  for (const path of paths) writeFileSync(path, ggufBytes(smallGguf()).file);
  const [first = '', second = ''] = paths;
  const [one, two] = [await headers.read(first), await headers.read(second)];
  assert.equal(await headers.read(first), one);
  for (const path of paths.slice(2)) await headers.read(path);
  assert.equal(await headers.read(first), one);
  assert.notEqual(await headers.read(second), two);
});

test('every part of a split model is looked at, and again when it has changed', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'hoshikage-headers-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const headers = new Headers();
  const part = (index: number) => join(directory, `m-0000${index + 1}-of-00002.gguf`);
  for (const index of [0, 1]) {
    writeFileSync(part(index), ggufBytes(withValues(smallGguf(), splitValues(index, 2))).file);
  }
  const files = await headers.files(part(0));
  assert.deepEqual(
    files.map(({ state }) => state.path),
    [part(0), part(1)],
  );
  assert.equal((await headers.files(part(0)))[1]?.facts, files[1]?.facts);
  writeFileSync(part(1), 'GGUF');
  await assert.rejects(headers.read(part(0)), { code: 'model_file_invalid' });
});
