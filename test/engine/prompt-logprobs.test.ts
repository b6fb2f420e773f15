/** Log-probabilities of a prompt's tokens on the real library, against a computation of our own. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CANARY_MODELS } from '../../src/canary/canary-numbers.js';
import { GREEDY } from '../../src/canary/canary-text.js';
import { ReferenceModel, ReferenceSequence } from '../../src/canary/reference.js';
import type { CompletionResult, Engine, TokenLogprob } from '../../src/engine/engine.js';
import { writeGguf } from '../../src/models/gguf-write.js';
import { openRealEngine, whyNoLibrary } from '../helpers/default-library.js';

/** In nats: half-precision weights and cache against double precision, over two layers. */
const TOLERANCE = 0.05;
const BEST = 5;

const promptOf = (seed: number, length: number): Int32Array =>
  Int32Array.from({ length }, (_, index) => (index * index * 31 + index * seed) % 256);

/** What is right: the log-probabilities of all tokens behind each token of a prompt. */
function rightFor(model: ReferenceModel, prompt: Int32Array): readonly Float64Array[] {
  const states = new ReferenceSequence(model).push(prompt);
  return states.map((state) => {
    const logits = model.logits(state);
    const most = logits.reduce((one, other) => Math.max(one, other));
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
    return logits.map((logit) => logit - most - Math.log(sum));
  });
}

interface Told {
  readonly found: readonly TokenLogprob[];
  readonly tokens: readonly number[];
  readonly result: CompletionResult;
}

async function tell(engine: Engine, prompt: Int32Array): Promise<Told> {
  const found: TokenLogprob[] = [];
  const tokens: number[] = [];
  const completion = engine.start({
    ...{ prompt, maxTokens: 2, cachePrompt: true, promptLogprobs: BEST },
    sampling: { ...GREEDY, ignoreEos: true },
  });
  for await (const batch of completion) {
    found.push(...(batch.promptLogprobs ?? []));
    tokens.push(...batch.tokens);
  }
  return { found, tokens, result: await completion.result };
}

describe('log-probabilities of a prompt', { skip: whyNoLibrary() }, () => {
  let folder = '';
  let path = '';
  const model = new ReferenceModel(CANARY_MODELS.plain);
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hoshikage-prompt-'));
    path = join(folder, 'random.gguf');
    await writeGguf(path, CANARY_MODELS.plain);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const assertRight = (found: readonly TokenLogprob[], prompt: Int32Array): void => {
    const right = rightFor(model, prompt);
    assert.equal(found.length, prompt.length - 1);
    for (const [index, { logprob, top }] of found.entries()) {
      const wanted = right[index] ?? new Float64Array();
      const near = (value: number, token: number): void => {
        const error = Math.abs(value - (wanted[token] ?? Number.NaN));
        assert.ok(error < TOLERANCE, `token ${token} at ${index}: off by ${error}`);
      };
      near(logprob, prompt[index + 1] ?? -1);
      assert.equal(top.length, BEST);
      for (const [token, value] of top) near(value, token);
      // Nothing else is likelier than the best, as far as can be told.
      const least = top.at(-1)?.[1] ?? Number.NaN;
      const ids = new Set(top.map(([token]) => token));
      const rest = wanted.filter((_, token) => !ids.has(token));
      assert.ok(rest.every((value) => value < least + TOLERANCE));
    }
  };

  it('are what the model gives its tokens, step by step and in several slots at once', async () => {
    const engine = await openRealEngine(path, { contextTokens: 512, slots: 2, batchTokens: 512 });
    try {
      const prompts = [promptOf(3, 200), promptOf(7, 90)];
      const told = await Promise.all(prompts.map((prompt) => tell(engine, prompt)));
      for (const [index, { found }] of told.entries()) {
        assertRight(found, prompts[index] ?? new Int32Array());
      }
    } finally {
      await engine.close();
    }
  });

  it('do not change what is said, and use nothing that is cached', async () => {
    const engine = await openRealEngine(path, { contextTokens: 512, batchTokens: 64 });
    try {
      const prompt = promptOf(5, 150);
      const first = await tell(engine, prompt);
      const again = await tell(engine, prompt);
      assert.deepEqual([first.result.cachedTokens, again.result.cachedTokens], [0, 0]);
      assert.deepEqual(again.found, first.found);
      const sampling = { ...GREEDY, ignoreEos: true };
      const plain = engine.start({ prompt, maxTokens: 2, cachePrompt: true, sampling });
      const tokens: number[] = [];
      for await (const batch of plain) {
        tokens.push(...batch.tokens);
        assert.equal(batch.promptLogprobs, undefined);
      }
      assert.deepEqual(tokens, first.tokens);
      assert.equal((await plain.result).cachedTokens, prompt.length - 1);
    } finally {
      await engine.close();
    }
  });
});
