/** When `serve` speaks of a GPU that lies idle, and when it keeps quiet. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gpuOffer } from '../../cli/offer.js';
import { loadConfig } from '../../src/config.js';
import type { Device, LibraryIdentity } from '../../src/engine/engine.js';
import type { Accelerator } from '../../src/library/drivers.js';

const CUDA: Accelerator = { kind: 'cuda', evidence: 'NVIDIA driver 550', buildHint: ['cuda'] };
const ROCM: Accelerator = { kind: 'rocm', evidence: '/dev/kfd', buildHint: ['vulkan'] };

function library(...types: readonly Device['type'][]) {
  const devices = types.map((type) => ({
    name: type,
    description: type,
    type,
    totalBytes: 0,
    freeBytes: 0,
  }));
  // Nothing but the devices is looked at.
  return { state: 'ok', identity: { devices } as unknown as LibraryIdentity } as const;
}

const config = (env: NodeJS.ProcessEnv = {}) =>
  loadConfig({ env, home: '/nonexistent', cwd: '/', platform: 'linux' });

describe('gpuOffer', () => {
  const nvidia = async () => [CUDA];

  it('offers the build for a driver that the CPU build leaves idle', async () => {
    const offer = await gpuOffer(config(), library('cpu', 'accel'), nvidia);
    assert.deepEqual(offer, { build: 'cuda', evidence: 'NVIDIA driver 550' });
  });

  it('keeps quiet where a GPU is used, or there is none', async () => {
    assert.equal(await gpuOffer(config(), library('cpu', 'gpu'), nvidia), null);
    assert.equal(await gpuOffer(config(), library('cpu'), async () => []), null);
    assert.equal(await gpuOffer(config(), library('cpu'), async () => [ROCM]), null);
  });

  it('keeps quiet where the user chose the library or the CPU', async () => {
    const named = config({ HOSHIKAGE_LIB_PATH: '/mine/libllama.so' });
    assert.equal(await gpuOffer(named, library('cpu'), nvidia), null);
    assert.equal(await gpuOffer(config({ N_GPU_LAYERS: '0' }), library('cpu'), nvidia), null);
    assert.equal(await gpuOffer(config(), { state: 'refused', identity: null }, nvidia), null);
  });
});
