/**
 * Requests to an engine by token ids, and what they must say: what an engine with one slot says that
 * keeps nothing. For tests of memories with random models.
 */
import assert from 'node:assert/strict';
import { GREEDY } from '../../src/canary/canary-text.js';
import type {
  CompletionResult,
  Engine,
  EngineCompletion,
  TokenLogprob,
} from '../../src/engine/engine.js';
import { randomBits } from '../../src/models/prng.js';
import { shuffled } from './shuffle.js';

/** Tokens of an answer, where nothing else is asked for. */
export const ANSWER = 12;
/**
 * How far log-probabilities may be from those of the same request alone: keys and values are rounded
 * to halves, and a batch of another size adds in another order.
 */
const TOLERANCE = 2e-2;

/** What one request came to. */
export interface Said {
  readonly tokens: readonly number[];
  readonly steps: readonly TokenLogprob[];
  readonly result: CompletionResult;
}

/** Byte tokens without a meaning, the same for the same seed. */
export function noiseTokens(seed: number, length: number): number[] {
  const bits = randomBits(seed);
  return Array.from({ length }, () => (bits() >>> 8) & 255);
}

/** How a request differs from the plain one. `stopAfter`: tokens to see before it is cancelled. */
interface Asked {
  readonly maxTokens?: number;
  readonly stopAfter?: number;
  readonly keepTokens?: number;
  readonly cachePrompt?: boolean;
}

/** Starts a greedy request; its result is checked against itself. */
export function start(
  engine: Engine,
  prompt: readonly number[],
  { maxTokens = ANSWER, stopAfter = Infinity, keepTokens, cachePrompt = true }: Asked = {},
): { readonly completion: EngineCompletion; readonly said: Promise<Said> } {
  const completion = engine.start({
    prompt: Int32Array.from(prompt),
    maxTokens,
    cachePrompt,
    sampling: { ...GREEDY, logprobs: 2 },
  });
  const listen = async (): Promise<Said> => {
    const tokens: number[] = [];
    const steps: TokenLogprob[] = [];
    for await (const batch of completion) {
      tokens.push(...batch.tokens);
      steps.push(...(batch.logprobs ?? []));
      if (tokens.length >= stopAfter) completion.cancel(keepTokens);
    }
    const result = await completion.result;
    assert.equal(result.promptTokens, prompt.length);
    assert.equal(result.generatedTokens, tokens.length);
    assert.ok(result.cachedTokens >= 0 && result.cachedTokens < prompt.length);
    return { tokens, steps, result };
  };
  return { completion, said: listen() };
}

/** What requests say alone, by an engine with one slot; it is closed with this. */
export class Reference {
  readonly #engine: Engine;
  readonly #answers = new Map<string, Promise<Said>>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  close(): Promise<void> {
    return this.#engine.close();
  }

  /** The answer to a prompt; computed once. */
  answer(prompt: readonly number[]): Promise<Said> {
    const key = prompt.join();
    const there = this.#answers.get(key);
    if (there) return there;
    const answer = start(this.#engine, prompt, { cachePrompt: false }).said;
    this.#answers.set(key, answer);
    return answer;
  }

  /**
   * Holds what was said, up to the length of an answer, against that. Where two tokens are as good as
   * equally likely, either may be chosen, and what follows is another text.
   */
  async check(prompt: readonly number[], said: Said): Promise<void> {
    const { tokens, steps, result } = await this.answer(prompt);
    assert.equal(result.cachedTokens, 0);
    const where = `${prompt.length} tokens, ${said.result.cachedTokens} cached`;
    for (const [index, step] of said.steps.slice(0, ANSWER).entries()) {
      const wanted = steps[index];
      assert.ok(wanted);
      const [best, second] = wanted.top;
      assert.ok(best && second);
      for (const [token, logprob] of step.top) {
        const [, other] = wanted.top.find(([id]) => id === token) ?? second;
        const apart = Math.abs(logprob - other);
        assert.ok(apart <= TOLERANCE, `${where}: ${apart} apart at answer token ${index}`);
      }
      if (said.tokens[index] === tokens[index]) continue;
      assert.ok(best[1] - second[1] <= 2 * TOLERANCE, `${where}: another answer token ${index}`);
      return;
    }
  }
}

/** Prompts of three conversations of three turns each; two of them begin alike. */
export async function conversations(reference: Reference): Promise<(readonly number[])[]> {
  const prompts: (readonly number[])[] = [];
  const opening = noiseTokens(1, 150);
  for (const seed of [10, 11, 12]) {
    let turn = [...(seed < 12 ? opening : noiseTokens(seed, 90)), ...noiseTokens(100 + seed, 30)];
    for (const step of [1, 2, 3]) {
      prompts.push(turn);
      const { tokens } = await reference.answer(turn);
      turn = [...turn, ...tokens, ...noiseTokens(100 * seed + step, 25)];
    }
  }
  return prompts;
}

/** Asks an engine for all of them in an order of the seed, three at once, some cancelled. */
export async function askInDisorder(
  engine: Engine,
  reference: Reference,
  prompts: readonly (readonly number[])[],
  seed: number,
): Promise<void> {
  const running = new Set<Promise<unknown>>();
  for (const [index, prompt] of shuffled(prompts, seed).entries()) {
    // An engine's caller has a lease on a slot.
    while (running.size >= 3) await Promise.race(running);
    const cancels = (seed + index) % 4 === 3;
    const run = start(engine, prompt, cancels ? { stopAfter: 3, keepTokens: 2 } : {});
    const done: Promise<unknown> = run.said
      .then((said) => reference.check(prompt, said))
      .finally(() => running.delete(done));
    running.add(done);
  }
  await Promise.all(running);
}
