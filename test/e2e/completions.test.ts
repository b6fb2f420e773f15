/** Raw prompts over the wire, on real engines: texts, log-probabilities, and clients that go away. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { rambler, TEXT, talker } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { makeHome, startServer, type TestServer, untilFree } from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { ask, type ErrorBody, eventsOf, getJson, type Usage } from '../helpers/wire.js';

interface Columns {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
  readonly text_offset: readonly number[];
}

interface Answer {
  readonly choices: readonly {
    readonly index: number;
    readonly text: string;
    readonly logprobs: Columns | null;
    readonly finish_reason: string | null;
  }[];
  readonly usage: Usage;
  readonly error?: ErrorBody;
}

describe('A raw prompt', () => {
  const owner = suiteOwner();
  let server: TestServer;
  const post = async (path: string, json: object) => {
    const { status, body } = await getJson(`${server.url}${path}`, { json });
    return { status, body: body as Answer }; // each test says what must be in it
  };
  const asked = { model: 'talker', prompt: 'さて\n', temperature: 0 };

  before(async () => {
    const home = makeHome(owner);
    home.writeMap({ talker: await talker(), rambler: await rambler() });
    server = await startServer(owner, { home });
  });

  test('is continued alike in one answer and in a stream, with its log-probabilities', async () => {
    const more = { ...asked, logprobs: 2 };
    const { body } = await post('/v1/completions', more);
    const [whole] = body.choices;
    assert.deepEqual([whole?.text, whole?.finish_reason], [TEXT.greeting, 'stop']);
    const reply = await ask(`${server.url}/v1/completions`, { json: { ...more, stream: true } });
    const data: string[] = [];
    for await (const event of eventsOf(reply)) data.push(event);
    assert.equal(data.pop(), '[DONE]');
    const parts = data.flatMap((line) => (JSON.parse(line) as Answer).choices);
    assert.equal(parts.map(({ text }) => text).join(''), TEXT.greeting);
    const tokens = parts.flatMap(({ logprobs }) => logprobs?.tokens ?? []);
    assert.deepEqual(tokens, whole?.logprobs?.tokens);
    assert.deepEqual(
      parts.flatMap(({ logprobs }) => logprobs?.text_offset ?? []),
      whole?.logprobs?.text_offset,
    );
  });

  test('has every token of its answer at its place', async () => {
    const { body } = await post('/v1/completions', { ...asked, logprobs: 1 });
    const columns = body.choices[0]?.logprobs;
    assert.ok(columns);
    const characters = [...TEXT.greeting];
    let bytes = 0;
    for (const [index, token] of columns.tokens.entries()) {
      const offset: number = columns.text_offset[index] ?? -1;
      const before = Buffer.byteLength(characters.slice(0, offset).join(''));
      if (token.startsWith('bytes:')) {
        // A part of the character at that place.
        assert.ok(bytes >= before && bytes < before + 4, `${token} at ${offset}`);
        bytes += (token.length - 'bytes:'.length) / 4;
      } else {
        assert.equal(bytes, before);
        assert.equal(characters.slice(offset, offset + [...token].length).join(''), token);
        bytes += Buffer.byteLength(token);
      }
      const own: number = columns.token_logprobs[index] ?? Number.NaN;
      assert.ok(own <= 0 && own > -0.1, `${token}: ${own}`);
      assert.equal(columns.top_logprobs[index]?.[token], own);
    }
    assert.equal(bytes, Buffer.byteLength(TEXT.greeting));
  });

  test('is told back without being computed', async () => {
    const { body } = await post('/v1/completions', { ...asked, echo: true, max_tokens: 0 });
    assert.equal(body.choices[0]?.text, 'さて\n');
    assert.equal(body.usage.completion_tokens, 0);
  });

  test('is told back with its log-probabilities, in one answer and in a stream', async () => {
    const more = { ...asked, echo: true, logprobs: 3, n: 2 };
    const { status, body } = await post('/v1/completions', more);
    assert.equal(status, 200);
    const [whole, other] = body.choices;
    assert.equal(whole?.text, `さて\n${TEXT.greeting}`);
    const columns = whole.logprobs;
    assert.ok(columns);
    assert.deepEqual(other?.logprobs?.tokens, columns.tokens);
    assert.deepEqual([columns.token_logprobs[0], columns.top_logprobs[0]], [null, null]);
    // Every token of both, with BOS and the end, which say nothing.
    const { prompt_tokens: asks, completion_tokens: answers } = body.usage;
    assert.equal(columns.tokens.length, asks + answers / 2);
    // The prompt was computed once.
    const ofPrompt = columns.token_logprobs.slice(0, asks);
    assert.deepEqual(other?.logprobs?.token_logprobs.slice(0, asks), ofPrompt);
    for (const [index, token] of columns.tokens.entries()) {
      const own: number = columns.token_logprobs[index] ?? Number.NaN;
      if (index > 0) assert.equal(columns.top_logprobs[index]?.[token], own);
    }
    const reply = await ask(`${server.url}/v1/completions`, { json: { ...more, stream: true } });
    const data: string[] = [];
    for await (const event of eventsOf(reply)) data.push(event);
    assert.equal(data.pop(), '[DONE]');
    const parts = data
      .flatMap((line) => (JSON.parse(line) as Answer).choices)
      .filter(({ index }) => index === 0);
    assert.deepEqual(
      parts.flatMap(({ logprobs }) => logprobs?.token_logprobs ?? []),
      columns.token_logprobs,
    );
    assert.deepEqual(
      parts.flatMap(({ logprobs }) => logprobs?.text_offset ?? []),
      columns.text_offset,
    );
  });

  test('has the same log-probabilities alone, given as text or as tokens', async () => {
    const prompt = `さて\n${TEXT.greeting}`;
    const alone = { ...asked, echo: true, max_tokens: 0, logprobs: 1 };
    const byText = await post('/v1/completions', { ...alone, prompt });
    assert.equal(byText.body.choices[0]?.text, prompt);
    assert.equal(byText.body.usage.completion_tokens, 0);
    const counted = byText.body.choices[0]?.logprobs;
    assert.equal(counted?.tokens.length, byText.body.usage.prompt_tokens);
    const json = { model: 'talker', content: prompt, add_special: true };
    const { body } = await getJson(`${server.url}/tokenize`, { json });
    const { tokens } = body as { tokens: number[] };
    const byTokens = await post('/v1/completions', { ...alone, prompt: tokens });
    assert.deepEqual(byTokens.body.choices[0]?.logprobs?.token_logprobs, counted.token_logprobs);
  });

  test('is computed once for all its answers', async () => {
    const { body } = await post('/v1/completions', { ...asked, n: 2, best_of: 3 });
    assert.deepEqual(
      body.choices.map(({ text }) => text),
      [TEXT.greeting, TEXT.greeting],
    );
    const alone = await post('/v1/completions', asked);
    assert.equal(body.usage.prompt_tokens, alone.body.usage.prompt_tokens);
    assert.equal(body.usage.completion_tokens, 3 * alone.body.usage.completion_tokens);
  });

  test('frees its slot when its client goes, streamed or not', async () => {
    for (const stream of [true, false]) {
      const going = new AbortController();
      const json = { model: 'rambler', prompt: 'さて\n', stream };
      const reply = ask(`${server.url}/v1/completions`, { json, signal: going.signal });
      if (stream) {
        for await (const _ of eventsOf(await reply)) break;
      } else {
        await until('the engine at work', async () => {
          const { model } = await server.status();
          return model?.slots.some(({ state }) => state === 'generation') ? model : null;
        });
      }
      going.abort();
      await reply.catch(() => {});
      await untilFree(server);
    }
  });

  test('is refused with the numbers where it is too long', async () => {
    const prompt = 'あ'.repeat(20_000);
    const { status, body } = await post('/v1/completions', { ...asked, prompt });
    assert.equal(status, 400);
    assert.deepEqual([body.error?.code, body.error?.param], ['context_length_exceeded', 'prompt']);
  });

  test('is no gap, and no ranking, for a model that can do neither', async () => {
    const gap = await post('/infill', { model: 'talker', input_prefix: 'a', input_suffix: 'b' });
    assert.deepEqual([gap.status, gap.body.error?.param], [400, 'model']);
    const ranked = await post('/v1/rerank', { model: 'talker', query: 'q', documents: ['d'] });
    assert.deepEqual([ranked.status, ranked.body.error?.code], [400, 'model_not_reranking']);
  });
});
