import assert from 'node:assert/strict';
import { test } from 'node:test';
import { engineOptionsOf } from '../../src/resources/options.js';
import { engineSettings, entry } from '../helpers/pool-settings.js';

test('an entry says its own context size and GPU layers, the settings all else', () => {
  const settings = { ...engineSettings, nCtx: 4096, nGpuLayers: -1, nSlots: 3, nBatch: 256 };
  const plain = engineOptionsOf(settings, entry('a'));
  assert.deepEqual(
    [plain.modelPath, plain.contextTokens, plain.gpuLayers, plain.slots, plain.batchTokens],
    ['/models/a.gguf', 4096, -1, 3, 256],
  );
  const own = engineOptionsOf(settings, entry('a', { nCtx: 512, nGpuLayers: 0 }));
  assert.deepEqual([own.contextTokens, own.gpuLayers], [512, 0]);
});

test('settings that are unset are absent, so that the library decides', () => {
  const plain = engineOptionsOf(engineSettings, entry('a'));
  for (const key of ['mainGpu', 'tensorSplit', 'cpuExpertLayers', 'ropeScaling', 'ropeFreqBase']) {
    assert.ok(!(key in plain), key);
  }
  const full = engineOptionsOf(
    { ...engineSettings, mainGpu: 0, tensorSplit: [1, 2], nCpuMoe: 4, ropeScaling: 'yarn' },
    entry('a'),
  );
  assert.deepEqual(
    [full.mainGpu, full.tensorSplit, full.cpuExpertLayers, full.ropeScaling],
    [0, [1, 2], 4, 'yarn'],
  );
});

test('sampling defaults of an entry change no engine', () => {
  assert.deepEqual(
    engineOptionsOf(engineSettings, entry('a', { temperature: 1, maxTokens: 5 })),
    engineOptionsOf(engineSettings, entry('a')),
  );
});
