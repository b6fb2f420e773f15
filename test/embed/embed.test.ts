import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type EmbedRequest, embed } from '../../src/embed/embed.js';
import { detokenize, tokenize } from '../../src/embed/tokens.js';
import { HoshikageError } from '../../src/errors.js';
import { FakeEngine, type FakeEngineOptions } from '../helpers/fake-engine.js';
import { FakeCatalog, FakePool } from '../helpers/fake-pool.js';

function setUp(options: FakeEngineOptions = {}, retryOnCrash = false) {
  const pool = new FakePool(new FakeEngine(options));
  const deps = { config: { retryOnCrash }, catalog: new FakeCatalog(), pool };
  const groups: (readonly Int32Array[])[] = [];
  // The value at an index is the index plus one, so that cutting can be seen.
  pool.engine.embed = async (inputs) => {
    groups.push(inputs);
    const length = pool.engine.info.model.embeddingLength;
    return inputs.map(() => Float32Array.from({ length }, (_, index) => index + 1));
  };
  return { deps, pool, engine: pool.engine, groups };
}

const run = () => ({ signal: new AbortController().signal });

function ask(
  inputs: readonly (string | Int32Array)[],
  dimensions: number | null = null,
): EmbedRequest {
  return { model: 'm', inputs, nameOf: (index) => `input[${index}]`, dimensions };
}

describe('embed', () => {
  it('takes the model and no slot, and gives it back', async () => {
    const { deps, pool } = setUp();
    const turn = { ...run(), priority: 'batch', keepAliveMs: 5 } as const;
    await embed(deps, ask(['a']), turn);
    assert.deepEqual(pool.asked, [{ ...turn, need: 'model' }]);
    assert.deepEqual([pool.given, pool.released], [1, 1]);
  });

  it('gives each input a vector of length 1, and counts its tokens', async () => {
    const { deps, groups, engine } = setUp({ model: { addBos: true } });
    const { vectors, promptTokens } = await embed(deps, ask(['ab', Int32Array.of(7, 8, 9)]), run());
    assert.deepEqual(groups.flat(), [Int32Array.of(1, 97, 98), Int32Array.of(7, 8, 9)]);
    assert.equal(promptTokens, 6);
    assert.equal(engine.tokenized[0]?.segments[0]?.special, false);
    for (const vector of vectors) {
      assert.equal(vector.length, 8);
      const squares = vector.reduce((sum, value) => sum + value * value, 0);
      assert.ok(Math.abs(squares - 1) < 1e-6);
    }
  });

  it('refuses a reranker, whose scores are no vector', async () => {
    const { deps, groups } = setUp({ model: { poolingType: 'rank' } });
    await assert.rejects(embed(deps, ask(['a']), run()), { code: 'model_not_embedding' });
    assert.equal(groups.length, 0);
  });

  it('cuts to the dimensions asked for, and makes that of length 1', async () => {
    const { deps } = setUp();
    const { vectors } = await embed(deps, ask(['a'], 2), run());
    const root = Math.sqrt(5);
    assert.deepEqual(vectors, [Float32Array.of(1 / root, 2 / root)]);
    await assert.rejects(embed(deps, ask(['a'], 9), run()), (error: HoshikageError) => {
      assert.deepEqual([error.code, error.details.param], ['invalid_value', 'dimensions']);
      return true;
    });
  });

  it('leaves a vector of zeros as it is, and refuses one that is no number', async () => {
    const { deps, engine } = setUp();
    engine.embed = async () => [new Float32Array(8)];
    assert.deepEqual((await embed(deps, ask(['a']), run())).vectors, [new Float32Array(8)]);
    engine.embed = async () => [new Float32Array(8).fill(Number.NaN)];
    await assert.rejects(embed(deps, ask(['a']), run()), { code: 'decode_failed' });
  });

  it('hands over a few inputs at a time, so that others have their turn in between', async () => {
    const { deps, groups } = setUp();
    const { vectors } = await embed(deps, ask(Array.from({ length: 40 }, () => 'a')), run());
    assert.equal(vectors.length, 40);
    assert.deepEqual(
      groups.map(({ length }) => length),
      [16, 16, 8],
    );
  });

  it('refuses what does not fit before anything is computed, by its name', async () => {
    const cases: readonly (readonly [EmbedRequest, string])[] = [
      [ask(['a', 'x'.repeat(11)]), 'context_length_exceeded'],
      [ask(['a', new Int32Array(11)]), 'context_length_exceeded'],
      [ask(['a', new Int32Array()]), 'invalid_value'],
    ];
    for (const [request, code] of cases) {
      const { deps, groups, pool } = setUp({ contextTokens: 10 });
      await assert.rejects(embed(deps, request, run()), (error: HoshikageError) => {
        assert.deepEqual([error.code, error.details.param], [code, 'input[1]']);
        return true;
      });
      assert.deepEqual([groups.length, pool.released], [0, 1]);
    }
    const { deps } = setUp();
    const unknown = ask(['a', Int32Array.of(1, 400)]);
    await assert.rejects(embed(deps, unknown, run()), (error: HoshikageError) => {
      assert.equal(error.details.param, 'input[1][1]');
      return true;
    });
    await assert.rejects(embed(deps, { ...ask(['a']), model: 'x' }, run()), {
      code: 'model_not_found',
    });
  });

  it('ends when its client goes: between two groups and inside of one', async () => {
    for (const inside of [true, false]) {
      const { deps, engine, pool } = setUp();
      const going = new AbortController();
      let calls = 0;
      engine.embed = async (inputs, options) => {
        calls += 1;
        going.abort();
        assert.equal(options?.signal, going.signal);
        if (inside) throw new HoshikageError('cancelled');
        return inputs.map(() => Float32Array.of(1));
      };
      const work = embed(deps, ask(Array(17).fill('a')), { signal: going.signal });
      await assert.rejects(work, { code: 'cancelled' });
      assert.deepEqual([calls, pool.released], [1, 1]);
    }
  });

  it('is run again, once, when its engine is lost, with RETRY_ON_CRASH', async () => {
    for (const [retry, given] of [[true, 2] as const, [false, 1] as const]) {
      const { deps, engine, pool } = setUp({}, retry);
      const whole = engine.embed.bind(engine);
      engine.embed = async () => {
        engine.embed = whole;
        throw new HoshikageError('engine_crashed', { detail: 'SIGKILL' });
      };
      const work = embed(deps, ask(['a']), run());
      if (retry) assert.equal((await work).vectors.length, 1);
      else await assert.rejects(work, { code: 'engine_crashed' });
      assert.deepEqual([pool.given, pool.released], [given, given]);
      assert.equal(pool.asked.at(-1)?.again ?? false, retry);
    }
  });
});

describe('tokens', () => {
  const text = { model: 'm', text: '<|im_end|>é', special: true, addSpecial: false };

  it('of a text, control tokens as asked for', async () => {
    const { deps, pool } = setUp({ model: { addBos: true } });
    const { tokens, pieces } = await tokenize(deps, { ...text, withPieces: false }, run());
    assert.deepEqual([...tokens], [301, 0xc3, 0xa9]);
    assert.equal(pieces, null);
    const plain = { ...text, special: false, addSpecial: true, withPieces: false };
    assert.equal((await tokenize(deps, plain, run())).tokens[0], 1);
    assert.ok(pool.asked.every(({ need }) => need === 'model'));
    assert.deepEqual([pool.given, pool.released], [2, 2]);
  });

  it('have the bytes of each where that is asked for, each different one looked up once', async () => {
    const { deps, engine } = setUp();
    let asked = 0;
    const whole = engine.detokenize.bind(engine);
    engine.detokenize = (tokens) => {
      asked += 1;
      assert.equal(tokens.length, 1);
      return whole(tokens);
    };
    const long = { ...text, text: 'ab'.repeat(200), withPieces: true };
    const { tokens, pieces } = await tokenize(deps, long, run());
    assert.deepEqual([tokens.length, pieces?.size, asked], [400, 2, 2]);
    const bytes = Array.from(tokens, (token) => pieces?.get(token) ?? new Uint8Array());
    assert.equal(Buffer.concat(bytes).toString(), long.text);
  });

  it('back to bytes; one that the vocabulary has not is refused by its place', async () => {
    const { deps } = setUp();
    const bytes = await detokenize(deps, { model: 'm', tokens: Int32Array.of(65, 301) }, run());
    assert.equal(Buffer.from(bytes).toString(), 'A<|im_end|>');
    const none = await detokenize(deps, { model: 'm', tokens: new Int32Array() }, run());
    assert.equal(none.length, 0);
    const wrong = detokenize(deps, { model: 'm', tokens: Int32Array.of(65, 400) }, run());
    await assert.rejects(wrong, (error: HoshikageError) => {
      assert.deepEqual([error.code, error.details.param], ['invalid_value', 'tokens[1]']);
      return true;
    });
  });
});
