import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ModelSettings } from '../../src/models/model-settings.js';
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

test('an entry may say its own number of slots, which may be left open', () => {
  const slots = (nSlots: number | 'auto', own?: number | 'auto') => {
    const settings = own === undefined ? {} : { nSlots: own };
    return engineOptionsOf({ ...engineSettings, nSlots }, entry('a', settings)).slots;
  };
  assert.deepEqual([slots('auto'), slots(2, 'auto'), slots('auto', 3)], ['auto', 'auto', 3]);
});

describe('guessing ahead', () => {
  const draft = entry('small');
  const find = (name: string) => (name === 'small' ? draft : undefined);
  const of = (settings: object, own: ModelSettings = {}) =>
    engineOptionsOf({ ...engineSettings, ...settings }, entry('a', own), find).speculation;

  test('is absent where nothing asks for it', () => {
    assert.equal(of({}), undefined);
    assert.equal(of({ draftModel: 'small' }, { draftModel: '' }), undefined);
    assert.equal(of({ speculation: 'lookup' }, { speculation: 'off' }), undefined);
  });

  test('finds a draft model by its name or its path, the entry’s before the server’s', () => {
    const path = (settings: object, own?: ModelSettings) => of(settings, own)?.draftModelPath;
    assert.equal(path({ draftModel: 'small' }), draft.path);
    assert.equal(path({ draftModel: '/models/x.gguf' }), '/models/x.gguf');
    assert.equal(path({ draftModel: 'small' }, { draftModel: '/models/y.gguf' }), '/models/y.gguf');
    // Whoever loads it says that there is none.
    assert.equal(path({ draftModel: 'unknown' }), 'unknown');
  });

  test('is not asked of the model itself', () => {
    assert.equal(of({ draftModel: '/models/a.gguf' }), undefined);
    assert.deepEqual(of({ draftModel: '/models/a.gguf', speculation: 'lookup', nDraft: 3 }), {
      lookup: true,
      draftModelPath: null,
      mostTokens: 3,
    });
  });
});
