import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { FolderRefused, PrivateFolder } from '../../src/folders/private-folder.js';
import { startChild } from '../helpers/child.js';
import { tryLock } from '../helpers/flock.js';
import { within } from '../helpers/waiting.js';

const isPosix = process.platform !== 'win32';
const isRoot = process.getuid?.() === 0;

let base = '';
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'hoshikage-folder-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const place = () => ({ base, kind: 'ramdisk', tryLock }) as const;
const parent = (): string => join(base, `hoshikage-${process.getuid?.() ?? 'user'}`);
const sweep = (adopt = false) => PrivateFolder.sweep(place(), { adopt });

/** A folder whose server has been killed while it had it. */
async function orphan(): Promise<string> {
  const child = startChild('folder-worker', [base, 'hold']);
  await child.saidLines(1);
  child.process.kill('SIGKILL');
  await child.ended;
  return child.lines[0] ?? '';
}

/** A folder that a server has left to be kept. */
async function leftToKeep(): Promise<string> {
  const child = startChild('folder-worker', [base, 'keep']);
  await child.ended;
  return child.lines[0] ?? '';
}

describe('a private folder', () => {
  test('is readable for its owner only, as is everything above it that is ours', async () => {
    const folder = await PrivateFolder.open(place());
    assert.equal(dirname(folder.path), parent());
    if (isPosix) {
      assert.equal(lstatSync(folder.path).mode & 0o777, 0o700);
      assert.equal(lstatSync(parent()).mode & 0o777, 0o700);
    }
    await folder.close();
  });

  test('goes with all that is in it, and leaves nothing in a place of others', async () => {
    writeFileSync(join(base, 'foreign.gguf'), 'not ours');
    const folder = await PrivateFolder.open(place());
    mkdirSync(join(folder.path, 'a'));
    writeFileSync(join(folder.path, 'a', 'b'), 'x');
    await folder.close();
    await folder.close();
    assert.deepEqual(readdirSync(base), ['foreign.gguf']);
  });

  test('goes with a process that ends in a hurry', async () => {
    const child = startChild('folder-worker', [base, 'exit']);
    await child.ended;
    assert.deepEqual(readdirSync(base), []);
  });

  test('is one of several where there are several servers, or several kinds', async () => {
    const folders = await Promise.all([
      PrivateFolder.open(place()),
      PrivateFolder.open(place()),
      PrivateFolder.open({ base, kind: 'states' }),
    ]);
    assert.equal(new Set(folders.map(({ path }) => path)).size, 3);
    await Promise.all(folders.map((folder) => folder.close()));
    assert.deepEqual(readdirSync(base), []);
  });

  test('is made while others come and go', async () => {
    const visit = async (): Promise<void> => {
      for (let round = 0; round < 10; round++) {
        await sweep();
        const folder = await PrivateFolder.open(place());
        assert.ok(existsSync(join(folder.path, 'manifest.json')));
        await folder.close();
      }
    };
    await Promise.all(Array.from({ length: 6 }, visit));
    assert.deepEqual(readdirSync(base), []);
  });

  test('makes its base only where it is told to', async () => {
    const deeper = join(base, 'x', 'y');
    await assert.rejects(PrivateFolder.open({ base: deeper, kind: 'states' }), { code: 'ENOENT' });
    const folder = await PrivateFolder.open({ base: deeper, kind: 'states', makeBase: true });
    assert.ok(existsSync(folder.path));
    await folder.close();
  });

  test('says so at once where its base cannot be made', async () => {
    const file = join(base, 'file');
    writeFileSync(file, '');
    // In /proc nothing can be made, not even by root.
    const bases = [
      join(file, 'x'),
      ...(process.platform === 'linux' ? ['/proc/x', '/proc/x/y'] : []),
    ];
    for (const impossible of bases) {
      const opening = PrivateFolder.open({ base: impossible, kind: 'states', makeBase: true });
      const refusal = within(opening, 10_000, `answer about ${impossible}`);
      await assert.rejects(refusal, { code: /^(ENOENT|ENOTDIR)$/ });
    }
  });
});

describe('the place of private folders', { skip: !isPosix && 'needs modes' }, () => {
  /** It is refused for making and for sweeping, and nothing below it has changed. */
  async function isRefused(why: RegExp): Promise<void> {
    const refusal = (error: unknown) => error instanceof FolderRefused && why.test(error.message);
    await assert.rejects(PrivateFolder.open(place()), refusal);
    await assert.rejects(sweep(), refusal);
  }

  test('is refused where others could read it', async () => {
    mkdirSync(parent(), { mode: 0o755 });
    chmodSync(parent(), 0o755);
    await isRefused(/0700/);
    assert.deepEqual(readdirSync(parent()), []);
  });

  test('is refused where it is a link, wherever that leads', async () => {
    const elsewhere = join(base, 'elsewhere');
    mkdirSync(elsewhere, { mode: 0o700 });
    mkdirSync(join(elsewhere, `ramdisk-${'0'.repeat(16)}`), { mode: 0o700 });
    symlinkSync(elsewhere, parent());
    await isRefused(/not a directory/);
    assert.equal(readdirSync(elsewhere).length, 1);
  });

  test('is refused where it is a file', async () => {
    writeFileSync(parent(), '');
    await isRefused(/not a directory/);
  });

  test('is refused where it belongs to somebody else', {
    skip: !isRoot && 'needs root',
  }, async () => {
    mkdirSync(parent(), { mode: 0o700 });
    chownSync(parent(), 12_345, 12_345);
    await isRefused(/0700/);
  });

  test('is refused where others may exchange it', async () => {
    mkdirSync(parent(), { mode: 0o700 });
    chmodSync(base, 0o777);
    await isRefused(/sticky/);
    chmodSync(base, 0o1777);
    const folder = await PrivateFolder.open(place());
    await folder.close();
  });

  test('is refused where its base is another user', { skip: !isRoot && 'needs root' }, async () => {
    mkdirSync(parent(), { mode: 0o700 });
    chownSync(base, 12_345, 12_345);
    await isRefused(/another user/);
  });
});

describe('a sweep', () => {
  test('makes nothing where there is nothing', async () => {
    assert.equal(await sweep(true), null);
    assert.deepEqual(readdirSync(base), []);
    await PrivateFolder.sweep({ base: join(base, 'none'), kind: 'ramdisk' }, { adopt: true });
  });

  test('removes what a killed server left, and nothing of a living one', async () => {
    const living = await PrivateFolder.open(place());
    const dead = await orphan();
    assert.ok(existsSync(dead));
    await sweep();
    assert.deepEqual(readdirSync(parent()), [basename(living.path)]);
    await living.close();
    assert.deepEqual(readdirSync(base), []);
  });

  test('believes the lock, not the number of a process', async () => {
    const living = await PrivateFolder.open(place());
    const manifest = join(living.path, 'manifest.json');
    const said = JSON.parse(readFileSync(manifest, 'utf8'));
    // As a server in a container says it: here, that number is nobody.
    said.server.pid = 2 ** 22 + 1;
    writeFileSync(manifest, JSON.stringify(said));
    await sweep();
    assert.ok(existsSync(living.path));
    const dead = await orphan();
    const other = JSON.parse(readFileSync(join(dead, 'manifest.json'), 'utf8'));
    // The number is used again: by this very process.
    other.server = { ...said.server, pid: process.pid };
    writeFileSync(join(dead, 'manifest.json'), JSON.stringify(other));
    await sweep();
    assert.equal(existsSync(dead), false);
    await living.close();
  });

  test('touches nothing that it does not know', async () => {
    const dead = await orphan();
    const foreign = ['ramdisk-short', 'notes', '.new-x', `other-${'0'.repeat(16)}`];
    for (const name of foreign) mkdirSync(join(parent(), name), { mode: 0o700 });
    writeFileSync(join(parent(), `ramdisk-${'1'.repeat(16)}`), 'a file');
    const target = join(base, 'target');
    mkdirSync(target);
    writeFileSync(join(target, 'precious'), '');
    symlinkSync(target, join(parent(), `ramdisk-${'2'.repeat(16)}`));
    await PrivateFolder.sweep({ base, kind: 'states' }, { adopt: false });
    assert.ok(existsSync(dead), 'of another kind');
    await sweep();
    const left = [...foreign, `ramdisk-${'1'.repeat(16)}`, `ramdisk-${'2'.repeat(16)}`];
    assert.deepEqual(readdirSync(parent()).sort(), left.sort());
    assert.ok(existsSync(join(target, 'precious')));
  });

  test('leaves a folder alone that is just being made, and removes one that never was', async () => {
    const open = await PrivateFolder.open(place());
    const making = join(parent(), `.new-ramdisk-${'3'.repeat(16)}`);
    mkdirSync(making, { mode: 0o700 });
    await sweep();
    assert.ok(existsSync(making));
    const leaving = join(parent(), `.old-ramdisk-${'4'.repeat(16)}`);
    mkdirSync(leaving, { mode: 0o700 });
    await sweep();
    assert.equal(existsSync(leaving), false);
    await open.close();
  });
});

describe('a folder that was left to be kept', () => {
  test('is taken over with its content by the next server, under a new name', async () => {
    const left = await leftToKeep();
    const adopted = await sweep(true);
    assert.ok(adopted);
    assert.notEqual(adopted.path, left);
    assert.equal(existsSync(left), false);
    assert.equal(readFileSync(join(adopted.path, 'content'), 'utf8'), 'keep');
    assert.deepEqual(adopted.inherited, { said: 'keep' });
    // It is ours now: no other server takes or sweeps it.
    assert.equal(await sweep(true), null);
    assert.ok(existsSync(adopted.path));
    await adopted.close();
    assert.deepEqual(readdirSync(base), []);
  });

  test('is had by one of the servers that want it', async () => {
    await leftToKeep();
    const all = await Promise.all(Array.from({ length: 8 }, () => sweep(true)));
    const adopted = all.filter((one) => one !== null);
    assert.equal(adopted.length, 1);
    await adopted[0]?.close();
    assert.deepEqual(readdirSync(base), []);
  });

  test('goes where the next server keeps nothing, and where there is a newer one', async () => {
    await leftToKeep();
    assert.equal(await sweep(false), null);
    assert.deepEqual(readdirSync(base), []);
    const [older, newer] = [await leftToKeep(), await leftToKeep()];
    utimesSync(join(older, 'manifest.json'), 1000, 1000);
    writeFileSync(join(newer, 'content'), 'newer');
    const adopted = await sweep(true);
    assert.equal(readFileSync(join(adopted?.path ?? '', 'content'), 'utf8'), 'newer');
    assert.deepEqual(readdirSync(parent()), [basename(adopted?.path ?? '')]);
    await adopted?.close();
  });
});

describe('where there is no flock', () => {
  // fs-ext may be there, so the manifest says it: what such a place would have written.
  async function withoutLock(change: object): Promise<string> {
    const dead = await orphan();
    const manifest = join(dead, 'manifest.json');
    const said = JSON.parse(readFileSync(manifest, 'utf8'));
    const server = { ...said.server, ...change };
    writeFileSync(manifest, JSON.stringify({ ...said, flock: false, server }));
    return dead;
  }

  test('the process decides: one that has ended, also where its number is used again', async () => {
    const folders = [await withoutLock({}), await withoutLock({ pid: process.pid })];
    await sweep();
    assert.deepEqual(folders.map(existsSync), [false, false]);
  });

  test('what cannot be told is left alone', { skip: process.platform !== 'linux' }, async () => {
    const folders = [
      await withoutLock({ host: 'another' }),
      await withoutLock({ pidNamespace: 'pid:[1]' }),
    ];
    const self = await PrivateFolder.open(place());
    const me = JSON.parse(readFileSync(join(self.path, 'manifest.json'), 'utf8')).server;
    folders.push(await withoutLock(me));
    await sweep();
    assert.deepEqual(folders.map(existsSync), [true, true, true]);
    await self.close();
  });

  test('another boot of this machine ends them all', {
    skip: process.platform !== 'linux',
  }, async () => {
    const dead = await withoutLock({ pid: process.pid, bootId: 'an earlier one' });
    await sweep();
    assert.equal(existsSync(dead), false);
  });
});
