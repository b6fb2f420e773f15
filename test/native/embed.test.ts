/** Embeddings with the fake: what is asked of the library, and what becomes of its answers. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { NativeEmbedder, NativeModel } from '../../src/engine/addon.js';
import { skipReason, THROW, within } from './fake.js';
import { NOTHING_LEFT, Rig } from './rig.js';

/** What the fake says of token t: t, its square, and a mark at a place of its own. */
function vectorOf(tokens: readonly number[]): Float32Array {
  const sum = new Float64Array(64);
  for (const token of tokens) {
    sum[0] = (sum[0] ?? 0) + token;
    sum[1] = (sum[1] ?? 0) + token * token;
    sum[(token % 62) + 2] = (sum[(token % 62) + 2] ?? 0) + 1;
  }
  return Float32Array.from(sum, (value) => value / tokens.length);
}

/** For a test that does not cancel. */
const embed = (
  embedder: NativeEmbedder,
  inputs: readonly Int32Array[],
): Promise<readonly Float32Array[]> => embedder.embed(inputs).promise;

const OPTIONS = { contextTokens: 2048, slots: 1, batchTokens: 64, threads: 1 };

describe('embeddings', { skip: skipReason }, () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.open();
  });
  after(() => {
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    rig.close();
  });

  const withEmbedder = async (
    cells: Partial<Record<'pooling' | 'encoder', number>>,
    use: (embedder: NativeEmbedder, model: NativeModel) => Promise<void>,
  ): Promise<void> => {
    rig.control.reset();
    for (const [cell, value] of Object.entries(cells)) {
      rig.control.set(cell === 'encoder' ? 'encoder' : 'pooling', value);
    }
    const model = await rig.model();
    try {
      await use(model.createEmbedder(OPTIONS), model);
    } finally {
      rig.control.set('holdEmbed', 0);
      await within(model.close(), 'close of the model');
    }
    assert.equal(rig.control.get('liveContexts'), 0);
  };

  it('are the mean over the tokens where the model names no pooling, however long the text', () =>
    withEmbedder({}, async (embedder, model) => {
      assert.equal('poolingType' in model.facts(), false);
      const long = Array.from({ length: 1000 }, (_, index) => (index * 7) % 320);
      const vectors = await embed(embedder, [
        Int32Array.of(3, 5),
        Int32Array.from(long),
        Int32Array.of(9),
      ]);
      assert.deepEqual(vectors, [vectorOf([3, 5]), vectorOf(long), vectorOf([9])]);
      assert.deepEqual(await embed(embedder, []), []);
      // Steps, not one step that costs gigabytes: 1 + 4 + 1.
      assert.equal(rig.control.get('embedCalls'), 6);
      assert.ok(rig.control.get('largestBatch') <= 256);
    }));

  it('are the last token where the model says so', () =>
    withEmbedder({ pooling: 4 }, async (embedder, model) => {
      assert.equal(model.facts().poolingType, 'last');
      const long = Int32Array.from({ length: 300 }, (_, index) => index);
      assert.deepEqual(await embed(embedder, [long]), [vectorOf([299])]);
    }));

  it('are what the library pools where a text is seen at once, which takes one step', () =>
    withEmbedder({ pooling: 2, encoder: 1 }, async (embedder, model) => {
      assert.equal(model.facts().poolingType, 'mean');
      const long = Int32Array.from({ length: 1500 }, (_, index) => 11 + (index % 100));
      const [short, full] = await embed(embedder, [Int32Array.of(7, 8), long]);
      assert.deepEqual([short?.[0], full?.[0]], [-7, -11]);
      assert.equal(rig.control.get('embedCalls'), 2);
    }));

  it('are the mean where a model that sees a text at once names no pooling', () =>
    withEmbedder({ encoder: 1 }, async (embedder) => {
      const long = Array.from({ length: 900 }, (_, index) => index % 320);
      assert.deepEqual(await embed(embedder, [Int32Array.from(long)]), [vectorOf(long)]);
      assert.equal(rig.control.get('embedCalls'), 1);
    }));

  it('are the scores of a model that ranks, as the library gives them', () =>
    withEmbedder({ pooling: 5 }, async (embedder, model) => {
      assert.equal(model.facts().poolingType, 'rank');
      const long = Int32Array.from({ length: 700 }, (_, index) => 3 + (index % 50));
      const scores = await embed(embedder, [Int32Array.of(7, 8), long]);
      assert.deepEqual(scores, [Float32Array.of(-7, 0), Float32Array.of(-3, 0)]);
      // A text is seen at once, as far as it is long.
      assert.equal(rig.control.get('embedCalls'), 2);
    }));

  it('are refused where a model ranks but its library pools in another way', () =>
    withEmbedder({ pooling: 5 }, async (embedder) => {
      const refused = { code: 'model_not_embedding', message: /no scores/ };
      for (const other of [0, 1, 3]) {
        rig.control.set('contextPooling', 1 + other);
        await assert.rejects(embed(embedder, [Int32Array.of(7, 8)]), refused);
      }
      rig.control.set('contextPooling', 0);
      assert.deepEqual(await embed(embedder, [Int32Array.of(7)]), [Float32Array.of(-7, 0)]);
    }));

  it('take a bad input for what it is, and the next one goes well', () =>
    withEmbedder({}, async (embedder) => {
      const good = Int32Array.of(1);
      const refused = { code: 'invalid_argument' };
      await assert.rejects(embed(embedder, [good, new Int32Array()]), refused);
      await assert.rejects(embed(embedder, [Int32Array.of(320)]), refused);
      await assert.rejects(embed(embedder, [Int32Array.of(-1)]), refused);
      const long = embed(embedder, [new Int32Array(2049)]);
      await assert.rejects(long, { code: 'context_length_exceeded' });
      rig.control.set('notFinite', 1);
      const failed = { code: 'decode_failed', message: /not finite/ };
      await assert.rejects(embed(embedder, [good]), failed);
      rig.control.set('notFinite', 0);
      rig.control.set('contextFail', THROW);
      await assert.rejects(embed(embedder, [new Int32Array(1000)]), { code: 'model_load_failed' });
      rig.control.set('contextFail', 0);
      assert.deepEqual(await embed(embedder, [good]), [vectorOf([1])]);
    }));

  it('run beside completions: neither waits for the other', () =>
    rig.with({}, async (context, model) => {
      const embedder = model.createEmbedder(OPTIONS);
      rig.control.set('holdEmbed', 1);
      const held = embed(embedder, [Int32Array.of(1)]);
      await rig.control.until('inEmbed', 1);
      assert.equal(await context.say('w'), 'xyz</s>');
      rig.control.set('holdDecode', 1);
      const run = context.start('w');
      await rig.control.until('inDecode', 1);
      rig.control.set('holdEmbed', 0);
      assert.deepEqual(await within(held, 'the embedding'), [vectorOf([1])]);
      rig.control.set('holdDecode', 0);
      assert.equal((await run.done).reason, 'eog');
    }));

  it('end soon when the embedder or the model is closed, also those that wait', async () => {
    for (const way of ['embedder', 'model']) {
      await withEmbedder({}, async (embedder, model) => {
        rig.control.set('holdEmbed', 1);
        const calls = [1, 2].map((token) => embed(embedder, [Int32Array.of(token)]));
        const refused = calls.map((call) => assert.rejects(call, { code: 'closed' }));
        await rig.control.until('inEmbed', 1);
        const closing = way === 'model' ? model.close() : embedder.close();
        await within(Promise.all([...refused, closing]), `close of the ${way}`);
        if (way === 'embedder') {
          assert.throws(() => embedder.embed([]), { code: 'closed' });
          await embedder.close();
        } else {
          assert.throws(() => model.createEmbedder(OPTIONS), { code: 'closed' });
          await assert.rejects(embed(embedder, [Int32Array.of(1)]), { code: 'closed' });
        }
      });
    }
  });
});
