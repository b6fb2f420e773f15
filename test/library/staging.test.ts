import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { makeStaging } from '../../src/library/staging.js';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'hoshikage-staging-'));
});
afterEach(() => rmSync(root, { recursive: true }));

test('what a dead process left is swept; what lives, and what others made, stays', async () => {
  const mine = await makeStaging(root, 'canary-');
  const dead = spawnSync(process.execPath, ['-e', '0']).pid;
  const named = (pid: number | string, prefix = 'canary-') =>
    join(root, prefix + basename(mine).slice('canary-'.length).replace(`${process.pid}`, `${pid}`));
  const left = named(dead);
  const stays = [named(dead, 'other-'), join(root, 'canary-of-a-bird'), mine];
  for (const path of [left, ...stays]) mkdirSync(path, { recursive: true });
  writeFileSync(join(left, 'model.gguf'), 'x');
  const elsewhere = left.replace(/canary-.{8}/, 'canary-00000000');
  mkdirSync(elsewhere);
  const next = await makeStaging(root, 'canary-');
  assert.equal(existsSync(left), false);
  const names = [...stays, elsewhere, next].map((path) => basename(path)).sort();
  assert.deepEqual(readdirSync(root).sort(), names);
});
