import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { findLibrary } from '../../src/library/find.js';
import { LibraryStore } from '../../src/library/store.js';
import { startChild } from '../helpers/child.js';

const isWindows = process.platform === 'win32';
const isLinux = process.platform === 'linux';

let root = '';
let libDir = '';
let store: LibraryStore;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'hoshikage-store-')));
  libDir = join(root, 'lib');
  store = new LibraryStore(libDir, { platform: 'linux' });
});
afterEach(() => rmSync(root, { recursive: true }));

function file(...parts: string[]): string {
  const path = join(root, ...parts);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, 'x'.repeat(10));
  return path;
}

const manifest = {
  variant: 'cpu',
  version: '1.2.3',
  packages: [{ name: '@node-llama-cpp/linux-x64', integrity: 'sha512-x' }],
  files: ['libllama.so', 'libggml.so'],
};

/** An installation as `lib install` makes it. */
async function install(id: string): Promise<string> {
  const staged = await store.stage();
  for (const name of manifest.files) writeFileSync(join(staged, name), 'library');
  const { dir } = await store.place(staged, id, manifest);
  return dir;
}

function find() {
  const { platform, arch } = { platform: 'linux', arch: 'x64' } as const;
  return findLibrary({ libPath: null, libDir, platform, arch, searchPath: '', packageRoots: [] });
}

test('what is installed has an id, wherever it came from', async () => {
  await install('cpu-1.2.3');
  file('lib', 'mine', 'build', 'bin', 'libllama.so');
  const elsewhere = file('build', 'bin', 'libllama.so.0');
  const { id } = await store.link(dirname(elsewhere));
  assert.match(id, /^bin-[0-9a-f]{8}$/);
  const list = await store.list();
  assert.deepEqual(
    list.map((one) => [one.id, one.source, one.path, one.version]),
    [
      [id, 'link', elsewhere, undefined],
      ['cpu-1.2.3', 'npm', join(libDir, 'cpu-1.2.3', 'libllama.so'), '1.2.3'],
      ['mine', 'user', join(libDir, 'mine', 'build', 'bin', 'libllama.so'), undefined],
    ],
  );
  const [, npm, user] = list;
  assert.ok(npm && npm.sizeBytes > 14 && npm.installedAt);
  assert.equal(user?.sizeBytes, 10);
});

test('directories that hold no libllama, hidden ones and loose files are not installed', async () => {
  file('lib', 'notes', 'readme.txt');
  file('lib', '.hidden', 'libllama.so');
  file('lib', 'default', 'libllama.so');
  file('lib', 'two words', 'libllama.so');
  file('lib', 'libllama.so');
  assert.deepEqual(await store.list(), []);
});

test('an id is a name and never a path', async () => {
  file('outside', 'libllama.so');
  file('lib', 'good', 'libllama.so');
  for (const id of ['../outside', 'good/../good', '..', '.', '', '/etc', 'good/', 'a\\b', 'a\0b']) {
    assert.equal(await store.get(id), null, id);
    await assert.rejects(store.activate(id), { code: 'library_unknown' });
    await assert.rejects(store.remove(id), { code: 'library_unknown' });
  }
  assert.deepEqual(readdirSync(libDir).sort(), ['active.json.lock', 'good']);
});

test('the same path is linked once, and a path inside an installed one is that one', async () => {
  const dir = await install('cpu-1.2.3');
  const first = await store.link(file('build', 'libllama.so'));
  const again = await store.link(join(root, 'build'));
  assert.deepEqual([first.created, again.created, again.id], [true, false, first.id]);
  const inside = await store.link(join(dir, 'libllama.so'));
  assert.deepEqual(inside, { id: 'cpu-1.2.3', created: false });
  await assert.rejects(store.link(join(root, 'nothing')), { code: 'library_not_found' });
});

test('a link follows its target: a new build is used, a missing one is known to be missing', async () => {
  const path = file('build', 'libllama.so');
  const { id } = await store.link(dirname(path));
  rmSync(path);
  assert.equal((await store.get(id))?.path, null);
  const newer = file('build', 'libllama.so.0.6.0');
  assert.equal((await store.get(id))?.path, newer);
});

test('the choice is remembered with the one before it', async () => {
  await install('one');
  await install('two');
  assert.deepEqual(await store.active(), { active: null });
  await store.activate('one');
  await store.activate('two', { minimal: true });
  const one = { id: 'one', minimal: false };
  assert.deepEqual(await store.active(), { active: { id: 'two', minimal: true }, previous: one });
  // Choosing the same again is no step back.
  await store.activate('two');
  assert.deepEqual(await store.active(), { active: { id: 'two', minimal: false }, previous: one });
  await store.activate(null);
  assert.deepEqual(await store.active(), {
    active: null,
    previous: { id: 'two', minimal: false },
  });
  assert.deepEqual(
    readdirSync(libDir).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

test('many processes choose at the same time, and the file is always whole', async () => {
  const ids = ['a', 'b', 'c', 'd'];
  for (const id of ids) await install(id);
  const ended = ids.map((id) => startChild('store-worker', [libDir, id]).ended);
  for (const end of await Promise.all(ended)) assert.equal(end.code, 0);
  const { active, previous } = await store.active();
  assert.ok(active && ids.includes(active.id));
  assert.ok(previous && previous.id !== active.id);
});

test('the chosen one is found before loose files; without a choice they are', async () => {
  const loose = file('lib', 'libllama.so');
  await install('cpu-1.2.3');
  assert.equal((await find()).path, loose);
  await store.activate('cpu-1.2.3', { minimal: true });
  const found = await find();
  assert.deepEqual(
    [found.path, found.origin, found.choice],
    [join(libDir, 'cpu-1.2.3', 'libllama.so'), 'active', { id: 'cpu-1.2.3', minimal: true }],
  );
  await store.activate(null);
  assert.equal((await find()).origin, 'config');
});

test('a choice that cannot be followed is an error with a remedy, never another library', async () => {
  file('lib', 'libllama.so');
  const dir = await install('cpu-1.2.3');
  await store.activate('cpu-1.2.3');
  rmSync(dir, { recursive: true });
  await assert.rejects(find(), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'library_not_found');
    return /cpu-1\.2\.3 is not installed any more.*lib use/.test(error.message);
  });
  for (const text of [
    '{',
    '[]',
    '{"format":2,"active":null}',
    '{"format":1,"active":{"id":"../x"}}',
  ]) {
    writeFileSync(join(libDir, 'active.json'), text);
    await assert.rejects(find(), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'library_not_found');
      return error.message.includes(join(libDir, 'active.json'));
    });
  }
  // Choosing anew mends it.
  await install('two');
  await store.activate('two');
  assert.equal((await find()).choice?.id, 'two');
});

test('an installation never takes the place of anything', async () => {
  const dir = await install('cpu-1.2.3');
  file('lib', 'mine', 'notes.txt');
  writeFileSync(join(dir, 'libllama.so'), 'changed');
  for (const id of ['cpu-1.2.3', 'mine']) {
    await assert.rejects(install(id), { code: 'library_exists' });
  }
  assert.equal(readFileSync(join(dir, 'libllama.so'), 'utf8'), 'changed');
  assert.deepEqual(readdirSync(join(libDir, 'mine')), ['notes.txt']);
});

test('removing deletes what was installed or linked, and nothing else', async () => {
  const dir = await install('cpu-1.2.3');
  const target = file('build', 'libllama.so');
  const { id } = await store.link(target);
  file('lib', 'mine', 'libllama.so');
  assert.equal(await store.remove('cpu-1.2.3'), true);
  assert.equal(await store.remove(id), true);
  await assert.rejects(store.remove('mine'), { code: 'library_not_ours' });
  assert.ok(existsSync(target) && !existsSync(dir));
  assert.deepEqual(
    (await store.list()).map((one) => one.id),
    ['mine'],
  );
});

test('files that somebody added stay, and so does their directory', async () => {
  const dir = await install('cpu-1.2.3');
  writeFileSync(join(dir, 'mine.txt'), 'mine');
  assert.equal(await store.remove('cpu-1.2.3'), false);
  assert.deepEqual(readdirSync(dir), ['mine.txt']);
});

test('a manifest that names files elsewhere deletes none of them', async () => {
  const dir = await install('cpu-1.2.3');
  const outside = file('precious.txt');
  const near = file('lib', 'near.txt');
  const facts = JSON.parse(readFileSync(join(dir, 'installed.json'), 'utf8'));
  const files = ['../../precious.txt', '../near.txt', outside, 'libllama.so'];
  writeFileSync(join(dir, 'installed.json'), JSON.stringify({ ...facts, files }));
  await store.remove('cpu-1.2.3');
  assert.ok(existsSync(outside) && existsSync(near));
  assert.deepEqual(readdirSync(dir), ['libggml.so']);
});

test('an installation of another place is not deleted through a link to it', async () => {
  const other = new LibraryStore(join(root, 'others'), { platform: 'linux' });
  const staged = await other.stage();
  for (const name of manifest.files) writeFileSync(join(staged, name), 'library');
  const { dir } = await other.place(staged, 'cpu-1.2.3', manifest);
  mkdirSync(libDir);
  symlinkSync(dir, join(libDir, 'cpu-1.2.3'));
  assert.equal((await store.get('cpu-1.2.3'))?.source, 'user');
  await assert.rejects(store.remove('cpu-1.2.3'), { code: 'library_not_ours' });
  assert.equal(readdirSync(dir).length, 3);
});

test('a copy of an installation under another name is its user’s', async () => {
  const dir = await install('cpu-1.2.3');
  const copy = join(libDir, 'mine');
  cpSync(dir, copy, { recursive: true });
  writeFileSync(join(copy, 'libllama.so'), 'built by hand');
  const found = await store.get('mine');
  assert.deepEqual([found?.source, found?.path], ['user', join(copy, 'libllama.so')]);
  await assert.rejects(store.remove('mine'), { code: 'library_not_ours' });
  assert.equal(readFileSync(join(copy, 'libllama.so'), 'utf8'), 'built by hand');
});

test('files behind a linked subdirectory stay, and so does the link', async () => {
  const precious = file('elsewhere', 'libggml-cuda.so');
  const staged = await store.stage();
  mkdirSync(join(staged, 'fallback'));
  const files = ['libllama.so', 'fallback/libggml-cuda.so'];
  for (const name of files) writeFileSync(join(staged, name), 'library');
  const { dir } = await store.place(staged, 'cuda-1.2.3', { ...manifest, files });
  rmSync(join(dir, 'fallback'), { recursive: true });
  symlinkSync(dirname(precious), join(dir, 'fallback'));
  assert.equal(await store.remove('cuda-1.2.3'), false);
  assert.ok(existsSync(precious));
  assert.deepEqual(readdirSync(dir), ['fallback']);
});

test('what is only ours is out of sight before its first file goes', {
  skip: !isLinux,
}, async () => {
  const dir = await install('cpu-1.2.3');
  const watcher = watch(dir);
  try {
    const first = once(watcher, 'change', { signal: AbortSignal.timeout(10_000) });
    assert.equal(await store.remove('cpu-1.2.3'), true);
    // The directory's own name: it was moved, and still held everything.
    assert.deepEqual(await first, ['rename', 'cpu-1.2.3']);
  } finally {
    watcher.close();
  }
  assert.deepEqual(readdirSync(libDir).sort(), ['active.json.lock']);
});

test('nothing is removed while nobody can tell what is chosen', async () => {
  const dir = await install('one');
  const active = join(libDir, 'active.json');
  writeFileSync(active, '{');
  await assert.rejects(store.remove('one'), { code: 'library_not_found' });
  rmSync(active);
  mkdirSync(active);
  await assert.rejects(store.remove('one'), { code: 'library_not_found' });
  assert.equal(readdirSync(dir).length, 3);
});

test('a choice that cannot even be read is never replaced, and says what to do', async () => {
  await install('one');
  const active = join(libDir, 'active.json');
  mkdirSync(active);
  await assert.rejects(store.activate('one'), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'library_not_found');
    return /active\.json cannot be read: .*permissions/.test(error.message);
  });
});

test('a pipe in the place of a file makes nobody wait', { skip: isWindows }, async () => {
  const dir = await install('one');
  execFileSync('mkfifo', [join(libDir, 'active.json')]);
  await assert.rejects(store.active(), /not a regular file/);
  await assert.rejects(store.activate('one'), { code: 'library_not_found' });
  rmSync(join(dir, 'installed.json'));
  execFileSync('mkfifo', [join(dir, 'installed.json'), join(dir, 'link.json')]);
  assert.equal((await store.get('one'))?.source, 'user');
});

test('the chosen one cannot be removed; removing the one before it leaves nothing to go back to', async () => {
  await install('one');
  await install('two');
  await store.activate('one');
  await store.activate('two');
  await assert.rejects(store.remove('two'), { code: 'library_in_use' });
  await store.remove('one');
  assert.deepEqual(await store.active(), { active: { id: 'two', minimal: false } });
});

test('what a killed installation left is swept by the next one; a running one’s is not', async () => {
  const ours = await store.stage();
  const [, host = ''] = /\.tmp-([0-9a-f]{8})-/.exec(ours) ?? [];
  const dead = join(libDir, `.tmp-${host}-4194304-00000000`);
  const running = join(libDir, `.tmp-${host}-${process.ppid}-00000000`);
  const foreign = join(libDir, '.tmp-00000000-1-00000000');
  const old = join(libDir, '.tmp-00000000-1-11111111');
  const similar = join(libDir, '.tmp-mine');
  for (const path of [dead, running, foreign, old, similar]) {
    mkdirSync(path);
    writeFileSync(join(path, 'part'), 'x');
  }
  symlinkSync(root, join(libDir, `.tmp-${host}-4194304-22222222`));
  utimesSync(old, 0, 0);
  await store.stage();
  assert.deepEqual(
    [dead, running, foreign, old, similar, ours].map((path) => existsSync(path)),
    [false, true, true, false, true, true],
  );
  assert.ok(existsSync(root));
});

test('a directory that cannot be written is said to be so', async () => {
  writeFileSync(libDir, 'a file');
  await assert.rejects(store.stage(), { code: 'library_unwritable' });
  await assert.rejects(store.activate(null), { code: 'library_unwritable' });
});
