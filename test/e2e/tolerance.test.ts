/**
 * Numbers on random weights, where rounding may show: what slots and a reused prefix change stays
 * within a stated tolerance. The engine runs in this process, on the default library.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { GREEDY } from '../../src/canary/canary-text.js';
import type { CompletionRequest, Engine, TokenLogprob } from '../../src/engine/engine.js';
import { openRealEngine } from '../helpers/default-library.js';
import { randomModel } from '../helpers/models.js';

/** By how much a log-probability may differ, in nats: rounding of half precision over four layers. */
const TOLERANCE = 0.02;
const TOKENS = 24;

/** Token ids of ordinary text, the same for the same seed. */
function noise(seed: number, length: number): number[] {
  let state = seed;
  return Array.from({ length }, () => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return 300 + (state % 200);
  });
}

/** Six prompts, three of which share a long beginning. */
const PROMPTS = [
  ...[1, 2, 3].map((seed) => Int32Array.from([...noise(9, 150), ...noise(seed, 20)])),
  ...[4, 5, 6].map((seed) => Int32Array.from(noise(seed, 40 * seed))),
];

const ask = (prompt: Int32Array, cachePrompt: boolean): CompletionRequest => ({
  prompt,
  maxTokens: TOKENS,
  cachePrompt,
  sampling: { ...GREEDY, logprobs: 5, ignoreEos: true },
});

interface Steps {
  readonly tokens: readonly number[];
  readonly steps: readonly TokenLogprob[];
  readonly cached: number;
}

async function run(engine: Engine, request: CompletionRequest): Promise<Steps> {
  const completion = engine.start(request);
  const tokens: number[] = [];
  const steps: TokenLogprob[] = [];
  for await (const batch of completion) {
    tokens.push(...batch.tokens);
    steps.push(...(batch.logprobs ?? []));
  }
  return { tokens, steps, cached: (await completion.result).cachedTokens };
}

/** The largest difference over the steps before the texts part, and how many those are. */
function difference(one: Steps, other: Steps): { most: number; steps: number } {
  let most = 0;
  for (const [at, step] of one.steps.entries()) {
    const there = new Map(other.steps[at]?.top);
    for (const [token, value] of step.top) {
      const its = there.get(token);
      if (its !== undefined) most = Math.max(most, Math.abs(value - its));
    }
    // From here on they were given different tokens to continue from.
    if (one.tokens[at] !== other.tokens[at]) return { most, steps: at + 1 };
  }
  return { most, steps: one.steps.length };
}

describe('On random weights, the log-probabilities of each step', () => {
  let model: string;
  let alone: Engine;
  let shared: Engine;
  let reference: Steps[];

  before(async () => {
    model = await randomModel({ seed: 7 });
    alone = await openRealEngine(model, { contextTokens: 512, slots: 1, batchTokens: 64 });
    shared = await openRealEngine(model, { contextTokens: 512, slots: 4, batchTokens: 64 });
    reference = [];
    for (const prompt of PROMPTS) reference.push(await run(alone, ask(prompt, false)));
  });
  after(() => Promise.all([alone?.close(), shared?.close()]));

  function assertClose(found: readonly Steps[]): void {
    let steps = 0;
    for (const [i, one] of reference.entries()) {
      const other = found[i];
      assert.ok(other && other.steps.length === TOKENS, `${other?.steps.length} steps`);
      const compared = difference(one, other);
      assert.ok(compared.most <= TOLERANCE, `prompt ${i}: ${compared.most} nats apart`);
      steps += compared.steps;
    }
    assert.ok(steps >= (PROMPTS.length * TOKENS) / 2, `only ${steps} steps could be compared`);
  }

  test('are the same bits when the same is done again', async () => {
    for (const [i, prompt] of PROMPTS.entries()) {
      const again = await run(alone, ask(prompt, false));
      assert.deepEqual(again.tokens, reference[i]?.tokens);
      assert.deepEqual(again.steps, reference[i]?.steps);
    }
  });

  test(`differ by less than ${TOLERANCE} nats with the prefix reused`, async () => {
    const found: Steps[] = [];
    for (const prompt of PROMPTS) found.push(await run(alone, ask(prompt, true)));
    assert.ok(
      found.some(({ cached }) => cached >= 100),
      'nothing was reused',
    );
    assertClose(found);
  });

  test(`differ by less than ${TOLERANCE} nats where a saved state came back to another engine`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'hoshikage-tolerance-'));
    t.after(() => rm(folder, { recursive: true }));
    const woken = await openRealEngine(model, { contextTokens: 512, slots: 1, batchTokens: 64 });
    t.after(() => woken.close());
    const found: Steps[] = [];
    for (const [i, prompt] of PROMPTS.entries()) {
      // As it is after a turn: most of the prompt, and an answer that the next turn does not have.
      await run(alone, ask(prompt.subarray(0, prompt.length - 10), false));
      const path = join(folder, String(i));
      assert.ok(await alone.saveState(0, path));
      assert.ok(await woken.restoreState(path));
      found.push(await run(woken, ask(prompt, true)));
      assert.equal(found[i]?.cached, prompt.length - 10);
    }
    assertClose(found);
  });

  for (const reuse of [false, true]) {
    const how = reuse ? ' and the prefix reused' : '';
    test(`differ by less than ${TOLERANCE} nats with four slots at work${how}`, async () => {
      const found: Steps[] = [];
      const next = PROMPTS.entries();
      // Four at a time: the engine has four slots and never more work than that.
      const client = async (): Promise<void> => {
        for (const [i, prompt] of next) found[i] = await run(shared, ask(prompt, reuse));
      };
      await Promise.all([client(), client(), client(), client()]);
      assertClose(found);
    });
  }

  test('are those of a real choice: the best token is not certain', () => {
    const best = reference.flatMap(({ steps }) => steps.map(({ logprob }) => Math.exp(logprob)));
    assert.ok(Math.min(...best) < 0.5, `${Math.min(...best)}`);
  });
});
