/**
 * Tokens that are tried ahead, with the fake: the same text in fewer steps, whatever ends or fails in
 * the middle, and hardly a draft where drafts do not pay. Counted in tokens and steps.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { NativeContextOptions, NativeModel, NativeRequest } from '../../src/engine/addon.js';
import { program, type Rule } from '../helpers/grammar-program.js';
import { until } from '../helpers/waiting.js';
import { skipReason, THROW } from './fake.js';
import { NOTHING_LEFT, Rig, type RigContext } from './rig.js';

const LOOKUP = { draftTokens: 8, draftLookup: true } as const;

/** What the fake says for ever behind a digit. */
const digits = (count: number): string => '0123456789'.repeat(count).slice(0, count);
const PROMPT = digits(30);

/** A completion as far as anybody can tell one from another: but for steps, times and drafts. */
async function outcome(context: RigContext, prompt: string, over: Partial<NativeRequest>) {
  const run = context.start(prompt, { cachePrompt: false, ...over });
  const { reason, code, generatedTokens, promptTokens } = await run.done;
  // The end may be read before the step that it came in has been published.
  await until('an idle slot', () => context.native.slots()[0]?.state === 'idle');
  const { cachedTokens } = context.native.slots()[0] ?? {};
  const logprobs = [...run.promptLogprobs, ...run.promptTopTokens];
  return {
    tokens: run.tokens,
    logprobs,
    reason,
    code,
    generatedTokens,
    promptTokens,
    cachedTokens,
  };
}

describe('tokens that are tried ahead', { skip: skipReason }, () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.open();
  });
  after(() => {
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    rig.close();
  });

  /** A context where every step takes some time, however many tokens it has: there drafts pay. */
  const paying = (
    over: Partial<NativeContextOptions>,
    use: (context: RigContext) => Promise<void>,
  ): Promise<void> => rig.with(over, use, () => rig.control.set('callSleepUs', 300));

  /** Both with and without drafts, and what was drafted. */
  const compare = async (prompt: string, requests: readonly Partial<NativeRequest>[]) => {
    const plain: unknown[] = [];
    await rig.with({ contextTokens: 512 }, async (context) => {
      for (const over of requests) plain.push(await outcome(context, prompt, over));
    });
    let counters: ReturnType<RigContext['counters']> | undefined;
    await paying({ contextTokens: 512, ...LOOKUP }, async (context) => {
      for (const [index, over] of requests.entries()) {
        assert.deepEqual(await outcome(context, prompt, over), plain[index], `request ${index}`);
      }
      counters = context.counters();
    });
    assert.ok(counters);
    return counters;
  };

  it('say the same in fewer steps where the text repeats itself', async () => {
    const { steps, generatedTokens, draftedTokens, acceptedTokens } = await compare(PROMPT, [
      { maxTokens: 200 },
    ]);
    assert.equal(generatedTokens, 200);
    assert.ok(steps < 100, `${steps} steps`);
    assert.ok(acceptedTokens > 100 && acceptedTokens <= draftedTokens, `${acceptedTokens}`);
  });

  it('are told with the completion and counted by the context', () =>
    paying(LOOKUP, async (context) => {
      const done = await context.start(PROMPT, { maxTokens: 100 }).done;
      await until('an idle slot', () => context.native.slots()[0]?.state === 'idle');
      const { draftedTokens, acceptedTokens } = context.counters();
      assert.ok(draftedTokens >= acceptedTokens && acceptedTokens > 50);
      assert.deepEqual([done.draftedTokens, done.acceptedTokens], [draftedTokens, acceptedTokens]);
    }));

  it('are none where nothing was asked for', () =>
    paying({ draftTokens: 0, draftLookup: true }, async (context) => {
      assert.equal((await context.start(PROMPT, { maxTokens: 50 }).done).draftedTokens, 0);
    }));

  it('leave whatever chooses tokens as it is: seeds, penalties, log-probabilities', async () => {
    const requests: Partial<NativeRequest>[] = [];
    for (let seed = 1; seed <= 8; seed++) {
      const random = { seed, temperature: 3, maxTokens: 120, ignoreEos: true };
      requests.push(
        random,
        { ...random, repeatPenalty: 1.2, repeatLastN: 12, frequencyPenalty: 0.3 },
        { ...random, mirostat: 2, mirostatTau: 3 },
        { ...random, xtcProbability: 0.5, xtcThreshold: 0.05, topK: 40, minP: 0.01 },
        { ...random, dryMultiplier: 0.4, logprobs: 3, promptLogprobs: 1 },
      );
    }
    const { draftedTokens, acceptedTokens } = await compare(PROMPT, requests);
    assert.ok(acceptedTokens > 300, `${acceptedTokens}`);
    assert.ok(draftedTokens > acceptedTokens + 300, `${draftedTokens}, ${acceptedTokens}`);
  });

  it('never go beyond the number of tokens asked for, and leave no more in the cache', async () => {
    const requests = Array.from({ length: 40 }, (_, index) => ({ maxTokens: index + 1 }));
    const { acceptedTokens } = await compare(PROMPT, requests);
    assert.ok(acceptedTokens > 200, `${acceptedTokens}`);
  });

  it('end with the context', async () => {
    const { generatedTokens } = await compare(digits(300), [{}, { maxTokens: 100_000 }]);
    assert.equal(generatedTokens, 2 * (512 - 300 + 1));
  });

  it('end where the model ends, whatever followed there the last time', async () => {
    const alphabet = 'abcdefghijklmnopqrstuvwxyz';
    const { acceptedTokens } = await compare(`${alphabet}-${alphabet}-${alphabet}-abc`, [{}, {}]);
    assert.ok(acceptedTokens > 10, `${acceptedTokens}`);
    const chat = [...Buffer.from(alphabet), 257, ...Buffer.from('abc')];
    await compare('', [{ prompt: Int32Array.from(chat) }, { prompt: Int32Array.from(chat) }]);
  });

  it('end where a grammar ends', async () => {
    const digit = [[{ in: [['0', '9']] }]] as const;
    const grammar = program([[{ repeat: 1, min: 25, max: 25 }]], digit);
    const { acceptedTokens } = await compare(PROMPT, [{ grammar }, { grammar }, { grammar }]);
    assert.ok(acceptedTokens > 30, `${acceptedTokens}`);
  });

  it('leave in the cache what a stop string leaves, and the conversation goes on from there', () =>
    paying({ contextTokens: 8192, ...LOOKUP }, async (context) => {
      const run = context.start(PROMPT);
      await until('tokens', () => run.tokens.length > 40);
      run.completion.cancel(5);
      assert.equal((await run.done).reason, 'cancelled');
      assert.equal(context.native.slots()[0]?.cachedTokens, PROMPT.length + 5);
      const next = context.start(`${digits(35)}w`);
      assert.equal((await next.done).cachedTokens, 35);
      assert.equal(next.text(), 'xyz</s>');
    }));

  it('are no part of a state that is saved', () =>
    paying(LOOKUP, async (context) => {
      await context.say(PROMPT, { maxTokens: 100 });
      const state = await context.native.saveState(0, 1_000_000);
      assert.equal(Buffer.from(state?.tokens ?? []).toString(), digits(129));
      assert.ok(state);
      await context.say('hello w');
      assert.equal(await context.native.restoreState(state), 0);
      const next = context.start(`${digits(129)}w`);
      assert.equal((await next.done).cachedTokens, 129);
      assert.equal(next.text(), 'xyz</s>');
    }));

  it('serve several slots at once, each its own text', () =>
    paying({ slots: 4, contextTokens: 4096, ...LOOKUP }, async (context) => {
      const prompts = [PROMPT, 'hello a', digits(57), '5'];
      const runs = prompts.map((prompt) => context.start(prompt, { maxTokens: 150 }));
      for (const { done } of runs) assert.notEqual((await done).reason, 'error');
      const [first, letters, second, short] = runs.map((run) => run.text());
      assert.equal(first, digits(180).slice(30));
      assert.equal(letters, 'bcdefghijklmnopqrstuvwxyz</s>');
      assert.equal(second, digits(207).slice(57));
      assert.equal(short, digits(156).slice(6));
      const { steps, acceptedTokens } = context.counters();
      assert.ok(steps < 150 && acceptedTokens > 200, `${steps} steps, ${acceptedTokens}`);
    }));

  it('go on in one slot where a request fails in another before it begins', () =>
    paying({ slots: 2, contextTokens: 65_536, ...LOOKUP }, async (context) => {
      // Fits all bounds of a program, and has 2^13 readings before the first character.
      const twice: Rule[] = Array.from({ length: 13 }, (_, k) => [
        [k + 1, 'x'],
        [k + 1, 'y'],
      ]);
      const once: Rule[] = Array.from({ length: 60 }, (_, k) => [[13 + k + 1, 'z']]);
      const refused = { grammar: program(...twice, ...once, [['a']]) };
      const stream = context.start(PROMPT);
      await until('a token', () => stream.tokens.length > 0);
      // Whichever of these ends with a step of drafts leaves that as the last thing known of its slot.
      for (const maxTokens of [40, 43, 47, 52]) {
        const done = await context.start(PROMPT, { maxTokens }).done;
        assert.ok(done.acceptedTokens > 0);
        const failed = await context.start('w', refused).done;
        assert.deepEqual([failed.code, failed.slot], ['grammar_invalid', done.slot]);
        const told = stream.tokens.length;
        await until('more of the stream', () => stream.tokens.length > told + 20);
      }
      stream.completion.cancel(-1);
      await stream.done;
      assert.equal(stream.text(), digits(30 + stream.tokens.length).slice(30));
    }));

  it('fit into the batch beside all that generate', () =>
    paying({ slots: 16, contextTokens: 16_384, batchTokens: 64, ...LOOKUP }, async (context) => {
      const runs = Array.from({ length: 16 }, (_, index) =>
        context.start(digits(30 + index), { maxTokens: 60 }),
      );
      for (const [index, run] of runs.entries()) {
        await run.done;
        assert.equal(run.text(), digits(90 + index).slice(30 + index));
      }
      assert.ok(rig.control.get('largestBatch') <= 64);
      assert.ok(context.counters().acceptedTokens > 100);
    }));

  it('are none beside a prompt that is computed, whose pieces keep to the stall budget', () =>
    rig.with({ slots: 2, maxStallMs: 50, contextTokens: 8192, ...LOOKUP }, async (context) => {
      rig.control.set('tokenSleepUs', 1000);
      const stream = context.start(PROMPT);
      await until('tokens', () => stream.tokens.length > 20);
      rig.control.set('largestBatch', 0);
      const long = context.start(`${'q'.repeat(500)}w`);
      await long.done;
      stream.completion.cancel(-1);
      await stream.done;
      assert.equal(long.text(), 'xyz</s>');
      assert.ok(rig.control.get('largestBatch') <= 51, `${rig.control.get('largestBatch')}`);
    }));

  it('go with a step that fails, and the next request starts on what is known', () =>
    paying(LOOKUP, async (context) => {
      for (const code of [THROW, 1, 2, -3]) {
        rig.control.set('failCount', 2);
        rig.control.set('failCode', code);
        rig.control.set('failAt', rig.control.get('decodeCalls') + 12);
        const run = context.start(PROMPT, { maxTokens: 100 });
        assert.equal((await run.done).code, 'decode_failed', `${code}`);
        rig.control.set('failAt', 0);
        assert.equal(await context.say(PROMPT, { maxTokens: 20 }), digits(50).slice(30));
      }
    }));

  it('are undone with a step that is aborted', () =>
    paying({ contextTokens: 8192, ...LOOKUP }, async (context) => {
      for (let round = 0; round < 5; round++) {
        const run = context.start(PROMPT);
        await until('tokens', () => run.tokens.length > 30);
        rig.control.set('holdDecode', 1);
        await rig.control.until('inDecode', 1);
        run.completion.cancel(-1);
        await run.done;
        rig.control.set('holdDecode', 0);
        const next = context.start(`${PROMPT}w`);
        assert.equal((await next.done).cachedTokens, PROMPT.length);
        assert.equal(next.text(), 'xyz</s>');
      }
    }));

  it('cost a memory that cannot take them back one computation, and are tried no more', () =>
    paying({ slots: 2, ...LOOKUP }, async (context) => {
      // Looks like a repetition and is none, so that something has to be taken back.
      const prompt = `${digits(30)}-012345X012345X0123`;
      rig.control.set('trimFail', 1);
      const over = { maxTokens: 120, cachePrompt: false };
      const done = [];
      for (let i = 0; i < 6; i++) {
        const run = context.start(prompt, over);
        done.push(await run.done);
        assert.equal(run.text(), digits(124).slice(4));
      }
      assert.ok(done.some(({ draftedTokens }) => draftedTokens > 0));
      assert.equal(done.at(-1)?.draftedTokens, 0);
    }));

  it('are none where the memory keeps only a state', () =>
    rig.with(
      LOOKUP,
      async (context) => {
        const done = await context.start(PROMPT, { maxTokens: 60 }).done;
        assert.deepEqual([done.generatedTokens, done.draftedTokens], [60, 0]);
        await until('a line in the log', () => rig.logs.some((line) => line.includes('drafted')));
      },
      () => rig.control.set('recurrent', 1),
    ));

  it('are hardly any where each costs as much as a step of its own', () =>
    rig.with(
      LOOKUP,
      async (context) => {
        const done = await context.start(PROMPT, { maxTokens: 250 }).done;
        assert.ok(done.draftedTokens > 0, 'that has to be found out');
        assert.ok(done.draftedTokens <= 25, `${done.draftedTokens} drafted`);
      },
      () => {
        rig.control.set('callSleepUs', 300);
        rig.control.set('rowSleepUs', 20_000);
      },
    ));

  it('leave slots to take turns where that is quicker than a step for all of them', () =>
    rig.with(
      { slots: 4, contextTokens: 8192, ...LOOKUP },
      async (context) => {
        const over = { maxTokens: 120 };
        const runs = [30, 31, 32, 33].map((length) => context.start(digits(length), over));
        for (const [index, run] of runs.entries()) {
          const done = await run.done;
          assert.equal(run.text(), digits(150 + index).slice(30 + index));
          assert.ok(done.draftedTokens <= 25, `${done.draftedTokens} drafted`);
        }
        const { steps, generatedTokens } = context.counters();
        assert.ok(steps > 0.5 * generatedTokens, `${steps} steps for ${generatedTokens} tokens`);
      },
      () => {
        rig.control.set('callSleepUs', 300);
        rig.control.set('rowSleepUs', 5000);
      },
    ));

  it('are hardly any where they are never right', () =>
    paying(LOOKUP, async (context) => {
      // The text goes on from digit to digit, the prompt never does.
      const pairs = Array.from({ length: 10 }, (_, digit) => `${digit}${(digit + 1) % 10}X`);
      const prompt = `${pairs.join('').repeat(3)}5`;
      const run = context.start(prompt, { maxTokens: 10 });
      assert.equal((await run.done).acceptedTokens, 0);
      assert.equal(run.text(), digits(16).slice(6));
    }));

  describe('by a draft model', () => {
    const drafting = (
      name: string,
      use: (context: RigContext, drafter: NativeModel) => Promise<void>,
      over: Partial<NativeContextOptions> = {},
    ): Promise<void> =>
      rig.withDrafter(name, (drafter) =>
        paying({ contextTokens: 4096, draftTokens: 8, draftModel: drafter, ...over }, (context) =>
          use(context, drafter),
        ),
      );

    it('say the same in fewer steps', () =>
      drafting('draft', async (context) => {
        const run = context.start('hello a', { maxTokens: 200 });
        await run.done;
        assert.equal(run.text(), 'bcdefghijklmnopqrstuvwxyz</s>');
        const long = context.start('5', { maxTokens: 200 });
        const done = await long.done;
        assert.equal(long.text(), digits(206).slice(6));
        assert.ok(done.acceptedTokens > 60, `${done.acceptedTokens}`);
        assert.ok(context.counters().steps < 170);
      }));

    it('keep in step with every slot’s text, other prompts and beginnings included', () =>
      drafting(
        'draft',
        async (context) => {
          for (let round = 0; round < 4; round++) {
            const prompts = ['5', `${'q'.repeat(300)}3`, '77', `${'q'.repeat(100 * round)}1`];
            const runs = prompts.map((prompt) => context.start(prompt, { maxTokens: 80 }));
            for (const [index, run] of runs.entries()) {
              await run.done;
              const from = Number(prompts[index]?.at(-1)) + 1;
              assert.equal(run.text(), digits(from + 80).slice(from));
            }
          }
          const { acceptedTokens, draftedTokens } = context.counters();
          assert.ok(acceptedTokens > 0.9 * draftedTokens && acceptedTokens > 500);
        },
        { slots: 3 },
      ));

    it('are given up where it is wrong, and the text is right', () =>
      drafting('draft-wrong', async (context) => {
        const run = context.start('5', { maxTokens: 400 });
        const done = await run.done;
        assert.equal(run.text(), digits(406).slice(6));
        assert.equal(done.acceptedTokens, 0);
        assert.ok(done.draftedTokens > 0 && done.draftedTokens < 100, `${done.draftedTokens}`);
      }));

    it('leave seeds and penalties as they are', async () => {
      const requests = [1, 2, 3, 4].map((seed) => ({
        ...{ seed, temperature: 3, maxTokens: 100, ignoreEos: true },
        ...{ repeatPenalty: 1.1, repeatLastN: 64 },
      }));
      const plain: unknown[] = [];
      await rig.with({}, async (context) => {
        for (const over of requests) plain.push(await outcome(context, '5', over));
      });
      await drafting('draft', async (context) => {
        for (const [index, over] of requests.entries()) {
          assert.deepEqual(await outcome(context, '5', over), plain[index]);
        }
        assert.ok(context.counters().acceptedTokens > 50);
      });
    });

    it('are none once it has failed, and generating goes on', () =>
      drafting('draft', async (context) => {
        const run = context.start('5', { maxTokens: 300 });
        await until('tokens', () => run.tokens.length > 30);
        rig.control.set('draftFail', -3);
        await run.done;
        const calls = rig.control.get('draftCalls');
        assert.equal(run.text(), digits(306).slice(6));
        assert.equal(await context.say('5', { maxTokens: 30 }), digits(36).slice(6));
        assert.equal(rig.control.get('draftCalls'), calls);
        await until('a line in the log', () =>
          rig.logs.some((line) => line.includes('draft model is not used any more')),
        );
      }));

    it('may come from one whose vocabulary is padded otherwise', () =>
      drafting('draft-padded', async (context) => {
        const beyond = Int32Array.from([319, 53]);
        const run = context.start('', { prompt: beyond, maxTokens: 50 });
        assert.equal((await run.done).draftedTokens, 0, 'it cannot read the prompt');
        assert.equal(run.text(), digits(56).slice(6));
        assert.ok((await context.start('5', { maxTokens: 80 }).done).acceptedTokens > 20);
      }));

    it('come from none with another vocabulary, or a memory that takes nothing back', async () => {
      const reasons = {
        'draft-foreign': /its token 113 is "r", the model's "q"/,
        'draft-smaller': /has 120 tokens, the model's 320/,
        'draft-state': /cannot be taken back/,
      };
      for (const [name, message] of Object.entries(reasons)) {
        rig.control.reset();
        const model = await rig.model();
        await rig.withDrafter(name, async (draftModel) => {
          const refused = rig.context(model, { draftTokens: 8, draftModel });
          await assert.rejects(refused, { code: 'draft_model_unusable', message });
        });
        await model.close();
      }
    });

    it('end with it: closing the draft model closes the context', () =>
      drafting('draft', async (context, drafter) => {
        const run = context.start('5');
        await until('tokens', () => run.tokens.length > 30);
        await drafter.close();
        assert.equal((await run.done).reason, 'cancelled');
      }));

    it('must be a model', async () => {
      rig.control.reset();
      const model = await rig.model();
      const draftModel = { close: async () => {} } as unknown as NativeModel;
      await assert.rejects(rig.context(model, { draftTokens: 8, draftModel }), {
        code: 'invalid_argument',
      });
      await model.close();
    });
  });
});
