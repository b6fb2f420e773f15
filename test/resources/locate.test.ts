import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DEMO_ID, demoModelPath } from '../../src/models/demo.js';
import { locateModel } from '../../src/resources/locate.js';
import { entry } from '../helpers/pool-settings.js';

const root = mkdtempSync(join(tmpdir(), 'hoshikage-locate-'));
after(() => rmSync(root, { recursive: true }));

test('an entry is loaded from its file', async () => {
  const path = join(root, 'a.gguf');
  writeFileSync(path, 'GGUF');
  assert.equal(await locateModel({ ...entry('a'), path }, root), path);
});

test('a file that is not there, or is no file, is told before any load', async () => {
  for (const path of [join(root, 'none.gguf'), root]) {
    await assert.rejects(locateModel({ ...entry('a'), path }, root), {
      code: 'model_file_missing',
      details: { path },
    });
  }
});

test('the built-in model is made on first use', async () => {
  const path = demoModelPath(root);
  assert.ok(!existsSync(path));
  assert.equal(await locateModel({ ...entry(DEMO_ID), origin: 'builtin', path }, root), path);
  assert.ok(existsSync(path));
});
