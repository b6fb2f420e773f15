/** LangChain.js, unmodified: ChatOpenAI and OpenAIEmbeddings with our address. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { AIMessageChunk, HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { ChatPromptTemplate } from '@langchain/core/prompts';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI, type ChatOpenAIFields, OpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { z } from 'zod';
import { suiteOwner } from '../helpers/owner.js';
import { type TestServer, untilFree } from '../helpers/server.js';
import {
  CITY,
  cityFormat,
  HELLO,
  HELLO_COUNT,
  HELLO_TOKENS,
  MODEL,
  SAYS,
  serveModels,
} from './models.js';

describe('LangChain', () => {
  const owner = suiteOwner();
  let server: TestServer;
  let access: { apiKey: string; maxRetries: number; configuration: { baseURL: string } };

  before(async () => {
    server = await serveModels(owner, ['assistant', 'noise', 'rambler', 'encoder']);
    const configuration = { baseURL: `${server.url}/v1` };
    access = { apiKey: 'none', maxRetries: 0, configuration };
  });

  const chatWith = (model: string = MODEL.assistant, more: ChatOpenAIFields = {}) =>
    new ChatOpenAI({ ...access, model, temperature: 0, ...more });

  describe('chats', () => {
    test('and gets a message with its end and its usage', async () => {
      const message = await chatWith().invoke([
        new SystemMessage('あなたは親切です。'),
        new HumanMessage('こんにちは'),
      ]);
      assert.equal(message.content, HELLO);
      assert.equal(message.response_metadata.finish_reason, 'stop');
      const { usage_metadata: usage } = message;
      assert.equal(usage?.output_tokens, HELLO_COUNT);
      assert.equal(usage.total_tokens, usage.input_tokens + HELLO_COUNT);
    });

    test('in a stream, with the same text and usage', async () => {
      const whole = await chatWith().invoke('こんにちは');
      let sum: AIMessageChunk | undefined;
      let parts = 0;
      for await (const chunk of await chatWith().stream('こんにちは')) {
        sum = sum ? sum.concat(chunk) : chunk;
        if (chunk.content !== '') parts += 1;
      }
      assert.equal(sum?.content, HELLO);
      assert.ok(parts >= 1 && parts <= HELLO_TOKENS.length, `${parts} parts`);
      assert.equal(sum.response_metadata.finish_reason, 'stop');
      assert.equal(sum.usage_metadata?.output_tokens, HELLO_COUNT);
      assert.equal(sum.usage_metadata?.input_tokens, whole.usage_metadata?.input_tokens);
    });

    test('through a chain, and in a batch', async () => {
      const prompt = ChatPromptTemplate.fromMessages([['human', '{what}をください']]);
      const chain = prompt.pipe(chatWith());
      const answers = await chain.batch([{ what: '書式' }, { what: '何か' }]);
      assert.deepEqual(
        answers.map(({ content }) => content),
        [SAYS.facts.say, HELLO],
      );
    });

    test('up to a limit', async () => {
      const message = await chatWith(MODEL.assistant, { maxTokens: 2 }).invoke('こんにちは');
      assert.equal(message.content, HELLO_TOKENS.slice(0, 2).join(''));
      assert.equal(message.response_metadata.finish_reason, 'length');
    });

    test('with log probabilities', async () => {
      const model = chatWith(MODEL.assistant, { logprobs: true, topLogprobs: 2 });
      const { response_metadata: metadata } = await model.invoke('こんにちは');
      const { content } = metadata.logprobs as { content: { token: string }[] };
      assert.deepEqual(
        content.map(({ token }) => token),
        HELLO_TOKENS,
      );
    });

    test('and frees the slot when it gives up in mid-stream', async () => {
      const leaving = new AbortController();
      const { signal } = leaving;
      const stream = await chatWith(MODEL.rambler).stream('話して', { signal });
      const reading = async () => {
        let text = '';
        for await (const { content } of stream) {
          text += content;
          if (text.length > 40) leaving.abort();
        }
      };
      await assert.rejects(reading());
      await untilFree(server);
    });

    test('and is told what was wrong', async () => {
      await assert.rejects(chatWith('nobody').invoke('こんにちは'), {
        ...{ status: 404, code: 'model_not_found', param: 'model' },
      });
      const hot = chatWith(MODEL.assistant, { temperature: 9 });
      await assert.rejects(hot.invoke('こんにちは'), { status: 400, param: 'temperature' });
    });

    test('by the legacy route', async () => {
      const model = new OpenAI({ ...access, model: MODEL.assistant, temperature: 0 });
      assert.equal(await model.invoke(HELLO_TOKENS[0]), HELLO_TOKENS.slice(1).join(''));
      let text = '';
      for await (const part of await model.stream(HELLO_TOKENS[0])) text += part;
      assert.equal(text, HELLO_TOKENS.slice(1).join(''));
    });
  });

  describe('with bound tools', () => {
    const weather = tool(({ city }) => `${city}の気温は21度`, {
      ...{ name: 'get_weather', description: 'The weather of a city.' },
      schema: z.object({ city: z.string() }),
    });
    const time = tool(({ zone }) => `${zone} 時の気温`, {
      ...{ name: 'get_time', description: 'The time of a zone.' },
      schema: z.object({ zone: z.number() }),
    });
    const bound = () => chatWith().bindTools([weather, time]);

    test('gets calls, runs them, and gets the answer', async () => {
      const asked = new HumanMessage('天気');
      const message = await bound().invoke([asked]);
      assert.deepEqual(
        message.tool_calls?.map(({ name, args, type }) => [name, args, type]),
        [['get_weather', { city: '東京' }, 'tool_call']],
      );
      assert.deepEqual(message.invalid_tool_calls, []);
      assert.equal(message.content, '');
      assert.equal(message.response_metadata.finish_reason, 'tool_calls');
      const [call] = message.tool_calls ?? [];
      assert.ok(call);
      const result = await weather.invoke({ ...call, type: 'tool_call' });
      assert.ok(result instanceof ToolMessage);
      const answer = await bound().invoke([asked, message, result]);
      assert.equal(answer.content, SAYS.warm.say);
      assert.deepEqual(answer.tool_calls, []);
    });

    test('gets several calls from the parts of a stream', async () => {
      let sum: AIMessageChunk | undefined;
      for await (const chunk of await bound().stream('両方')) sum = sum ? sum.concat(chunk) : chunk;
      assert.ok(sum instanceof AIMessageChunk);
      assert.deepEqual(
        sum.tool_calls?.map(({ name, args }) => [name, args]),
        [
          ['get_weather', { city: '大阪' }],
          ['get_time', { zone: 9 }],
        ],
      );
      const ids = new Set(sum.tool_calls?.map(({ id }) => id));
      assert.equal(ids.size, 2);
      assert.ok(!ids.has(undefined));
    });

    test('gets a call that it forces noise to', async () => {
      const paint = tool(() => '', {
        name: 'paint',
        schema: z.object({ color: z.enum(['赤', '青']), deep: z.boolean() }),
      });
      for (const tool_choice of ['any', 'paint']) {
        const model = chatWith(MODEL.noise, { maxTokens: 300 });
        const options = { tool_choice, parallel_tool_calls: false };
        const { tool_calls: calls } = await model.bindTools([paint], options).invoke('塗って');
        assert.equal(calls?.length, 1);
        assert.equal(calls[0]?.name, 'paint');
        assert.ok(paint.schema.safeParse(calls[0]?.args).success);
      }
    });
  });

  describe('with structured output', () => {
    for (const method of ['jsonSchema', 'functionCalling', 'jsonMode'] as const) {
      test(`gets an object by ${method}`, async () => {
        const options = { name: 'city_facts', method };
        const model = chatWith().withStructuredOutput(cityFormat, options);
        const asked = method === 'functionCalling' ? '抽出' : '書式';
        assert.deepEqual(await model.invoke(asked), CITY);
      });
    }

    test('gets an object by the method it takes by itself, strict, with the raw message', async () => {
      const options = { name: 'city_facts', strict: true, includeRaw: true as const };
      const model = chatWith(MODEL.noise, { maxTokens: 400 });
      const { parsed, raw } = await model.withStructuredOutput(cityFormat, options).invoke('町');
      assert.ok(cityFormat.safeParse(parsed).success, `${raw.content}`);
    });

    test('gets an object from a stream', async () => {
      const model = chatWith().withStructuredOutput(cityFormat, { method: 'jsonSchema' });
      let last: unknown;
      for await (const part of await model.stream('書式')) last = part;
      assert.deepEqual(last, CITY);
    });
  });

  test('gets embeddings of a query and of documents', async () => {
    const embeddings = new OpenAIEmbeddings({ ...access, model: MODEL.encoder });
    const query = await embeddings.embedQuery('star shadow');
    assert.equal(query.length, 64);
    assert.ok(Math.abs(Math.hypot(...query) - 1) < 1e-5);
    const documents = await embeddings.embedDocuments(['light', 'star shadow']);
    assert.equal(documents.length, 2);
    const again = documents[1] ?? [];
    const dot = query.reduce((sum, value, index) => sum + value * (again[index] ?? 0), 0);
    assert.ok(dot > 0.99999, `${dot}`);
    const short = new OpenAIEmbeddings({ ...access, model: MODEL.encoder, dimensions: 8 });
    assert.equal((await short.embedQuery('star')).length, 8);
  });
});
