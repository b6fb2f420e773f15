/** The gate between what a server lists and the file system. */
import assert from 'node:assert/strict';
import { sep } from 'node:path';
import { test } from 'node:test';
import { fileUrl, hubName } from '../../src/pull/hub.js';
import { nameProblem, pathBelow } from '../../src/pull/names.js';
import { aliasOf, hubFiles, urlFiles } from '../../src/pull/plan.js';
import type { HubSource } from '../../src/pull/source.js';

test('names that any system reads as more than a name are refused', () => {
  for (const name of [
    ...['', '.', '..', '...', '.hidden', ' a', 'a ', 'a.', '-rf'],
    ...['a/b', 'a\\b', 'c:', 'a*b', 'a?b', 'a"b', 'a<b', 'a|b', 'a:stream'],
    ...['a\0b', 'a\nb', 'a\u001b[2Jb', 'a\u202eb', 'a\u200bb', 'a\ud800b', 'a\u2028b'],
    ...['con', 'CON.gguf', 'nul', 'Aux.tar.gz', 'com1.gguf', 'LPT9', 'com¹', 'conin$'],
    'x'.repeat(201),
    '星'.repeat(70),
  ]) {
    assert.ok(nameProblem(name), JSON.stringify(name));
  }
});

test('names of models are none of these', () => {
  for (const name of [
    ...['model-Q4_K_M.gguf', 'LFM2.5-1.2B-JP-Q8_0.gguf', 'モデル.gguf', 'a b.gguf', '_x.gguf'],
    ...['console.gguf', 'com10.gguf', 'a-00001-of-00002.gguf', "it's (1).gguf", 'a..b.gguf'],
  ]) {
    assert.equal(nameProblem(name), null, name);
  }
});

test('a path is below its root, or there is none', () => {
  assert.ok(
    pathBelow('/models', ['a', 'b', 'c.gguf']).endsWith(['', 'a', 'b', 'c.gguf'].join(sep)),
  );
  for (const names of [[], ['..', 'x'], ['a', '..', '..', 'x'], ['a', ''], Array(9).fill('a')]) {
    assert.throws(() => pathBelow('/models', names), { code: 'pull_invalid' }, String(names));
  }
});

const SOURCE: HubSource = {
  ...{ kind: 'hub', owner: 'owner', repository: 'repo', revision: 'main' },
  ...{ quantisation: null, file: null, known: null },
};
const PLACES = { modelDir: '/models', dir: null };
const LISTING = { commit: '0'.repeat(40), files: [], licence: null };

test('a file of a repository lies below its owner and name, or right in the folder that was chosen', () => {
  const offer = {
    quantisation: 'Q8_0',
    bytes: 2,
    files: [1, 2].map((part) => ({
      path: `Q8_0/m-0000${part}-of-00002.gguf`,
      size: 1,
      sha256: null,
    })),
  };
  const files = hubFiles('https://hub.example', SOURCE, LISTING, offer, PLACES);
  assert.deepEqual(
    files.map(({ target, url }) => [target.split(sep).join('/'), url.href]),
    [1, 2].map((part) => [
      `/models/owner/repo/Q8_0/m-0000${part}-of-00002.gguf`,
      `https://hub.example/owner/repo/resolve/${'0'.repeat(40)}/Q8_0/m-0000${part}-of-00002.gguf`,
    ]),
  );
  const [chosen] = hubFiles('https://hub.example', SOURCE, LISTING, offer, {
    ...PLACES,
    dir: '/d',
  });
  assert.equal(chosen?.target.split(sep).join('/'), '/d/m-00001-of-00002.gguf');
  assert.equal(chosen && aliasOf(chosen), 'm');
});

test('a listing cannot lead out of the folder, nor make the address of something else', () => {
  for (const path of [
    '../../evil.gguf',
    'a/../../../b.gguf',
    '/etc/x.gguf',
    'a\\..\\b.gguf',
    'C:/x.gguf',
  ]) {
    const offer = { quantisation: null, bytes: 1, files: [{ path, size: 1, sha256: null }] };
    for (const dir of [null, '/chosen']) {
      assert.throws(
        () => hubFiles('https://hub.example', SOURCE, LISTING, offer, { ...PLACES, dir }),
        { code: 'pull_invalid' },
        path,
      );
    }
  }
  const odd = fileUrl('https://hub.example', SOURCE, 'c', 'a b/#?%.gguf');
  assert.equal(odd.href, 'https://hub.example/owner/repo/resolve/c/a%20b/%23%3F%25.gguf');
  assert.equal(hubName(SOURCE, 'https://hub.example').page, 'https://hub.example/owner/repo');
});

test('a file at an address lies below its host; the first part of a split model brings the others', () => {
  const one = urlFiles(new URL('http://[::1]:80/a/m.gguf?key=1'), null, PLACES);
  assert.deepEqual(
    one.map(({ target }) => target.split(sep).join('/')),
    ['/models/___1_/m.gguf'],
  );
  const parts = urlFiles(new URL('https://a.example/x/m-00001-of-00003.gguf?key=1'), null, PLACES);
  assert.deepEqual(
    parts.map(({ url }) => url.href),
    [1, 2, 3].map((part) => `https://a.example/x/m-0000${part}-of-00003.gguf?key=1`),
  );
  const refused = (text: string, sha256: string | null, code: string): void =>
    assert.throws(() => urlFiles(new URL(text), sha256, PLACES), { code }, text);
  refused('https://a.example/x/m-00001-of-00003.gguf', 'f'.repeat(64), 'usage');
  refused('https://a.example/x/m.bin', null, 'usage');
  refused('https://a.example/x/%E0%A4%A.gguf', null, 'usage');
  refused('https://a.example/x/..%2f..%2fm.gguf', null, 'pull_invalid');
  refused('https://a.example/x/.gguf', null, 'pull_invalid');
  refused('https://a.example/x/nul.gguf', null, 'pull_invalid');
});
