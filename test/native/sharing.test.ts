/**
 * Slots that share what their prompts have in common, with the fake: by counting tokens, nothing is
 * computed twice, and whatever fails or leaves, every text is right.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { shuffled } from '../helpers/shuffle.js';
import { until } from '../helpers/waiting.js';
import { skipReason, THROW } from './fake.js';
import { NOTHING_LEFT, Rig, type RigContext, type Run } from './rig.js';

const PREFIX = 'p'.repeat(400);
const ENDINGS = ['w', 'vw', 'uvw', 'tuvw'];

/** Prompt tokens that every answer says it did not compute. */
async function computed(runs: readonly Run[]): Promise<number> {
  const ends = await Promise.all(runs.map(({ done }) => done));
  return ends.reduce((sum, end) => sum + end.promptTokens - end.cachedTokens, 0);
}

describe('slots that share the beginnings of prompts', { skip: skipReason }, () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.open();
  });
  after(() => {
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    rig.close();
  });

  /** Starts all at once: the decode thread is held at the first step until all are there. */
  const together = async (context: RigContext, prompts: readonly string[]): Promise<Run[]> => {
    rig.control.set('holdDecode', 1);
    const inDecode = rig.control.until('inDecode', 1);
    const runs = prompts.map((prompt) => context.start(prompt));
    await inDecode;
    rig.control.set('holdDecode', 0);
    return runs;
  };

  it('compute what four prompts have in common once', () =>
    rig.with({ slots: 4, contextTokens: 4096 }, async (context) => {
      const prompts = ENDINGS.map((ending) => PREFIX + ending);
      const runs = await together(context, prompts);
      const all = PREFIX.length + ENDINGS.join('').length;
      assert.equal(await computed(runs), all);
      for (const run of runs) assert.equal(run.text(), 'xyz</s>');
      const counters = context.native.counters();
      assert.equal(counters.promptTokens, all);
      assert.equal(counters.sharedTokens, 3 * PREFIX.length);
      assert.equal(rig.control.get('tokensDecoded'), all + 3 * runs.length);
      assert.ok(rig.control.get('copies') > 0);
    }));

  it('report prompt and cached tokens right in whatever order five prompts come', async () => {
    const prompts = ['', 'x', 'xy', 'ab', 'abc'].map((part) => `${PREFIX}${part}w`);
    for (let seed = 0; seed < 16; seed++) {
      await rig.with({ slots: 3, contextTokens: 4096 }, async (context) => {
        const order = shuffled(prompts, seed);
        const runs: Run[] = [];
        for (const [index, prompt] of order.entries()) {
          runs.push(context.start(prompt));
          // Some come in the middle of another's work, some after it.
          if ((seed + index) % 3 === 0) await runs.at(-1)?.done;
          else if ((seed + index) % 3 === 1) await new Promise(setImmediate);
        }
        const sum = await computed(runs);
        for (const [index, run] of runs.entries()) {
          const done = await run.done;
          assert.equal(run.text(), 'xyz</s>', `seed ${seed}: ${order[index]}`);
          assert.equal(done.promptTokens, order[index]?.length);
          assert.ok(done.cachedTokens < done.promptTokens);
        }
        assert.equal(context.native.counters().promptTokens, sum, `seed ${seed}`);
        // Each computes at least its own last token; what all begin with is computed once.
        assert.ok(sum >= PREFIX.length + 5 && sum < PREFIX.length + 5 * 8, `seed ${seed}: ${sum}`);
      });
    }
  });

  it('go on alone where the one that computes for all is cancelled', () =>
    rig.with({ slots: 4, batchTokens: 64, contextTokens: 4096 }, async (context) => {
      rig.control.set('tokenSleepUs', 200);
      const [first, ...others] = ENDINGS.map((ending) => context.start(PREFIX + ending));
      assert.ok(first);
      await until('some progress', () => first.prefilled.some((tokens) => tokens > 100));
      first.completion.cancel(-1);
      assert.equal((await first.done).reason, 'cancelled');
      for (const run of others) {
        const done = await run.done;
        assert.equal(done.reason, 'eog');
        assert.equal(run.text(), 'xyz</s>');
      }
      // What the first one had is not computed again, nor is the rest by more than one.
      const { promptTokens } = context.native.counters();
      assert.ok(promptTokens < PREFIX.length + 64 + ENDINGS.join('').length, `${promptTokens}`);
    }));

  it('take as their own time only what was computed for them', () =>
    rig.with({ slots: 4, contextTokens: 4096 }, async (context) => {
      rig.control.set('tokenSleepUs', 1000);
      const prompts = ENDINGS.slice(0, 4).map((ending) => PREFIX + ending);
      const runs = await together(context, prompts);
      const ends = await Promise.all(runs.map(({ done }) => done));
      const [first = 0, ...others] = ends
        .map(({ prefillMs }) => prefillMs)
        .sort((one, other) => other - one);
      // Tokens take 1 ms at least, and whoever follows computes its ending alone.
      assert.ok(first >= PREFIX.length, `${first}`);
      for (const ms of others) assert.ok(ms > 0 && ms < first / 2, `${ms} of ${first}`);
    }));

  it('leave another conversation’s cache alone where a slot is free', () =>
    rig.with({ slots: 2 }, async (context) => {
      assert.equal((await context.start(`${PREFIX}hello w`).done).slot, 0);
      const other = await context.start(`${PREFIX}other w`).done;
      assert.deepEqual([other.slot, other.cachedTokens], [1, PREFIX.length]);
      const again = await context.start(`${PREFIX}hello wxyz`).done;
      assert.deepEqual([again.slot, again.cachedTokens], [0, PREFIX.length + 9]);
    }));

  it('keep out of it what wants nothing of a cache', () =>
    rig.with({ slots: 4, contextTokens: 4096 }, async (context) => {
      await context.say(`${PREFIX}w`);
      for (const over of [{ cachePrompt: false }, { promptLogprobs: 0 }]) {
        const done = await context.start(`${PREFIX}w`, over).done;
        assert.equal(done.cachedTokens, 0);
      }
    }));

  it('compute for themselves where the library cannot share', () =>
    rig.with({ slots: 4, contextTokens: 4096 }, async (context) => {
      rig.control.set('shareFail', 1);
      const runs = await together(
        context,
        ENDINGS.map((ending) => PREFIX + ending),
      );
      for (const run of runs) {
        assert.equal((await run.done).cachedTokens, 0);
        assert.equal(run.text(), 'xyz</s>');
      }
    }));

  it('take tokens of a prompt that computes for others as theirs only when they are there', () =>
    rig.with({ slots: 3, batchTokens: 64, contextTokens: 4096 }, async (context) => {
      rig.control.set('failAt', 3);
      rig.control.set('failCode', THROW);
      const runs = await together(context, [`${PREFIX}w`, `${PREFIX}vw`, 'w']);
      const ends = await Promise.all(runs.map(({ done }) => done));
      assert.ok(ends.some(({ code }) => code === 'decode_failed'));
      assert.equal(await context.say(`${PREFIX}w`), 'xyz</s>');
      assert.equal(await context.say(`${PREFIX}vw`), 'xyz</s>');
    }));

  describe('of a memory that keeps only a state', () => {
    const recurrent = (use: (context: RigContext) => Promise<void>) =>
      rig.with({ slots: 2 }, use, () => rig.control.set('recurrent', 1));

    it('go on with a conversation, also where its answer has become another one', () =>
      recurrent(async (context) => {
        assert.equal(await context.say(`${PREFIX}w`), 'xyz</s>');
        const on = await context.start(`${PREFIX}wxyzw`).done;
        assert.equal(on.cachedTokens, PREFIX.length + 4, 'its whole end');
        const other = context.start(`${PREFIX}qqqw`);
        assert.equal((await other.done).cachedTokens, PREFIX.length, 'the checkpoint before it');
        assert.equal(other.text(), 'xyz</s>');
        const none = context.start('hello w');
        assert.equal((await none.done).cachedTokens, 0);
        assert.equal(none.text(), 'xyz</s>');
      }));

    it('give a state to another slot where it is what the prompt begins with', () =>
      recurrent(async (context) => {
        rig.control.set('tokenSleepUs', 2000);
        const endless = context.start('0');
        await until('a token', () => endless.tokens.length > 0);
        await context.say('hello w');
        endless.completion.cancel(-1);
        await endless.done;
        rig.control.set('tokenSleepUs', 0);
        const runs = [context.start('hello wxyzw'), context.start('hello wxyzvw')];
        for (const run of runs) {
          await run.done;
          assert.equal(run.text(), 'xyz</s>');
        }
      }));

    it('come back to a prompt also where another slot has read it for them', () =>
      recurrent(async (context) => {
        const short = PREFIX.slice(0, 100);
        rig.control.set('holdDecode', 1);
        const inDecode = rig.control.until('inDecode', 1);
        const reads = context.start(`${short}w`);
        await inDecode;
        const takes = context.start(`${short}w`);
        rig.control.set('holdDecode', 0);
        const cached = (await Promise.all([reads.done, takes.done])).map((end) => end.cachedTokens);
        assert.deepEqual(cached, [0, short.length]);
        // Takes the slot that was done first, and what it kept.
        const endless = context.start('0');
        const next = context.start(`${short}wqw`);
        assert.equal((await next.done).cachedTokens, short.length);
        assert.equal(next.text(), 'xyz</s>');
        endless.completion.cancel(-1);
        assert.deepEqual([(await endless.done).slot, (await next.done).slot], [0, 1]);
      }));

    it('keep no more checkpoints than all slots together have room for', async () => {
      // There are 256 MiB: six states, one for each of four slots, and none for each of eight.
      for (const [slots, comesBackTo] of [
        [4, PREFIX.length],
        [8, 0],
      ] as const) {
        await rig.with(
          { slots, contextTokens: 8192 },
          async (context) => {
            await context.say(`${PREFIX}w`);
            const other = context.start(`${PREFIX}qqqw`);
            assert.equal((await other.done).cachedTokens, comesBackTo, `${slots} slots`);
            assert.equal(other.text(), 'xyz</s>');
          },
          () => {
            rig.control.set('recurrent', 1);
            rig.control.set('stateBytes', 40 * 2 ** 20);
          },
        );
      }
    });

    it('keep after a stop string what the checkpoint holds', () =>
      recurrent(async (context) => {
        rig.control.set('tokenSleepUs', 2000);
        const run = context.start(`${PREFIX}0`);
        await until('tokens', () => run.tokens.length > 3);
        run.completion.cancel(1);
        await run.done;
        rig.control.set('tokenSleepUs', 0);
        assert.equal(context.native.slots()[run.tokens.length && 0]?.cachedTokens, PREFIX.length);
        const next = context.start(`${PREFIX}0w`);
        assert.equal((await next.done).cachedTokens, PREFIX.length);
        assert.equal(next.text(), 'xyz</s>');
      }));
  });

  describe('beside a long prompt', () => {
    it('go on token by token: its pieces keep to the stall budget', () =>
      rig.with({ slots: 2, maxStallMs: 50, contextTokens: 8192 }, async (context) => {
        rig.control.set('tokenSleepUs', 1000);
        const stream = context.start('0');
        await until('tokens', () => stream.tokens.length > 3);
        const before = context.native.counters();
        rig.control.set('largestBatch', 0);
        const long = context.start(`${'q'.repeat(1500)}w`);
        await long.done;
        const after = context.native.counters();
        const pieces = after.steps - before.steps;
        const tokens = after.generatedTokens - before.generatedTokens;
        stream.completion.cancel(-1);
        await stream.done;
        assert.equal(long.text(), 'xyz</s>');
        // A token takes at least 1 ms here, so 50 of them fill the budget; the stream gets one a step.
        assert.ok(rig.control.get('largestBatch') <= 51, `${rig.control.get('largestBatch')}`);
        assert.ok(pieces >= 30, `${pieces} steps`);
        assert.ok(tokens >= pieces, `${tokens} tokens in ${pieces} steps`);
      }));

    it('let short prompts pass it', () =>
      rig.with({ slots: 2, contextTokens: 8192, batchTokens: 64 }, async (context) => {
        rig.control.set('tokenSleepUs', 500);
        const long = context.start(`${'q'.repeat(2000)}w`);
        await until('some progress', () => long.prefilled.some((tokens) => tokens > 100));
        const short = context.start('hello w');
        await short.done;
        assert.ok((long.prefilled.at(-1) ?? 0) < 2000, 'the long one is not through');
        await long.done;
        assert.equal(long.text(), 'xyz</s>');
      }));
  });

  describe('while a state is saved and given back', () => {
    it('do it in parts, and streams go on between them', () =>
      rig.with({ slots: 2, contextTokens: 8192 }, async (context) => {
        await context.say(`${'q'.repeat(2000)}w`);
        rig.control.set('tokenSleepUs', 100);
        const stream = context.start('0');
        await until('tokens', () => stream.tokens.length > 3);
        const state = await context.native.saveState(0, 1_000_000);
        assert.ok(state);
        assert.ok(state.parts.length >= 2, `${state.parts.length} parts`);
        assert.equal(state.ends.at(-1), state.tokens.length);
        assert.equal(await context.native.restoreState(state), 0);
        stream.completion.cancel(-1);
        await stream.done;
        rig.control.set('tokenSleepUs', 0);
        const run = context.start(`${'q'.repeat(2000)}w`);
        assert.equal((await run.done).cachedTokens, 2000);
        assert.equal(run.text(), 'xyz</s>');
      }));

    it('keep new requests off the slot until that is over', () =>
      rig.with({ slots: 1, contextTokens: 8192 }, async (context) => {
        await context.say(`${'q'.repeat(3000)}w`);
        const saving = context.native.saveState(0, 1_000_000);
        await rig.control.until('inState', 1);
        const run = context.start('hello w');
        assert.equal((await saving)?.tokens.length, 3004);
        assert.equal((await run.done).reason, 'eog');
        assert.equal(run.text(), 'xyz</s>');
      }));
  });
});
