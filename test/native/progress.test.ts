/** What the addon counts as progress: who watches it must be able to tell slow from stuck. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { NativeAddon, NativeProgress } from '../../src/engine/addon.js';
import { until } from '../helpers/waiting.js';
import { BAD_ALLOC, skipReason, within } from './fake.js';
import { NOTHING_LEFT, Rig } from './rig.js';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** How far each lane has come. */
function counts(addon: NativeAddon): Record<'steps' | 'embeds' | 'other', number> {
  const { steps, embeds, other } = addon.progress();
  return { steps: steps.count, embeds: embeds.count, other: other.count };
}

describe('progress', { skip: skipReason }, () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.open();
  });
  after(() => {
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    rig.close();
  });

  const inLongCall = (lane: 'steps' | 'embeds' | 'other'): boolean =>
    rig.addon.progress()[lane].inLongCall;

  /** Waits until a lane has come further. */
  const moves = (lane: 'steps' | 'embeds' | 'other'): Promise<NativeProgress> => {
    const from = rig.addon.progress()[lane].count;
    return until(`progress of ${lane}`, () => {
      const now = rig.addon.progress();
      return now[lane].count > from ? now : null;
    });
  };

  it('is counted in steps, whatever they bring, and nothing else moves meanwhile', () =>
    rig.with({}, async (context) => {
      const start = counts(rig.addon);
      assert.equal(await context.say('w'), 'xyz</s>');
      const end = counts(rig.addon);
      assert.ok(end.steps >= start.steps + 4, `${start.steps} to ${end.steps}`);
      assert.deepEqual([end.embeds, end.other], [start.embeds, start.other]);
      await pause(5);
      assert.deepEqual(counts(rig.addon), end);
    }));

  it('shows in a single step that takes long, by the looks at whether to abort it', () =>
    rig.with({}, async (context) => {
      await context.say('w');
      rig.control.set('holdDecode', 1);
      const run = context.start('w');
      await rig.control.until('inDecode', 1);
      await moves('steps');
      await moves('steps');
      assert.equal(inLongCall('steps'), false);
      rig.control.set('holdDecode', 0);
      await run.done;
    }));

  it('does not show in a step that is stuck, but for the first, in which kernels may be compiled', () =>
    rig.with({}, async (context) => {
      for (const first of [true, false]) {
        rig.control.set('deafDecode', 1);
        rig.control.set('holdDecode', 1);
        const run = context.start('w');
        await rig.control.until('inDecode', 1);
        const stuck = rig.addon.progress();
        await pause(20);
        assert.equal(rig.addon.progress().steps.count, stuck.steps.count);
        assert.equal(stuck.steps.inLongCall, first);
        rig.control.set('holdDecode', 0);
        await run.done;
      }
    }));

  it('shows in a load by its own progress, and is known to be one long call', async () => {
    rig.control.reset();
    rig.control.set('holdLoad', 1);
    const load = rig.addon.loadModel({ path: rig.modelPath });
    await rig.control.until('inLoad', 1);
    await moves('other');
    assert.equal(inLongCall('other'), true);
    rig.control.set('holdLoad', 0);
    const model = await within(load.promise, 'the load');
    assert.equal(inLongCall('other'), false);
    await model.close();
  });

  it('shows in embeddings, which say nothing of completions', () =>
    rig.with({}, async (context, model) => {
      await context.say('w');
      const embedder = model.createEmbedder({ contextTokens: 64, slots: 1, batchTokens: 64 });
      rig.control.set('holdEmbed', 1);
      const { steps } = counts(rig.addon);
      const call = embedder.embed([Int32Array.of(1)]);
      await rig.control.until('inEmbed', 1);
      await moves('embeds');
      rig.control.set('holdEmbed', 0);
      await within(call.promise, 'the embedding');
      assert.equal(counts(rig.addon).steps, steps);
    }));

  it('comes with every text that is tokenised and every state that is written or read', () =>
    rig.with({}, async (context, model) => {
      const { other } = counts(rig.addon);
      await model.tokenize(
        ['a', 'b'].map((text) => ({ text, special: false })),
        false,
      );
      assert.equal(counts(rig.addon).other, other + 2);
      await context.say('w');
      const { steps } = counts(rig.addon);
      const state = await context.native.saveState(0, 1e6);
      assert.ok(state);
      assert.equal(counts(rig.addon).steps, steps + 1);
      assert.equal(await context.native.restoreState(state), 0);
      assert.equal(counts(rig.addon).steps, steps + 2);
    }));

  it('tells what other threads computed, and leaves out what this one did', () =>
    rig.with({}, async (_context, model) => {
      const before = rig.addon.progress().othersCpuMs;
      const text = 'x'.repeat(20_000_000);
      await model.tokenize([{ text, special: true }], false);
      const worked = rig.addon.progress().othersCpuMs;
      assert.ok(worked > before + 20, `${before} to ${worked}`);
      const busy = process.cpuUsage();
      while (process.cpuUsage(busy).user < 200_000) JSON.stringify({ busy });
      const own = rig.addon.progress().othersCpuMs - worked;
      assert.ok(own < 150, `${own} ms are not its own`);
    }));

  it('ends an embedding that is given up, running or waiting, and no other', () =>
    rig.with({}, async (_context, model) => {
      const embedder = model.createEmbedder({ contextTokens: 64, slots: 1, batchTokens: 64 });
      rig.control.set('holdEmbed', 1);
      const running = embedder.embed([Int32Array.of(1)]);
      await rig.control.until('inEmbed', 1);
      const waiting = embedder.embed([Int32Array.of(2)]);
      const given = [running, waiting].map((call) =>
        assert.rejects(within(call.promise, 'the end'), { code: 'cancelled' }),
      );
      waiting.cancel();
      running.cancel();
      await Promise.all(given);
      const last = embedder.embed([Int32Array.of(3)]);
      rig.control.set('holdEmbed', 0);
      assert.equal((await within(last.promise, 'the last one'))[0]?.[0], 3);
      last.cancel();
    }));

  it('a failed load says what the library said, and names a want of memory', async () => {
    rig.control.reset();
    const failure = async (code: number): Promise<Error & { code?: string }> => {
      rig.control.set('loadFail', code);
      return rig.addon.loadModel({ path: rig.modelPath }).promise.then(
        () => assert.fail('it loaded'),
        (error: Error) => error,
      );
    };
    const failed = await failure(1);
    assert.equal(failed.code, 'model_load_failed');
    assert.match(failed.message, /could not load .*: fake: cannot load the file$/);
    assert.equal((await failure(BAD_ALLOC)).code, 'engine_out_of_memory');
    rig.control.set('loadFail', 0);
    const model = await rig.model();
    rig.control.set('contextFail', 1);
    await assert.rejects(rig.context(model), /tokens: llama_init_from_model: .* no cache$/);
    rig.control.set('contextFail', 0);
    await model.close();
  });
});
