/** How likely the tokens of a prompt were: told for every one, in small steps, from logits as they are. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { skipReason, THROW } from './fake.js';
import { NOTHING_LEFT, Rig, type Run } from './rig.js';

const VOCABULARY = 320;
/** Prompt tokens of one step whose logits are asked for, all slots together. */
const MOST_LOGITS = 64;

/** What the fake says of the token behind a digit: certain but for rounding, the rest by their ids. */
function logprobBehind(digit: number, token: number): number {
  const logits = Array.from({ length: VOCABULARY }, (_, id) =>
    id === 48 + ((digit - 48 + 1) % 10) ? 20 : Math.fround(-((id * 7) % 31) / 10),
  );
  const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
  return (logits[token] ?? Number.NaN) - Math.log(sum);
}

/** Digits, of which only some are what the fake expects. */
const digits = (length: number): string =>
  Array.from({ length }, (_, index) => (index * index) % 10).join('');

function assertTold(run: Run, prompt: string, best: number): void {
  const tokens = Buffer.from(prompt, 'latin1');
  assert.equal(run.promptLogprobs.length, (tokens.length - 1) * (1 + best));
  assert.equal(run.promptTopTokens.length, (tokens.length - 1) * best);
  for (let index = 1; index < tokens.length; index++) {
    const [last = 0, token = 0] = tokens.subarray(index - 1);
    const from = (index - 1) * (1 + best);
    const [own = Number.NaN, ...top] = run.promptLogprobs.slice(from, from + 1 + best);
    assert.ok(Math.abs(own - logprobBehind(last, token)) < 1e-5, `token ${index}: ${own}`);
    const ids = run.promptTopTokens.slice((index - 1) * best, index * best);
    for (const [rank, id] of ids.entries()) {
      const value = top[rank] ?? Number.NaN;
      assert.ok(Math.abs(value - logprobBehind(last, id)) < 1e-5, `${id} for ${index}: ${value}`);
      assert.ok(rank === 0 || value <= (top[rank - 1] ?? Number.NaN));
    }
    if (best > 0) assert.equal(ids[0], 48 + ((last - 48 + 1) % 10));
  }
}

describe('log-probabilities of a prompt', { skip: skipReason }, () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.open();
  });
  after(() => {
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    rig.close();
  });

  it('are of every token but the first, with the best in its place, whatever is chosen by', () =>
    rig.with({}, async (context) => {
      const prompt = digits(20);
      const asked = { promptLogprobs: 3, maxTokens: 2 };
      const run = context.start(prompt, {
        ...{ ...asked, temperature: 3, logprobs: 1, ignoreEos: true },
        ...{ biasTokens: Int32Array.of(50), biasValues: Float32Array.of(100) },
      });
      await run.done;
      assertTold(run, prompt, 3);
      assert.equal(run.text(), '22');
      const own = context.start(prompt, { ...asked, promptLogprobs: 0 });
      await own.done;
      assertTold(own, prompt, 0);
    }));

  it('are none of a single token, and none where nobody asks', () =>
    rig.with({}, async (context) => {
      for (const over of [{ promptLogprobs: 2 }, { promptLogprobs: -1 }]) {
        const run = context.start(over.promptLogprobs < 0 ? '0123' : '0', {
          ...over,
          maxTokens: 2,
        });
        await run.done;
        assert.deepEqual([run.promptLogprobs, run.promptTopTokens], [[], []]);
      }
    }));

  it('come in steps of few tokens, however large a batch may be', () =>
    rig.with({ contextTokens: 2048, batchTokens: 512 }, async (context) => {
      const prompt = digits(1000);
      const run = context.start(prompt, { promptLogprobs: 1, maxTokens: 1 });
      await run.done;
      assertTold(run, prompt, 1);
      assert.equal(rig.control.get('mostLogits'), MOST_LOGITS);
      assert.equal(rig.control.get('largestBatch'), MOST_LOGITS);
    }));

  it('come to several slots at once, which share a step, while others go on as ever', () =>
    rig.with({ contextTokens: 3 * 1024, slots: 3, batchTokens: 512 }, async (context) => {
      rig.control.set('holdDecode', 1);
      const first = context.start('0', { maxTokens: 1 });
      await rig.control.until('inDecode', 1);
      const prompts = [digits(300), digits(200).slice(3)];
      const runs = prompts.map((prompt) =>
        context.start(prompt, { promptLogprobs: 2, maxTokens: 1 }),
      );
      const plain = `${'a'.repeat(900)}w`;
      const other = context.start(plain);
      rig.control.set('holdDecode', 0);
      await first.done;
      for (const [index, run] of runs.entries()) {
        await run.done;
        assertTold(run, prompts[index] ?? '', 2);
      }
      await other.done;
      assert.equal(other.text(), 'xyz</s>');
      // One more for the last token of a prompt that asks for nothing, or one that is generated.
      assert.ok(rig.control.get('mostLogits') <= MOST_LOGITS + 2);
      assert.ok(rig.control.get('largestBatch') > MOST_LOGITS + 2);
    }));

  it('are computed anew whatever is cached, and leave a cache for others', () =>
    rig.with({}, async (context) => {
      const prompt = digits(100);
      const ask = async (promptLogprobs: number) => {
        const run = context.start(prompt, { promptLogprobs, maxTokens: 1 });
        return { run, done: await run.done };
      };
      assert.equal((await ask(-1)).done.cachedTokens, 0);
      const { run, done } = await ask(1);
      assert.equal(done.cachedTokens, 0);
      assertTold(run, prompt, 1);
      assert.equal((await ask(-1)).done.cachedTokens, 99);
    }));

  it('end with a cancelled completion, and with one that fails', () =>
    rig.with({ contextTokens: 2048 }, async (context) => {
      const ask = () => context.start(digits(1000), { promptLogprobs: 1, maxTokens: 1 });
      rig.control.set('tokenSleepUs', 500);
      const cancelled = ask();
      await rig.control.until('tokensDecoded', 100);
      cancelled.completion.cancel(-1);
      assert.equal((await cancelled.done).reason, 'cancelled');
      assert.ok(cancelled.promptLogprobs.length < 2 * 999);
      rig.control.set('tokenSleepUs', 0);
      rig.control.set('noLogits', 1);
      assert.equal((await ask().done).code, 'decode_failed');
      rig.control.set('noLogits', 0);
      rig.control.set('failAt', rig.control.get('decodeCalls') + 3);
      rig.control.set('failCode', THROW);
      const failed = ask();
      assert.equal((await failed.done).code, 'decode_failed');
      assert.equal(failed.promptLogprobs.length, 2 * 128);
      const well = context.start('0123', { promptLogprobs: 1, maxTokens: 1 });
      await well.done;
      assertTold(well, '0123', 1);
    }));

  it('have as many of the best as the vocabulary has at most', () =>
    rig.with({}, async (context) => {
      const run = context.start('05', { promptLogprobs: 1000, maxTokens: 1 });
      await run.done;
      assertTold(run, '05', VOCABULARY);
      assert.equal(new Set(run.promptTopTokens).size, VOCABULARY);
    }));

  it('are refused in numbers that make no sense', () =>
    rig.with({}, async (context) => {
      const wrong: readonly unknown[] = [-2, 1001, 0.5, Number.NaN, '1', null, undefined];
      for (const promptLogprobs of wrong) {
        const over = { promptLogprobs } as { promptLogprobs: number }; // what a caller must not send
        assert.throws(() => context.start('01', over), { code: 'invalid_argument' });
      }
    }));
});
