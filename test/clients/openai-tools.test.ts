/** The `openai` library, unmodified, with tools: its choice and ours, streams, zod, the tool runner. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { zodFunction } from 'openai/helpers/zod';
import { z } from 'zod';
import { suiteOwner } from '../helpers/owner.js';
import { CITY, cityFormat, HELLO, MODEL, SAYS, serveModels } from './models.js';

type Tool = OpenAI.ChatCompletionFunctionTool;
type Call = OpenAI.ChatCompletionMessageFunctionToolCall;

const user = (content: string) => [{ role: 'user' as const, content }];

const tool = (name: string, properties: object): Tool => ({
  type: 'function',
  function: {
    name,
    description: `Calls ${name}.`,
    parameters: {
      ...{ type: 'object', properties },
      ...{ required: Object.keys(properties), additionalProperties: false },
    },
  },
});

const TOOLS = [
  tool('get_weather', { city: { type: 'string', description: 'Where' } }),
  tool('get_time', { zone: { type: 'integer' } }),
];

/** Tools with few enough arguments for noise to come to an end. */
const paint = z.object({
  color: z.enum(['赤', '青', '金']),
  layers: z.int().min(1).max(12),
  glossy: z.boolean(),
});
const BOUNDED = [
  tool('paint', {
    color: { enum: ['赤', '青', '金'] },
    layers: { type: 'integer', minimum: 1, maximum: 12 },
    glossy: { type: 'boolean' },
  }),
  tool('rest', { minutes: { type: 'integer', minimum: 0, maximum: 99 } }),
];
const rest = z.object({ minutes: z.int().min(0).max(99) });
const FORMS: Readonly<Record<string, z.ZodType>> = { paint, rest };

/** The calls of a message, all of them of functions. */
function callsOf({ choices }: OpenAI.ChatCompletion): readonly Call[] {
  const calls = choices[0]?.message.tool_calls ?? [];
  return calls.map((call) => {
    assert.equal(call.type, 'function');
    return call as Call;
  });
}

const plain = (calls: readonly { function: { name: string; arguments: string } }[]) =>
  calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);

const WEATHER = ['get_weather', { city: '東京' }];
const BOTH = [
  ['get_weather', { city: '大阪' }],
  ['get_time', { zone: 9 }],
];

describe('The openai library, with tools', () => {
  const owner = suiteOwner();
  let client: OpenAI;

  before(async () => {
    const { url } = await serveModels(owner, ['assistant', 'noise']);
    client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
  });

  const asking = (content: string) => ({
    ...{ model: MODEL.assistant, messages: user(content), temperature: 0, tools: TOOLS },
  });

  describe('that the model may call', () => {
    test('gets a call as a call, without content', async () => {
      const completion = await client.chat.completions.create(asking('天気'));
      const { message, finish_reason } = completion.choices[0] ?? {};
      assert.deepEqual(plain(callsOf(completion)), [WEATHER]);
      assert.ok(callsOf(completion)[0]?.id, 'an id');
      assert.equal(message?.content, null);
      assert.equal(message?.refusal, null);
      assert.equal(finish_reason, 'tool_calls');
    });

    test('gets several calls, each with an id of its own', async () => {
      const calls = callsOf(await client.chat.completions.create(asking('両方')));
      assert.deepEqual(plain(calls), BOTH);
      assert.notEqual(calls[0]?.id, calls[1]?.id);
    });

    test('gets one call where it wants no parallel ones', async () => {
      const asked = { ...asking('両方'), parallel_tool_calls: false };
      const completion = await client.chat.completions.create(asked);
      assert.deepEqual(plain(callsOf(completion)), BOTH.slice(0, 1));
    });

    test('gets text where the model calls nothing', async () => {
      const { choices } = await client.chat.completions.create(asking('こんにちは'));
      assert.equal(choices[0]?.message.content, HELLO);
      assert.equal(choices[0]?.message.tool_calls, undefined);
      assert.equal(choices[0]?.finish_reason, 'stop');
    });

    test('gets text where it forbids calls', async () => {
      const asked = { ...asking('天気'), tool_choice: 'none' as const };
      const { choices } = await client.chat.completions.create(asked);
      assert.equal(choices[0]?.message.content, SAYS.weather.say);
      assert.equal(choices[0]?.message.tool_calls, undefined);
      assert.equal(choices[0]?.finish_reason, 'stop');
    });

    test('gives the result back and gets the answer to it', async () => {
      const { choices } = await client.chat.completions.create({
        ...asking('天気'),
        messages: [
          ...user('天気'),
          {
            role: 'assistant',
            content: null,
            tool_calls: [
              {
                ...{ id: 'call_1', type: 'function' },
                function: { name: 'get_weather', arguments: '{"city":"東京"}' },
              },
            ],
          },
          { role: 'tool', tool_call_id: 'call_1', content: '気温 21' },
        ],
      });
      assert.equal(choices[0]?.message.content, SAYS.warm.say);
      assert.equal(choices[0]?.finish_reason, 'stop');
    });
  });

  describe('in a stream', () => {
    test('gets id and name first, then arguments in parts', async () => {
      const stream = await client.chat.completions.create({ ...asking('両方'), stream: true });
      const calls: { id: string; name: string; arguments: string }[] = [];
      const ends: string[] = [];
      let content = '';
      for await (const { choices } of stream) {
        const [choice] = choices;
        content += choice?.delta.content ?? '';
        for (const { index, id, type, function: part } of choice?.delta.tool_calls ?? []) {
          const known = calls[index];
          if (known) {
            assert.equal(id, undefined);
            assert.equal(part?.name, undefined);
            known.arguments += part?.arguments ?? '';
          } else {
            assert.equal(index, calls.length);
            assert.ok(id && part?.name, 'the first delta has id and name');
            assert.equal(type, 'function');
            calls.push({ id, name: part.name, arguments: part.arguments ?? '' });
          }
        }
        if (choice?.finish_reason) ends.push(choice.finish_reason);
      }
      assert.deepEqual(
        calls.map((call) => [call.name, JSON.parse(call.arguments)]),
        BOTH,
      );
      assert.equal(content.trim(), '');
      assert.notEqual(calls[0]?.id, calls[1]?.id);
      assert.deepEqual(ends, ['tool_calls']);
    });

    test('gets the same arguments as without', async () => {
      const whole = await client.chat.completions.create(asking('天気'));
      const stream = client.chat.completions.stream(asking('天気'));
      const final = await stream.finalChatCompletion();
      const bare = (completion: OpenAI.ChatCompletion) =>
        callsOf(completion).map((call) => call.function);
      assert.deepEqual(
        bare(final).map((one) => one.arguments),
        bare(whole).map((one) => one.arguments),
      );
      assert.equal(final.choices[0]?.finish_reason, 'tool_calls');
    });

    test('follows the arguments through the events of the helper', async () => {
      const stream = client.chat.completions.stream(asking('両方'));
      const joined: string[] = [];
      const done: unknown[] = [];
      stream.on('tool_calls.function.arguments.delta', (event) => {
        joined[event.index] = (joined[event.index] ?? '') + event.arguments_delta;
        assert.equal(joined[event.index], event.arguments);
      });
      stream.on('tool_calls.function.arguments.done', (event) => {
        done[event.index] = [event.name, JSON.parse(event.arguments)];
      });
      await stream.done();
      assert.deepEqual(done, BOTH);
      assert.deepEqual(
        joined.map((one) => JSON.parse(one)),
        BOTH.map(([, args]) => args),
      );
    });
  });

  describe('that must be called', () => {
    const forced = {
      ...{ messages: user('好きにして'), temperature: 0, tools: BOUNDED, max_tokens: 300 },
      parallel_tool_calls: false,
    };

    for (const model of [MODEL.noise, MODEL.assistant]) {
      test(`gets a call of one of them from ${model}`, async () => {
        const asked = { ...forced, model, tool_choice: 'required' as const };
        const completion = await client.chat.completions.create(asked);
        const [call, ...others] = callsOf(completion);
        assert.ok(call);
        assert.deepEqual(others, []);
        const form = FORMS[call.function.name];
        assert.ok(form, call.function.name);
        form.parse(JSON.parse(call.function.arguments));
        assert.equal(completion.choices[0]?.finish_reason, 'tool_calls');
        assert.equal(completion.choices[0]?.message.content, null);
      });

      for (const name of ['paint', 'rest'] as const) {
        test(`gets a call of ${name}, which it named, from ${model}, in a stream`, async () => {
          const stream = client.chat.completions.stream({
            ...{ ...forced, model },
            tool_choice: { type: 'function', function: { name } },
          });
          const calls = callsOf(await stream.finalChatCompletion());
          assert.deepEqual(
            calls.map((call) => call.function.name),
            [name],
          );
          FORMS[name]?.parse(JSON.parse(calls[0]?.function.arguments ?? ''));
        });
      }
    }

    test('learns by name that a tool it names is not there', async () => {
      const asked = client.chat.completions.create({
        ...{ ...forced, model: MODEL.noise },
        tool_choice: { type: 'function', function: { name: 'fly' } },
      });
      await assert.rejects(asked, (error) => {
        assert.ok(error instanceof OpenAI.BadRequestError);
        assert.match(error.param ?? '', /^tool_choice/);
        return true;
      });
    });
  });

  describe('described with zod', () => {
    test('gets parsed arguments from parse', async () => {
      const completion = await client.chat.completions.parse({
        ...asking('抽出'),
        tools: [zodFunction({ name: 'city_facts', parameters: cityFormat })],
      });
      const [call] = completion.choices[0]?.message.tool_calls ?? [];
      assert.equal(call?.function.name, 'city_facts');
      assert.deepEqual(call.function.parsed_arguments, CITY);
    });

    test('gets parsed arguments from noise, in a stream', async () => {
      const stream = client.chat.completions.stream({
        ...{ ...asking('塗って'), model: MODEL.noise, max_tokens: 300 },
        ...{ tools: [zodFunction({ name: 'paint', parameters: paint })] },
        ...{ tool_choice: 'required', parallel_tool_calls: false },
      });
      const completion = await stream.finalChatCompletion();
      const [call] = completion.choices[0]?.message.tool_calls ?? [];
      assert.equal(call?.function.name, 'paint');
      assert.ok(paint.safeParse(call.function.parsed_arguments).success);
    });
  });

  describe('that the runner calls', () => {
    /** The tools of a journey, and which of them were called with what. */
    function journey() {
      const done: unknown[] = [];
      const train = z.object({ to: z.string(), seats: z.number() });
      const seat = z.object({ train: z.string() });
      const tools = [
        zodFunction({
          ...{ name: 'find_train', description: 'Finds a train.', parameters: train },
          function: (args) => {
            done.push(args);
            return { 列車: 'のぞみ12', 発: '9:00' };
          },
        }),
        zodFunction({
          ...{ name: 'book_seat', description: 'Books a seat.', parameters: seat },
          function: (args) => {
            done.push(args);
            return '予約済';
          },
        }),
      ];
      return { tools, done };
    }

    const STEPS = [{ to: '奈良', seats: 2 }, { train: 'のぞみ12' }];
    const ROLES = ['user', 'assistant', 'tool', 'assistant', 'tool', 'assistant'];

    test('goes through two rounds of calls to the answer', async () => {
      const { tools, done } = journey();
      const runner = client.chat.completions.runTools({ ...asking('旅行'), tools });
      const called: string[] = [];
      runner.on('functionToolCall', ({ name }) => void called.push(name));
      assert.equal(await runner.finalContent(), SAYS.booked.say);
      assert.deepEqual(done, STEPS);
      assert.deepEqual(called, ['find_train', 'book_seat']);
      assert.deepEqual(
        runner.messages.map(({ role }) => role),
        ROLES,
      );
      const ends = runner.allChatCompletions().map(({ choices }) => choices[0]?.finish_reason);
      assert.deepEqual(ends, ['tool_calls', 'tool_calls', 'stop']);
      const { total_tokens, prompt_tokens, completion_tokens } = await runner.totalUsage();
      assert.equal(total_tokens, prompt_tokens + completion_tokens);
    });

    test('goes through them in streams alike', async () => {
      const { tools, done } = journey();
      const asked = { ...asking('旅行'), tools, stream: true as const };
      const runner = client.chat.completions.runTools(asked);
      let content = '';
      runner.on('content', (delta) => {
        content += delta;
      });
      assert.equal(await runner.finalContent(), SAYS.booked.say);
      assert.ok(content.endsWith(SAYS.booked.say), content);
      assert.deepEqual(done, STEPS);
      assert.deepEqual(
        runner.messages.map(({ role }) => role),
        ROLES,
      );
    });
  });
});
