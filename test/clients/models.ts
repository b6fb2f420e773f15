/**
 * The models that client libraries talk to, and the server that offers them. What a scripted model
 * says is exact under greedy decoding: the last keyword in the last user turn chooses it, and results
 * of tools stand in a user turn, as in Hermes' format. The noise model says what a grammar makes of it.
 */
import { z } from 'zod';
import { writeEncoder } from '../helpers/encoder-model.js';
import { madeModel, rambler, randomModel, scriptedModel } from '../helpers/models.js';
import {
  type Home,
  makeHome,
  type Owner,
  startServer,
  type TestServer,
} from '../helpers/server.js';

/** Names of the models. */
export const MODEL = {
  assistant: 'assistant',
  /** Thinks before it answers. */
  thinker: 'thinker',
  /** Random weights and plain ChatML, which knows no tools. */
  noise: 'noise',
  /** Talks for ever; '短く' makes it short. */
  rambler: 'rambler',
  encoder: 'encoder',
  /** The encoder again, by a name that must be escaped in a path. */
  oddlyNamed: '日本語/埋め込み 1号',
} as const;

/** The tokens of the assistant's answer to anything it has no keyword for; each is one token. */
export const HELLO_TOKENS = ['星影', 'です。', 'ご用件', 'をどうぞ。'] as const;
export const HELLO = HELLO_TOKENS.join('');
/** The answer's tokens and the one that ends it. */
export const HELLO_COUNT = HELLO_TOKENS.length + 1;

/** What the assistant says as the JSON of CITY. */
export const CITY = { city: '京都', people: 145, tags: ['古都', 'お寺'], open: true } as const;

const word = z.string().regex(/^[一-龠ぁ-ん]{1,6}$/);

/** The form of CITY; bounded, so that noise comes to its end too. */
export const cityFormat = z.object({
  city: word,
  people: z.int().min(0).max(999),
  tags: z.array(word).min(1).max(3),
  open: z.boolean(),
});

/** JSON with spaces as models write it; good for the values below. */
const spaced = (value: object): string =>
  JSON.stringify(value).replaceAll('":', '": ').replaceAll(',"', ', "');

const call = (name: string, args: object): string =>
  `<tool_call>\n{"name": "${name}", "arguments": ${spaced(args)}}\n</tool_call>`;

/** Keywords in a user's turn or in a tool's result, and what the assistant says to them. */
export const SAYS = {
  weather: { when: '天気', say: call('get_weather', { city: '東京' }) },
  both: {
    when: '両方',
    say: [call('get_weather', { city: '大阪' }), call('get_time', { zone: 9 })].join('\n'),
  },
  warm: { when: '気温', say: '外は暖かく、21度あります。' },
  trip: { when: '旅行', say: call('find_train', { to: '奈良', seats: 2 }) },
  found: { when: '列車', say: call('book_seat', { train: 'のぞみ12' }) },
  booked: { when: '予約済', say: '席を取りました。良い旅を!' },
  facts: { when: '書式', say: spaced(CITY) },
  extract: { when: '抽出', say: call('city_facts', CITY) },
} as const;

/** What the thinker thinks and then says. */
export const THOUGHT = { reasoning: '六に七を掛ける。', answer: '答えは42。' } as const;

/** Hermes' way of telling a model of tools, calls and results, in our own words. */
const TOOL_TEMPLATE = [
  '{{ bos_token }}',
  '{% if tools %}',
  "{{ '<|im_start|>system\\n' }}",
  "{% if messages[0].role == 'system' %}{{ messages[0].content + '\\n\\n' }}{% endif %}",
  "{{ 'Functions within <tools></tools>:\\n<tools>' }}",
  "{% for tool in tools %}{{ '\\n' + (tool | tojson) }}{% endfor %}",
  '{{ \'\\n</tools>\\nTo call one:\\n<tool_call>\\n{"name": <name>, "arguments": <object>}\\n</tool_call><|im_end|>\\n\' }}',
  "{% elif messages[0].role == 'system' %}",
  "{{ '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}",
  '{% endif %}',
  '{% for message in messages %}',
  "{% if message.role == 'tool' %}",
  "{{ '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}",
  "{% elif message.role == 'assistant' %}",
  "{{ '<|im_start|>assistant\\n' + (message.content or '') }}",
  '{% for call in message.tool_calls or [] %}',
  "{{ '\\n<tool_call>\\n' + ({'name': call.function.name, 'arguments': call.function.arguments} | tojson) + '\\n</tool_call>' }}",
  '{% endfor %}',
  "{{ '<|im_end|>\\n' }}",
  "{% elif message.role != 'system' or not loop.first %}",
  "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}",
  '{% endif %}',
  '{% endfor %}',
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
].join('');

/** ChatML with thoughts, which are left out of earlier turns. */
const THINKING_TEMPLATE = [
  '{{ bos_token }}',
  '{% for message in messages %}',
  "{% set content = message.content.split('</think>')[-1] %}",
  "{{ '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}",
  '{% endfor %}',
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}",
  "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}",
  '{% endif %}',
].join('');

const MAKERS: Readonly<Record<keyof typeof MODEL, () => Promise<string>>> = {
  assistant: () =>
    scriptedModel({
      name: 'assistant',
      template: TOOL_TEMPLATE,
      answers: [{ say: HELLO_TOKENS }, ...Object.values(SAYS)],
    }),
  thinker: () =>
    scriptedModel({
      name: 'thinker',
      template: THINKING_TEMPLATE,
      answers: [{ say: `<think>\n${THOUGHT.reasoning}\n</think>\n\n${THOUGHT.answer}` }],
    }),
  noise: () => randomModel({ seed: 5, embedding: 128, layers: 2, feedForward: 256 }),
  rambler,
  encoder: () => madeModel(['encoder', 'mean'], (path) => writeEncoder(path, MEAN)),
  oddlyNamed: () => MAKERS.encoder(),
};

/** llama_pooling_type: the mean over a text's tokens. */
const MEAN = 1;

/** Starts a server that offers these models and can hold them all at once. */
export async function serveModels(
  owner: Owner,
  names: readonly (keyof typeof MODEL)[],
): Promise<TestServer> {
  const home: Home = makeHome(owner);
  const files = await Promise.all(
    names.map(async (name) => [MODEL[name], await MAKERS[name]()] as const),
  );
  home.writeMap(Object.fromEntries(files));
  const env = { MAX_LOADED_MODELS: '3', N_CTX: '4096' };
  return startServer(owner, { home, env });
}
