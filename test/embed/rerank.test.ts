import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { rerank } from '../../src/embed/rerank.js';
import type { ModelFacts } from '../../src/engine/engine.js';
import { HoshikageError } from '../../src/errors.js';
import { FakeEngine } from '../helpers/fake-engine.js';
import { FakeCatalog, FakePool } from '../helpers/fake-pool.js';

function setUp(model: Partial<ModelFacts> = {}, contextTokens = 4096) {
  const facts = { poolingType: 'rank', ...model } as const;
  const pool = new FakePool(new FakeEngine({ model: facts, contextTokens }));
  const deps = { config: { retryOnCrash: false }, catalog: new FakeCatalog(), pool };
  const groups: (readonly Int32Array[])[] = [];
  pool.engine.embed = async (inputs) => {
    groups.push(inputs);
    // A second class, as some models have one, says nothing here.
    return inputs.map(({ length }) => Float32Array.of(length, 99));
  };
  return { deps, pool, engine: pool.engine, groups };
}

const run = () => ({ signal: new AbortController().signal });
const ask = (...documents: readonly string[]) => ({ model: 'm', query: 'q', documents });

async function promptOf(model: Partial<ModelFacts>, document = 'd'): Promise<readonly number[]> {
  const { deps, groups } = setUp(model);
  await rerank(deps, ask(document), run());
  return [...(groups[0]?.[0] ?? [])];
}

describe('rerank', () => {
  it('scores each document by what the model says first of it, and counts all tokens', async () => {
    const { deps, pool } = setUp({ eosToken: 2, sepToken: 3 });
    const { scores, promptTokens } = await rerank(deps, ask('d', 'dd'), run());
    assert.deepEqual([scores, promptTokens], [[5, 6], 11]);
    assert.deepEqual([pool.asked[0]?.need, pool.released], ['model', 1]);
  });

  it('puts a document behind the query as the vocabulary has the tokens for it', async () => {
    const [q, d] = [113, 100];
    const bert = { addBos: true, bosToken: 1, eosToken: null, sepToken: 3 };
    assert.deepEqual(await promptOf(bert), [1, q, 3, d, 3]);
    const roberta = { addBos: true, bosToken: 1, eosToken: 2, sepToken: 2 };
    assert.deepEqual(await promptOf(roberta), [1, q, 2, 2, d, 2]);
    const both = { addBos: false, bosToken: 1, eosToken: 2, sepToken: 3 };
    assert.deepEqual(await promptOf(both), [q, 2, 3, d, 2]);
    const neither = { addBos: true, bosToken: null, eosToken: 2, sepToken: null };
    assert.deepEqual(await promptOf(neither), [q, 2, d, 2]);
  });

  it('or as the model’s own template says, in which control texts of the two stay text', async () => {
    const rerankTemplate = '<|im_start|>{query}|{document}<|im_end|>';
    const written = [...Buffer.from('q|<|im_end|>')];
    assert.deepEqual(await promptOf({ rerankTemplate, addBos: true }, '<|im_end|>'), [
      ...[300, ...written, 301],
    ]);
  });

  it('hands over a few documents at a time, so that others have their turn in between', async () => {
    const { deps, groups } = setUp();
    const { scores } = await rerank(deps, ask(...Array(40).fill('d')), run());
    assert.equal(scores.length, 40);
    assert.deepEqual(
      groups.map(({ length }) => length),
      [16, 16, 8],
    );
  });

  it('refuses what it cannot do before anything is computed', async () => {
    const refused = async (set: ReturnType<typeof setUp>, ...documents: readonly string[]) => {
      let error: HoshikageError | null = null;
      await assert.rejects(rerank(set.deps, ask(...documents), run()), (thrown) => {
        assert.ok(thrown instanceof HoshikageError);
        error = thrown;
        return true;
      });
      assert.deepEqual([set.groups.length, set.pool.released], [0, 1]);
      const { code, details } = error as unknown as HoshikageError; // assigned in the check
      return [code, details.param];
    };
    const long = await refused(setUp({}, 10), 'd', 'x'.repeat(8));
    assert.deepEqual(long, ['context_length_exceeded', 'documents[1]']);
    const other = await refused(setUp({ poolingType: 'mean' }), 'd');
    assert.deepEqual(other, ['model_not_reranking', 'model']);
  });

  it('fails where the model says no number', async () => {
    for (const vector of [Float32Array.of(Number.NaN), new Float32Array()]) {
      const { deps, engine } = setUp();
      engine.embed = async () => [vector];
      await assert.rejects(rerank(deps, ask('d'), run()), { code: 'decode_failed' });
    }
  });

  it('ends when its client goes', async () => {
    const { deps, engine } = setUp();
    const going = new AbortController();
    let calls = 0;
    engine.embed = async (inputs) => {
      calls += 1;
      going.abort();
      return inputs.map(() => Float32Array.of(1));
    };
    const work = rerank(deps, ask(...Array(17).fill('d')), { signal: going.signal });
    await assert.rejects(work, { code: 'cancelled' });
    assert.equal(calls, 1);
  });
});
