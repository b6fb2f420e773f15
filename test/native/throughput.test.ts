/** Steps of several sequences, measured on a context that is thrown away: against the fake libllama. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { NativeModel } from '../../src/engine/addon.js';
import { skipReason, within } from './fake.js';
import { NOTHING_LEFT, Rig } from './rig.js';

const OPTIONS = { contextTokens: 64, slots: 1, batchTokens: 32, threads: 1 };
const COUNTS = [1, 2, 4, 8];
/** Never over while a test runs. */
const PLENTY_MS = 600_000;

describe('measuring steps', { skip: skipReason }, () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.open();
  });
  after(() => {
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    rig.close();
  });

  const withModel = async (use: (model: NativeModel) => Promise<void>): Promise<void> => {
    rig.control.reset();
    const model = await rig.model();
    try {
      await use(model);
    } finally {
      rig.control.set('holdDecode', 0);
      await within(model.close(), 'close of the model');
    }
  };

  it('decodes one token for each of so many sequences, every count as often as the others', () =>
    withModel(async (model) => {
      const times = await model.measureSteps(OPTIONS, COUNTS, PLENTY_MS).promise;
      assert.equal(times.length, COUNTS.length);
      for (const ms of times) assert.ok(ms !== null && ms > 0 && Number.isFinite(ms), String(ms));
      assert.equal(rig.control.get('mostSequences'), 8);
      assert.equal(rig.control.get('largestBatch'), 8);
      // Two steps of one token come first; of each count there are then as many.
      const [steps, tokens] = [rig.control.get('decodeCalls'), rig.control.get('tokensDecoded')];
      assert.equal((steps - 2) % COUNTS.length, 0);
      assert.equal(tokens - 2, ((steps - 2) / COUNTS.length) * (1 + 2 + 4 + 8));
      assert.equal(rig.control.get('liveContexts'), 0);
    }));

  it('leaves out what would take too long', () =>
    withModel(async (model) => {
      rig.control.set('tokenSleepUs', 30_000);
      const times = await model.measureSteps(OPTIONS, COUNTS, 300).promise;
      assert.deepEqual(times.slice(1), [null, null, null]);
      assert.equal(rig.control.get('mostSequences'), 1);
    }));

  it('ends with its time, whatever a step is at', () =>
    withModel(async (model) => {
      rig.control.set('tokenSleepUs', 20_000);
      const times = await model.measureSteps(OPTIONS, COUNTS, 1).promise;
      assert.deepEqual(times, [null, null, null, null]);
      assert.equal(rig.control.get('decodeCalls'), 2);
    }));

  it('is cancelled within a step', () =>
    withModel(async (model) => {
      rig.control.set('holdDecode', 1);
      const measuring = model.measureSteps(OPTIONS, COUNTS, PLENTY_MS);
      await rig.control.until('inDecode', 1);
      measuring.cancel();
      await assert.rejects(within(measuring.promise, 'the end'), { code: 'cancelled' });
      assert.equal(rig.control.get('liveContexts'), 0);
    }));

  it('fails with the code of what failed', () =>
    withModel(async (model) => {
      for (const [code, expected] of [
        [-3, 'decode_failed'],
        [-2, 'engine_out_of_memory'],
      ] as const) {
        rig.control.reset();
        rig.control.set('failAt', 3);
        rig.control.set('failCode', code);
        const measuring = model.measureSteps(OPTIONS, COUNTS, PLENTY_MS);
        await assert.rejects(within(measuring.promise, 'the end'), { code: expected });
      }
      rig.control.reset();
      rig.control.set('contextFail', 1);
      const measuring = model.measureSteps(OPTIONS, COUNTS, PLENTY_MS);
      await assert.rejects(within(measuring.promise, 'the end'), { code: 'model_load_failed' });
    }));

  it('refuses counts that do not ascend, before anything is made', () =>
    withModel(async (model) => {
      for (const counts of [[], [0], [2, 1], [1, 1], [1.5], [65]]) {
        assert.throws(() => model.measureSteps(OPTIONS, counts, PLENTY_MS), {
          code: 'invalid_argument',
        });
      }
      assert.equal(rig.control.get('decodeCalls'), 0);
    }));

  it('frees a model that is closed meanwhile only when it has ended', () =>
    withModel(async (model) => {
      rig.control.set('holdDecode', 1);
      const measuring = model.measureSteps(OPTIONS, COUNTS, PLENTY_MS);
      await rig.control.until('inDecode', 1);
      await within(model.close(), 'close of the model');
      assert.equal(rig.control.get('liveModels'), 1);
      measuring.cancel();
      await assert.rejects(within(measuring.promise, 'the end'), { code: 'cancelled' });
      assert.equal(rig.control.get('liveModels'), 0);
    }));
});
