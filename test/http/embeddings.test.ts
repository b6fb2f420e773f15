import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { errorOf, fakeApp, renderer } from '../helpers/fake-app.js';

after(() => renderer.close());

interface Answer {
  readonly object: string;
  readonly model: string;
  readonly data: readonly { object: string; index: number; embedding: string | number[] }[];
  readonly usage: object;
}

function embeddings() {
  const set = fakeApp();
  const embed = async (more: object, headers: Record<string, string> = {}) =>
    set.post('/v1/embeddings', { model: 'm', input: 'abc', ...more }, headers);
  const answer = async (more: object) => {
    const response = await embed(more);
    assert.equal(response.status, 200);
    return (await response.json()) as Answer; // each test says what must be in it
  };
  return { ...set, embed, answer };
}

/** What the fake engine says of any text, at length 1. */
const value = Math.fround(1 / Math.sqrt(8));

describe('embeddings', () => {
  it('are a list in the order of the inputs, with usage', async () => {
    const { data, usage, ...rest } = await embeddings().answer({ input: ['abc', 'de'] });
    assert.deepEqual(rest, { object: 'list', model: 'm' });
    assert.deepEqual(
      data.map(({ object, index }) => [object, index]),
      [
        ['embedding', 0],
        ['embedding', 1],
      ],
    );
    for (const { embedding } of data) {
      assert.ok(Array.isArray(embedding));
      assert.deepEqual(embedding.map(Math.fround), Array(8).fill(value));
    }
    assert.deepEqual(usage, { prompt_tokens: 5, total_tokens: 5 });
  });

  it('say the same numbers as base64', async () => {
    const { data } = await embeddings().answer({ encoding_format: 'base64', dimensions: 2 });
    const [one] = data;
    assert.ok(typeof one?.embedding === 'string');
    const bytes = Buffer.from(one.embedding, 'base64');
    assert.equal(bytes.length, 8);
    assert.equal(bytes.readFloatLE(4), Math.fround(Math.SQRT1_2));
  });

  it('are made of a text, of tokens, or of arrays of either', async () => {
    const { answer } = embeddings();
    for (const [input, vectors] of [
      ['a', 1] as const,
      [[1, 2], 1] as const,
      [['a', 'b'], 2] as const,
      [[[1], [2], [3]], 3] as const,
    ]) {
      assert.equal((await answer({ input })).data.length, vectors);
    }
  });

  it('are refused by the name of what is wrong', async () => {
    const cases: readonly (readonly [object, string])[] = [
      [{ input: undefined }, 'input'],
      [{ input: null }, 'input'],
      [{ input: '' }, 'input'],
      [{ input: [] }, 'input'],
      [{ input: {} }, 'input'],
      [{ input: ['a', ''] }, 'input[1]'],
      [{ input: ['a', 'x'.repeat(2 ** 20 + 1)] }, 'input[1]'],
      [{ input: ['a', 1] }, 'input[1]'],
      [{ input: [1, 'a'] }, 'input[1]'],
      [{ input: [1, -1] }, 'input[1]'],
      [{ input: [1, 1.5] }, 'input[1]'],
      [{ input: [1, 400] }, 'input[1]'],
      [{ input: [[1], []] }, 'input[1]'],
      [{ input: [[1], [2 ** 31]] }, 'input[1][0]'],
      [{ input: Array(2049).fill('a') }, 'input'],
      [{ encoding_format: 'int8' }, 'encoding_format'],
      [{ dimensions: 0 }, 'dimensions'],
      [{ dimensions: 9 }, 'dimensions'],
      [{ keep_alive: 'x' }, 'keep_alive'],
      [{ model: 7 }, 'model'],
      [{ input: ['a', 'x'.repeat(5000)] }, 'input[1]'],
      [{ input: 'x'.repeat(5000) }, 'input'],
    ];
    for (const [more, param] of cases) {
      const response = await embeddings().embed(more);
      const error = await errorOf(response);
      assert.deepEqual(
        [response.status, error.param],
        [400, param],
        JSON.stringify(more).slice(0, 99),
      );
    }
    const priority = await embeddings().embed({}, { 'x-hoshikage-priority': 'x' });
    assert.equal((await errorOf(priority)).param, 'x-hoshikage-priority');
    assert.equal((await embeddings().embed({ model: 'x' })).status, 404);
  });

  it('name what has no effect', async () => {
    const response = await embeddings().embed({ user: 'u', truncate: true });
    assert.equal(response.headers.get('x-hoshikage-ignored'), 'user,truncate');
  });

  it('of a model that makes none are the mistake of who asked', async () => {
    const { embed, engine } = embeddings();
    engine.embed = async () => {
      throw new HoshikageError('model_not_embedding', { reason: 'it ranks' });
    };
    const response = await embed({});
    const { code, param } = await errorOf(response);
    assert.deepEqual([response.status, code, param], [400, 'model_not_embedding', 'model']);
  });

  it('whose engine is closed by the end of the server say so', async () => {
    const { embed, engine, pool } = embeddings();
    engine.embed = async () => {
      throw new HoshikageError('closed', { what: 'engine' });
    };
    const response = await embed({});
    assert.deepEqual(
      [response.status, response.headers.get('retry-after'), (await errorOf(response)).code],
      [503, '5', 'shutting_down'],
    );
    assert.equal(pool.released, 1);
  });

  it('end with their client, as cancelled', async () => {
    const { app, engine, pool } = embeddings();
    const going = new AbortController();
    engine.embed = async () => {
      going.abort();
      throw new HoshikageError('cancelled');
    };
    const request = new Request('http://localhost/v1/embeddings', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', input: 'a' }),
      signal: going.signal,
    });
    assert.equal((await app.request(request)).status, 499);
    assert.equal(pool.released, 1);
  });
});
