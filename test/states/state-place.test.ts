/** Where saved states may lie, and what is left of a place whose server died. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { ROOT } from '../../scripts/root.js';
import { entryBeside } from '../../src/engine/fork.js';
import { isInMemory } from '../../src/folders/space.js';
import { findStatePlace, removeState } from '../../src/states/state-place.js';
import { recordingLog } from '../helpers/recording-log.js';
import { codeArguments } from '../helpers/script.js';
import { within } from '../helpers/waiting.js';

const linux = process.platform === 'linux';
const tmpfs = linux && existsSync('/dev/shm') && (await isInMemory('/dev/shm').catch(() => false));

describe('the place of saved states', () => {
  const made: string[] = [];
  const folderIn = async (base: string): Promise<string> => {
    const folder = await mkdtemp(join(base, 'hoshikage-place-'));
    made.push(folder);
    return folder;
  };
  after(async () => {
    for (const folder of made) await rm(folder, { recursive: true, force: true });
  });

  it('is memory where nothing is set, made when it is needed and its owner’s alone', {
    skip: !tmpfs,
  }, async () => {
    const sharedMemory = await folderIn('/dev/shm');
    const log = recordingLog();
    const place = await findStatePlace({ stateDir: null, log, sharedMemory });
    assert.equal(place?.inMemory, true);
    assert.deepEqual(await readdir(sharedMemory), []);
    const folder = await place.folder();
    assert.equal(await place.folder(), folder);
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    assert.ok((await place.room()) > 0);
    await place.close();
    assert.deepEqual(await readdir(sharedMemory), []);
    await assert.rejects(place.folder(), /closed/);
    assert.deepEqual(log.records, []);
  });

  it('is none where that is a disk, or another system, which is said once', async () => {
    const sharedMemory = await folderIn(tmpdir());
    for (const platform of ['linux', 'darwin', 'win32'] as const) {
      if (platform === 'linux' && (!linux || (await isInMemory(sharedMemory)))) continue;
      const log = recordingLog();
      assert.equal(await findStatePlace({ stateDir: null, log, sharedMemory, platform }), null);
      assert.deepEqual(
        log.records.map(({ level }) => level),
        ['info'],
      );
    }
    assert.deepEqual(await readdir(sharedMemory), []);
  });

  it('is below STATE_DIR where that is set, on any file system, made where it is missing', async () => {
    const base = join(await folderIn(tmpdir()), 'not', 'there');
    const log = recordingLog();
    const place = await findStatePlace({ stateDir: base, log, sharedMemory: base });
    assert.ok(place);
    const folder = await place.folder();
    assert.ok(folder.startsWith(base));
    assert.ok((await place.room()) > 0);
    await writeFile(join(folder, 'a.state'), 'x');
    await place.close();
    assert.deepEqual(await readdir(base), []);
    assert.deepEqual(log.records, []);
  });

  it('is none where STATE_DIR cannot be used, which is said once, at the start', async () => {
    const base = await folderIn(tmpdir());
    const open = await folderIn(tmpdir());
    await writeFile(join(base, 'file'), '');
    await chmod(open, 0o777);
    const places = [join(base, 'file', 'x')];
    // Nobody can make anything in /proc; others could change what is in a place that is theirs too.
    if (linux) places.push('/proc/x', open);
    for (const stateDir of places) {
      const log = recordingLog();
      const found = findStatePlace({ stateDir, log, sharedMemory: join(base, 'no') });
      assert.equal(await within(found, 10_000, `verdict on ${stateDir}`), null);
      const said = log.records.map(({ level, message }) => `${level}: ${message}`);
      assert.deepEqual(said, ['warn: conversations are not saved: STATE_DIR cannot be used']);
    }
    assert.deepEqual(await readdir(open), []);
  });

  it('is not asked for, nor complained about, where nothing is to be saved', async () => {
    const base = await folderIn(tmpdir());
    await writeFile(join(base, 'file'), '');
    const log = recordingLog();
    for (const stateDir of [null, base, join(base, 'file', 'x')]) {
      const sharedMemory = join(base, 'no');
      assert.equal(await findStatePlace({ stateDir, log, sharedMemory, isUsed: false }), null);
    }
    assert.deepEqual([log.records, await readdir(base)], [[], ['file']]);
  });

  it('is told from memory by the file system it will be on', { skip: !tmpfs }, async () => {
    const log = recordingLog();
    const sharedMemory = '/nowhere';
    const inMemory = async (base: string): Promise<boolean | undefined> => {
      const stateDir = join(await folderIn(base), 'yet', 'to', 'be', 'made');
      return (await findStatePlace({ stateDir, log, sharedMemory }))?.inMemory;
    };
    assert.equal(await inMemory('/dev/shm'), true);
    assert.equal(await inMemory(tmpdir()), await isInMemory(tmpdir()));
  });

  it('of a server that was killed is swept by the next one, with or without STATE_DIR', {
    skip: !linux,
  }, async () => {
    const base = await folderIn(tmpdir());
    const room = entryBeside(import.meta.url, '../../src/folders/private-folder');
    const code = `
      import { PrivateFolder } from ${JSON.stringify(room.href)};
      import { writeFileSync } from 'node:fs';
      const folder = await PrivateFolder.open({ base: ${JSON.stringify(base)}, kind: 'states' });
      writeFileSync(folder.path + '/a.state', 'a conversation');
      process.kill(process.pid, 'SIGKILL');`;
    const killed = () =>
      spawnSync(process.execPath, codeArguments(code), {
        cwd: ROOT,
        timeout: 20_000,
      });
    assert.equal(killed().signal, 'SIGKILL');
    assert.equal((await readdir(base)).length, 1);
    await findStatePlace({ stateDir: base, log: recordingLog(), sharedMemory: join(base, 'no') });
    assert.deepEqual(await readdir(base), []);
    killed();
    assert.equal((await readdir(base)).length, 1);
    const other = await folderIn(tmpdir());
    await findStatePlace({ stateDir: other, log: recordingLog(), sharedMemory: base });
    assert.deepEqual(await readdir(base), []);
  });

  it('is rid of a state with all that a dying engine left of it, and of nothing else', async () => {
    const folder = await folderIn(tmpdir());
    for (const name of ['a.state', 'a.state.77.01234567.tmp', 'ab.state', 'manifest.json']) {
      await writeFile(join(folder, name), '');
    }
    await removeState(join(folder, 'a.state'));
    assert.deepEqual((await readdir(folder)).sort(), ['ab.state', 'manifest.json']);
    await removeState(join(folder, 'gone', 'a.state'));
  });
});
