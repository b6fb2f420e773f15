/** Random models: sound, sane and the same every time. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { GREEDY } from '../../src/canary/canary-text.js';
import type { TokenLogprob } from '../../src/engine/engine.js';
import { readGguf } from '../../src/models/gguf.js';
import { writeRandom } from '../../src/models/random.js';
import { openRealEngine, whyNoLibrary } from '../helpers/default-library.js';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hoshikage-random-'));
});
after(() => rm(folder, { recursive: true, force: true }));

describe('a random model', () => {
  it('is the same bytes for the same seed and sizes, and others for another seed', async () => {
    const bytes = async (seed: number): Promise<Buffer> => {
      const path = join(folder, 'seeded.gguf');
      await writeRandom(path, { seed, layers: 1, embedding: 64, feedForward: 64, heads: 2 });
      return readFile(path);
    };
    const [one, again, two] = [await bytes(1), await bytes(1), await bytes(2)];
    assert.ok(one.equals(again));
    assert.ok(!one.equals(two));
  });

  it('has the sizes that were asked for', async () => {
    const path = join(folder, 'sized.gguf');
    await writeRandom(path, { vocabulary: 3000, contextLength: 512, type: 'q8_0', layers: 2 });
    const facts = await readGguf(path);
    assert.equal(facts.contextLength, 512);
    assert.ok(facts.sizeBytes > 3000 * 256 * 2);
  });

  it('is refused with heads that do not divide evenly', async () => {
    for (const sizes of [
      { heads: 3 },
      { heads: 4, kvHeads: 3 },
      { type: 'q8_0', feedForward: 48 },
    ] as const) {
      await assert.rejects(writeRandom(join(folder, 'odd.gguf'), sizes), {
        code: 'invalid_argument',
      });
    }
  });

  for (const type of ['f16', 'q8_0'] as const) {
    it(`talks on and on, neither sure of a token nor blind (${type})`, {
      skip: whyNoLibrary(),
    }, async () => {
      const path = join(folder, `${type}.gguf`);
      await writeRandom(path, { type });
      const engine = await openRealEngine(path);
      try {
        const prompt = await engine.tokenize(
          [{ text: '今日は何をしますか', special: false }],
          true,
        );
        const sampling = { ...GREEDY, logprobs: 5 };
        const completion = engine.start({ prompt, maxTokens: 100, cachePrompt: false, sampling });
        const chosen = new Set<number>();
        const logprobs: TokenLogprob[] = [];
        for await (const batch of completion) {
          for (const token of batch.tokens) chosen.add(token);
          logprobs.push(...(batch.logprobs ?? []));
        }
        assert.equal((await completion.result).reason, 'length');
        const best = logprobs.map(({ logprob }) => logprob);
        const mean = best.reduce((sum, value) => sum + value, 0) / best.length;
        assert.ok(mean < -0.05 && mean > -4, `mean log-probability ${mean}`);
        assert.ok(chosen.size > 20, `${chosen.size} different tokens`);
      } finally {
        await engine.close();
      }
    });
  }
});
