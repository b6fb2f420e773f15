/** States and embeddings on the real default library: what the fake only claims. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { GREEDY } from '../../src/canary/canary-text.js';
import type {
  CompletionResult,
  Engine,
  EngineOptions,
  SamplingOptions,
} from '../../src/engine/engine.js';
import { SLOT_COUNTS } from '../../src/engine/slot-count.js';
import { HoshikageError } from '../../src/errors.js';
import { writeGguf } from '../../src/models/gguf-write.js';
import { writeRandom } from '../../src/models/random.js';
import { writeScripted } from '../../src/models/scripted.js';
import { openRealEngine, whyNoLibrary } from '../helpers/default-library.js';
import { RANK, writeEncoder } from '../helpers/encoder-model.js';
import { stateContent } from '../helpers/other-models.js';

/** Logits of tokens that are computed together may differ by less than this from those of one alone. */
const ROUNDING = 0.01;
const SAY = 'これは普段の答えです。いくつかの文からできていて、最後まで同じように話します。';

describe('an engine on the real library', { skip: whyNoLibrary() }, () => {
  let folder = '';
  let model = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hoshikage-real-'));
    model = join(folder, 'scripted.gguf');
    await writeScripted(model, { answers: [{ say: SAY }] });
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const withEngine = async (
    path: string,
    options: Partial<EngineOptions>,
    use: (engine: Engine) => Promise<void>,
  ): Promise<void> => {
    const engine = await openRealEngine(path, options);
    try {
      await use(engine);
    } finally {
      await engine.close();
    }
  };

  const promptOf = (engine: Engine): Promise<Int32Array> =>
    engine.tokenize(
      [
        { text: '<|im_start|>user\n', special: true },
        { text: 'こんにちは。今日はどうですか。', special: false },
        { text: '<|im_end|>\n<|im_start|>assistant\n', special: true },
      ],
      true,
    );

  const say = async (engine: Engine): Promise<[string, CompletionResult]> => {
    const prompt = await promptOf(engine);
    const completion = engine.start({ prompt, maxTokens: -1, sampling: GREEDY, cachePrompt: true });
    const bytes: number[] = [];
    for await (const batch of completion) bytes.push(...batch.bytes);
    return [Buffer.from(bytes).toString(), await completion.result];
  };

  /** What it says behind this text, and how many tokens are the best by more than rounding decides. */
  const goOn = async (engine: Engine, text: string, sampling: SamplingOptions) => {
    const prompt = await engine.tokenize([{ text, special: true }], true);
    const completion = engine.start({ prompt, maxTokens: 150, sampling, cachePrompt: true });
    const tokens: number[] = [];
    let firm = Number.POSITIVE_INFINITY;
    for await (const batch of completion) {
      for (const [index, { top }] of (batch.logprobs ?? []).entries()) {
        const [best, second] = [top[0]?.[1] ?? 0, top[1]?.[1] ?? Number.NEGATIVE_INFINITY];
        if (best - second < ROUNDING) firm = Math.min(firm, tokens.length + index);
      }
      tokens.push(...batch.tokens);
    }
    return { tokens, firm, ...(await completion.result) };
  };

  it('says the same with tokens guessed ahead, from the text and by a draft model', async () => {
    const endless = join(folder, 'endless.gguf');
    const light = join(folder, 'light.gguf');
    const script = { answers: [{ say: SAY, endless: true }], contextLength: 2048 };
    await writeScripted(endless, { ...script, ballastMiB: 48 });
    await writeScripted(light, script);
    const ask = '<|im_start|>user\nこんにちは。<|im_end|>\n<|im_start|>assistant\n';
    const samplings = [GREEDY, { ...GREEDY, temperature: 0.7, seed: 7, repeatPenalty: 1.05 }];
    const said: number[][] = [];
    await withEngine(endless, { contextTokens: 512 }, async (engine) => {
      for (const one of samplings) said.push((await goOn(engine, ask, one)).tokens);
    });
    for (const draftModelPath of [null, light]) {
      const speculation = { lookup: draftModelPath === null, draftModelPath, mostTokens: 8 };
      await withEngine(endless, { contextTokens: 512, speculation }, async (engine) => {
        for (const [index, one] of samplings.entries()) {
          const { tokens, draftedTokens, acceptedTokens } = await goOn(engine, ask, one);
          assert.deepEqual(tokens, said[index]);
          assert.ok(acceptedTokens <= draftedTokens);
        }
      });
    }
  });

  it('says the same with a batch of guesses, right and wrong, on a model with random weights', async () => {
    const path = join(folder, 'random.gguf');
    await writeRandom(path, { layers: 2, seed: 9 });
    const other = join(folder, 'other.gguf');
    await writeRandom(other, { layers: 1, seed: 2 });
    // The text repeats what no model goes on with, so that most of what is looked up is wrong.
    const text = 'ab ab ab cd ab ab cd ab';
    const sampling = { ...GREEDY, ignoreEos: true, logprobs: 2 };
    let plain: readonly number[] = [];
    await withEngine(path, { contextTokens: 512, slots: 2 }, async (engine) => {
      const { tokens, firm } = await goOn(engine, text, sampling);
      assert.ok(firm >= 20, `only ${firm} tokens are certain`);
      plain = tokens.slice(0, firm);
    });
    const begins = ({ tokens }: { readonly tokens: readonly number[] }): void =>
      assert.deepEqual(tokens.slice(0, plain.length), plain);
    for (const draftModelPath of [null, path, other]) {
      const speculation = { lookup: true, draftModelPath, mostTokens: 4 };
      await withEngine(path, { contextTokens: 512, slots: 2, speculation }, async (engine) => {
        const both = [goOn(engine, text, sampling), goOn(engine, text, sampling)];
        for (const one of await Promise.all(both)) begins(one);
        const again = await goOn(engine, text, sampling);
        assert.equal(again.cachedTokens, again.promptTokens - 1);
        begins(again);
      });
    }
  });

  it('refuses a draft model with another vocabulary, by its name', async () => {
    const draftModelPath = join(folder, 'foreign.gguf');
    await writeRandom(draftModelPath, { layers: 1, vocabulary: 3000 });
    const speculation = { lookup: false, draftModelPath, mostTokens: 4 };
    await assert.rejects(openRealEngine(model, { speculation }), (error: unknown) => {
      assert.ok(error instanceof HoshikageError && error.code === 'draft_model_unusable');
      assert.equal(error.details.draft, draftModelPath);
      assert.match(String(error.details.reason), /its vocabulary has \d+ tokens/);
      return true;
    });
  });

  it('gives a saved state back to another engine: the same text, the prompt not computed', async () => {
    const path = join(folder, 'state');
    let saved: Int32Array | undefined;
    await withEngine(model, { slots: 2 }, async (engine) => {
      const [text, result] = await say(engine);
      assert.ok(text.startsWith(SAY), text);
      assert.equal(result.cachedTokens, 0);
      const state = await engine.saveState(result.slot, path);
      assert.equal(state?.bytes, (await readFile(path)).length);
      assert.equal(await engine.saveState(1 - result.slot, join(folder, 'empty')), null);
      saved = state?.tokens;
    });
    await withEngine(model, { slots: 2 }, async (engine) => {
      const restored = await engine.restoreState(path);
      assert.deepEqual(restored?.tokens, saved);
      const [text, result] = await say(engine);
      assert.ok(text.startsWith(SAY), text);
      assert.notEqual(result.slot, restored?.slot, 'the state keeps what came after the prompt');
      assert.equal(result.cachedTokens, result.promptTokens - 1);
    });
  });

  it('ignores a state that is damaged or of another shape, and says the same', async () => {
    const path = join(folder, 'good');
    await withEngine(model, {}, async (engine) => {
      await say(engine);
      assert.ok(await engine.saveState(0, path));
      const bytes = await readFile(path);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      await writeFile(join(folder, 'bad'), bytes);
      assert.equal(await engine.restoreState(join(folder, 'bad')), null);
      assert.ok((await say(engine))[0].startsWith(SAY));
    });
    for (const options of [{ contextTokens: 2048 }, { cacheTypeK: 'q8_0' as const }]) {
      await withEngine(model, options, async (engine) => {
        assert.equal(await engine.restoreState(path), null);
        assert.ok((await say(engine))[0].startsWith(SAY));
      });
    }
  });

  it('finds out with how many slots it is fastest, also where a state takes the place of a cache', async () => {
    const recurrent = join(folder, 'recurrent.gguf');
    await writeGguf(recurrent, stateContent());
    for (const path of [model, recurrent]) {
      await withEngine(path, { slots: 'auto', contextTokens: 256 }, async (engine) => {
        const { slots, slotChoice } = engine.info;
        assert.equal(slotChoice?.how, 'measured', path);
        assert.equal(slotChoice.known?.best, slots);
        assert.ok(SLOT_COUNTS.includes(slots));
        assert.equal((await engine.slots()).length, slots);
        const prompt = Int32Array.of(1, 2, 3);
        const asked = { prompt, maxTokens: 4, sampling: GREEDY, cachePrompt: true };
        const { generatedTokens } = await engine.start(asked).result;
        assert.ok(generatedTokens > 0);
      });
    }
  });

  it('embeds with a generating model, the same for the same text, while it generates', () =>
    withEngine(model, {}, async (engine) => {
      const prompt = await promptOf(engine);
      const long = Int32Array.from({ length: 1200 }, (_, i) => prompt[i % prompt.length] ?? 0);
      const answer = say(engine);
      const [first, second, third] = await engine.embed([prompt, long, prompt]);
      assert.equal(first?.length, engine.info.model.embeddingLength);
      assert.deepEqual(first, third);
      assert.notDeepEqual(first, second);
      assert.deepEqual(await engine.embed([long, prompt]), [second, first]);
      assert.ok(second?.every(Number.isFinite) && second.some((value) => value !== 0));
      assert.ok((await answer)[0].startsWith(SAY));
      assert.equal(engine.info.model.poolingType, undefined);
    }));

  it('embeds with an encoder that has no memory, in its own way, and does not generate with it', async () => {
    const mean = join(folder, 'mean.gguf');
    const none = join(folder, 'none.gguf');
    const first = join(folder, 'first.gguf');
    await writeEncoder(mean, 1);
    await writeEncoder(none);
    await writeEncoder(first, 2);
    await assert.rejects(openRealEngine(mean), { code: 'model_not_generative' });
    const embedding = async (path: string): Promise<Float32Array[]> => {
      const vectors: Float32Array[] = [];
      await withEngine(path, { purpose: 'embed' }, async (engine) => {
        assert.deepEqual([engine.info.slots, engine.info.contextTokens], [0, 1024]);
        const text = await engine.tokenize([{ text: 'star shadows', special: false }], true);
        assert.deepEqual([...text], [2, 5, 6, 8, 3]);
        const long = Int32Array.from({ length: 1000 }, (_, i) => 5 + (i % 4));
        vectors.push(...(await engine.embed([text, long])));
      });
      return vectors;
    };
    const pooled = await embedding(mean);
    const own = await embedding(none);
    // The library's mean and ours over its tokens, up to the order of additions.
    for (const [index, vector] of pooled.entries()) {
      assert.equal(vector.length, 64);
      for (const [place, value] of vector.entries()) {
        assert.ok(Math.abs(value - (own[index]?.[place] ?? Number.NaN)) < 1e-4);
      }
    }
    assert.notDeepEqual((await embedding(first))[0], pooled[0]);
  });

  it('gives one score per text with a model that ranks, whatever stands before it', async () => {
    const path = join(folder, 'rank.gguf');
    await writeEncoder(path, RANK);
    await withEngine(path, { purpose: 'embed' }, async (engine) => {
      assert.equal(engine.info.model.poolingType, 'rank');
      assert.equal(engine.info.model.sepToken, 3);
      const pair = (document: string): Promise<Int32Array> =>
        engine.tokenize(
          [
            { text: '[CLS]star[SEP]', special: true },
            { text: document, special: false },
            { text: '[SEP]', special: true },
          ],
          false,
        );
      const pairs = await Promise.all(['light', 'shadow', 'star light star'].map(pair));
      const scores = await engine.embed(pairs);
      assert.deepEqual(
        scores.map(({ length }) => length),
        [1, 1, 1],
      );
      const [first, second, third] = scores.map((score) => score[0]);
      assert.equal(new Set([first, second, third]).size, 3);
      const turned = await engine.embed([...pairs].reverse());
      assert.deepEqual([...turned].reverse(), scores);
      assert.deepEqual(await engine.embed(pairs.slice(1, 2)), [Float32Array.of(second ?? 0)]);
    });
  });
});
