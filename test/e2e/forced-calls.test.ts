/**
 * Calls that must be made, on templates of many families and with random weights: only the grammar can
 * make such a model call anything, and only the family's own reader can read it.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { randomModel } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { makeHome, startServer, type TestServer } from '../helpers/server.js';
import { chunksOf, getJson, openStream } from '../helpers/wire.js';

const TURNS =
  '{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}';
const ASK = '<|im_start|>assistant\n';
const TOOLS = '{% for t in tools or [] %}{{ t | tojson }}\n{% endfor %}';

/** A template of our own that holds a family's marks. */
const marked = (marks: string) => `${TOOLS}{% if tools %}${marks}{% endif %}${TURNS}${ASK}`;

const TEMPLATES: Readonly<Record<string, string>> = {
  'without tools': `${TURNS}${ASK}`,
  hermes: marked('<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'),
  'qwen coder': marked(
    '<tool_call>\n<function=f>\n<parameter=p>\n1\n</parameter>\n</function>\n</tool_call>',
  ),
  glm: marked('<tool_call>f\n<arg_key>k</arg_key>\n<arg_value>v</arg_value>\n</tool_call>'),
  llama: marked('<|python_tag|>{"name": "f", "parameters": {}}'),
  mistral: marked('[AVAILABLE_TOOLS][TOOL_CALLS][{"name": "f", "arguments": {}}]'),
  lfm2: marked('<|tool_call_start|>[f(a=1)]<|tool_call_end|>'),
  deepseek: marked(
    '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
  ),
  kimi: marked(
    '<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>',
  ),
  harmony: `${TOOLS}${TURNS}<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|><|start|>assistant`,
};

const tools = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      description: 'The weather of a city.',
      strict: true,
      parameters: {
        type: 'object',
        properties: {
          city: { type: 'string', maxLength: 8 },
          days: { type: 'integer', minimum: 1, maximum: 9 },
          unit: { enum: ['C', 'F'] },
        },
        required: ['city', 'days'],
        additionalProperties: false,
      },
    },
  },
  {
    type: 'function',
    function: {
      name: 'set_light',
      parameters: {
        type: 'object',
        properties: { on: { type: 'boolean' } },
        required: ['on'],
        additionalProperties: false,
      },
    },
  },
];

interface Call {
  readonly id: string;
  readonly type: string;
  readonly function: { readonly name: string; readonly arguments: string };
}

function check({ function: { name, arguments: text } }: Call, what: string): void {
  const given = JSON.parse(text);
  if (name === 'set_light') {
    assert.deepEqual(Object.keys(given), ['on'], what);
    assert.equal(typeof given.on, 'boolean', what);
    return;
  }
  assert.equal(name, 'get_weather', what);
  assert.equal(typeof given.city, 'string', what);
  assert.ok([...given.city].length <= 8, what);
  assert.ok(Number.isInteger(given.days) && given.days >= 1 && given.days <= 9, what);
  if (given.unit !== undefined) assert.ok(['C', 'F'].includes(given.unit), what);
}

describe('A call that must be made, by random weights,', () => {
  const owner = suiteOwner();
  let server: TestServer;

  before(async () => {
    const home = makeHome(owner);
    const models = await Promise.all(
      Object.entries(TEMPLATES).map(async ([name, template]) => [
        name,
        await randomModel({ ...{ embedding: 64, layers: 2, heads: 2, kvHeads: 2 }, template }),
      ]),
    );
    home.writeMap(Object.fromEntries(models));
    server = await startServer(owner, { home, env: { N_CTX: '2048' } });
  });

  const body = (model: string, seed: number, more: object) => ({
    // What a cache holds was computed in other batches: a last bit may tip the draw of a random letter.
    ...{
      model,
      tools,
      seed,
      cache_prompt: false,
      max_tokens: 600,
      temperature: 1,
      top_p: 1,
      top_k: 0,
    },
    messages: [{ role: 'user', content: 'x' }],
    ...more,
  });

  for (const model of Object.keys(TEMPLATES)) {
    test(`is a valid one on the template ${model}, whole and streamed`, async () => {
      for (let seed = 0; seed < 4; seed++) {
        const required = body(model, seed, {
          ...{ tool_choice: 'required', parallel_tool_calls: false },
        });
        const sent = await getJson(`${server.url}/v1/chat/completions`, { json: required });
        const what = `${model}, seed ${seed}: ${JSON.stringify(sent.body)}`;
        assert.equal(sent.status, 200, what);
        // The shape of a chat answer; what it lacks fails below.
        const [choice] = (
          sent.body as {
            choices: { finish_reason: string; message: { content: unknown; tool_calls: Call[] } }[];
          }
        ).choices;
        assert.equal(choice?.finish_reason, 'tool_calls', what);
        assert.equal(choice.message.content, null, what);
        assert.ok(choice.message.tool_calls.length > 0, what);
        for (const call of choice.message.tool_calls) check(call, what);

        const streamed: { name: string; text: string }[] = [];
        let finish: string | null = null;
        for await (const chunk of chunksOf(await openStream(server, required))) {
          const [part] = chunk.choices ?? [];
          finish = part?.finish_reason ?? finish;
          // A delta of calls, which the helper's type does not tell of.
          const delta = part?.delta as
            | {
                tool_calls?: {
                  index: number;
                  id?: string;
                  function: { name?: string; arguments: string };
                }[];
              }
            | undefined;
          for (const one of delta?.tool_calls ?? []) {
            if (one.id !== undefined)
              streamed[one.index] = { name: one.function.name ?? '', text: '' };
            const call = streamed[one.index];
            assert.ok(call, 'the first delta of a call has its id and name');
            call.text += one.function.arguments;
          }
        }
        assert.equal(finish, 'tool_calls');
        const whole = choice.message.tool_calls.map(({ function: f }) => ({
          name: f.name,
          text: f.arguments,
        }));
        assert.deepEqual(streamed, whole, what);
      }
    });

    test(`is the one that is named on the template ${model}`, async () => {
      const named = { tool_choice: { type: 'function', function: { name: 'set_light' } } };
      for (let seed = 0; seed < 4; seed++) {
        const json = body(model, seed, { ...named, parallel_tool_calls: false });
        const sent = await getJson(`${server.url}/v1/chat/completions`, { json });
        const what = `${model}, seed ${seed}: ${JSON.stringify(sent.body)}`;
        const [choice] = (sent.body as { choices: { message: { tool_calls: Call[] } }[] }).choices;
        const calls = choice?.message.tool_calls ?? [];
        assert.deepEqual(
          calls.map((call) => call.function.name),
          ['set_light'],
          what,
        );
        for (const call of calls) check(call, what);
      }
    });
  }
});
