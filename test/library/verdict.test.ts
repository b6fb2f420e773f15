import assert from 'node:assert/strict';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import {
  recallVerdict,
  rememberVerdict,
  type Verdict,
  verdictKey,
} from '../../src/library/verdict.js';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'hoshikage-verdict-'));
  for (const name of ['libllama.so', 'libggml.so', 'addon.node', 'other.txt']) {
    writeFileSync(join(root, name), name);
  }
});
afterEach(() => rmSync(root, { recursive: true }));

const refused: Verdict = {
  identity: null,
  error: { code: 'library_incompatible', details: { reason: 'too new' }, reason: 'too new' },
};

function key(abiText = 'abi', env: NodeJS.ProcessEnv = {}) {
  const ours = { abiText, addonPath: join(root, 'addon.node') };
  return verdictKey(join(root, 'libllama.so'), ours, env);
}

test('the key changes with the library, its siblings, our table, our addon and its variables', async () => {
  const first = await key();
  assert.equal(await key(), first);
  assert.equal(await key('abi', { HOME: '/home/x' }), first);
  const others = [await key('another abi'), await key('abi', { LD_LIBRARY_PATH: '/x' })];
  for (const name of ['libllama.so', 'libggml.so', 'addon.node']) {
    utimesSync(join(root, name), 1, others.length);
    others.push(await key());
  }
  assert.equal(new Set([first, ...others]).size, 6);
  const before = await key();
  utimesSync(join(root, 'other.txt'), 1, 1);
  assert.equal(await key(), before);
});

test('other bytes of the same size and time are another library', async () => {
  const path = join(root, 'libllama.so');
  utimesSync(path, 1, 1);
  const before = await key();
  writeFileSync(path, 'LIBLLAMA.SO');
  utimesSync(path, 1, 1);
  assert.notEqual(await key(), before);
});

test('a sibling’s link that leads nowhere is part of the key, and no reason to have none', async () => {
  const before = await key();
  symlinkSync(join(root, 'gone.so'), join(root, 'libggml-gone.so'));
  assert.notEqual(await key(), before);
});

test('a bare name has no key: nobody knows which file it will be', async () => {
  const ours = { abiText: '', addonPath: join(root, 'addon.node') };
  assert.equal(await verdictKey('libllama.so', ours, {}), null);
});

test('a verdict is remembered, also one against the library', async () => {
  const file = join(root, 'cache', 'verdicts.json');
  assert.equal(await recallVerdict(file, 'k'), null);
  await rememberVerdict(file, 'k', refused);
  assert.deepEqual(await recallVerdict(file, 'k'), refused);
  assert.equal(await recallVerdict(file, 'other'), null);
  assert.deepEqual(readdirSync(join(root, 'cache')), ['verdicts.json']);
});

test('only the newest verdicts are kept', async () => {
  const file = join(root, 'verdicts.json');
  for (let index = 0; index < 20; index += 1) await rememberVerdict(file, `k${index}`, refused);
  assert.equal(await recallVerdict(file, 'k0'), null);
  assert.deepEqual(await recallVerdict(file, 'k19'), refused);
});

test('a verdict of yesterday is not believed', async () => {
  const file = join(root, 'verdicts.json');
  await rememberVerdict(file, 'k', refused);
  const content = readFileSync(file, 'utf8');
  writeFileSync(file, content.replace(/"at":\d+/, `"at":${Date.now() - 25 * 60 * 60 * 1000}`));
  assert.equal(await recallVerdict(file, 'k'), null);
});

test('a broken cache is no cache, and is replaced', async () => {
  const file = join(root, 'verdicts.json');
  for (const content of ['', '{', '[]', '{"format":1,"verdicts":[{"key":"k"},3]}']) {
    writeFileSync(file, content);
    assert.equal(await recallVerdict(file, 'k'), null);
  }
  await rememberVerdict(file, 'k', refused);
  assert.deepEqual(await recallVerdict(file, 'k'), refused);
});
