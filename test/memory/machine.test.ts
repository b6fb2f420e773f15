import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MemorySource, machineMemory } from '../../src/memory/machine.js';

const GIB = 2 ** 30;
const KIB_PER_GIB = 2 ** 20;

function machine(
  files: Readonly<Record<string, string>>,
  changes: Partial<MemorySource> = {},
): MemorySource {
  return {
    platform: 'linux',
    totalBytes: 64 * GIB,
    freeBytes: 1 * GIB,
    read: async (path) => files[path] ?? null,
    ...changes,
  };
}

const meminfo = `MemTotal: ${64 * KIB_PER_GIB} kB\nMemFree: 100 kB\nMemAvailable: ${40 * KIB_PER_GIB} kB\n`;

test('memory that only holds copies of files is available', async () => {
  const found = await machineMemory(machine({ '/proc/meminfo': meminfo }));
  assert.deepEqual(found, { totalBytes: 64 * GIB, availableBytes: 40 * GIB });
});

test('a control group bounds it, its own cached files counted as available', async () => {
  const group = '/sys/fs/cgroup/user.slice/app';
  const found = await machineMemory(
    machine({
      '/proc/meminfo': meminfo,
      '/proc/self/cgroup': '0::/user.slice/app\n',
      [`${group}/memory.max`]: `${8 * GIB}\n`,
      [`${group}/memory.current`]: `${7 * GIB}\n`,
      [`${group}/memory.stat`]: `anon 1\nfile ${6 * GIB}\ninactive_file ${3 * GIB}\nactive_file ${2 * GIB}\n`,
      '/sys/fs/cgroup/user.slice/memory.max': 'max\n',
      '/sys/fs/cgroup/user.slice/memory.current': `${7 * GIB}\n`,
    }),
  );
  assert.deepEqual(found, { totalBytes: 8 * GIB, availableBytes: 6 * GIB });
});

test('so does a group above, and one of version 1', async () => {
  const above = await machineMemory(
    machine({
      '/proc/meminfo': meminfo,
      '/proc/self/cgroup': '0::/a/b\n',
      '/sys/fs/cgroup/a/memory.max': `${4 * GIB}\n`,
      '/sys/fs/cgroup/a/memory.current': `${3 * GIB}\n`,
    }),
  );
  assert.equal(above.availableBytes, 1 * GIB);
  const first = await machineMemory(
    machine({
      '/proc/meminfo': meminfo,
      '/proc/self/cgroup': '4:memory:/docker/x\n0::/\n',
      // In a container the path is the host's; what it may have lies at the root.
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${2 * GIB}\n`,
      '/sys/fs/cgroup/memory/memory.usage_in_bytes': `${1.5 * GIB}\n`,
      '/sys/fs/cgroup/memory/memory.stat': `total_inactive_file ${0.5 * GIB}\n`,
    }),
  );
  assert.deepEqual(first, { totalBytes: 2 * GIB, availableBytes: 1 * GIB });
});

test('a group without a limit changes nothing', async () => {
  const found = await machineMemory(
    machine({
      '/proc/meminfo': meminfo,
      '/proc/self/cgroup': '4:memory:/x\n',
      '/sys/fs/cgroup/memory/x/memory.limit_in_bytes': '9223372036854771712\n',
      '/sys/fs/cgroup/memory/x/memory.usage_in_bytes': `${5 * GIB}\n`,
    }),
  );
  assert.deepEqual(found, { totalBytes: 64 * GIB, availableBytes: 40 * GIB });
});

test('where the kernel says nothing, what the system calls free has to do', async () => {
  assert.equal((await machineMemory(machine({}))).availableBytes, 1 * GIB);
  const windows = await machineMemory(machine({}, { platform: 'win32' }));
  assert.equal(windows.availableBytes, 1 * GIB);
});

test('on macOS only the whole is certain', async () => {
  const found = await machineMemory(machine({}, { platform: 'darwin' }));
  assert.equal(found.availableBytes, 64 * GIB);
});

test('this machine has some', async () => {
  const { totalBytes, availableBytes } = await machineMemory();
  assert.ok(availableBytes > 0 && availableBytes <= totalBytes);
});
