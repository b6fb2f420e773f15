/** Which libraries passed the canary: remembered by their files. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { recallProof, recordProof } from '../../src/library/proofs.js';

let root = '';
let cache = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'hoshikage-proofs-'));
  cache = join(root, 'cache');
});
afterEach(() => rmSync(root, { recursive: true }));

/** A libllama of its own in a directory of its own. */
function library(name: string): string {
  const directory = join(root, name);
  mkdirSync(directory);
  for (const file of ['libllama.so', 'libggml.so']) writeFileSync(join(directory, file), name);
  return join(directory, 'libllama.so');
}

test('a proof is remembered with its time and its mode, and leaves no other file', async () => {
  const path = library('one');
  assert.equal(await recallProof(cache, path), null);
  const before = Date.now();
  await recordProof(cache, path, { minimal: true });
  const proof = await recallProof(cache, path);
  assert.equal(proof?.minimal, true);
  assert.ok(proof.at >= before && proof.at <= Date.now());
  await recordProof(cache, path, { minimal: false });
  assert.equal((await recallProof(cache, path))?.minimal, false);
  assert.deepEqual(readdirSync(cache), ['library-proofs.json']);
});

test('a library whose files have changed is another one', async () => {
  const path = library('one');
  for (const file of ['libllama.so', 'libggml.so']) {
    await recordProof(cache, path, { minimal: false });
    utimesSync(join(root, 'one', file), 1, 1);
    assert.equal(await recallProof(cache, path), null, file);
  }
});

test('only the newest proofs are kept', async () => {
  const paths = Array.from({ length: 66 }, (_, i) => library(`lib${i}`));
  for (const path of paths) await recordProof(cache, path, { minimal: false });
  assert.equal(await recallProof(cache, paths[1] ?? ''), null);
  assert.ok(await recallProof(cache, paths[2] ?? ''));
});

test('a bare name cannot be proved', async () => {
  await assert.rejects(recordProof(cache, 'libllama.so', { minimal: false }), /bare name/);
  assert.equal(await recallProof(cache, 'libllama.so'), null);
});

test('a broken file holds no proof, and is replaced', async () => {
  const path = library('one');
  mkdirSync(cache);
  for (const text of [
    '',
    '{',
    '[]',
    '{"format":2,"proofs":[]}',
    '{"format":1,"proofs":[{"key":1},3]}',
  ]) {
    writeFileSync(join(cache, 'library-proofs.json'), text);
    assert.equal(await recallProof(cache, path), null);
  }
  await recordProof(cache, path, { minimal: false });
  assert.ok(await recallProof(cache, path));
});
