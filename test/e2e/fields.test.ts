/**
 * The promise behind docs/API.md's table of fields: every honoured field of a chat request has a case
 * here that fails when the field is ignored. One slot, a fixed seed and no reuse of prompts: whatever
 * differs between two answers was changed by the field.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { CHAT_FIELDS } from '../../src/http/schema/fields.js';
import { randomModel, TEXT, talker } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { makeHome, startServer, type TestServer } from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { type Ask, ask, chatBody, eventsOf, getJson, textOf } from '../helpers/wire.js';

/** Shows what it is given, and knows calls as Hermes writes them. */
const TEMPLATE = [
  '{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}',
  '{% if tools %}{% for t in tools %}{{ t.function.name }} {% endfor %}<tool_call></tool_call>{% endif %}',
  '{{ reasoning_effort }}{{ extra }}<|im_start|>assistant\n',
].join('');
/** Begins every answer with a thought. */
const THINKING = `${TEMPLATE}{% if false %}</think>{% endif %}<think>\n`;

const CITY = {
  type: 'object',
  properties: { city: { enum: ['東京', '大阪'] } },
  required: ['city'],
};
const tool = (name: string) => ({ type: 'function', function: { name, parameters: CITY } });

/** An answer, as far as these cases look at it. */
interface Reply {
  readonly choices: readonly {
    readonly message: {
      readonly content: string | null;
      readonly reasoning_content?: string;
      readonly tool_calls?: readonly { readonly function: { readonly name: string } }[];
    };
    readonly logprobs: {
      readonly content: readonly { readonly top_logprobs: readonly unknown[] }[];
    } | null;
    readonly finish_reason: string;
  }[];
  readonly usage: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number };
    readonly completion_tokens_details: { readonly reasoning_tokens: number };
  };
}

/** What every answer of the random model is drawn with, unless a case says otherwise. */
const PLAIN = {
  ...{ temperature: 1, top_p: 1, top_k: 0, repeat_penalty: 1, seed: 7 },
  ...{ max_tokens: 32, cache_prompt: false },
};
/** Three letters only: what was said before comes again all the time. */
const LETTERS = { logit_bias: { 97: 100, 98: 100, 99: 100 } };
const MORE_LETTERS = {
  logit_bias: Object.fromEntries(Array.from({ length: 16 }, (_, letter) => [97 + letter, 100])),
};
const DRY = { ...LETTERS, dry_multiplier: 2, dry_allowed_length: 1, dry_penalty_last_n: -1 };
const MIROSTAT = { mirostat: 2 };

/** Pairs of requests whose answers differ by nothing but the field. */
const PAIRS: Readonly<Record<string, readonly [object, object]>> = {
  temperature: [{}, { temperature: 0 }],
  top_p: [{}, { top_p: 0.05 }],
  top_k: [{}, { top_k: 1 }],
  min_p: [{}, { min_p: 0.9 }],
  typical_p: [{}, { typical_p: 0.1 }],
  top_n_sigma: [{}, { top_n_sigma: 0.5 }],
  xtc_probability: [{ xtc_threshold: 0.001 }, { xtc_threshold: 0.001, xtc_probability: 1 }],
  xtc_threshold: [
    { xtc_probability: 1, xtc_threshold: 0.5 },
    { xtc_probability: 1, xtc_threshold: 0.001 },
  ],
  mirostat: [{}, MIROSTAT],
  mirostat_tau: [MIROSTAT, { ...MIROSTAT, mirostat_tau: 0.1 }],
  mirostat_eta: [MIROSTAT, { ...MIROSTAT, mirostat_eta: 1 }],
  dynatemp_range: [{}, { dynatemp_range: 1 }],
  dynatemp_exponent: [{ dynatemp_range: 1 }, { dynatemp_range: 1, dynatemp_exponent: 6 }],
  samplers: [{ top_k: 1 }, { top_k: 1, samplers: ['temperature'] }],
  seed: [{}, { seed: 8 }],
  presence_penalty: [MORE_LETTERS, { ...MORE_LETTERS, presence_penalty: 2 }],
  frequency_penalty: [LETTERS, { ...LETTERS, frequency_penalty: 2 }],
  repeat_penalty: [MORE_LETTERS, { ...MORE_LETTERS, repeat_penalty: 1.05 }],
  repeat_last_n: [
    { ...MORE_LETTERS, repeat_penalty: 1.05, repeat_last_n: 0 },
    { ...MORE_LETTERS, repeat_penalty: 1.05, repeat_last_n: 1 },
  ],
  dry_multiplier: [{ ...DRY, dry_multiplier: 0 }, DRY],
  dry_base: [DRY, { ...DRY, dry_base: 8 }],
  dry_allowed_length: [DRY, { ...DRY, dry_allowed_length: 9 }],
  dry_penalty_last_n: [DRY, { ...DRY, dry_penalty_last_n: 0 }],
  dry_sequence_breakers: [DRY, { ...DRY, dry_sequence_breakers: ['a', 'b', 'c'] }],
  logit_bias: [{}, { logit_bias: { 97: 100 } }],
};

describe('Every honoured field of a chat request has an effect:', () => {
  const owner = suiteOwner();
  let server: TestServer;

  before(async () => {
    const home = makeHome(owner);
    home.writeMap({
      noise: await randomModel({ template: TEMPLATE }),
      thinker: await randomModel({ template: THINKING }),
      talker: await talker(),
    });
    server = await startServer(owner, { home, env: { N_CTX: '512' } });
  });

  const send = (body: object, what: Ask = {}) =>
    ask(`${server.url}/v1/chat/completions`, { ...what, json: body });
  async function reply(body: object): Promise<Reply> {
    const sent = await send(body);
    const text = await textOf(sent);
    assert.equal(sent.status, 200, text);
    return JSON.parse(text);
  }
  const noise = (more: object = {}) => reply(chatBody('noise', 'abcabc', { ...PLAIN, ...more }));
  const say = async (user: string, more: object = {}) =>
    reply(chatBody('talker', user, { temperature: 0, ...more }));
  const content = ({ choices }: Reply) => choices[0]?.message.content;
  const promptTokens = async (more: object) =>
    (await noise({ max_tokens: 1, ...more })).usage.prompt_tokens;

  const CASES: Readonly<Record<string, () => Promise<void>>> = {
    async model() {
      assert.notEqual(content(await say('こんにちは')), content(await noise()));
    },
    async messages() {
      assert.notEqual(content(await say('こんにちは')), content(await say('設定')));
    },
    async stream() {
      const { headers, bytes } = await send(chatBody('talker', 'こんにちは', { stream: true }));
      assert.match(String(headers['content-type']), /^text\/event-stream/);
      for await (const _ of bytes);
    },
    async stream_options() {
      const options = { stream: true, stream_options: { include_usage: true } };
      const events: string[] = [];
      for await (const data of eventsOf(await send(chatBody('talker', 'こんにちは', options)))) {
        events.push(data);
      }
      const last = JSON.parse(events.at(-2) ?? '');
      assert.deepEqual(last.choices, []);
      assert.ok(last.usage.completion_tokens > 0);
    },
    async max_tokens() {
      assert.equal((await noise({ max_tokens: 3 })).usage.completion_tokens, 3);
    },
    async max_completion_tokens() {
      const { usage } = await noise({ max_tokens: null, max_completion_tokens: 4 });
      assert.equal(usage.completion_tokens, 4);
    },
    async n() {
      const { choices, usage } = await noise({ n: 3, max_tokens: 8 });
      assert.equal(new Set(choices.map(({ message }) => message.content)).size, 3);
      assert.equal(usage.completion_tokens, 24);
      assert.equal(usage.prompt_tokens, (await noise()).usage.prompt_tokens);
    },
    async logprobs() {
      const { choices } = await noise({ logprobs: true, max_tokens: 5 });
      assert.equal(choices[0]?.logprobs?.content.length, 5);
      assert.equal((await noise()).choices[0]?.logprobs, null);
    },
    async top_logprobs() {
      const { choices } = await noise({ logprobs: true, top_logprobs: 4, max_tokens: 2 });
      assert.deepEqual(
        choices[0]?.logprobs?.content.map(({ top_logprobs: top }) => top.length),
        [4, 4],
      );
    },
    async response_format() {
      const schema = { type: 'object', properties: { n: { enum: [1, 2] } }, required: ['n'] };
      const format = { type: 'json_schema', json_schema: { name: 'x', schema } };
      const said = JSON.parse(content(await noise({ response_format: format })) ?? '');
      assert.ok([1, 2].includes(said.n));
    },
    async grammar() {
      const said = content(await noise({ grammar: 'root ::= ("ほし" | "かげ"){2}' }));
      assert.match(said ?? '', /^(ほし|かげ){2}$/);
    },
    async tools() {
      assert.ok((await promptTokens({ tools: [tool('look')] })) > (await promptTokens({})));
    },
    async tool_choice() {
      const tools = [tool('look'), tool('listen')];
      const named = { type: 'function', function: { name: 'listen' } };
      const { choices } = await noise({
        ...{ tools, tool_choice: named, parallel_tool_calls: false, max_tokens: 200 },
      });
      assert.equal(choices[0]?.finish_reason, 'tool_calls');
      assert.equal(choices[0]?.message.tool_calls?.[0]?.function.name, 'listen');
    },
    async parallel_tool_calls() {
      const counts = async (parallel: boolean): Promise<number[]> => {
        const all: number[] = [];
        for (let seed = 0; seed < 6; seed++) {
          const { choices } = await noise({
            ...{ tools: [tool('look')], tool_choice: 'required', parallel_tool_calls: parallel },
            ...{ seed, max_tokens: 200 },
          });
          all.push(choices[0]?.message.tool_calls?.length ?? 0);
        }
        return all;
      };
      assert.deepEqual(await counts(false), [1, 1, 1, 1, 1, 1]);
      assert.ok(Math.max(...(await counts(true))) > 1);
    },
    async reasoning_effort() {
      const low = await promptTokens({ reasoning_effort: 'low' });
      assert.ok(low > (await promptTokens({})));
    },
    async reasoning_budget() {
      const thinking = { model: 'thinker', max_tokens: 60 };
      const free = await noise(thinking);
      assert.equal(free.choices[0]?.message.content, '');
      const bound = await noise({ ...thinking, reasoning_budget: 5 });
      assert.equal(bound.usage.completion_tokens_details.reasoning_tokens, 5);
      assert.notEqual(bound.choices[0]?.message.content, '');
    },
    async chat_template_kwargs() {
      const more = await promptTokens({ chat_template_kwargs: { extra: 'many words more' } });
      assert.ok(more > (await promptTokens({})));
    },
    async truncation() {
      const old = { role: 'user', content: 'もう古い話です。'.repeat(80) };
      const messages = [
        old,
        { role: 'assistant', content: 'はい' },
        { role: 'user', content: 'ab' },
      ];
      const body = { model: 'noise', messages, ...PLAIN };
      const refused = await getJson(`${server.url}/v1/chat/completions`, { json: body });
      assert.equal(refused.status, 400);
      const sent = await send({ ...body, truncation: 'auto' });
      assert.equal(sent.status, 200);
      assert.ok(Number(sent.headers['x-hoshikage-truncated']) > 300);
      await textOf(sent);
    },
    async keep_alive() {
      await noise({ keep_alive: 0 });
      await until('the model to go', async () => ((await server.status()).model ? null : true));
    },
    async stop() {
      const [before = ''] = TEXT.greeting.split('、');
      assert.equal(content(await say('こんにちは', { stop: '、' })), before);
    },
    async ignore_eos() {
      const limit = { max_tokens: 400 };
      assert.equal((await say('こんにちは', limit)).choices[0]?.finish_reason, 'stop');
      const ignoring = await say('こんにちは', { ...limit, ignore_eos: true });
      assert.equal(ignoring.choices[0]?.finish_reason, 'length');
    },
    async cache_prompt() {
      const cached = async (more: object) => {
        const { usage } = await noise(more);
        return usage.prompt_tokens_details.cached_tokens;
      };
      await noise({ cache_prompt: true });
      assert.ok((await cached({ cache_prompt: true })) > 0);
      assert.equal(await cached({ cache_prompt: false }), 0);
    },
  };

  for (const [field, prove] of Object.entries(CASES)) test(field, prove);

  for (const [field, [base, changed]] of Object.entries(PAIRS)) {
    test(field, async () => {
      const first = content(await noise(base));
      assert.equal(content(await noise(base)), first, 'without it, the answer stays the same');
      assert.notEqual(content(await noise(changed)), first, 'with it, the answer is another one');
    });
  }

  test('and no honoured field is without a case', () => {
    const honoured = Object.keys(CHAT_FIELDS).filter((name) => CHAT_FIELDS[name] === 'honoured');
    assert.deepEqual([...Object.keys(CASES), ...Object.keys(PAIRS)].sort(), honoured.sort());
  });
});
