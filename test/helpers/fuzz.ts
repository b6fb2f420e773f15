/**
 * Bodies that are nearly right: valid ones of every route, changed a little or a lot by a seeded source,
 * so that the same seed sends the same bytes. It must never make one that is answered for long.
 */
import { randomBits } from '../../src/models/prng.js';

/** A body for a route, as it is sent. */
export interface FuzzedBody {
  readonly path: string;
  readonly bytes: Buffer;
}

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const tool = (name: string): Json => ({
  type: 'function',
  function: {
    name,
    description: 'Looks something up.',
    parameters: {
      type: 'object',
      properties: { at: { type: 'string', maxLength: 8 }, count: { type: 'integer', minimum: 0 } },
      required: ['at'],
    },
    strict: true,
  },
});
const SAMPLING: Record<string, Json> = {
  ...{ temperature: 0.5, top_p: 0.9, top_k: 20, min_p: 0.05, typical_p: 0.9, top_n_sigma: 1 },
  ...{ xtc_probability: 0.5, xtc_threshold: 0.1, mirostat: 2, mirostat_tau: 5, mirostat_eta: 0.1 },
  ...{ dynatemp_range: 0.5, dynatemp_exponent: 1, samplers: ['top_k', 'temperature'], seed: 7 },
  ...{ stop: ['END', '\n\n'], presence_penalty: 1, frequency_penalty: -1, repeat_penalty: 1.1 },
  ...{ repeat_last_n: 16, dry_multiplier: 0.8, dry_base: 1.75, dry_allowed_length: 2 },
  ...{ dry_penalty_last_n: -1, dry_sequence_breakers: ['\n'], logit_bias: { '97': 5 } },
  ...{ ignore_eos: true, cache_prompt: false, user: 'me', metadata: { a: 'b' } },
};
const SCHEMA: Json = {
  type: 'object',
  properties: { a: { enum: ['x', 'y', 1, null] }, b: { type: 'array', items: { $ref: '#' } } },
  required: ['a'],
};

/** What is sent along with the smallest request, one or some at a time. */
const CHAT_EXTRAS: Record<string, Json> = {
  ...SAMPLING,
  ...{ n: 2, logprobs: true, top_logprobs: 3, stream_options: { include_usage: true } },
  ...{ tools: [tool('look'), tool('find')], tool_choice: 'required', parallel_tool_calls: false },
  response_format: { type: 'json_schema', json_schema: { name: 's', schema: SCHEMA } },
  ...{ grammar: 'root ::= "a" [b-z]{1,3}', reasoning_effort: 'low', reasoning_budget: 4 },
  ...{ chat_template_kwargs: { v: 1 }, truncation: 'auto', max_completion_tokens: 2 },
};
const TALK: Json = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: [{ type: 'text', text: '星は何色?' }] },
  {
    role: 'assistant',
    content: null,
    tool_calls: [
      { id: 'c1', type: 'function', function: { name: 'look', arguments: '{"at":"x"}' } },
    ],
  },
  { role: 'tool', tool_call_id: 'c1', content: '青' },
];

interface Route {
  readonly path: string;
  readonly smallest: Record<string, Json>;
  readonly extras: Record<string, Json>;
}

/** The names of the models that bodies ask for: one that chats and fills gaps, and a reranker. */
export interface FuzzedModels {
  readonly model: string;
  readonly reranker: string;
}

/** The routes, each with its smallest request and what may be added to it. */
function routesFor({ model, reranker }: FuzzedModels): readonly Route[] {
  const chat = { model, messages: [{ role: 'user', content: 'x' }], max_tokens: 2 };
  return [
    { path: '/v1/chat/completions', smallest: chat, extras: { ...CHAT_EXTRAS, stream: true } },
    { path: '/v1/chat/completions', smallest: { ...chat, messages: TALK }, extras: CHAT_EXTRAS },
    { path: '/v1/chat/completions/input_tokens', smallest: chat, extras: CHAT_EXTRAS },
    {
      path: '/v1/completions',
      smallest: { model, prompt: 'x', max_tokens: 2 },
      extras: {
        ...SAMPLING,
        ...{ prompt: [[300, 301], [302]], n: 2, best_of: 2, echo: true, logprobs: 2, stream: true },
        ...{ suffix: 'z', grammar: 'root ::= [a-c]+' },
      },
    },
    {
      path: '/infill',
      smallest: { model, input_prefix: 'a', input_suffix: 'b', n_predict: 2 },
      extras: {
        ...SAMPLING,
        ...{ prompt: 'c', input_extra: [{ filename: 'f', text: 'd' }], stream: true, n_probs: 0 },
      },
    },
    {
      path: '/v1/embeddings',
      smallest: { model, input: 'x' },
      extras: { input: ['x', 'y'], encoding_format: 'base64', dimensions: 8, user: 'me' },
    },
    {
      path: '/v1/rerank',
      smallest: { model: reranker, query: 'x', documents: ['y', { text: 'z' }] },
      extras: { top_n: 1, return_documents: true, user: 'me' },
    },
    {
      path: '/tokenize',
      smallest: { model, content: 'x y z' },
      extras: { add_special: true, parse_special: false, with_pieces: true },
    },
    { path: '/detokenize', smallest: { model, tokens: [300, 301] }, extras: { user: 'me' } },
  ];
}

/** The route paths that bodies are made for. */
export const FUZZED_PATHS: readonly string[] = [
  ...new Set(routesFor({ model: '', reranker: '' }).map(({ path }) => path)),
];

/** Fields of which a large value would be obeyed for long, or would send the model away. */
const COSTLY = new Set(['max_tokens', 'max_completion_tokens', 'n_predict', 'keep_alive']);
const LONG = 3000;
/** Far below the limit of a server: one that closes on a larger body may do so while it still comes. */
const MAX_BYTES = 1_000_000;

/** Makes bodies; the same seed makes the same ones in the same order. */
export class BodyFuzzer {
  readonly #bits: () => number;
  readonly #routes: readonly Route[];
  #made = 0;

  constructor(seed: number, models: FuzzedModels) {
    this.#bits = randomBits(seed);
    this.#routes = routesFor(models);
  }

  next(): FuzzedBody {
    const { path, smallest, extras } = this.#of(this.#routes, this.#made++);
    const body: Record<string, Json> = structuredClone(smallest);
    for (let count = this.#below(4); count > 0; count--) {
      const name = this.#pick(Object.keys(extras));
      body[name] = structuredClone(extras[name] ?? null);
    }
    const kind = this.#below(10);
    // Some stay as they are: what is right must be answered among all that is wrong.
    const changed = kind < 3 ? body : this.#changed(body, 1 + this.#below(3));
    // Those who leave out a limit get one: the answer would be as long as the context.
    const limit = path === '/infill' ? 'n_predict' : 'max_tokens';
    if (isObject(changed) && changed[limit] === undefined) changed[limit] = 2;
    const text = JSON.stringify(changed).replaceAll(/"§([^"]*)"/g, '$1');
    const bytes = kind === 9 ? this.#broken(text) : Buffer.from(text);
    return { path, bytes: bytes.subarray(0, MAX_BYTES) };
  }

  #changed(body: Json, changes: number): Json {
    let changed = body;
    for (let count = 0; count < changes; count++) changed = this.#change(changed, 0);
    return changed;
  }

  /** One change, somewhere inside or here. */
  #change(value: Json, depth: number): Json {
    if (Array.isArray(value) && value.length > 0 && this.#below(4) > 0) {
      const at = this.#below(value.length);
      return value.map((one, index) => (index === at ? this.#change(one, depth + 1) : one));
    }
    if (isObject(value) && Object.keys(value).length > 0 && this.#below(8) > 0) {
      return this.#changeMember(value, depth);
    }
    return this.#other(value);
  }

  #changeMember(value: { [name: string]: Json }, depth: number): Json {
    const name = this.#pick(Object.keys(value));
    const { [name]: old = null, ...rest } = value;
    switch (this.#below(8)) {
      case 0:
        return rest;
      case 1:
        return { ...rest, [this.#text()]: old };
      case 2:
        return { ...value, [this.#text()]: structuredClone(old) };
      default:
        if (COSTLY.has(name)) return { ...value, [name]: this.#pick([0, -1, 0.5, '2', null, [1]]) };
        return { ...value, [name]: this.#change(old, depth + 1) };
    }
  }

  #other(value: Json): Json {
    switch (this.#below(9)) {
      case 0:
        return this.#pick([null, true, false, '', [], {}]);
      case 1:
        return this.#number();
      case 2:
        return this.#text();
      case 3:
        return [value];
      case 4:
        return { [this.#text()]: value };
      case 5:
        return this.#nested(value);
      case 6:
        return Array(1 + this.#below(300)).fill(value);
      case 7:
        return this.#text().repeat(1 + this.#below(LONG));
      default:
        return typeof value === 'string' ? value + this.#text() : value;
    }
  }

  #nested(value: Json): Json {
    let nested = value;
    for (let depth = this.#pick([2, 20, 200, 400]); depth > 0; depth--) {
      nested = this.#below(2) === 0 ? [nested] : { a: nested };
    }
    return nested;
  }

  /** Numbers that JSON.stringify would not write stand behind a mark that is taken away with the quotes. */
  #number(): Json {
    return this.#pick<Json>([
      ...[0, -0, 1, -1, 0.5, 1e-9, 2, 97, 1e308, -1e308, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 31) - 1],
      ...[
        '§1e999',
        '§-1e999',
        '§1E+400',
        '§0.000000000000000000000000000001',
        '§123456789012345678901',
      ],
    ]);
  }

  #text(): string {
    return this.#pick([
      ...['', 'x', 'model', 'messages', 'content', 'type', 'role', 'user', 'stop', '__proto__'],
      ...[
        'constructor',
        'toString',
        'ア',
        '🌟',
        '\ud83c',
        '\udf1f',
        '\0',
        '\u202e',
        '\r\n',
        '"',
        '\\',
      ],
      ...[
        '<|im_end|>',
        '<think>',
        '<tool_call>',
        'json_schema',
        '$ref',
        '#/$defs/a',
        '{{ x }}',
        'null',
      ],
      String.fromCharCode(this.#bits() & 0xffff),
    ]);
  }

  /** No JSON, or not the one that was meant. */
  #broken(text: string): Buffer {
    const bytes = Buffer.from(text);
    switch (this.#below(5)) {
      case 0:
        return bytes.subarray(0, this.#below(bytes.length));
      case 1:
        return Buffer.concat([bytes, bytes]);
      case 2:
        return Buffer.from(Array.from({ length: this.#below(64) }, () => this.#bits() & 0xff));
      case 3:
        return Buffer.from(text.replace(/[:,]/, this.#pick([';', '', ',,', '::'])));
      default:
        for (let count = 1 + this.#below(4); count > 0; count--) {
          bytes[this.#below(bytes.length)] = this.#bits() & 0xff;
        }
        return bytes;
    }
  }

  #below(limit: number): number {
    return this.#bits() % limit;
  }

  #pick<T>(values: readonly T[]): T {
    return this.#of(values, this.#below(values.length));
  }

  #of<T>(values: readonly T[], place: number): T {
    const value = values[place % values.length];
    if (value === undefined) throw new Error('nothing to pick from');
    return value;
  }
}

function isObject(value: Json): value is { [name: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
