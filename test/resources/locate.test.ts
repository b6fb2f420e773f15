import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { HoshikageError, words } from '../../src/errors.js';
import { GUIDE_ID, guidePath } from '../../src/models/guide.js';
import { Headers } from '../../src/models/headers.js';
import { checkDraftModel, locateModel } from '../../src/resources/locate.js';
import { writeEncoder } from '../helpers/encoder-model.js';
import { ggufBytes, smallGguf } from '../helpers/gguf-bytes.js';
import { entry } from '../helpers/pool-settings.js';

const root = mkdtempSync(join(tmpdir(), 'hoshikage-locate-'));
after(() => rmSync(root, { recursive: true }));

test('an entry is loaded from its file', async () => {
  const path = join(root, 'a.gguf');
  writeFileSync(path, ggufBytes(smallGguf()).file);
  assert.equal(await locateModel({ ...entry('a'), path }, new Headers()), path);
});

test('a file that is not there, or holds no sound GGUF, is told before any load', async () => {
  const cut = join(root, 'cut.gguf');
  writeFileSync(cut, ggufBytes(smallGguf()).file.subarray(0, -1));
  const cases = [
    [join(root, 'none.gguf'), 'model_file_missing'],
    [root, 'model_file_invalid'],
    [cut, 'model_file_invalid'],
  ] as const;
  for (const [path, code] of cases) {
    await assert.rejects(locateModel({ ...entry('a'), path }, new Headers()), { code }, path);
  }
});

test('the built-in model is loaded from the package', async () => {
  const path = guidePath();
  const builtin = { ...entry(GUIDE_ID), origin: 'builtin', path } as const;
  assert.equal(await locateModel(builtin, new Headers()), path);
});

test('a draft model is refused by its name where it is unknown, gone, broken or cannot generate', async () => {
  const check = (path: string) => checkDraftModel(path, new Headers());
  const sound = join(root, 'draft.gguf');
  writeFileSync(sound, ggufBytes(smallGguf()).file);
  await check(sound);
  const encoder = join(root, 'encoder.gguf');
  await writeEncoder(encoder);
  const broken = join(root, 'broken.gguf');
  writeFileSync(broken, 'GGUF');
  for (const [path, reason] of [
    ['a-name', /no model has this name/],
    [join(root, 'gone.gguf'), /does not exist/],
    [broken, /Not a sound GGUF file/],
    [encoder, /only makes embeddings/],
  ] as const) {
    await assert.rejects(check(path), (error: unknown) => {
      assert.ok(error instanceof HoshikageError && error.code === 'draft_model_unusable');
      assert.ok(error.message.includes(path), error.message);
      assert.match(error.message, reason);
      assert.match(words(error.code, 'ja', error.details), /[ぁ-ん]/);
      return true;
    });
  }
});
