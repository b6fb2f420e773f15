/** Gaps and reranking on real models: the tokens and the scores that only a vocabulary and a head have. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { RANK, writeEncoder } from '../helpers/encoder-model.js';
import { madeModel, scriptedModel } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { makeHome, startServer, type TestServer } from '../helpers/server.js';
import { getJson } from '../helpers/wire.js';

const GAP = ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>'];

describe('A model', () => {
  const owner = suiteOwner();
  let server: TestServer;
  const post = async (path: string, json: object) => {
    const { status, body } = await getJson(`${server.url}${path}`, { json });
    return { status, body: body as Record<string, unknown> };
  };

  before(async () => {
    const home = makeHome(owner);
    home.writeMap({
      coder: await scriptedModel({ name: 'coder', controls: GAP, answers: [{ say: 'a + b' }] }),
      plain: await scriptedModel({ name: 'plain', answers: [{ say: 'no gap' }] }),
      ranker: await madeModel(['ranker'], (path) => writeEncoder(path, RANK)),
    });
    server = await startServer(owner, { home, env: { N_CTX: '512' } });
  });

  test('with tokens for a gap fills it, by its own tokens', async () => {
    const [before, after] = ['def add(a, b): return ', '\n'];
    const { status, body } = await post('/infill', {
      ...{ model: 'coder', input_prefix: before, input_suffix: after, temperature: 0 },
    });
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual([body.content, body.stop_type], ['a + b', 'eos']);
    const texts = await Promise.all(
      [before, after].map((content) => post('/tokenize', { model: 'coder', content })),
    );
    const counts = texts.map((one) => (one.body.tokens as unknown[]).length);
    const bos = 1;
    assert.equal(body.tokens_evaluated, bos + GAP.length + counts.reduce((sum, n) => sum + n, 0));
    const suffixed = await post('/v1/completions', {
      ...{ model: 'coder', prompt: before, suffix: after, temperature: 0 },
    });
    assert.deepEqual(
      (suffixed.body.choices as { text: string }[]).map(({ text }) => text),
      ['a + b'],
    );
  });

  test('without them says so', async () => {
    const { status, body } = await post('/infill', {
      ...{ model: 'plain', input_prefix: 'a', input_suffix: 'b' },
    });
    assert.equal(status, 400);
    assert.equal((body.error as { param: string }).param, 'model');
  });

  test('that was made to rerank puts documents in order, alike in any order', async () => {
    const documents = ['light light', 'star', 'shadow star light'];
    const ranked = async (sent: readonly string[]) => {
      const { status, body } = await post('/v1/rerank', {
        ...{ model: 'ranker', query: 'star shadow', documents: sent, return_documents: true },
      });
      assert.equal(status, 200, JSON.stringify(body));
      const results = body.results as {
        index: number;
        relevance_score: number;
        document: { text: string };
      }[];
      for (const { index, document } of results) assert.equal(document.text, sent[index]);
      const scores = results.map((one) => one.relevance_score);
      assert.deepEqual(
        scores,
        scores.toSorted((a, b) => b - a),
      );
      assert.equal(new Set(scores.map((score) => score.toFixed(4))).size, sent.length);
      return results.map(({ document }) => document.text);
    };
    assert.deepEqual(await ranked(documents), await ranked(documents.toReversed()));
  });

  test('that was not is refused for it, and the other way round', async () => {
    const documents = ['a'];
    const wrong = await post('/v1/rerank', { model: 'plain', query: 'q', documents });
    assert.equal((wrong.body.error as { code: string }).code, 'model_not_reranking');
    const vector = await post('/v1/embeddings', { model: 'ranker', input: 'a' });
    assert.equal((vector.body.error as { code: string }).code, 'model_not_embedding');
  });
});
