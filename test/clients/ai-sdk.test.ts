/** Vercel's AI SDK, unmodified, through @ai-sdk/openai-compatible: text, streams, tools, objects, vectors. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { createOpenAICompatible, type OpenAICompatibleProvider } from '@ai-sdk/openai-compatible';
import {
  APICallError,
  embed,
  embedMany,
  generateObject,
  generateText,
  Output,
  stepCountIs,
  streamObject,
  streamText,
  tool,
} from 'ai';
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
  THOUGHT,
} from './models.js';

describe('The AI SDK', () => {
  const owner = suiteOwner();
  let server: TestServer;
  let provider: OpenAICompatibleProvider;

  before(async () => {
    const names = ['assistant', 'thinker', 'noise', 'rambler', 'encoder'] as const;
    server = await serveModels(owner, names);
    provider = createOpenAICompatible({
      ...{ name: 'hoshikage', baseURL: `${server.url}/v1` },
      ...{ includeUsage: true, supportsStructuredOutputs: true },
    });
  });

  const asking = (prompt: string, model: string = MODEL.assistant) => ({
    ...{ model: provider(model), prompt, temperature: 0, maxRetries: 0 },
  });

  describe('gets a text', () => {
    test('with its end and its usage', async () => {
      const { text, finishReason, usage, response } = await generateText(asking('こんにちは'));
      assert.equal(text, HELLO);
      assert.equal(finishReason, 'stop');
      assert.equal(usage.outputTokens, HELLO_COUNT);
      assert.equal(usage.totalTokens, (usage.inputTokens ?? 0) + HELLO_COUNT);
      assert.equal(response.modelId, MODEL.assistant);
    });

    test('up to its limit', async () => {
      const asked = { ...asking('こんにちは'), maxOutputTokens: 2 };
      const { text, finishReason, usage } = await generateText(asked);
      assert.equal(text, HELLO_TOKENS.slice(0, 2).join(''));
      assert.equal(finishReason, 'length');
      assert.equal(usage.outputTokens, 2);
    });

    test('in a stream, with the same end and usage', async () => {
      const whole = await generateText(asking('こんにちは'));
      const stream = streamText(asking('こんにちは'));
      let text = '';
      for await (const part of stream.textStream) text += part;
      assert.equal(text, HELLO);
      assert.equal(await stream.finishReason, 'stop');
      const usage = await stream.usage;
      assert.equal(usage.inputTokens, whole.usage.inputTokens);
      assert.equal(usage.outputTokens, HELLO_COUNT);
    });

    test('from the legacy route', async () => {
      const { text, finishReason } = await generateText({
        ...{ ...asking(HELLO_TOKENS[0]), model: provider.completionModel(MODEL.assistant) },
      });
      assert.equal(finishReason, 'stop');
      // The SDK writes a conversation of its own into the prompt, in which the answer begins anew.
      assert.equal(text, HELLO);
    });

    test('and its reasoning, apart from each other', async () => {
      const whole = await generateText(asking('6×7は?', MODEL.thinker));
      assert.equal(whole.text.trim(), THOUGHT.answer);
      assert.equal(whole.reasoningText?.trim(), THOUGHT.reasoning);
      const stream = streamText(asking('6×7は?', MODEL.thinker));
      const said = { 'text-delta': '', 'reasoning-delta': '' };
      for await (const part of stream.fullStream) {
        if (part.type === 'text-delta' || part.type === 'reasoning-delta')
          said[part.type] += part.text;
      }
      assert.deepEqual(said, {
        'text-delta': whole.text,
        'reasoning-delta': whole.reasoningText,
      });
    });
  });

  describe('calls tools', () => {
    /** The tools of a journey, and what they were called with. */
    function journey() {
      const done: unknown[] = [];
      const tools = {
        find_train: tool({
          description: 'Finds a train.',
          inputSchema: z.object({ to: z.string(), seats: z.number() }),
          execute: async (input) => {
            done.push(input);
            return { 列車: 'のぞみ12' };
          },
        }),
        book_seat: tool({
          description: 'Books a seat.',
          inputSchema: z.object({ train: z.string() }),
          execute: async (input) => {
            done.push(input);
            return { 状態: '予約済' };
          },
        }),
      };
      return { tools, done };
    }
    const STEPS = [{ to: '奈良', seats: 2 }, { train: 'のぞみ12' }];

    test('in two rounds, and answers', async () => {
      const { tools, done } = journey();
      const { text, steps } = await generateText({
        ...{ ...asking('旅行'), tools, stopWhen: stepCountIs(5) },
      });
      assert.equal(text, SAYS.booked.say);
      assert.deepEqual(done, STEPS);
      assert.deepEqual(
        steps.map((step) => step.finishReason),
        ['tool-calls', 'tool-calls', 'stop'],
      );
      assert.deepEqual(
        steps.flatMap((step) => step.toolCalls.map((call) => call.toolName)),
        ['find_train', 'book_seat'],
      );
    });

    test('in streams, whose parts follow one another', async () => {
      const { tools, done } = journey();
      const stream = streamText({ ...asking('旅行'), tools, stopWhen: stepCountIs(5) });
      const inputs = new Map<string, string>();
      const parts: string[] = [];
      for await (const part of stream.fullStream) {
        if (part.type === 'tool-input-start') inputs.set(part.id, '');
        if (part.type === 'tool-input-delta')
          inputs.set(part.id, (inputs.get(part.id) ?? '') + part.delta);
        if (/^tool-(input-start|input-end|call|result)$/.test(part.type)) parts.push(part.type);
      }
      assert.equal(await stream.text, SAYS.booked.say);
      assert.deepEqual(done, STEPS);
      assert.deepEqual(
        [...inputs.values()].map((input) => JSON.parse(input)),
        STEPS,
      );
      const round = ['tool-input-start', 'tool-input-end', 'tool-call', 'tool-result'];
      assert.deepEqual(parts, [...round, ...round]);
    });

    test('several at once', async () => {
      const get = (inputSchema: z.ZodType<object>) => tool({ inputSchema });
      const { toolCalls, finishReason } = await generateText({
        ...asking('両方'),
        tools: {
          get_weather: get(z.object({ city: z.string() })),
          get_time: get(z.object({ zone: z.number() })),
        },
      });
      assert.deepEqual(
        toolCalls.map(({ toolName, input }) => [toolName, input]),
        [
          ['get_weather', { city: '大阪' }],
          ['get_time', { zone: 9 }],
        ],
      );
      assert.equal(finishReason, 'tool-calls');
    });

    test('that it is forced to, by noise', async () => {
      const inputSchema = z.object({ color: z.enum(['赤', '青']), deep: z.boolean() });
      const tools = { paint: tool({ inputSchema }) };
      const choices = ['required', { type: 'tool', toolName: 'paint' }] as const;
      for (const toolChoice of choices) {
        const { toolCalls } = await generateText({
          ...{ ...asking('塗って', MODEL.noise), tools, toolChoice, maxOutputTokens: 300 },
          providerOptions: { hoshikage: { parallel_tool_calls: false } },
        });
        assert.equal(toolCalls.length, 1);
        assert.equal(toolCalls[0]?.toolName, 'paint');
        assert.ok(inputSchema.safeParse(toolCalls[0]?.input).success);
      }
    });
  });

  describe('gets an object', () => {
    test('that the model says', async () => {
      const { object, finishReason, usage } = await generateObject({
        ...{ ...asking('書式'), schema: cityFormat },
      });
      assert.deepEqual(object, CITY);
      assert.equal(finishReason, 'stop');
      assert.ok((usage.outputTokens ?? 0) > 10);
    });

    test('that noise is forced to say, whole and streamed alike', async () => {
      const asked = { ...asking('町', MODEL.noise), schema: cityFormat, maxOutputTokens: 400 };
      const { object } = await generateObject(asked);
      assert.ok(cityFormat.safeParse(object).success);
      const stream = streamObject(asked);
      let last: unknown;
      let count = 0;
      for await (const partial of stream.partialObjectStream) {
        last = partial;
        count += 1;
      }
      assert.deepEqual(await stream.object, object);
      assert.deepEqual(last, object);
      assert.ok(count > 1, `${count} partial objects`);
    });

    test('as the output of a text', async () => {
      const { output } = await generateText({
        ...{ ...asking('書式'), output: Output.object({ schema: cityFormat }) },
      });
      assert.deepEqual(output, CITY);
    });

    test('of a few words, or a list', async () => {
      const asked = { ...asking('天気は?', MODEL.noise), maxOutputTokens: 300 };
      const chosen = await generateObject({ ...asked, output: 'enum', enum: ['晴', '雨'] });
      assert.ok(['晴', '雨'].includes(chosen.object), chosen.object);
    });
  });

  describe('gets embeddings', () => {
    test('of one value and of many', async () => {
      const model = provider.embeddingModel(MODEL.encoder);
      const one = await embed({ model, value: 'star shadow', maxRetries: 0 });
      assert.equal(one.embedding.length, 64);
      assert.ok(Math.abs(Math.hypot(...one.embedding) - 1) < 1e-5);
      assert.ok(one.usage.tokens >= 4, `${one.usage.tokens} tokens`);
      const many = await embedMany({ model, values: ['light', 'star shadow'], maxRetries: 0 });
      assert.equal(many.embeddings.length, 2);
      const [, again = []] = many.embeddings;
      const dot = one.embedding.reduce((sum, value, index) => sum + value * (again[index] ?? 0), 0);
      assert.ok(dot > 0.99999, `${dot}`);
    });
  });

  describe('is told what was wrong', () => {
    for (const [what, asked, status] of [
      ['with a field', { temperature: 9 }, 400],
      ['with the model', { nobody: true }, 404],
    ] as const) {
      test(what, async () => {
        const name = 'nobody' in asked ? 'nobody' : MODEL.assistant;
        const wrong = generateText({ ...asking('こんにちは', name), ...asked });
        await assert.rejects(wrong, (error) => {
          assert.ok(APICallError.isInstance(error));
          assert.equal(error.statusCode, status);
          assert.equal(error.isRetryable, false);
          assert.match(error.message, / \/ /);
          return true;
        });
      });
    }

    test('and frees the slot when it gives up in mid-stream', async () => {
      const leaving = new AbortController();
      const stream = streamText({
        ...{ ...asking('話して', MODEL.rambler), abortSignal: leaving.signal },
      });
      let text = '';
      const seen: string[] = [];
      for await (const part of stream.fullStream) {
        seen.push(part.type);
        if (part.type === 'text-delta') text += part.text;
        if (text.length > 40) leaving.abort();
      }
      assert.equal(seen.at(-1), 'abort');
      await untilFree(server);
    });
  });
});
