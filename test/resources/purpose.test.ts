import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readGguf } from '../../src/models/gguf.js';
import { purposeOf } from '../../src/resources/purpose.js';
import { writeEncoder } from '../helpers/encoder-model.js';

test('a model generates unless its file says that it pools its tokens', () => {
  for (const poolingType of [null, 0]) {
    assert.equal(purposeOf({ architecture: 'llama', poolingType }), 'generate');
  }
  for (const poolingType of [1, 2, 3, 4]) {
    assert.equal(purposeOf({ architecture: 'qwen3', poolingType }), 'embed');
  }
});

test('an encoder only makes embeddings, whether it names a pooling or not', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'hoshikage-purpose-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (const pooling of [undefined, 0, 1]) {
    const path = join(directory, `encoder-${pooling}.gguf`);
    await writeEncoder(path, pooling);
    assert.equal((await readGguf(path)).poolingType, pooling ?? null);
    assert.equal(purposeOf(await readGguf(path)), 'embed');
  }
});
