/** States and embeddings on the real default library: what the fake only claims. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { GREEDY } from '../../src/canary/canary-text.js';
import type { CompletionResult, Engine, EngineOptions } from '../../src/engine/engine.js';
import { writeScripted } from '../../src/models/scripted.js';
import { openRealEngine, whyNoLibrary } from '../helpers/default-library.js';
import { RANK, writeEncoder } from '../helpers/encoder-model.js';

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
      // A free slot takes over what it needs of it, and the conversation stays whole where it is.
      assert.notEqual(result.slot, restored?.slot);
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
