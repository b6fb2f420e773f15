/** Cancelling in every phase, several completions over the slots, and what every method says in every state. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { NativeContext, NativeModel } from '../../src/engine/addon.js';
import { skipReason, within } from './fake.js';
import { NOTHING_LEFT, Rig, type RigContext, request } from './rig.js';

describe('cancel and close', { skip: skipReason }, () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.open();
  });
  after(() => rig.close());

  describe('cancel', () => {
    it('ends a completion that waits for a slot, while the slot’s owner goes on', () =>
      rig.with({}, async (context) => {
        rig.control.set('holdDecode', 1);
        const owner = context.start('w');
        await rig.control.until('inDecode', 1);
        const queued = context.start('a');
        queued.completion.cancel(-1);
        rig.control.set('holdDecode', 0);
        const done = await queued.done;
        assert.deepEqual([done.reason, done.generatedTokens], ['cancelled', 0]);
        assert.equal((await owner.done).reason, 'eog');
        assert.equal(owner.text(), 'xyz</s>');
      }));

    it('ends a decode step of the prompt by the abort callback', () =>
      rig.with({}, async (context) => {
        rig.control.set('holdDecode', 1);
        const run = context.start('a long prompt w');
        await rig.control.until('inDecode', 1);
        run.completion.cancel(-1);
        // The step is still held: only the abort callback can end it.
        const done = await run.done;
        assert.equal(done.reason, 'cancelled');
        rig.control.set('holdDecode', 0);
        assert.equal(await context.say('a long prompt w'), 'xyz</s>');
      }));

    it('ends a generation within one step', () =>
      rig.with({ contextTokens: 4096 }, async (context) => {
        rig.control.set('tokenSleepUs', 1000);
        const run = context.start('0');
        await rig.control.until('decodeCalls', 4);
        run.completion.cancel(-1);
        const before = rig.control.get('decodeCalls');
        assert.equal((await run.done).reason, 'cancelled');
        assert.ok(rig.control.get('decodeCalls') <= before + 1);
      }));

    it('of one owner never ends the batch of another', () =>
      rig.with({ slots: 2, contextTokens: 2048 }, async (context) => {
        rig.control.set('holdDecode', 1);
        const first = context.start('0', { maxTokens: 20 });
        await rig.control.until('inDecode', 1);
        const second = context.start('w');
        rig.control.set('holdDecode', 0);
        await rig.control.until('mostSequences', 2);
        rig.control.set('holdDecode', 1);
        first.completion.cancel(-1);
        rig.control.set('holdDecode', 0);
        assert.ok(['cancelled', 'length'].includes((await first.done).reason));
        assert.equal((await second.done).reason, 'eog');
        assert.equal(second.text(), 'xyz</s>');
      }));

    it('of all owners ends the batch that they share', () =>
      rig.with({ slots: 2, contextTokens: 2048 }, async (context) => {
        rig.control.set('tokenSleepUs', 500);
        const runs = [context.start('0'), context.start('1')];
        await rig.control.until('mostSequences', 2);
        rig.control.set('holdDecode', 1);
        await rig.control.until('inDecode', 1);
        for (const run of runs) run.completion.cancel(-1);
        for (const run of runs) assert.equal((await run.done).reason, 'cancelled');
        rig.control.set('holdDecode', 0);
        assert.equal(await context.say('w'), 'xyz</s>');
      }));

    it('after the end, and twice, changes nothing', () =>
      rig.with({}, async (context) => {
        const run = context.start('w');
        assert.equal((await run.done).reason, 'eog');
        run.completion.cancel(-1);
        run.completion.cancel(0);
        assert.equal(run.completion.take(), null);
        assert.equal(await context.say('w'), 'xyz</s>');
      }));

    it('leaves the text that was made before it', () =>
      rig.with({ contextTokens: 4096 }, async (context) => {
        rig.control.set('tokenSleepUs', 1000);
        const run = context.start('0');
        await rig.control.until('decodeCalls', 6);
        run.completion.cancel(-1);
        const done = await run.done;
        assert.equal(run.tokens.length, done.generatedTokens);
        assert.equal(run.text(), '1234567890'.repeat(20).slice(0, run.tokens.length));
      }));
  });

  describe('several completions', () => {
    it('over fewer slots all end with their own text', () =>
      rig.with({ slots: 4, contextTokens: 4096, batchTokens: 64 }, async (context) => {
        const starts = [...'abcdefghijklmnopqrstuvwxy'];
        rig.control.set('holdDecode', 1);
        const runs = starts.map((letter) => context.start(`${letter.repeat(90)}`));
        rig.control.set('holdDecode', 0);
        const dones = await Promise.all(runs.map((run) => run.done));
        for (const [index, run] of runs.entries()) {
          const from = (starts[index] ?? '').charCodeAt(0) + 1;
          const rest = Array.from({ length: 123 - from }, (_, k) => String.fromCharCode(from + k));
          assert.equal(run.text(), `${rest.join('')}</s>`);
        }
        assert.ok(dones.every(({ slot }) => slot >= 0 && slot < 4));
        assert.ok(rig.control.get('mostSequences') > 1, 'they share decode steps');
      }));

    it('a third of them cancelled at random leave the others whole', () =>
      rig.with({ slots: 3, contextTokens: 3072, batchTokens: 64 }, async (context) => {
        for (let round = 0; round < 4; round++) {
          const runs = Array.from({ length: 15 }, () => context.start('the same beginning w'));
          for (const [index, run] of runs.entries()) {
            if (index % 3 !== 0) continue;
            await new Promise((resolve) => setTimeout(resolve, index % 4));
            run.completion.cancel(index % 2 === 0 ? 0 : -1);
          }
          for (const [index, run] of runs.entries()) {
            const done = await run.done;
            if (done.reason === 'cancelled') assert.equal(index % 3, 0);
            else assert.equal(run.text(), 'xyz</s>');
          }
        }
      }));

    it('count their work, and one ring serves all slots of a step', () =>
      rig.with({ slots: 2, contextTokens: 2048 }, async (context) => {
        await Promise.all([context.say('aaaw'), context.say('bbbq')]);
        const counters = context.native.counters();
        assert.equal(counters.promptTokens, 8);
        assert.equal(counters.generatedTokens, 4 + 10);
        assert.ok(counters.rings <= counters.steps + 4, JSON.stringify(counters));
      }));
  });

  describe('close', () => {
    it('of a context ends what runs and what waits, once', () =>
      rig.with({}, async (context) => {
        rig.control.set('holdDecode', 1);
        const runs = [context.start('0'), context.start('1'), context.start('2')];
        await rig.control.until('inDecode', 1);
        const closing = [context.native.close(), context.native.close()];
        await within(Promise.all(closing), 'both closes');
        for (const run of runs) assert.equal((await run.done).reason, 'cancelled');
        assert.equal(rig.control.get('liveContexts'), 0);
      }));

    it('of a model closes its contexts first', async () => {
      rig.control.reset();
      const model = await rig.model();
      const context = await rig.context(model);
      rig.control.set('tokenSleepUs', 500);
      const run = context.start('0');
      await rig.control.until('decodeCalls', 2);
      await within(model.close(), 'close of the model');
      assert.equal((await run.done).reason, 'cancelled');
      assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
      await within(Promise.all([context.native.close(), model.close()]), 'closes afterwards');
    });

    it('of a model while a context is being made loses neither', async () => {
      rig.control.reset();
      const model = await rig.model();
      const making = rig.context(model).then(
        (context) => context.native.close(),
        (error: unknown) => assert.equal((error as { code: string }).code, 'closed'),
      );
      await within(Promise.all([making, model.close()]), 'both');
      assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    });

    it('of a model while it tokenises lets that end well', async () => {
      rig.control.reset();
      const model = await rig.model();
      const tokens = model.tokenize([{ text: 'abc', special: false }], false);
      await within(model.close(), 'close');
      assert.equal((await tokens).length, 3);
      assert.equal(rig.control.get('liveModels'), 0);
    });
  });

  // Every method in every state: it works, or it throws an error with a code; nothing else.
  describe('every method in every state', () => {
    type State = 'fresh' | 'running' | 'cancelled' | 'closed';
    const states: readonly State[] = ['fresh', 'running', 'cancelled', 'closed'];
    const methods: Readonly<
      Record<string, (model: NativeModel, context: NativeContext) => unknown>
    > = {
      'model.facts': (model) => model.facts().vocabularySize,
      'model.tokenize': (model) => model.tokenize([{ text: 'a', special: false }], false),
      'model.detokenize': (model) => model.detokenize(Int32Array.of(97)).length,
      'model.detokenize of nothing': (model) => model.detokenize(new Int32Array(0)).length,
      'model.createContext': async (model) => {
        const options = { contextTokens: 256, slots: 1, batchTokens: 64 };
        const context = await model.createContext(options, () => {});
        await context.close();
      },
      'context.start': (_, context) => context.start(request('w')).cancel(-1),
      'context.slots': (_, context) => context.slots().length,
      'context.counters': (_, context) => context.counters().steps,
    };
    const harmless: typeof methods = {
      'context.info': (_, context) => context.info.slots,
      'context.close': (_, context) => context.close(),
      'model.close': (model) => model.close(),
    };

    async function inState(
      state: State,
      use: (model: NativeModel, context: RigContext) => Promise<void>,
    ): Promise<void> {
      rig.control.reset();
      const model = await rig.model();
      const context = await rig.context(model, { slots: 2 });
      rig.control.set('tokenSleepUs', 300);
      const run = state === 'running' || state === 'cancelled' ? context.start('0') : null;
      if (run) await rig.control.until('inDecode', 1);
      if (state === 'cancelled') run?.completion.cancel(-1);
      if (state === 'closed') {
        await context.native.close();
        await model.close();
      }
      await use(model, context);
      run?.completion.cancel(-1);
      await run?.done;
      await within(Promise.all([context.native.close(), model.close()]), 'closes');
      assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    }

    for (const state of states) {
      for (const [name, call] of Object.entries(methods)) {
        const outcome = state === 'closed' ? 'throws closed' : 'works';
        it(`${name} on ${state} wraps ${outcome}`, () =>
          inState(state, async (model, context) => {
            const called = (async () => call(model, context.native))();
            if (state === 'closed') await assert.rejects(called, { code: 'closed' });
            else await within(called, name);
          }));
      }
      for (const [name, call] of Object.entries(harmless)) {
        it(`${name} on ${state} wraps works`, () =>
          inState(state, async (model, context) => {
            await within((async () => call(model, context.native))(), name);
          }));
      }
      it(`take and cancel of a completion work on ${state} wraps`, () =>
        inState('fresh', async (model, context) => {
          const run = context.start('w');
          if (state === 'cancelled') run.completion.cancel(-1);
          if (state === 'closed') await Promise.all([context.native.close(), model.close()]);
          await run.done;
          run.completion.cancel(3);
          assert.equal(run.completion.take(), null);
        }));
    }

    it('a request that makes no sense is refused with invalid_argument', () =>
      rig.with({ contextTokens: 256 }, async (context) => {
        const bad = [
          request(''),
          request('a'.repeat(257)),
          request('a', { prompt: Int32Array.of(320) }),
          request('a', { prompt: Int32Array.of(-1) }),
          request('a', { maxTokens: 0 }),
          request('a', { maxTokens: Number.NaN }),
          request('a', { temperature: -1 }),
          request('a', { temperature: Number.NaN }),
          request('a', { topP: 1.5 }),
          request('a', { topK: 0.5 }),
          request('a', { seed: -1 }),
          request('a', { biasTokens: Int32Array.of(1) }),
          request('a', { biasTokens: Int32Array.of(400), biasValues: Float32Array.of(1) }),
          request('a', { biasTokens: Int32Array.of(1), biasValues: Float32Array.of(Number.NaN) }),
        ];
        for (const [index, wrong] of bad.entries()) {
          const refused = { code: 'invalid_argument' };
          assert.throws(() => context.native.start(wrong), refused, `request ${index}`);
        }
        assert.equal(await context.say('w'), 'xyz</s>');
      }));

    it('arguments of a wrong type are refused with invalid_argument', () => {
      const wrong: readonly unknown[] = [undefined, null, 1, 'x', [], {}, () => {}];
      // The surface is typed; this is what JavaScript could still pass.
      const addon = rig.addon as unknown as Record<string, (...args: unknown[]) => unknown>;
      for (const value of wrong) {
        assert.throws(() => addon.openLibrary?.(value), { code: 'invalid_argument' });
        assert.throws(() => addon.loadModel?.(value), { code: 'invalid_argument' });
        if (typeof value !== 'number') {
          assert.throws(() => addon.tryLock?.(value), { code: 'invalid_argument' });
        }
        if (typeof value !== 'function') {
          assert.throws(() => addon.onLog?.(value), { code: 'invalid_argument' });
        }
      }
    });
  });

  it('leaves nothing alive in the library and asks nothing of it that is forbidden', () => {
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
  });
});
