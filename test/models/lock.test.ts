import assert from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type LockOptions, withFileLock } from '../../src/models/lock.js';
import { releasePidFile, takePidFile } from '../../src/models/pid-file.js';
import { startChild } from '../helpers/child.js';
import { pause } from '../helpers/waiting.js';

let directory = '';
let map = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hoshikage-lock-'));
  map = join(directory, 'model_map.json');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Runs `count` holders at once and gives the most that were inside together. */
async function mostTogether(count: number, options: LockOptions = {}): Promise<number> {
  let inside = 0;
  let most = 0;
  const holder = (): Promise<void> =>
    withFileLock(
      map,
      async () => {
        most = Math.max(most, ++inside);
        await pause(1);
        inside--;
      },
      options,
    );
  await Promise.all(Array.from({ length: count }, holder));
  return most;
}

describe('the lock of a file', () => {
  test('lets one holder in at a time, also within a process', async () => {
    assert.equal(await mostTogether(20), 1);
  });

  test('is a file beside it that is made once and never removed', async () => {
    await withFileLock(map, async () => {});
    assert.deepEqual(readdirSync(directory), ['model_map.json.lock']);
    await withFileLock(map, async () => {});
    assert.deepEqual(readdirSync(directory), ['model_map.json.lock']);
  });

  test('gives what the work gives, and is free again after work that fails', async () => {
    const failing = withFileLock(map, () => Promise.reject(new Error('no luck')));
    await assert.rejects(failing, /no luck/);
    assert.equal(await withFileLock(map, async () => 7, { timeoutMs: 0 }), 7);
  });

  test('ends in map_locked after the deadline', async () => {
    await withFileLock(map, async () => {
      await assert.rejects(
        withFileLock(map, async () => assert.fail('went in'), { timeoutMs: 30 }),
        { code: 'map_locked', details: { path: map } },
      );
    });
  });

  test('is free at once when its holder is killed', async () => {
    const child = startChild('map-worker', [map, '', '', '0', 'hold']);
    await child.saidLines(1);
    await assert.rejects(
      withFileLock(map, async () => {}, { timeoutMs: 20 }),
      {
        code: 'map_locked',
      },
    );
    child.process.kill('SIGKILL');
    await child.ended;
    await withFileLock(map, async () => {}, { timeoutMs: 2000 });
  });

  test('still excludes after somebody removed the lock file', async () => {
    await withFileLock(map, async () => {});
    unlinkSync(`${map}.lock`);
    assert.equal(await mostTogether(5), 1);
  });
});

describe('the lock with a pid inside', () => {
  const path = (): string => `${map}.lock.pid`;

  test('lets one holder in at a time', async () => {
    const tokens = await Promise.all(Array.from({ length: 20 }, () => takePidFile(path())));
    const taken = tokens.filter((token) => token !== null);
    assert.equal(taken.length, 1);
    await releasePidFile(path(), taken[0] ?? '');
    assert.deepEqual(readdirSync(directory), []);
  });

  test('is not released by somebody who does not hold it', async () => {
    await takePidFile(path());
    await releasePidFile(path(), '0123456789ab');
    assert.ok(existsSync(path()));
  });

  test('is taken over by exactly one when its holder is dead', async () => {
    const child = startChild('map-worker', [map, '', '', '0', 'keep']);
    await child.ended;
    for (let round = 0; round < 20; round++) {
      writeFileSync(path(), `${child.process.pid} 0123456789ab ${hostname()}\n`);
      const tokens: string[] = [];
      const taker = async (): Promise<void> => {
        for (let attempt = 0; attempt < 50 && tokens.length === 0; attempt++) {
          const token = await takePidFile(path());
          if (token !== null) tokens.push(token);
        }
      };
      await Promise.all(Array.from({ length: 8 }, taker));
      assert.equal(tokens.length, 1);
      assert.deepEqual(readdirSync(directory), ['model_map.json.lock.pid']);
      await releasePidFile(path(), tokens[0] ?? '');
    }
  });

  test('is left to a living holder, to another host and to a file being written', async () => {
    for (const content of [
      `${process.pid} 0123456789ab ${hostname()}\n`,
      '1 0123456789ab another-host\n',
      '',
    ]) {
      writeFileSync(path(), content);
      assert.equal(await takePidFile(path()), null);
      assert.equal(await takePidFile(path()), null);
    }
  });

  test('is taken over when it is old and nobody can be asked', async () => {
    const anHourAgo = Date.now() / 1000 - 3600;
    for (const content of [
      '1 0123456789ab another-host\n',
      '',
      `${process.pid} 0123456789ab x\n`,
    ]) {
      writeFileSync(path(), content);
      utimesSync(path(), anHourAgo, anHourAgo);
      assert.equal(await takePidFile(path()), null);
      const token = await takePidFile(path());
      assert.notEqual(token, null);
      await releasePidFile(path(), token ?? '');
    }
  });
});

describe('without fs-ext', () => {
  const run = (mode: string, ...more: string[]) =>
    startChild('lock-worker', [map, mode, ...more], 'without-fs-ext.cjs');

  test('the lock is taken through the function that is handed in', async () => {
    const child = run('own');
    assert.deepEqual(await child.ended, { code: 0, signal: null });
    assert.deepEqual(child.lines, ['asked', 'asked', 'done']);
    assert.deepEqual(readdirSync(directory), ['model_map.json.lock']);
  });

  test('and without such a function by a file with a pid, which is said once', async () => {
    for (const mode of ['none', 'throwing', 'unsupported']) {
      const child = run(mode);
      assert.deepEqual(await child.ended, { code: 0, signal: null });
      assert.deepEqual(child.lines, [
        'warned',
        'model_map.json.lock model_map.json.lock.pid',
        'done',
      ]);
      assert.deepEqual(readdirSync(directory), ['model_map.json.lock']);
    }
  });
});
