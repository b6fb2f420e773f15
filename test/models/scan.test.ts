import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { scanModels } from '../../src/models/scan.js';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hoshikage-scan-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function put(...names: string[]): void {
  for (const name of names) writeFileSync(join(directory, name), '');
}

const ids = async () => (await scanModels(directory)).entries.map(({ id }) => id);

describe('a scan of MODEL_DIR', () => {
  test('offers GGUF files under their stem, whatever the case of the extension', async () => {
    put('b.gguf', '星 影.GGUF', 'a.v1.Gguf', 'readme.txt', 'c.gguf.part', 'gguf');
    assert.deepEqual((await scanModels(directory)).entries, [
      entry('a.v1', 'a.v1.Gguf'),
      entry('b', 'b.gguf'),
      entry('星 影', '星 影.GGUF'),
    ]);
  });

  test('offers a split model once, by its first part, without the part number', async () => {
    put('big-00001-of-00002.gguf', 'big-00002-of-00002.gguf', 'lost-00003-of-00003.gguf');
    assert.deepEqual((await scanModels(directory)).entries, [
      entry('big', 'big-00001-of-00002.gguf'),
    ]);
  });

  test('leaves out hidden files, projectors and what lies deeper', async () => {
    mkdirSync(join(directory, 'deeper'));
    put('._a.gguf', '.gguf', 'mmproj-model-f16.gguf', 'deeper/b.gguf', 'a.gguf');
    assert.deepEqual(await ids(), ['a']);
  });

  test('follows links to files, and says why it skips what cannot be a model', async () => {
    put('real.gguf', 'same.gguf', 'same.GGUF', 'a\nb.gguf');
    symlinkSync(join(directory, 'real.gguf'), join(directory, 'link.gguf'));
    symlinkSync(join(directory, 'nowhere'), join(directory, 'dangling.gguf'));
    mkdirSync(join(directory, 'directory.gguf'));
    const { entries, skipped } = await scanModels(directory);
    assert.deepEqual(
      entries.map(({ id }) => id),
      ['link', 'real', 'same'],
    );
    assert.deepEqual(
      skipped.map(({ path }) => path.slice(directory.length + 1)),
      ['a\nb.gguf', 'dangling.gguf', 'directory.gguf', 'same.gguf'],
    );
    for (const { reason } of skipped) assert.ok(reason.length > 5);
  });

  test('of a directory that is not there finds nothing, of a file it fails', async () => {
    assert.deepEqual(await scanModels(join(directory, 'none')), { entries: [], skipped: [] });
    put('file');
    await assert.rejects(scanModels(join(directory, 'file')), { code: 'ENOTDIR' });
  });
});

function entry(id: string, name: string) {
  return { id, path: join(directory, name), stop: [], origin: 'scan', settings: {} };
}
