import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { errorOf, fakeApp, renderer } from '../helpers/fake-app.js';
import { FakeEngine } from '../helpers/fake-engine.js';

after(() => renderer.close());

/** The score of a document is its length. */
function reranker(settings: Record<string, string> = {}) {
  const engine = new FakeEngine({ model: { poolingType: 'rank', sepToken: 302 } });
  engine.embed = async (inputs) => inputs.map(({ length }) => Float32Array.of(length));
  const set = fakeApp({ engine, settings });
  const ask = (more: object = {}, headers: Record<string, string> = {}) =>
    set.post(
      '/v1/rerank',
      { model: 'm', query: 'q', documents: ['a', 'ccc', 'bb'], ...more },
      headers,
    );
  const answer = async (more: object = {}) => {
    const response = await ask(more);
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()) as Record<string, unknown>; // each test says what must be in it
  };
  return { ...set, ask, answer, engine };
}

describe('rerank', () => {
  it('gives the best first, by the place each had', async () => {
    // q EOS SEP … EOS: four tokens beside the document.
    assert.deepEqual(await reranker().answer(), {
      model: 'm',
      object: 'list',
      results: [
        { index: 1, relevance_score: 7 },
        { index: 2, relevance_score: 6 },
        { index: 0, relevance_score: 5 },
      ],
      usage: { prompt_tokens: 18, total_tokens: 18 },
    });
  });

  it('gives only so many, and the documents where they are asked for', async () => {
    const documents = ['a', { text: 'bb' }];
    const { results } = await reranker().answer({ documents, top_n: 1, return_documents: true });
    assert.deepEqual(results, [{ index: 1, relevance_score: 6, document: { text: 'bb' } }]);
  });

  it('has a turn as the request wants it, and takes no slot', async () => {
    const { ask, pool } = reranker();
    await ask({ keep_alive: 0 }, { 'x-hoshikage-priority': 'batch' });
    const [asked] = pool.asked;
    assert.deepEqual([asked?.need, asked?.priority, asked?.keepAliveMs], ['model', 'batch', 0]);
    assert.equal(pool.released, 1);
  });

  it('is refused by the name of what is wrong', async () => {
    const cases: readonly (readonly [object, string])[] = [
      [{ query: undefined }, 'query'],
      [{ query: '' }, 'query'],
      [{ documents: undefined }, 'documents'],
      [{ documents: [] }, 'documents'],
      [{ documents: ['a', ''] }, 'documents[1]'],
      [{ documents: ['a', { title: 'b' }] }, 'documents[1].text'],
      [{ documents: ['a', 7] }, 'documents[1]'],
      [{ documents: Array(2049).fill('a') }, 'documents'],
      [{ documents: ['a', 'x'.repeat(5000)] }, 'documents[1]'],
      [{ top_n: 0 }, 'top_n'],
      [{ return_documents: 1 }, 'return_documents'],
      [{ keep_alive: 'x' }, 'keep_alive'],
      [{ model: undefined }, 'model'],
    ];
    for (const [more, param] of cases) {
      const response = await reranker().ask(more);
      const error = await errorOf(response);
      const shown = JSON.stringify(more).slice(0, 99);
      assert.deepEqual([response.status, error.param], [400, param], shown);
    }
    assert.equal((await reranker().ask({ model: 'x' })).status, 404);
  });

  it('of a model that was not made for it is the mistake of who asked', async () => {
    const { post } = fakeApp();
    const response = await post('/v1/rerank', { model: 'm', query: 'q', documents: ['a'] });
    const { code, param } = await errorOf(response);
    assert.deepEqual([response.status, code, param], [400, 'model_not_reranking', 'model']);
  });

  it('names what has no effect', async () => {
    const response = await reranker().ask({ user: 'u', documents: [{ text: 'a', title: 't' }] });
    assert.equal(response.headers.get('x-hoshikage-ignored'), 'user,documents.title');
    const strict = await reranker({ STRICT_FIELDS: '1' }).ask({ max_chunks_per_doc: 1 });
    assert.equal((await errorOf(strict)).code, 'unknown_parameter');
  });
});
