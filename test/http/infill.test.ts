import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { INFILL_FIELDS } from '../../src/http/schema/infill.js';
import { errorOf, eventsOf, type FakeAppOptions, fakeApp, renderer } from '../helpers/fake-app.js';
import { FakeEngine, type FakeEngineOptions } from '../helpers/fake-engine.js';
import { entryNamed, FakeCatalog } from '../helpers/fake-pool.js';

after(() => renderer.close());

const fim = { prefix: 310, suffix: 311, middle: 312, repository: null, separator: null };

function infill(options: FakeEngineOptions = {}, more: FakeAppOptions = {}) {
  const engine = new FakeEngine({ model: { fim }, ...options });
  const set = fakeApp({ engine, ...more });
  const ask = (body: object = {}) =>
    set.post('/infill', { model: 'm', input_prefix: 'a', input_suffix: 'b', ...body });
  const answer = async (body: object = {}) => {
    const response = await ask(body);
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()) as Record<string, unknown>; // each test says what must be in it
  };
  const prompts = () => engine.started.map(({ request }) => [...request.prompt]);
  return { ...set, engine, ask, answer, prompts };
}

describe('infill', () => {
  it('answers in the shape of llama.cpp’s server', async () => {
    const { answer, prompts } = infill();
    assert.deepEqual(await answer(), {
      index: 0,
      content: 'Hello world',
      stop: true,
      model: 'm',
      tokens_predicted: 3,
      tokens_evaluated: 5,
      tokens_cached: 0,
      truncated: false,
      stop_type: 'eos',
      timings: {
        prompt_n: 5,
        prompt_ms: 10,
        prompt_per_token_ms: 2,
        prompt_per_second: 500,
        predicted_n: 3,
        predicted_ms: 20,
        predicted_per_token_ms: 20 / 3,
        predicted_per_second: 150,
        queue_ms: 1,
        load_ms: 2,
      },
    });
    assert.deepEqual(prompts(), [[310, 97, 311, 98, 312]]);
  });

  it('tells how many tokens were guessed ahead, where any were', async () => {
    const { timings } = await infill({ drafts: [4, 1] }).answer();
    const { draft_n: drafted, draft_n_accepted: accepted } = timings as Record<string, number>;
    assert.deepEqual([drafted, accepted], [4, 1]);
  });

  it('puts the prompt behind the prefix, and other texts before it', async () => {
    const { answer, prompts } = infill();
    await answer({ prompt: 'c', input_extra: [{ filename: 'f', text: 'x' }, { text: 'y' }] });
    const before = [...Buffer.from('f\nx\n\ny\n\n')];
    assert.deepEqual(prompts(), [[...before, 310, 97, 99, 311, 98, 312]]);
  });

  it('says why it ended', async () => {
    const stopped = await infill().answer({ stop: ['wor'] });
    assert.deepEqual([stopped.content, stopped.stop_type], ['Hello ', 'word']);
    const short = await infill().answer({ n_predict: 1 });
    assert.deepEqual([short.content, short.stop_type], ['Hello', 'limit']);
  });

  it('has no limit with n_predict -1, also where a setting has one', async () => {
    const { answer, engine } = infill({}, { settings: { MAX_TOKENS: '7' } });
    await answer({});
    await answer({ n_predict: -1 });
    assert.deepEqual(
      engine.started.map(({ request }) => request.maxTokens),
      [7, -1],
    );
  });

  it('computes the prompt and says nothing with n_predict 0', async () => {
    const { answer, engine } = infill();
    const {
      content,
      tokens_predicted: said,
      tokens_evaluated: read,
    } = await answer({ n_predict: 0 });
    assert.deepEqual([content, said, read, engine.started.length], ['', 0, 5, 1]);
  });

  it('streams, and ends by `stop` without a mark behind it', async () => {
    const response = await infill().ask({ stream: true });
    const events = (await eventsOf(response)) as Record<string, unknown>[]; // all of them JSON
    const last = events.pop();
    assert.deepEqual(events, [
      { index: 0, content: 'Hello', stop: false },
      { index: 0, content: ' world', stop: false },
    ]);
    assert.deepEqual([last?.stop, last?.content, last?.stop_type], [true, '', 'eos']);
  });

  it('hands sampling on, and what the turn is to be', async () => {
    const { answer, engine, pool } = infill();
    await answer({ temperature: 0.5, seed: 3, cache_prompt: false, keep_alive: 0 });
    const { sampling, cachePrompt } = engine.started[0]?.request ?? {};
    assert.deepEqual([sampling?.temperature, sampling?.seed, cachePrompt], [0.5, 3, false]);
    assert.equal(pool.asked[0]?.keepAliveMs, 0);
  });

  it('means the model in memory where none is named, or the only one there is', async () => {
    const catalog = new FakeCatalog([entryNamed('a'), entryNamed('b')]);
    const { ask, answer, pool } = infill({}, { catalog });
    const unclear = await errorOf(await ask({ model: undefined }));
    assert.deepEqual([unclear.code, unclear.param], ['missing_required_parameter', 'model']);
    await pool.load(entryNamed('b'), { signal: new AbortController().signal });
    assert.equal((await answer({ model: undefined })).model, 'b');
    assert.equal((await infill().answer({ model: null })).model, 'm');
  });

  it('refuses by name what is wrong', async () => {
    const cases: readonly (readonly [object, string])[] = [
      [{ input_prefix: undefined }, 'input_prefix'],
      [{ input_suffix: undefined }, 'input_suffix'],
      [{ input_suffix: 1 }, 'input_suffix'],
      [{ prompt: ['a'] }, 'prompt'],
      [{ input_extra: [{ text: 'a' }, { filename: 'f' }] }, 'input_extra[1].text'],
      [{ input_extra: Array(257).fill({ text: '' }) }, 'input_extra'],
      [{ n_predict: -2 }, 'n_predict'],
      [{ n_probs: 3 }, 'n_probs'],
      [{ json_schema: {} }, 'json_schema'],
      [{ grammar: 1 }, 'grammar'],
      [{ samplers: ['nothing'] }, 'samplers[0]'],
      [{ stream: 'yes' }, 'stream'],
    ];
    for (const [body, param] of cases) {
      const response = await infill().ask(body);
      const error = await errorOf(response);
      assert.deepEqual([response.status, error.param], [400, param], JSON.stringify(body));
    }
    const unable = await errorOf(await infill({ model: {} }).ask());
    assert.deepEqual([unable.code, unable.param], ['invalid_value', 'model']);
    const long = await errorOf(await infill({ contextTokens: 5 }).ask());
    assert.equal(long.code, 'context_length_exceeded');
  });

  it('names what has no effect, the sampler that editors’ plugins ask for included', async () => {
    const { ask, engine } = infill();
    const response = await ask({
      ...{ samplers: ['top_k', 'infill'], t_max_predict_ms: 500, n_probs: 0 },
      input_extra: [{ text: 'a', time: 1 }],
    });
    assert.equal(response.status, 200);
    const names = response.headers.get('x-hoshikage-ignored');
    assert.equal(names, 't_max_predict_ms,samplers.infill,input_extra.time');
    assert.deepEqual(engine.started[0]?.request.sampling.samplers, ['top_k']);
    const strict = await infill({}, { settings: { STRICT_FIELDS: '1' } }).ask({
      samplers: ['infill'],
    });
    assert.equal((await errorOf(strict)).param, 'samplers[0]');
  });

  it('takes null for the default everywhere', async () => {
    const given = ['model', 'input_prefix', 'input_suffix'];
    const nulls = Object.keys(INFILL_FIELDS).filter((name) => !given.includes(name));
    const response = await infill().ask(Object.fromEntries(nulls.map((name) => [name, null])));
    assert.equal(response.status, 200);
  });
});
