import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readModelFiles, splitParts } from '../../src/models/model-files.js';
import {
  type GgufFile,
  ggufBytes,
  smallGguf,
  splitValues,
  withValues,
} from '../helpers/gguf-bytes.js';

let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'hoshikage-model-files-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

function save(name: string, file: GgufFile): string {
  const path = join(directory, name);
  writeFileSync(path, ggufBytes(file).file);
  return path;
}

const split = (index: number, count: number) => ({ split: { index, count, tensors: null } });

test('the parts of a split model are named after the first', () => {
  const paths = splitParts('/m/star-00001-of-00003.gguf', split(0, 3));
  assert.deepEqual(
    paths.map((path) => path.replaceAll('\\', '/')),
    [1, 2, 3].map((n) => `/m/star-0000${n}-of-00003.gguf`),
  );
  assert.deepEqual(splitParts('/m/a.gguf', { split: null }), ['/m/a.gguf']);
});

test('they cannot be told from another part, or from a name that does not count', () => {
  assert.throws(() => splitParts('/m/star-00002-of-00003.gguf', split(1, 3)), /first part/);
  assert.throws(() => splitParts('/m/star.gguf', split(0, 3)), { code: 'model_file_invalid' });
});

test('a later part need not say what model it is of, as tools that split write it', async () => {
  const { tensors = [] } = smallGguf();
  const [embeddings, ...others] = tensors;
  assert.ok(embeddings);
  const first = withValues(smallGguf({ tensors: others }), splitValues(0, 2, 3));
  const later = withValues({ values: [], tensors: [embeddings] }, splitValues(1, 2, 3));
  const path = save('star-00001-of-00002.gguf', first);
  save('star-00002-of-00002.gguf', later);
  const [one, two] = await readModelFiles(path);
  assert.equal(one.facts.architecture, 'llama');
  assert.equal(two?.facts.architecture, '');
  assert.equal(two?.facts.embeddingRows, 4);
});

test('the first part may have no tensors, since the others have', async () => {
  const empty = withValues(smallGguf({ tensors: [] }), splitValues(0, 2));
  const path = save('head-00001-of-00002.gguf', empty);
  const rest = { values: [], ...(smallGguf().tensors && { tensors: smallGguf().tensors }) };
  save('head-00002-of-00002.gguf', withValues(rest as GgufFile, splitValues(1, 2)));
  assert.equal((await readModelFiles(path)).length, 2);
});

test('a part that is not there is named', async () => {
  const path = save('alone-00001-of-00002.gguf', withValues(smallGguf(), splitValues(0, 2)));
  await assert.rejects(readModelFiles(path), {
    code: 'model_file_missing',
    details: { path: join(directory, 'alone-00002-of-00002.gguf') },
  });
});

test('a broken part is refused by its own name', async () => {
  const path = save('cut-00001-of-00002.gguf', withValues(smallGguf(), splitValues(0, 2)));
  const part = join(directory, 'cut-00002-of-00002.gguf');
  writeFileSync(part, 'GGUF');
  await assert.rejects(readModelFiles(path), (error: { code?: string; message?: string }) => {
    assert.equal(error.code, 'model_file_invalid');
    assert.ok(error.message?.includes(part));
    return true;
  });
});
