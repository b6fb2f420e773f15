/**
 * What answers look like, as JSON Schemas for the document of the API. Data only; a test holds real answers
 * against them. What has nothing to say is null, and fields may be added.
 */
import { CATALOGUE } from '../../errors.js';
import type { JsonSchema } from './body-schema.js';

const text = { type: 'string' } as const;
const count = { type: 'integer', minimum: 0 } as const;
const number = { type: 'number' } as const;
const flag = { type: 'boolean' } as const;

/** An object whose properties are there unless they are named in `absent`. */
function object(properties: JsonSchema, absent: readonly string[] = []): JsonSchema {
  const required = Object.keys(properties).filter((name) => !absent.includes(name));
  return { type: 'object', properties, required };
}

function orNull(schema: JsonSchema): JsonSchema {
  return typeof schema.type === 'string'
    ? { ...schema, type: [schema.type, 'null'] }
    : { anyOf: [schema, { type: 'null' }] };
}

const list = (items: JsonSchema): JsonSchema => ({ type: 'array', items });
const ref = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` });

const KINDS = [...new Set(Object.values(CATALOGUE).map(({ type }) => type))];

const logprob = { token: text, logprob: number, bytes: list(count) };
const call = {
  id: text,
  type: { const: 'function' },
  function: object({ name: text, arguments: text }),
};
const usage = object({
  prompt_tokens: count,
  completion_tokens: count,
  total_tokens: count,
  prompt_tokens_details: object({ cached_tokens: count, truncated_tokens: count }, [
    'truncated_tokens',
  ]),
  completion_tokens_details: object({ reasoning_tokens: count }),
});
const drafts = { draft_n: count, draft_n_accepted: count };
const timings = object(
  {
    queue_ms: number,
    load_ms: number,
    recall_ms: number,
    prefill_ms: number,
    generation_ms: number,
    retried_ms: number,
    prefill_tokens_per_second: orNull(number),
    generation_tokens_per_second: orNull(number),
    ...drafts,
  },
  Object.keys(drafts),
);
/** A histogram: `counts` has one more than `le_ms`, for what is above all of them. */
const times = { count, sum_ms: number, max_ms: number, le_ms: list(number), counts: list(count) };
const finishReason = { enum: ['stop', 'length', 'tool_calls'] };
const head = { id: text, created: count, model: text };
const textFinish = { enum: ['stop', 'length'] };
const textHead = {
  ...head,
  object: { const: 'text_completion' },
  system_fingerprint: orNull(text),
};
const textChoice = { text, index: count, logprobs: orNull(ref('LegacyLogprobs')) };

const adminAnswer = (more: JsonSchema = {}, absent: readonly string[] = []): JsonSchema =>
  object({ success: { const: true }, message: text, ...more }, absent);

const entry = object({
  id: text,
  path: text,
  stop: list(text),
  origin: { enum: ['map', 'scan', 'builtin'] },
});

/** By the name they have in the document. */
export const ANSWERS = {
  Error: object({
    error: object(
      {
        message: {
          ...text,
          description: '日本語、英語の順に 1 行 / Japanese, then English, on one line',
        },
        type: { enum: KINDS },
        param: orNull(text),
        code: { enum: Object.keys(CATALOGUE) },
        n_prompt_tokens: count,
        n_ctx: count,
        needed_bytes: count,
        free_bytes: count,
        crashes: count,
      },
      ['n_prompt_tokens', 'n_ctx', 'needed_bytes', 'free_bytes', 'crashes'],
    ),
  }),
  Usage: usage,
  Timings: timings,
  Logprobs: object({
    content: list(object({ ...logprob, top_logprobs: list(object(logprob)) })),
    refusal: { type: 'null' },
  }),
  ChatCompletion: object({
    ...head,
    object: { const: 'chat.completion' },
    system_fingerprint: orNull(text),
    choices: list(
      object({
        index: count,
        message: object(
          {
            role: { const: 'assistant' },
            content: orNull(text),
            refusal: { type: 'null' },
            reasoning_content: text,
            tool_calls: list(object(call)),
          },
          ['reasoning_content', 'tool_calls'],
        ),
        logprobs: orNull(ref('Logprobs')),
        finish_reason: finishReason,
      }),
    ),
    usage: ref('Usage'),
    timings: ref('Timings'),
  }),
  ChatCompletionChunk: object(
    {
      ...head,
      object: { const: 'chat.completion.chunk' },
      system_fingerprint: orNull(text),
      choices: list(
        object({
          index: count,
          delta: object(
            {
              role: { const: 'assistant' },
              content: text,
              refusal: { type: 'null' },
              reasoning_content: text,
              tool_calls: list(
                object(
                  {
                    index: count,
                    ...call,
                    function: object({ name: text, arguments: text }, ['name']),
                  },
                  ['id', 'type'],
                ),
              ),
            },
            ['role', 'content', 'refusal', 'reasoning_content', 'tool_calls'],
          ),
          logprobs: orNull(ref('Logprobs')),
          finish_reason: { enum: [...finishReason.enum, null] },
        }),
      ),
      usage: orNull(ref('Usage')),
      timings: ref('Timings'),
    },
    ['usage', 'timings'],
  ),
  InputTokens: object({
    object: { const: 'chat.completion.input_tokens' },
    input_tokens: count,
    context_length: count,
  }),
  LegacyLogprobs: object({
    tokens: list(text),
    token_logprobs: list(orNull(number)),
    top_logprobs: list(orNull({ type: 'object', additionalProperties: number })),
    text_offset: list(count),
  }),
  TextCompletion: object({
    ...textHead,
    choices: list(object({ ...textChoice, finish_reason: textFinish })),
    usage: ref('Usage'),
    timings: ref('Timings'),
  }),
  TextCompletionChunk: object(
    {
      ...textHead,
      choices: list(object({ ...textChoice, finish_reason: { enum: [...textFinish.enum, null] } })),
      usage: orNull(ref('Usage')),
      timings: ref('Timings'),
    },
    ['usage', 'timings'],
  ),
  Infill: object({
    index: count,
    content: text,
    stop: { const: true },
    model: text,
    tokens_predicted: count,
    tokens_evaluated: count,
    tokens_cached: count,
    truncated: { const: false },
    stop_type: { enum: ['eos', 'word', 'limit'] },
    timings: object(
      {
        prompt_n: count,
        prompt_ms: number,
        prompt_per_token_ms: number,
        prompt_per_second: number,
        predicted_n: count,
        predicted_ms: number,
        predicted_per_token_ms: number,
        predicted_per_second: number,
        queue_ms: number,
        load_ms: number,
        ...drafts,
      },
      Object.keys(drafts),
    ),
  }),
  InfillEvent: {
    anyOf: [object({ index: count, content: text, stop: { const: false } }), ref('Infill')],
  },
  EmbeddingList: object({
    object: { const: 'list' },
    data: list(
      object({
        object: { const: 'embedding' },
        index: count,
        embedding: { anyOf: [list(number), { ...text, contentEncoding: 'base64' }] },
      }),
    ),
    model: text,
    usage: object({ prompt_tokens: count, total_tokens: count }),
  }),
  RerankList: object({
    model: text,
    object: { const: 'list' },
    results: list(
      object({ index: count, relevance_score: number, document: object({ text }) }, ['document']),
    ),
    usage: object({ prompt_tokens: count, total_tokens: count }),
  }),
  Tokens: object({
    tokens: {
      anyOf: [list(count), list(object({ id: count, piece: { anyOf: [text, list(count)] } }))],
    },
  }),
  Text: object({ content: text }),
  Model: object({
    id: text,
    object: { const: 'model' },
    created: count,
    owned_by: text,
    hoshikage: object({
      path: text,
      origin: { enum: ['map', 'scan', 'builtin'] },
      size: orNull(count),
      architecture: orNull(text),
      context_length: orNull(count),
      quantisation: orNull(text),
      loaded: flag,
    }),
  }),
  ModelList: object({ object: { const: 'list' }, data: list(ref('Model')) }),
  Status: object({
    status: { const: 'ok' },
    version: text,
    uptime_s: count,
    library: { type: 'object' },
    model: orNull({ type: 'object' }),
    residents: list({ type: 'object' }),
    queue: { type: 'object' },
    held: list(object({ model: text, crashes: count })),
    ramdisk: orNull({ type: 'object' }),
    states: orNull({ type: 'object' }),
    models: count,
    problem: orNull(object({ code: text, message: text })),
    figures: object({
      requests: object({
        ...{ running: count, done: count, refused: count, failed: count, cancelled: count },
      }),
      streams: object({ open: count, bytes: count, joined: count }),
      tokens: object({ prompt: count, cached: count, completion: count }),
      queue_wait: ref('Times'),
      load_wait: ref('Times'),
      first_token: ref('Times'),
      per_token: ref('Times'),
      event_loop_delay: object({ ...times, p99_ms: number }),
    }),
    memory: object({ rss: count, free: count, total: count }),
  }),
  Times: object(times),
  Health: object({ status: { const: 'ok' } }),
  Version: object({ version: text }),
  AdminAnswer: adminAnswer({ entry: orNull(entry), unloaded: list(text) }, ['unloaded']),
  AdminModels: adminAnswer({ models: list(entry) }),
  AdminLibrary: adminAnswer({ library: { type: 'object' }, installed: list({ type: 'object' }) }, [
    'installed',
  ]),
  ResourceEvent: { type: 'object' },
  OpenApi: { type: 'object' },
} as const satisfies Readonly<Record<string, JsonSchema>>;

/** The name of an answer's schema. */
export type AnswerName = keyof typeof ANSWERS;
