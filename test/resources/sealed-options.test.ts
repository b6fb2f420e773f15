import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Headers } from '../../src/models/headers.js';
import { sealedOptions } from '../../src/resources/sealed-options.js';
import { engineOptions } from '../helpers/engine-options.js';
import { ggufBytes, smallGguf, splitValues, withValues } from '../helpers/gguf-bytes.js';

let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'hoshikage-sealed-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

test('every part of a model and its draft model are looked at and sealed', async () => {
  const part = (index: number) => join(directory, `m-0000${index + 1}-of-00002.gguf`);
  for (const index of [0, 1]) {
    writeFileSync(part(index), ggufBytes(withValues(smallGguf(), splitValues(index, 2))).file);
  }
  const draft = join(directory, 'draft.gguf');
  writeFileSync(draft, ggufBytes(smallGguf()).file);
  const options = engineOptions({
    modelPath: part(0),
    speculation: { lookup: false, draftModelPath: draft, mostTokens: 4 },
  });
  const headers = new Headers();
  const { sealed = [], ...others } = await sealedOptions(options, headers);
  assert.deepEqual(others, options);
  assert.deepEqual(
    sealed.map(({ path }) => path),
    [part(0), part(1), draft],
  );
  for (const path of [part(1), draft]) {
    writeFileSync(path, 'GGUF');
    await assert.rejects(sealedOptions(options, headers), { code: 'model_file_invalid' });
  }
});
