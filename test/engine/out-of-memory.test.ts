/** Whether an end was for want of memory: by words, and by what the kernel counts. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { oomKills, speaksOfMemory } from '../../src/engine/out-of-memory.js';

test('what libllama, its backends, C++ and Node say for want of memory is understood', () => {
  const texts = [
    'ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 8589934592',
    'alloc_tensor_range: failed to allocate CUDA0 buffer of size 4294967296',
    'llama_model_load: error loading model: unable to allocate CUDA0 buffer',
    'CUDA error: out of memory',
    'ggml_vulkan: Device memory allocation of size 1073741824 failed.',
    'vk::Device::allocateMemory: ErrorOutOfDeviceMemory',
    "terminate called after throwing an instance of 'std::bad_alloc'",
    'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory',
    'mmap failed: Cannot allocate memory',
    'graph_reserve: failed to allocate compute buffers',
    'output_reserve: failed to allocate output buffer',
    'decode: failed to reserve space for batch: could not reserve',
    'llama_decode returned -2',
    'error: kIOGPUCommandBufferCallbackErrorOutOfMemory (Insufficient Memory)',
  ];
  assert.deepEqual(
    texts.filter((text) => !speaksOfMemory(text)),
    [],
  );
});

test('other ends are not taken for it', () => {
  const texts = [
    'GGML_ASSERT(n_tokens <= n_batch) failed',
    'llama_decode returned -3',
    'failed to open model: No such file or directory',
    'llama_kv_cache: size = 512.00 MiB',
    'load_tensors: CPU_Mapped model buffer size = 4095.05 MiB',
    'ended by SIGSEGV',
  ];
  assert.deepEqual(texts.filter(speaksOfMemory), []);
});

test('the kernel is asked for the nearest control group that counts, and else for the machine', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'hoshikage-oom-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const cgroupRoot = join(folder, 'root');
  const files = { vmstat: join(folder, 'vmstat'), cgroup: join(folder, 'cgroup'), cgroupRoot };
  const count = async (group: string, name: string, text: string): Promise<void> => {
    await mkdir(join(cgroupRoot, group), { recursive: true });
    await writeFile(join(cgroupRoot, group, name), text);
  };
  assert.equal(await oomKills(files), 0);
  await writeFile(files.vmstat, 'pgfault 12\noom_kill 3\noom_kill_other 9\n');
  assert.equal(await oomKills(files), 3);
  await writeFile(files.cgroup, '4:cpu,memory:/old\n0::/user/app\n');
  assert.equal(await oomKills(files), 3);
  await count('memory/old', 'memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\noom_kill 1\n');
  assert.equal(await oomKills(files), 1);
  await count('user', 'memory.events', 'oom 5\noom_kill 7\n');
  assert.equal(await oomKills(files), 7);
  await count('user/app', 'memory.events', 'oom 5\noom_kill 2\n');
  assert.equal(await oomKills(files), 2);
  // What becomes of others is not our engine's end.
  await writeFile(files.vmstat, 'pgfault 12\noom_kill 4\noom_kill_other 9\n');
  assert.equal(await oomKills(files), 2);
  await writeFile(files.cgroup, '0::/../../elsewhere\n');
  assert.equal(await oomKills(files), 4);
});
