import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isInMemory, spaceAt } from '../../src/resources/space.js';

test('room is told of the disk and of the memory, each within its total', async () => {
  const { diskFree, diskTotal, memoryFree, memoryTotal } = await spaceAt(tmpdir());
  assert.ok(diskTotal > 0 && diskFree >= 0 && diskFree <= diskTotal);
  assert.ok(memoryTotal > 0 && memoryTotal <= totalmem());
  assert.ok(memoryFree > 0 && memoryFree <= totalmem());
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
