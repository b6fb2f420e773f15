/** Which libraries passed the canary: remembered by their files. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { proofKey, recallProof, recordProof } from '../../src/library/proofs.js';

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

async function record(path: string, minimal = false): Promise<void> {
  await recordProof(cache, (await proofKey(path)) ?? assert.fail('no key'), { minimal });
}

test('a proof is remembered with its time and its mode, and leaves no other file', async () => {
  const path = library('one');
  assert.equal(await recallProof(cache, path), null);
  const before = Date.now();
  await record(path, true);
  const proof = await recallProof(cache, path);
  assert.equal(proof?.minimal, true);
  assert.ok(proof.at >= before && proof.at <= Date.now());
  await record(path);
  assert.equal((await recallProof(cache, path))?.minimal, false);
  assert.deepEqual(readdirSync(cache), ['library-proofs.json']);
});

test('a library whose files have changed is another one', async () => {
  const path = library('one');
  for (const file of ['libllama.so', 'libggml.so']) {
    await record(path);
    utimesSync(join(root, 'one', file), 1, 1);
    assert.equal(await recallProof(cache, path), null, file);
  }
});

test('a key taken before belongs to the files as they were then', async () => {
  const path = library('one');
  const key = (await proofKey(path)) ?? '';
  utimesSync(path, 1, 1);
  await recordProof(cache, key, { minimal: false });
  assert.notEqual(await proofKey(path), key);
  assert.equal(await recallProof(cache, path), null);
});

test('only the newest proofs are kept', async () => {
  const paths = Array.from({ length: 66 }, (_, i) => library(`lib${i}`));
  for (const path of paths) await record(path);
  assert.equal(await recallProof(cache, paths[1] ?? ''), null);
  assert.ok(await recallProof(cache, paths[2] ?? ''));
});

test('a bare name cannot be proved', async () => {
  assert.equal(await proofKey('libllama.so'), null);
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
  await record(path);
  assert.ok(await recallProof(cache, path));
});
