/** Where a model's layers go, with made-up devices. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Device } from '../../src/engine/engine.js';
import type { MemoryNeed } from '../../src/engine/memory-need.js';
import { placeLayers } from '../../src/engine/place-layers.js';
import { placed } from '../../src/engine/placement.js';
import { HoshikageError, words } from '../../src/errors.js';
import { engineOptions } from '../helpers/engine-options.js';

const GIB = 2 ** 30;

/** Ten layers of 1 GiB with 0.1 GiB of cache each, an output of 0.5 GiB, half a GiB of scratch memory. */
const need: MemoryNeed = {
  layerBytes: Array<number>(10).fill(GIB),
  expertBytes: Array<number>(10).fill(0.75 * GIB),
  outputBytes: 0.5 * GIB,
  outputCopyBytes: 0,
  inputBytes: 0.5 * GIB,
  kvBytesPerLayer: Array<number>(10).fill(0.1 * GIB),
  computeBytes: 0.5 * GIB,
  hostBytes: 0,
  privateBytes: 0,
  deviceBytes: 0,
};

function device(freeGiB: number, changes: Partial<Device> = {}): Device {
  const bytes = freeGiB * GIB;
  const facts = { name: 'GPU0', description: '', totalBytes: bytes, freeBytes: bytes };
  return { ...facts, type: 'gpu', ...changes };
}

const auto = { gpuLayers: 'auto' } as const;
const cpu = device(64, { name: 'CPU', type: 'cpu' });

test('auto puts everything on a device that has room for it, scratch memory and some more', () => {
  // 11.5 of weights and cache, 0.5 of scratch memory, one 25th of the device.
  assert.equal(placeLayers(need, auto, [cpu, device(12.6)]).gpuLayers, 11);
  assert.equal(placeLayers(need, auto, [cpu, device(12.4)]).gpuLayers, 10);
});

test('auto puts on a small device what fits, none where nothing does, and none without a device', () => {
  const counts = [8, 5, 2, 1].map((free) => placeLayers(need, auto, [device(free)]).gpuLayers);
  assert.deepEqual(counts, [6, 3, 1, 0]);
  assert.deepEqual(placeLayers(need, auto, [cpu]), { gpuLayers: 0, shortage: null });
});

test('experts that are kept in main memory leave room for more layers', () => {
  const wish = { ...auto, cpuExpertLayers: 10 };
  assert.equal(placeLayers(need, wish, [device(6)]).gpuLayers, 11);
});

test('two devices are filled in proportion to what is free, as libllama does', () => {
  const even = placeLayers(need, auto, [device(7.5), device(7.5, { name: 'GPU1' })]);
  assert.equal(even.gpuLayers, 11);
  // One that is given more than its share decides.
  const wish = { ...auto, tensorSplit: [9, 1] };
  assert.ok(placeLayers(need, wish, [device(7), device(7, { name: 'GPU1' })]).gpuLayers < 8);
});

test('an integrated device counts only where there is no other, and one without figures is trusted', () => {
  const integrated = device(1, { type: 'igpu' });
  assert.equal(placeLayers(need, auto, [integrated, device(20)]).gpuLayers, 11);
  assert.equal(placeLayers(need, auto, [integrated]).gpuLayers, 0);
  assert.equal(placeLayers(need, auto, [device(0)]).gpuLayers, 11);
});

test('a fixed number is taken as it is, but for what certainly cannot work', () => {
  const seven = placeLayers(need, { gpuLayers: 7 }, [device(8)]);
  assert.deepEqual(seven, { gpuLayers: 7, shortage: null });
  const all = placeLayers(need, { gpuLayers: -1 }, [device(8)]);
  assert.equal(all.gpuLayers, 11);
  if (process.platform === 'darwin') return;
  assert.deepEqual(all.shortage && [all.shortage.device, all.shortage.fitting], ['GPU0', 7]);
  const shared = placeLayers(need, { gpuLayers: -1 }, [device(8, { type: 'igpu' })]);
  assert.equal(shared.shortage, null);
});

const never = new AbortController().signal;
const still = (devices: readonly Device[]) => ({
  devices,
  look: async () => devices,
  signal: never,
});

test('what cannot work is refused with figures and advice, where memory is checked', {
  skip: process.platform === 'darwin' && 'memory is shared there',
}, async () => {
  const options = engineOptions({ modelPath: '/m/big.gguf', gpuLayers: -1, memory: need });
  const small = still([device(8)]);
  assert.equal((await placed(options, small)).gpuLayers, -1);
  await assert.rejects(placed({ ...options, memoryChecked: true }, small), (error) => {
    assert.ok(error instanceof HoshikageError && error.code === 'memory_short');
    const text = words('memory_short', 'ja', error.details);
    assert.match(text, /^big\.gguf .*3\.5 GiB .*11\.5 GiB .*8\.0 GiB .*7 以下/);
    return /or 7 or less/.test(error.message);
  });
});

test('memory that an engine before gives back a little later is waited for', async () => {
  const options = engineOptions({ gpuLayers: 'auto', memory: need, memoryChecked: true });
  let looks = 0;
  const look = async (): Promise<Device[]> => {
    looks += 1;
    return [device(2 + 4 * looks)];
  };
  const settled = await placed(options, { devices: [device(2)], look, signal: never });
  assert.deepEqual([settled.gpuLayers, looks], [11, 3]);
  const full = await placed(options, { ...still([device(5)]) });
  assert.equal(full.gpuLayers, 3);
  const aborted = { ...still([device(5)]), signal: AbortSignal.abort() };
  await assert.rejects(placed(options, aborted), { code: 'cancelled' });
});

test('without an estimate, or without devices, nothing is looked at', async () => {
  const options = engineOptions({ gpuLayers: 'auto' });
  const look = () => assert.fail('looked');
  const blind = { devices: [device(1)], look, signal: never };
  assert.equal((await placed(options, blind)).gpuLayers, 'auto');
  const alone = { devices: [cpu], look, signal: never };
  assert.equal((await placed({ ...options, memory: need }, alone)).gpuLayers, 0);
});
