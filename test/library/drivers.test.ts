/** Drivers as files on machines of all kinds: what counts as an accelerator, and what it is good for. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import {
  bestBuild,
  type FileLooks,
  findAccelerators,
  findSharedLibraries,
  readDriverFacts,
} from '../../src/library/drivers.js';

const NVIDIA_TEXT =
  'NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\nGCC version: gcc 12.2.0\n';

/** A machine that holds these files; a name that ends in `/` is a directory only. */
function looks(files: Readonly<Record<string, string>>): FileLooks {
  const paths = Object.keys(files);
  return {
    bytes: async (path) => (files[path] === undefined ? null : Buffer.from(files[path], 'latin1')),
    names: async (directory) =>
      paths
        .filter((path) => path.startsWith(`${directory}/`))
        .map((path) => path.slice(directory.length + 1).split('/')[0] ?? ''),
    exists: async (path) => files[path] !== undefined,
  };
}

async function acceleratorsOf(
  files: Readonly<Record<string, string>>,
  host: { platform?: NodeJS.Platform; arch?: string; env?: NodeJS.ProcessEnv } = {},
) {
  const { platform = 'linux', arch = 'x64', env = {} } = host;
  return findAccelerators(await readDriverFacts({ platform, arch, env }, looks(files)));
}

describe('findAccelerators', () => {
  it('finds none on a machine without a driver', async () => {
    assert.deepEqual(await acceleratorsOf({ '/dev/null': '', '/etc/ld.so.cache': '' }), []);
    assert.equal(bestBuild([]), null);
  });

  it('finds an NVIDIA driver by its kernel module and its library', async () => {
    const found = await acceleratorsOf({
      '/proc/driver/nvidia/version': NVIDIA_TEXT,
      '/dev/nvidia0': '',
      '/usr/lib/x86_64-linux-gnu/libcuda.so.1': '',
    });
    assert.deepEqual(found, [
      {
        kind: 'cuda',
        evidence: 'NVIDIA driver 550.54.14, /usr/lib/x86_64-linux-gnu/libcuda.so.1',
        buildHint: ['cuda', 'vulkan'],
      },
    ]);
    assert.equal(bestBuild(found), 'cuda');
  });

  it('takes neither half of an NVIDIA driver for a whole one', async () => {
    assert.deepEqual(await acceleratorsOf({ '/usr/lib/x86_64-linux-gnu/libcuda.so.1': '' }), []);
    assert.deepEqual(await acceleratorsOf({ '/proc/driver/nvidia/version': NVIDIA_TEXT }), []);
  });

  it('finds the NVIDIA driver that WSL hands in, which has no kernel module', async () => {
    const [cuda] = await acceleratorsOf({ '/dev/dxg': '', '/usr/lib/wsl/lib/libcuda.so.1': '' });
    assert.equal(cuda?.evidence, '/usr/lib/wsl/lib/libcuda.so.1');
  });

  it('finds Vulkan by a render node and the loader, and does not count either alone', async () => {
    const node = { '/dev/dri/renderD128': '' };
    const loader = { '/usr/lib64/libvulkan.so.1': '' };
    const found = await acceleratorsOf({ ...node, ...loader });
    assert.deepEqual(
      found.map(({ kind, evidence }) => [kind, evidence]),
      [['vulkan', '/dev/dri/renderD128, /usr/lib64/libvulkan.so.1']],
    );
    assert.deepEqual(await acceleratorsOf(node), []);
    assert.deepEqual(await acceleratorsOf(loader), []);
  });

  it('names an AMD driver, which counts for a build only where Vulkan is complete', async () => {
    const amd = await acceleratorsOf({ '/dev/kfd': '', '/opt/rocm/lib/libhsa-runtime64.so.1': '' });
    assert.equal(amd[0]?.evidence, '/dev/kfd, /opt/rocm/lib/libhsa-runtime64.so.1');
    assert.equal(bestBuild(amd), null);
    const both = await acceleratorsOf({
      '/dev/kfd': '',
      '/dev/dri/renderD128': '',
      '/usr/lib/libvulkan.so.1': '',
    });
    assert.equal(bestBuild(both), 'vulkan');
  });

  it('hints at no build where none is published, but names the driver', async () => {
    const files = { '/dev/dri/renderD128': '', '/usr/lib/libvulkan.so.1': '' };
    const found = await acceleratorsOf(files, { arch: 'arm64' });
    assert.deepEqual([found[0]?.kind, found[0]?.buildHint, bestBuild(found)], ['vulkan', [], null]);
  });

  it('finds Metal on Apple silicon only, and drivers in System32 on Windows', async () => {
    const mac = await acceleratorsOf({}, { platform: 'darwin', arch: 'arm64' });
    assert.equal(bestBuild(mac), 'metal');
    assert.deepEqual(await acceleratorsOf({}, { platform: 'darwin', arch: 'x64' }), []);
    const facts = findAccelerators({
      platform: 'win32',
      arch: 'x64',
      nvidiaVersion: null,
      devices: [],
      libraries: { 'nvcuda.dll': 'C:\\Windows\\System32\\nvcuda.dll' },
    });
    assert.equal(bestBuild(facts), 'cuda');
  });
});

describe('findSharedLibraries', () => {
  const host = { platform: 'linux', arch: 'x64' } as const;

  it('reads the loader’s cache, where it is a file that still exists', async () => {
    const cache = 'glibc-ld.so.cache1.1\0\0libx.so.1\0/opt/a/libx.so.1\0/gone/liby.so.1\0';
    const files = { '/etc/ld.so.cache': cache, '/opt/a/libx.so.1': '' };
    const found = await findSharedLibraries(
      ['libx.so.1', 'liby.so.1'],
      { ...host, env: {} },
      looks(files),
    );
    assert.deepEqual(found, { 'libx.so.1': '/opt/a/libx.so.1' });
  });

  it('does not look where the loader would not, unless it is told to', async () => {
    const files = { '/opt/rocm/lib/libx.so.1': '' };
    const where = { ...host, env: {} };
    assert.deepEqual(await findSharedLibraries(['libx.so.1'], where, looks(files)), {});
    const told = { ...where, extra: ['/opt/rocm/lib'] };
    const found = await findSharedLibraries(['libx.so.1'], told, looks(files));
    assert.deepEqual(found, { 'libx.so.1': '/opt/rocm/lib/libx.so.1' });
  });

  it('lets LD_LIBRARY_PATH go first, as the loader does', async () => {
    const files = { '/mine/libx.so.1': '', '/usr/lib/libx.so.1': '' };
    const env = { LD_LIBRARY_PATH: '/nowhere:/mine' };
    const found = await findSharedLibraries(['libx.so.1'], { ...host, env }, looks(files));
    assert.deepEqual(found, { 'libx.so.1': '/mine/libx.so.1' });
  });

  it('finds the C library in this machine’s own cache', {
    skip: !existsSync('/etc/ld.so.cache'),
  }, async () => {
    const names = ['libc.so.6', 'libnothing.so.99'];
    const found = await findSharedLibraries(names, { ...host, env: {} });
    assert.deepEqual(Object.keys(found), ['libc.so.6']);
    assert(existsSync(found['libc.so.6'] ?? ''));
  });
});
