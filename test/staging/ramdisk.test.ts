import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { isInMemory, spaceAt } from '../../src/folders/space.js';
import { RamDisk, type RamDiskInput } from '../../src/staging/ramdisk.js';
import type { RamDiskSettings } from '../../src/staging/ramdisk-types.js';
import { startChild } from '../helpers/child.js';
import { tryLock } from '../helpers/flock.js';
import {
  copiesBelow,
  digestOf,
  eventKeeper,
  MIB,
  modelsBelow,
  ramdiskSettings,
  writeModel,
} from '../helpers/ramdisk-files.js';
import { recordingLog } from '../helpers/recording-log.js';
import { until } from '../helpers/waiting.js';

const isRoot = process.getuid?.() === 0;
const SLOW = { bytes: 100 * MIB, ms: 1000, readBytes: 100 * MIB };

let root = '';
let base = '';
let log = recordingLog();
let events = eventKeeper();
const open: RamDisk[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'hoshikage-ramdisk-'));
  base = join(root, 'shm');
  mkdirSync(base);
  log = recordingLog();
  events = eventKeeper();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()));
  rmSync(root, { recursive: true, force: true });
});

function ramdisk(
  settings: Partial<RamDiskSettings> = {},
  more: Partial<RamDiskInput> = {},
): RamDisk {
  const all = ramdiskSettings(base, settings);
  const one = RamDisk.open({ settings: all, asked: false, log, events, tryLock, ...more });
  open.push(one);
  return one;
}

const model = (name: string, bytes = MIB, seed = 1): string =>
  writeModel(join(root, `${name}.gguf`), bytes, seed);
const states = (): string[] => events.told.map(({ state }) => state);
const warnings = () => log.records.filter(({ level }) => level === 'warn');
/** The events after this many of a state. */
const untilTold = (state: string, count = 1) =>
  until(`${count} copies ${state}`, () => states().filter((one) => one === state).length >= count);

/** Has a copy made, and gives its path. */
async function copied(disk: RamDisk, source: string): Promise<string> {
  const before = states().filter((one) => one === 'done').length;
  disk.loaded(source, SLOW);
  await untilTold('done', before + 1);
  return disk.pathFor(source);
}

describe('a model on the RAM disk', () => {
  test('is loaded from its own file first, then from a copy in a folder of our own', async () => {
    const source = model('a', 9 * MIB);
    const disk = ramdisk();
    assert.equal(await disk.pathFor(source), source);
    const path = await copied(disk, source);
    assert.ok(path.startsWith(join(base, `hoshikage-${process.getuid?.()}`)), path);
    assert.equal(basename(path), 'a.gguf');
    assert.equal(digestOf(path), digestOf(source));
    assert.equal(lstatSync(path).mode & 0o777, 0o600);
    // A copy's time is set in whole milliseconds.
    const [copy, own] = [lstatSync(path).mtimeMs, lstatSync(source).mtimeMs];
    assert.ok(Math.abs(copy - own) <= 1, `${copy} is ${own}`);
    assert.deepEqual(states(), ['started', 'done']);
    assert.deepEqual(warnings(), []);
  });

  test('is copied once, however often it is loaded meanwhile', async () => {
    const source = model('a', 9 * MIB);
    const disk = ramdisk();
    for (let i = 0; i < 5; i++) disk.loaded(source, SLOW);
    await untilTold('done');
    disk.loaded(source, SLOW);
    assert.equal(copiesBelow(base).length, 1);
    assert.deepEqual(states(), ['started', 'done']);
  });

  test('is shown with its size and its idle time, and while it is copied', async () => {
    const source = model('a', 20 * MIB);
    const disk = ramdisk();
    assert.deepEqual(disk.status().copies, []);
    disk.loaded(source, SLOW);
    const { copied: some } = await until('copying', () => {
      const { copying } = disk.status();
      return copying && copying.copied > 0 ? copying : null;
    });
    assert.ok(some > 0 && some <= 20 * MIB);
    await untilTold('done');
    const { mode, path, copies, copying } = disk.status();
    assert.deepEqual([mode, path, copying], ['always', base, null]);
    assert.deepEqual(
      copies.map(({ source: of, bytes, inUse }) => ({ of, bytes, inUse })),
      [{ of: source, bytes: 20 * MIB, inUse: false }],
    );
    disk.begin(source);
    assert.equal(disk.status().copies[0]?.inUse, true);
  });

  test('of several parts is copied with all of them under their own names', async () => {
    const names = [1, 2, 3].map((one) => join(root, `m-0000${one}-of-00003.gguf`));
    for (const [no, path] of names.entries()) writeModel(path, 2 * MIB, no, [no, 3]);
    const path = await copied(ramdisk(), names[0] ?? '');
    assert.deepEqual(
      readdirSync(dirname(path)).sort(),
      names.map((name) => basename(name)),
    );
    for (const name of names) {
      assert.equal(digestOf(join(dirname(path), basename(name))), digestOf(name));
    }
  });

  test('of several parts is not used any more when one of them changes', async () => {
    const names = [1, 2].map((one) => join(root, `m-0000${one}-of-00002.gguf`));
    for (const [no, path] of names.entries()) writeModel(path, MIB, no, [no, 2]);
    const disk = ramdisk();
    await copied(disk, names[0] ?? '');
    appendFileSync(names[1] ?? '', 'x');
    assert.equal(await disk.pathFor(names[0] ?? ''), names[0]);
    assert.deepEqual(copiesBelow(base), []);
  });
});

describe('with RAMDISK_MODE=auto', () => {
  /** Whether a load like this one makes a copy. */
  async function isCopied(facts: Parameters<RamDisk['loaded']>[1]): Promise<boolean> {
    const disk = ramdisk({ ramdiskMode: 'auto' });
    const [one, slow] = [model('one'), model('slow')];
    disk.loaded(one, facts);
    disk.loaded(slow, SLOW);
    await until('the slow one', () => disk.status().copies.some(({ source }) => source === slow));
    return disk.status().copies.some(({ source }) => source === one);
  }

  test('a file that was read slower than RAMDISK_MIN_MBPS is copied', async () => {
    assert.equal(await isCopied({ bytes: 1e9, ms: 1100, readBytes: 1e9 }), true);
  });

  test('a faster one is not', async () => {
    assert.equal(await isCopied({ bytes: 1e9, ms: 900, readBytes: 1e9 }), false);
  });

  test('one that came out of the page cache is not, however long its load took', async () => {
    assert.equal(await isCopied({ bytes: 1e9, ms: 60_000, readBytes: 1e8 }), false);
  });

  test('one of which nobody can tell is not, nor is a small one', async () => {
    assert.equal(await isCopied({ bytes: 1e9, ms: 60_000, readBytes: null }), false);
    assert.equal(await isCopied({ bytes: 1e7, ms: 60_000, readBytes: 1e7 }), false);
  });
});

describe('a copy is not used', () => {
  async function isDropped(change: (source: string, copy: string) => void): Promise<void> {
    const source = model('a');
    const disk = ramdisk();
    const copy = await copied(disk, source);
    change(source, copy);
    assert.equal(await disk.pathFor(source), source);
    assert.deepEqual(copiesBelow(base), []);
    assert.equal(states().at(-1), 'removed');
  }

  test('when its source has another content', () =>
    isDropped((source) => appendFileSync(source, 'x')));

  test('when its source was replaced by a file of the same size and time', () =>
    isDropped((source) => {
      const { atime, mtime, size } = lstatSync(source);
      writeModel(`${source}.new`, size, 2);
      utimesSync(`${source}.new`, atime, mtime);
      renameSync(`${source}.new`, source);
    }));

  test('when its source is gone', () => isDropped((source) => unlinkSync(source)));

  test('when somebody has cut it short', () => isDropped((_, copy) => truncateSync(copy, 1000)));

  test('when somebody has removed it, with the whole folder too', async () => {
    await isDropped((_, copy) => unlinkSync(copy));
    events.told.splice(0);
    const disk = open[0];
    assert.ok(disk);
    const source = model('b');
    await copied(disk, source);
    rmSync(join(base, `hoshikage-${process.getuid?.()}`), { recursive: true });
    assert.equal(await disk.pathFor(source), source);
    const again = await copied(disk, source);
    assert.equal(digestOf(again), digestOf(source));
  });
});

describe('a copy goes', () => {
  test('after GREAT_TIMEOUT without use, and nothing else with it', async () => {
    writeFileSync(join(base, 'foreign.gguf'), 'GGUF of somebody else');
    const disk = ramdisk({ greatTimeoutMs: 40 });
    await copied(disk, model('a'));
    await untilTold('removed');
    assert.deepEqual(modelsBelow(base), ['foreign.gguf']);
    assert.equal(events.told.at(-1)?.reason, 'idle');
  });

  test('not while an engine has it or requests run, but as soon as that ends', async () => {
    const source = model('a');
    const disk = ramdisk({ greatTimeoutMs: 30 });
    disk.begin(source);
    disk.activity(source, true);
    await copied(disk, source);
    const other = model('b');
    await copied(disk, other);
    await until('the idle one to go', () => disk.status().copies.length === 1);
    assert.equal(disk.status().copies[0]?.source, source);
    assert.equal(disk.status().copies[0]?.idleMs, 0);
    disk.activity(source, false);
    disk.done(source);
    await until('both to go', () => disk.status().copies.length === 0);
  });

  test('never where GREAT_TIMEOUT is 0, until the end', async () => {
    const disk = ramdisk({ greatTimeoutMs: 0 });
    await copied(disk, model('a'));
    await disk.close();
    assert.deepEqual(readdirSync(base), []);
    assert.deepEqual(states(), ['started', 'done', 'removed']);
  });

  test('for another model when RAMDISK_MAX_BYTES is reached, the least recently used first', async () => {
    const disk = ramdisk({ ramdiskMaxBytes: 3.5 * MIB });
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => model(name));
    for (const one of [a, b, c]) await copied(disk, one ?? '');
    await disk.pathFor(a ?? '');
    disk.begin(b ?? '');
    // b is in use, a was asked for last.
    await copied(disk, d ?? '');
    assert.deepEqual(
      disk.status().copies.map(({ source }) => basename(source)),
      ['a.gguf', 'b.gguf', 'd.gguf'],
    );
  });

  test('for nobody where that would not be enough', async () => {
    const disk = ramdisk({ ramdiskMaxBytes: 3 * MIB });
    await copied(disk, model('a'));
    disk.loaded(model('large', 4 * MIB), SLOW);
    disk.loaded(model('large', 4 * MIB), SLOW);
    await copied(disk, model('b'));
    disk.loaded(model('large', 4 * MIB), SLOW);
    await copied(disk, model('c'));
    const names = disk.status().copies.map(({ source }) => basename(source));
    assert.deepEqual(names, ['a.gguf', 'b.gguf', 'c.gguf']);
    const said = log.records.filter(({ message }) => message.includes('no room'));
    assert.deepEqual(
      said.map(({ level }) => level),
      ['info'],
    );
  });
});

describe('a copy never brings the machine into distress', () => {
  /** A machine whose room is what the test says at that moment. */
  const short = (room: object) => ({
    space: async (path: string) => ({ ...(await spaceAt(path)), ...room }),
  });

  test('none is begun where the file system is short of room', async () => {
    const disk = ramdisk({}, short({ diskFree: 10 * MIB, diskTotal: 200 * MIB }));
    disk.loaded(model('a'), SLOW);
    await until('the word', () => log.records.some(({ message }) => message.includes('no room')));
    assert.deepEqual(states(), []);
    assert.deepEqual(readdirSync(base), []);
  });

  test('one is given up when the room goes while it is made, with one warning', async () => {
    const room = { diskFree: 2 ** 40, diskTotal: 2 ** 40 };
    const disk = ramdisk({ ramdiskMaxBytes: 2 ** 40 }, short(room));
    const source = model('a', 20 * MIB);
    disk.loaded(source, SLOW);
    await until('copying', () => (disk.status().copying?.copied ?? 0) > 0);
    room.diskFree = MIB;
    await untilTold('failed');
    assert.deepEqual(copiesBelow(base), []);
    room.diskFree = 2 ** 40;
    // Not again at every load.
    disk.loaded(source, SLOW);
    const other = model('b');
    await copied(disk, other);
    assert.equal(await disk.pathFor(source), source);
    assert.deepEqual(states(), ['started', 'failed', 'started', 'done']);
    assert.equal(warnings().length, 1);
    // But when the file is another one.
    appendFileSync(source, 'x');
    assert.notEqual(await copied(disk, source), source);
  });

  test('a full file system costs a warning and nothing else', async (t) => {
    const source = model('a', 8 * MIB);
    const mounted = 'mount -t tmpfs -o size=4m,mode=700 none "$0" && exec "$@"';
    const worker = startChild('ramdisk-worker', [base, source, 'full'], undefined, [
      ...['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', mounted, base],
    ]);
    const { code } = await worker.ended;
    if (worker.lines.length === 0) return t.skip('nothing can be mounted here');
    assert.equal(code, 0);
    const [told, warned, [path, left]] = worker.lines.map((line) => JSON.parse(line));
    assert.deepEqual(
      told.map(({ state }: { state: string }) => state),
      ['started', 'failed'],
    );
    assert.match(told[1].reason, /ENOSPC/);
    assert.equal(warned.length, 1);
    assert.deepEqual([path, left], [source, []]);
  });
});

describe('while a copy is made', () => {
  test('a source that changes is not copied, and its next load decides anew', async () => {
    const source = model('a', 30 * MIB);
    const disk = ramdisk();
    disk.loaded(source, SLOW);
    await until('copying', () => (disk.status().copying?.copied ?? 0) > 0);
    appendFileSync(source, 'x');
    await untilTold('failed');
    assert.match(events.told.at(-1)?.reason ?? '', /changed/);
    assert.equal(await disk.pathFor(source), source);
    assert.deepEqual(copiesBelow(base), []);
    assert.equal(digestOf(await copied(disk, source)), digestOf(source));
  });

  test('a source that is replaced by another file is not copied', async () => {
    const source = model('a', 30 * MIB);
    writeModel(`${source}.new`, 30 * MIB, 2);
    const disk = ramdisk();
    disk.loaded(source, SLOW);
    await until('copying', () => (disk.status().copying?.copied ?? 0) > 0);
    renameSync(`${source}.new`, source);
    await untilTold('failed');
    assert.deepEqual(copiesBelow(base), []);
  });

  test('the end comes at once and leaves nothing', async () => {
    const disk = ramdisk();
    disk.loaded(model('a', 60 * MIB), SLOW);
    disk.loaded(model('b', 60 * MIB), SLOW);
    await until('copying', () => (disk.status().copying?.copied ?? 0) > 0);
    await disk.close();
    assert.deepEqual(readdirSync(base), []);
    assert.deepEqual(states(), ['started', 'failed']);
    assert.deepEqual(warnings(), []);
  });

  test('a killed server leaves what the next one sweeps, and only that', async () => {
    writeFileSync(join(base, 'foreign.gguf'), 'GGUF of somebody else');
    const source = model('a', 30 * MIB);
    const worker = startChild('ramdisk-worker', [base, source, 'hold']);
    await worker.saidLines(1);
    worker.process.kill('SIGKILL');
    await worker.ended;
    assert.equal(copiesBelow(base).length, 1);
    const disk = ramdisk({ ramdiskKeep: true });
    assert.equal(await disk.pathFor(source), source);
    assert.deepEqual(modelsBelow(base), ['foreign.gguf']);
    assert.equal(digestOf(await copied(disk, source)), digestOf(source));
  });
});

describe('two servers on one RAM disk', () => {
  test('have copies of their own and leave each other alone', async () => {
    const [a, b] = [model('a', 9 * MIB), model('b', 9 * MIB, 2)];
    const [one, other] = [ramdisk(), ramdisk()];
    for (const disk of [one, other]) {
      disk.loaded(a, SLOW);
      disk.loaded(b, SLOW);
    }
    await untilTold('done', 4);
    const paths = [await one.pathFor(a), await other.pathFor(a)];
    assert.notEqual(paths[0], paths[1]);
    for (const path of paths) assert.equal(digestOf(path), digestOf(a));
    await one.close();
    ramdisk();
    assert.equal(digestOf(await other.pathFor(b)), digestOf(b));
    assert.notEqual(await other.pathFor(b), b);
    await other.close();
    await open.at(-1)?.close();
    assert.deepEqual(readdirSync(base), []);
  });
});

describe('with RAMDISK_KEEP=1', () => {
  test('finished copies stay for the next server, verified by it', async () => {
    const names = ['a', 'b'];
    const [a = '', b = ''] = names.map((name) => model(name));
    const first = ramdisk({ ramdiskKeep: true });
    for (const source of [a, b]) await copied(first, source);
    first.loaded(model('c', 60 * MIB), SLOW);
    await until('copying', () => (first.status().copying?.copied ?? 0) > 0);
    await first.close();
    appendFileSync(b, 'x');
    const next = ramdisk({ ramdiskKeep: true });
    const path = await next.pathFor(a);
    assert.notEqual(path, a);
    assert.equal(digestOf(path), digestOf(a));
    assert.equal(await next.pathFor(b), b);
    assert.equal(copiesBelow(base).length, 1);
  });

  test('they go after GREAT_TIMEOUT of the next server as well', async () => {
    const first = ramdisk({ ramdiskKeep: true });
    await copied(first, model('a'));
    await first.close();
    ramdisk({ ramdiskKeep: true, greatTimeoutMs: 30 });
    await untilTold('removed');
    assert.deepEqual(copiesBelow(base), []);
  });

  test('a manifest that leads elsewhere leads nowhere', async () => {
    const first = ramdisk({ ramdiskKeep: true });
    const source = model('a');
    const copy = await copied(first, source);
    await first.close();
    const folder = join(base, `hoshikage-${process.getuid?.()}`);
    const [left = ''] = readdirSync(folder);
    const file = join(folder, left, 'manifest.json');
    const manifest = JSON.parse(readFileSync(file, 'utf8'));
    manifest.content.copies[0].directory = '../..';
    writeFileSync(file, JSON.stringify(manifest));
    const next = ramdisk({ ramdiskKeep: true });
    assert.equal(await next.pathFor(source), source);
    assert.equal(existsSync(copy), false);
    assert.ok(existsSync(source));
  });

  test('without it nothing stays, not even of a server that had it', async () => {
    const first = ramdisk({ ramdiskKeep: true });
    await copied(first, model('a'));
    await first.close();
    assert.equal(modelsBelow(base).length, 1);
    const next = ramdisk({ ramdiskMode: 'off' });
    await next.pathFor(model('b'));
    assert.deepEqual(readdirSync(base), []);
  });
});

describe('where there is no RAM disk', () => {
  const source = (): string => join(root, 'any.gguf');

  test('nothing is done on other systems, which is said once to who asked', async () => {
    for (const asked of [true, false]) {
      const disk = ramdisk({}, { platform: 'darwin', asked });
      disk.loaded(model('a'), SLOW);
      assert.equal(await disk.pathFor(source()), source());
      assert.equal(disk.status().mode, 'off');
    }
    assert.equal(warnings().length, 1);
    assert.deepEqual(readdirSync(base), []);
  });

  test('an empty RAMDISK_PATH and RAMDISK_MODE=off are silent', async () => {
    for (const settings of [{ ramdiskPath: null }, { ramdiskMode: 'off' as const }]) {
      const disk = ramdisk(settings);
      disk.loaded(model('a'), SLOW);
      assert.equal(await disk.pathFor(source()), source());
      assert.equal(disk.status().mode, 'off');
    }
    assert.deepEqual([log.records, states()], [[], []]);
  });

  test('a place that is not there is a warning to who asked for it only', async () => {
    for (const asked of [false, true]) {
      const disk = ramdisk({ ramdiskPath: join(root, 'none') }, { asked });
      assert.equal(await disk.pathFor(source()), source());
      assert.equal(warnings().length, Number(asked));
    }
  });

  test('a place that is no tmpfs is used all the same, which is said to who asked', async () => {
    const path = await copied(ramdisk({}, { asked: true }), model('a'));
    assert.ok(path.startsWith(base));
    assert.equal(warnings().length, (await isInMemory(base)) ? 0 : 1);
  });

  test('a place that we may not use is one warning, and the file is used', async () => {
    if (isRoot) chownSync(base, 12_345, 12_345);
    else chmodSync(base, 0o500);
    const disk = ramdisk();
    const names = ['a', 'b', 'c'].map((name) => model(name));
    for (const one of names) {
      disk.loaded(one, SLOW);
      assert.equal(await disk.pathFor(one), one);
    }
    await until('the end of trying', () => warnings().length > 0 && disk.status().mode === 'off');
    assert.equal(warnings().length, 1);
    await disk.close();
    if (!isRoot) chmodSync(base, 0o700);
    assert.deepEqual(readdirSync(base), []);
  });
});

const SHARED = '/dev/shm';
const isShared = await isInMemory(SHARED).catch(() => false);

describe('memory that copies hold', { skip: !isShared && 'no shared memory' }, () => {
  beforeEach(() => {
    rmSync(root, { recursive: true, force: true });
    root = mkdtempSync(join(SHARED, 'hoshikage-test-'));
    base = join(root, 'shm');
    mkdirSync(base);
  });
  const reasons = () =>
    events.told.flatMap(({ state, source, reason }) =>
      state === 'removed' || state === 'failed' ? [`${basename(source)}: ${reason}`] : [],
    );

  test('goes before a model is refused, the one unused for longest first and no more than it takes', async () => {
    const disk = ramdisk();
    const [a, b, c] = ['a', 'b', 'c'].map((name) => model(name, MIB));
    assert.ok(a && b && c);
    for (const source of [a, b, c]) await copied(disk, source);
    await disk.pathFor(a);
    assert.equal(disk.spareFor('other', []), 3 * MIB);
    assert.equal(await disk.giveBack(MIB + 1, 'other'), 2 * MIB);
    assert.deepEqual(reasons(), [
      'b.gguf: a model needs the memory',
      'c.gguf: a model needs the memory',
    ]);
    assert.equal(copiesBelow(base).length, 1);
    // It is copied again when it is loaded the next time.
    await copied(disk, b);
  });

  test('is not spare for the model itself, nor while an engine has it open, unless that goes', async () => {
    const disk = ramdisk();
    const [a, b] = [model('a'), model('b')];
    for (const source of [a, b]) await copied(disk, source);
    disk.begin(b);
    assert.equal(disk.spareFor(a, []), 0);
    assert.equal(disk.spareFor(a, [b]), MIB);
    assert.equal(await disk.giveBack(MIB, a), 0);
    assert.equal(copiesBelow(base).length, 2);
    disk.done(b);
    assert.equal(await disk.giveBack(1, a), MIB);
    assert.deepEqual(
      disk.status().copies.map(({ source }) => source),
      [a],
    );
  });

  test('is given back by a copy that is being made, which is no fault of the file', async () => {
    const disk = ramdisk();
    const [a, b] = [model('a', 40 * MIB), model('b')];
    disk.loaded(a, SLOW);
    disk.loaded(b, SLOW);
    await until('copying', () => disk.spareFor('other', []) > 0);
    assert.ok((await disk.giveBack(1, 'other')) > 0);
    assert.deepEqual(reasons(), ['a.gguf: a model needs the memory']);
    assert.deepEqual(modelsBelow(base), []);
    assert.deepEqual(warnings(), []);
    assert.equal(disk.status().copying, null);
    await copied(disk, a);
  });

  test('is none where the place is on a disk', async () => {
    base = mkdtempSync(join(tmpdir(), 'hoshikage-ramdisk-'));
    const disk = ramdisk();
    await copied(disk, model('a'));
    const isDisk = !(await isInMemory(base));
    assert.equal(disk.spareFor('other', []), isDisk ? 0 : MIB);
    assert.equal(await disk.giveBack(1, 'other'), isDisk ? 0 : MIB);
    await disk.close();
    rmSync(base, { recursive: true });
  });
});
