/**
 * What an answer is made of on the wire: reasoning, calls, forms, several choices, counts. Scripted
 * models say exactly what is read here; the same is read whole and streamed.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { randomModel, scriptedModel } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { makeHome, startServer, type TestServer } from '../helpers/server.js';
import { ask, eventsOf, getJson } from '../helpers/wire.js';

/** Calls as Hermes writes them, results as a user's turn, and thoughts. */
const TEMPLATE = [
  '{{ bos_token }}{% for t in tools or [] %}{{ t | tojson }}\n{% endfor %}{% if tools %}<tool_call></tool_call>{% endif %}',
  "{% for m in messages %}<|im_start|>{{ 'user' if m.role == 'tool' else m.role }}\n{{ m.content }}",
  '{% for c in m.tool_calls or [] %}<tool_call>\n{{ c.function | tojson }}\n</tool_call>{% endfor %}<|im_end|>\n{% endfor %}',
  '<|im_start|>assistant\n{% if false %}<think></think>{% endif %}',
].join('');

const CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "東京"}}\n</tool_call>';
const ANSWERS = [
  { say: 'ふつうの返事です。' },
  { when: '天気', say: CALL },
  { when: '考えて', say: '<think>\n空を見る。\n</think>\n\n晴れです。' },
  { when: '両方', say: `<think>調べよう。</think>${CALL}` },
];
const tools = [
  {
    type: 'function',
    function: {
      name: 'weather',
      parameters: {
        type: 'object',
        properties: { city: { type: 'string' } },
        required: ['city'],
      },
    },
  },
];

interface Message {
  readonly content: string | null;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly {
    readonly id: string;
    readonly type: string;
    readonly function: { readonly name: string; readonly arguments: string };
  }[];
}

interface Whole {
  readonly choices: readonly {
    readonly index: number;
    readonly message: Message;
    readonly finish_reason: string;
  }[];
  readonly usage: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly completion_tokens_details: { readonly reasoning_tokens: number };
  };
}

describe('An answer', () => {
  const owner = suiteOwner();
  let server: TestServer;

  before(async () => {
    const home = makeHome(owner);
    home.writeMap({
      thinker: await scriptedModel({ name: 'thinker', template: TEMPLATE, answers: ANSWERS }),
      noise: await randomModel({ template: TEMPLATE }),
    });
    server = await startServer(owner, { home, env: { N_CTX: '1024' } });
  });

  const bodyOf = (user: string, more: object = {}) => ({
    ...{ model: 'thinker', temperature: 0, messages: [{ role: 'user', content: user }] },
    ...more,
  });
  async function whole(body: object): Promise<Whole> {
    const sent = await getJson(`${server.url}/v1/chat/completions`, { json: body });
    assert.equal(sent.status, 200, JSON.stringify(sent.body));
    return sent.body as Whole; // each test says what must be in it
  }

  /** The messages of a stream, its deltas put together by their choices and calls. */
  async function streamed(body: object) {
    const url = `${server.url}/v1/chat/completions`;
    const reply = await ask(url, { json: { ...body, stream: true } });
    const choices: { content: string; reasoning: string; calls: string[][]; finish: string }[] = [];
    const order: string[] = [];
    for await (const data of eventsOf(reply)) {
      if (data === '[DONE]') continue;
      for (const { index, delta, finish_reason: finish } of JSON.parse(data).choices) {
        choices[index] ??= { content: '', reasoning: '', calls: [], finish: '' };
        const choice = choices[index];
        assert.ok(choice);
        choice.content += delta.content ?? '';
        choice.reasoning += delta.reasoning_content ?? '';
        choice.finish ||= finish ?? '';
        for (const call of delta.tool_calls ?? []) {
          choice.calls[call.index] ??= [call.id, call.function.name, ''];
          const [id, name, text = ''] = choice.calls[call.index] ?? [];
          choice.calls[call.index] = [id ?? '', name ?? '', text + call.function.arguments];
        }
        order.push(...Object.keys(delta).filter((key) => key !== 'role' && key !== 'refusal'));
      }
    }
    return { choices, order };
  }

  test('has its reasoning apart, whole and streamed alike', async () => {
    const { choices, usage } = await whole(bodyOf('考えて'));
    assert.deepEqual(choices[0]?.message, {
      ...{ role: 'assistant', content: '晴れです。', refusal: null },
      reasoning_content: '空を見る。',
    });
    const thought = usage.completion_tokens_details.reasoning_tokens;
    assert.ok(thought > 0 && thought < usage.completion_tokens);
    const stream = await streamed(bodyOf('考えて'));
    assert.equal(stream.choices[0]?.reasoning, '空を見る。');
    assert.equal(stream.choices[0]?.content, '晴れです。');
  });

  test('that calls a tool has the call and no content', async () => {
    const { choices } = await whole(bodyOf('天気', { tools }));
    const [choice] = choices;
    assert.equal(choice?.finish_reason, 'tool_calls');
    assert.equal(choice.message.content, null);
    const [call] = choice.message.tool_calls ?? [];
    assert.match(call?.id ?? '', /^call_[A-Za-z0-9]{24}$/);
    assert.equal(call?.function.name, 'weather');
    assert.deepEqual(JSON.parse(call.function.arguments), { city: '東京' });
    const stream = await streamed(bodyOf('天気', { tools }));
    const [[id = '', name, text] = []] = stream.choices[0]?.calls ?? [];
    assert.match(id, /^call_/);
    assert.deepEqual([name, text], ['weather', call.function.arguments]);
    assert.equal(stream.choices[0]?.finish, 'tool_calls');
  });

  test('may think first and call then', async () => {
    const [choice] = (await whole(bodyOf('両方', { tools }))).choices;
    assert.equal(choice?.message.reasoning_content, '調べよう。');
    assert.equal(choice.message.tool_calls?.length, 1);
    const { order } = await streamed(bodyOf('両方', { tools }));
    const kinds = order.filter((kind, at) => kind !== order[at - 1]);
    assert.deepEqual(kinds, ['content', 'reasoning_content', 'tool_calls']);
  });

  test('to a result continues the conversation', async () => {
    const [choice] = (await whole(bodyOf('天気', { tools }))).choices;
    const [call] = choice?.message.tool_calls ?? [];
    const messages = [
      { role: 'user', content: '天気' },
      { ...choice?.message },
      { role: 'tool', tool_call_id: call?.id, content: '考えて' },
    ];
    const next = await whole({ model: 'thinker', temperature: 0, messages, tools });
    assert.equal(next.choices[0]?.message.content, '晴れです。');
  });

  test('that is no call is text, whatever it looks like', async () => {
    const [choice] = (await whole(bodyOf('天気'))).choices;
    assert.equal(choice?.message.content, CALL, 'no tools were offered');
    const refused = await whole(bodyOf('天気', { tools, tool_choice: 'none' }));
    assert.equal(refused.choices[0]?.message.content, CALL);
    assert.equal(refused.choices[0]?.finish_reason, 'stop');
  });

  test('that is cut inside a call keeps what was written of it as text', async () => {
    const [choice] = (await whole(bodyOf('天気', { tools, max_tokens: 6 }))).choices;
    assert.equal(choice?.finish_reason, 'length');
    assert.equal(choice.message.tool_calls, undefined);
    assert.ok(CALL.startsWith(choice.message.content ?? '?'), choice.message.content ?? '');
  });

  test('that is bound to a form is bound behind its reasoning only', async () => {
    const schema = { type: 'object', properties: { n: { enum: [1, 2] } }, required: ['n'] };
    const format = { type: 'json_schema', json_schema: { name: 'n', schema } };
    const bound = bodyOf('考えて', { response_format: format });
    const [choice] = (await whole(bound)).choices;
    assert.equal(choice?.message.reasoning_content, '空を見る。');
    assert.ok([1, 2].includes(JSON.parse(choice.message.content ?? '').n));
  });

  test('ends at a stop string in its content, not in its thoughts or its calls', async () => {
    const thought = await whole(bodyOf('考えて', { stop: ['\n', '空'] }));
    assert.equal(thought.choices[0]?.message.reasoning_content, '空を見る。');
    assert.equal(thought.choices[0]?.message.content, '晴れです。');
    const cut = await whole(bodyOf('考えて', { stop: ['れで'] }));
    assert.equal(cut.choices[0]?.message.content, '晴');
    assert.equal(cut.choices[0]?.finish_reason, 'stop');
    const stream = await streamed(bodyOf('考えて', { stop: ['れで'] }));
    assert.deepEqual([stream.choices[0]?.content, stream.choices[0]?.finish], ['晴', 'stop']);
    const called = await whole(bodyOf('天気', { tools, stop: ['東京'] }));
    assert.equal(called.choices[0]?.finish_reason, 'tool_calls');
  });

  test('that may think only so long says no more than it may', async () => {
    for (let limit = 4; limit < 14; limit++) {
      const body = bodyOf('考えて', { reasoning_budget: 3, max_tokens: limit });
      const { usage } = await whole(body);
      assert.ok(usage.completion_tokens <= limit, `${usage.completion_tokens} of ${limit}`);
    }
  });

  test('may be one of several, each with its own end', async () => {
    const body = { ...bodyOf('x'), model: 'noise', temperature: 1, seed: 3, n: 3, max_tokens: 12 };
    const { choices, usage } = await whole(body);
    assert.deepEqual(
      choices.map(({ index }) => index),
      [0, 1, 2],
    );
    assert.equal(new Set(choices.map(({ message }) => message.content)).size, 3);
    assert.equal(usage.completion_tokens, 36);
    const stream = await streamed(body);
    assert.deepEqual(
      stream.choices.map(({ content, finish }) => [content, finish]),
      choices.map(({ message, finish_reason: finish }) => [message.content, finish]),
    );
  });

  test('has log-probabilities of its content, and of nothing else', async () => {
    const body = bodyOf('考えて', { logprobs: true, top_logprobs: 2 });
    const sent = await getJson(`${server.url}/v1/chat/completions`, { json: body });
    // The shape of OpenAI's log-probabilities.
    const { choices } = sent.body as {
      choices: {
        logprobs: {
          content: { token: string; logprob: number; bytes: number[]; top_logprobs: object[] }[];
        };
      }[];
    };
    const rows = choices[0]?.logprobs.content ?? [];
    const said = Buffer.from(rows.flatMap(({ bytes }) => bytes)).toString('utf8');
    assert.equal(said.trim(), '晴れです。');
    for (const { logprob, top_logprobs: top } of rows) {
      assert.ok(logprob <= 0 && logprob > -0.1, 'a scripted model is sure');
      assert.equal(top.length, 2);
    }
  });

  test('begins with as many tokens as were counted before', async () => {
    const history = [
      { role: 'system', content: '短く。' },
      { role: 'user', content: '<|im_end|> は字です' },
      {
        role: 'assistant',
        content: null,
        tool_calls: [
          {
            id: 'a',
            type: 'function',
            function: { name: 'weather', arguments: '{"city":"大阪"}' },
          },
        ],
      },
      { role: 'tool', tool_call_id: 'a', content: '雨' },
      { role: 'user', content: 'ありがとう' },
    ];
    for (const body of [
      bodyOf('こんにちは'),
      bodyOf('天気', { tools }),
      bodyOf('', { messages: history, tools }),
    ]) {
      const counted = await getJson(`${server.url}/v1/chat/completions/input_tokens`, {
        json: body,
      });
      const { usage } = await whole({ ...body, max_tokens: 1 });
      assert.deepEqual(counted.body, {
        object: 'chat.completion.input_tokens',
        input_tokens: usage.prompt_tokens,
        context_length: 1024,
      });
    }
  });

  test('ends by `length` where the context does', async () => {
    const body = { ...bodyOf('x'), model: 'noise', temperature: 1, ignore_eos: true };
    const { choices, usage } = await whole(body);
    assert.equal(choices[0]?.finish_reason, 'length');
    assert.ok(usage.prompt_tokens + usage.completion_tokens >= 1024);
  });
});
