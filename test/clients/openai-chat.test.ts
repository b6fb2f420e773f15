/** The `openai` library, unmodified, chatting: whole answers, streams, helpers, errors, headers. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { suiteOwner } from '../helpers/owner.js';
import { type TestServer, untilFree } from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { HELLO, HELLO_COUNT, HELLO_TOKENS, MODEL, serveModels } from './models.js';

const user = (content: string) => [{ role: 'user' as const, content }];
const greeting = { model: MODEL.assistant, messages: user('こんにちは'), temperature: 0 };

/** BOS, the start of the user's turn, line feed, こんにちは, its end, line feed; then start, assistant, line feed. */
const GREETING_COUNT = 9;

describe('The openai library, chatting', () => {
  const owner = suiteOwner();
  let server: TestServer;
  let client: OpenAI;

  before(async () => {
    server = await serveModels(owner, ['assistant', 'rambler']);
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });

  describe('gets a whole answer', () => {
    test('in the shape that it knows', async () => {
      const completion = await client.chat.completions.create(greeting);
      const expected: OpenAI.ChatCompletion.Choice[] = [
        {
          index: 0,
          message: { role: 'assistant', content: HELLO, refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ];
      assert.deepEqual(completion.choices, expected);
      assert.equal(completion.object, 'chat.completion');
      assert.equal(completion.model, MODEL.assistant);
      assert.match(completion.id, /^chatcmpl-/);
      assert.ok(Math.abs(completion.created - Date.now() / 1000) < 600, `${completion.created}`);
    });

    test('with usage that counts the template and the token that ends it', async () => {
      const { usage } = await client.chat.completions.create(greeting);
      assert.equal(usage?.prompt_tokens, GREETING_COUNT);
      assert.equal(usage.completion_tokens, HELLO_COUNT);
      assert.equal(usage.total_tokens, GREETING_COUNT + HELLO_COUNT);
      assert.equal(usage.completion_tokens_details?.reasoning_tokens, 0);
      assert.equal(typeof usage.prompt_tokens_details?.cached_tokens, 'number');
    });

    test('up to the limit', async () => {
      for (const limit of [{ max_tokens: 2 }, { max_completion_tokens: 2 }]) {
        const { choices, usage } = await client.chat.completions.create({ ...greeting, ...limit });
        assert.equal(choices[0]?.message.content, HELLO_TOKENS.slice(0, 2).join(''));
        assert.equal(choices[0]?.finish_reason, 'length');
        assert.equal(usage?.completion_tokens, 2);
      }
    });

    test('up to a stop text that lies across tokens', async () => {
      const asked = { ...greeting, stop: ['どこにもない', '件をど'] };
      const { choices } = await client.chat.completions.create(asked);
      assert.equal(choices[0]?.message.content, '星影です。ご用');
      assert.equal(choices[0]?.finish_reason, 'stop');
    });

    test('to roles and parts of all text kinds', async () => {
      const { choices } = await client.chat.completions.create({
        ...{ model: MODEL.assistant, temperature: 0 },
        messages: [
          { role: 'system', content: 'あなたは星影です。' },
          { role: 'user', content: '書式', name: 'taro' },
          { role: 'assistant', content: 'はい。' },
          { role: 'developer', content: [{ type: 'text', text: '短く。' }] },
          {
            role: 'user',
            content: [
              { type: 'text', text: 'こんに' },
              { type: 'text', text: 'ちは' },
            ],
          },
        ],
      });
      assert.equal(choices[0]?.message.content, HELLO);
    });

    test('several times with n, from one prompt', async () => {
      const { choices, usage } = await client.chat.completions.create({ ...greeting, n: 2 });
      assert.deepEqual(
        choices.map(({ index, message, finish_reason }) => [index, message.content, finish_reason]),
        [
          [0, HELLO, 'stop'],
          [1, HELLO, 'stop'],
        ],
      );
      assert.equal(usage?.prompt_tokens, GREETING_COUNT);
      assert.equal(usage.completion_tokens, 2 * HELLO_COUNT);
    });

    test('with the log probabilities of its tokens and of their rivals', async () => {
      const asked = { ...greeting, logprobs: true, top_logprobs: 3 };
      const { choices } = await client.chat.completions.create(asked);
      const content = choices[0]?.logprobs?.content ?? [];
      assert.deepEqual(
        content.map(({ token }) => token),
        HELLO_TOKENS,
      );
      for (const { token, logprob, bytes, top_logprobs: rivals } of content) {
        assert.deepEqual(bytes, [...Buffer.from(token)]);
        assert.ok(logprob <= 0 && logprob > -0.01, `${token}: ${logprob}`);
        assert.equal(rivals.length, 3);
        const [best] = rivals;
        assert.deepEqual([best?.token, best?.logprob, best?.bytes], [token, logprob, bytes]);
        const falling = rivals.map((rival) => rival.logprob);
        assert.deepEqual(
          falling,
          falling.toSorted((a, b) => b - a),
        );
      }
      assert.equal(choices[0]?.logprobs?.refusal, null);
    });

    test('with its headers beside it: the request id, and what was ignored', async () => {
      const asked = { ...greeting, store: true, metadata: { purpose: 'test' } };
      const { data, response, request_id } = await client.chat.completions
        .create(asked)
        .withResponse();
      assert.equal(data.choices[0]?.message.content, HELLO);
      assert.equal(response.headers.get('x-hoshikage-ignored'), 'store,metadata');
      assert.ok(request_id, 'a request id');
      assert.equal(response.headers.get('x-request-id'), request_id);
    });
  });

  describe('gets a stream', () => {
    test('whose joined deltas are the whole answer, in chunks that belong together', async () => {
      const stream = await client.chat.completions.create({ ...greeting, stream: true });
      const chunks: OpenAI.ChatCompletionChunk[] = [];
      for await (const chunk of stream) chunks.push(chunk);
      const choices = chunks.flatMap((chunk) => chunk.choices);
      assert.equal(choices.map(({ delta }) => delta.content ?? '').join(''), HELLO);
      assert.equal(choices[0]?.delta.role, 'assistant');
      assert.deepEqual(
        choices.map((choice) => choice.finish_reason),
        [...choices.slice(1).map(() => null), 'stop'],
      );
      const heads = chunks.map(({ id, created, model, object }) =>
        JSON.stringify([id, created, model, object]),
      );
      assert.equal(new Set(heads).size, 1, heads.join('\n'));
      assert.match(heads[0] ?? '', /"chat\.completion\.chunk"/);
      assert.ok(chunks.every((chunk) => chunk.usage === undefined));
    });

    test('with the same usage as the whole answer, in a chunk of its own', async () => {
      // Both after the same request, so that both find the same prefix in the cache.
      await client.chat.completions.create(greeting);
      const whole = await client.chat.completions.create(greeting);
      const stream = await client.chat.completions.create({
        ...{ ...greeting, stream: true },
        stream_options: { include_usage: true },
      });
      const chunks: OpenAI.ChatCompletionChunk[] = [];
      for await (const chunk of stream) chunks.push(chunk);
      assert.deepEqual(chunks.at(-1)?.usage, whole.usage);
      assert.deepEqual(chunks.at(-1)?.choices, []);
      assert.ok(chunks.slice(0, -1).every(({ usage }) => usage === null));
    });

    test('of several answers, told apart by their index', async () => {
      const stream = await client.chat.completions.create({ ...greeting, n: 2, stream: true });
      const texts = ['', ''];
      const ends: string[] = [];
      for await (const { choices } of stream) {
        for (const { index, delta, finish_reason } of choices) {
          texts[index] += delta.content ?? '';
          if (finish_reason) ends.push(`${index} ${finish_reason}`);
        }
      }
      assert.deepEqual(texts, [HELLO, HELLO]);
      assert.deepEqual(ends.sort(), ['0 stop', '1 stop']);
    });

    test('with log probabilities in its chunks', async () => {
      const stream = await client.chat.completions.create({
        ...{ ...greeting, stream: true, logprobs: true, top_logprobs: 1 },
      });
      const tokens: string[] = [];
      for await (const { choices } of stream) {
        for (const { token } of choices[0]?.logprobs?.content ?? []) tokens.push(token);
      }
      assert.deepEqual(tokens, HELLO_TOKENS);
    });

    test('through the helper, whose events and final message agree', async () => {
      const stream = client.chat.completions.stream({
        ...greeting,
        stream_options: { include_usage: true },
      });
      const deltas: string[] = [];
      const seen: string[] = [];
      stream.on('content', (delta, snapshot) => {
        deltas.push(delta);
        assert.equal(deltas.join(''), snapshot);
      });
      for (const event of [
        'connect',
        'content.done',
        'finalContent',
        'finalMessage',
        'end',
      ] as const)
        stream.on(event, () => void seen.push(event));
      const { role, content, refusal } = await stream.finalMessage();
      assert.deepEqual([role, content, refusal ?? null], ['assistant', HELLO, null]);
      assert.equal(deltas.join(''), HELLO);
      await stream.done();
      assert.deepEqual(seen, ['connect', 'content.done', 'finalMessage', 'finalContent', 'end']);
      const final = await stream.finalChatCompletion();
      assert.equal(final.choices[0]?.finish_reason, 'stop');
      assert.deepEqual(await stream.totalUsage(), {
        prompt_tokens: GREETING_COUNT,
        completion_tokens: HELLO_COUNT,
        total_tokens: GREETING_COUNT + HELLO_COUNT,
      });
    });

    test('with the log probabilities gathered by the helper', async () => {
      const stream = client.chat.completions.stream({ ...greeting, logprobs: true });
      const final = await stream.finalChatCompletion();
      assert.deepEqual(
        final.choices[0]?.logprobs?.content?.map(({ token }) => token),
        HELLO_TOKENS,
      );
    });
  });

  describe('that gives up', () => {
    const endless = { model: MODEL.rambler, messages: user('話して'), temperature: 0 };

    test('in the middle of a stream frees the slot', async () => {
      const stream = await client.chat.completions.create({ ...endless, stream: true });
      let text = '';
      for await (const { choices } of stream) {
        text += choices[0]?.delta.content ?? '';
        if (text.length > 40) break;
      }
      assert.ok(stream.controller.signal.aborted);
      await untilFree(server);
    });

    test('by the helper frees the slot', async () => {
      const stream = client.chat.completions.stream(endless);
      stream.on('content', (_, snapshot) => {
        if (snapshot.length > 40) stream.abort();
      });
      await assert.rejects(stream.done(), OpenAI.APIUserAbortError);
      await untilFree(server);
    });

    test('a whole answer frees the slot', async () => {
      const leaving = new AbortController();
      const asking = client.chat.completions.create(endless, { signal: leaving.signal });
      const refused = assert.rejects(asking, OpenAI.APIUserAbortError);
      await until('generation', async () => {
        const { model } = await server.status();
        return model?.slots.some(({ state }) => state === 'generation');
      });
      leaving.abort();
      await refused;
      await untilFree(server);
      const { choices } = await client.chat.completions.create({
        ...{ ...endless, messages: user('短く') },
      });
      assert.equal(choices[0]?.message.content, 'はい、短く答えます。');
    });
  });

  describe('is told what was wrong', () => {
    for (const stream of [false, true]) {
      const how = stream ? 'before a stream' : 'instead of an answer';

      test(`with a field, by the class BadRequestError, ${how}`, async () => {
        const asking = client.chat.completions.create({ ...greeting, stream, temperature: 9 });
        await assert.rejects(asking, (error) => {
          assert.ok(error instanceof OpenAI.BadRequestError);
          assert.deepEqual(
            [error.status, error.type, error.param, error.code],
            [400, 'invalid_request_error', 'temperature', 'invalid_value'],
          );
          assert.match(error.message, /^400 .+ \/ .+/);
          assert.ok(error.requestID, 'a request id');
          return true;
        });
      });

      test(`with the model, by the class NotFoundError, ${how}`, async () => {
        const asking = client.chat.completions.create({ ...greeting, stream, model: 'nobody' });
        await assert.rejects(asking, (error) => {
          assert.ok(error instanceof OpenAI.NotFoundError);
          assert.deepEqual([error.param, error.code], ['model', 'model_not_found']);
          return true;
        });
      });

      test(`with the length of the prompt, ${how}`, async () => {
        const messages = user('あいうえお'.repeat(5000));
        const asking = client.chat.completions.create({ ...greeting, stream, messages });
        await assert.rejects(asking, (error) => {
          assert.ok(error instanceof OpenAI.BadRequestError);
          assert.equal(error.code, 'context_length_exceeded');
          return true;
        });
      });
    }
  });
});
