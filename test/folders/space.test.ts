import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isInMemory, spaceAt } from '../../src/folders/space.js';
import { machineMemory } from '../../src/memory/machine.js';

test('room is told of the disk and of the memory, each within its total', async () => {
  const { diskFree, diskTotal, memoryFree, memoryTotal } = await spaceAt(tmpdir());
  assert.ok(diskTotal > 0 && diskFree >= 0 && diskFree <= diskTotal);
  assert.ok(memoryTotal > 0 && memoryTotal <= totalmem());
  assert.ok(memoryFree > 0 && memoryFree <= totalmem());
});

test('the memory is that of the machine and its control groups, cached files counted as free', {
  skip: process.platform !== 'linux' && 'Linux only',
}, async () => {
  const GIB = 2 ** 30;
  const group = '/sys/fs/cgroup';
  const files: Readonly<Record<string, string>> = {
    '/proc/meminfo': `MemAvailable: ${40 * 2 ** 20} kB\n`,
    '/proc/self/cgroup': '0::/\n',
    [`${group}/memory.max`]: `${8 * GIB}\n`,
    [`${group}/memory.current`]: `${8 * GIB}\n`,
    [`${group}/memory.stat`]: `inactive_file ${5 * GIB}\nactive_file ${GIB}\n`,
  };
  const { memoryFree, memoryTotal } = await spaceAt(tmpdir(), () =>
    machineMemory({
      ...{ platform: 'linux', totalBytes: 64 * GIB, freeBytes: GIB },
      read: async (path) => files[path] ?? null,
    }),
  );
  assert.deepEqual([memoryFree, memoryTotal], [6 * GIB, 8 * GIB]);
  const own = await spaceAt(tmpdir());
  assert.equal(own.memoryTotal, (await machineMemory()).totalBytes);
});

test('a place that is not there is an error', async () => {
  await assert.rejects(spaceAt(join(tmpdir(), 'hoshikage-no-such-place')), { code: 'ENOENT' });
});

test('what stays in memory is told by its file system', {
  skip: !existsSync('/dev/shm'),
}, async () => {
  assert.equal(await isInMemory('/dev/shm'), true);
  assert.equal(await isInMemory('/proc'), false);
});
