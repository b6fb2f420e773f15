/** Requests: what the parsers take and what the document of the API takes are the same. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { parseAdd, parseLoad, parseUnload, parseUse } from '../../src/http/schema/admin.js';
import { parseChat } from '../../src/http/schema/chat.js';
import { parseCompletion } from '../../src/http/schema/completions.js';
import { parseInfill } from '../../src/http/schema/infill.js';
import { OPERATIONS } from '../../src/http/schema/operations.js';
import { parseRerank } from '../../src/http/schema/rerank.js';
import { parseDetokenize, parseEmbedding, parseTokenize } from '../../src/http/schema/tokens.js';
import { complaints } from '../helpers/api-document.js';

const messages = [{ role: 'user', content: 'Hi' }];
const chat = (more: object) => ({ model: 'm', messages, ...more });
const said = (message: object) => chat({ messages: [message] });
const tool = (offered: object) => chat({ tools: [{ type: 'function', function: offered }] });

/** Bodies that both the parser and the document take, and bodies that neither takes. */
const BODIES: readonly {
  readonly schema: string;
  readonly parse: (body: unknown, strict: boolean) => unknown;
  readonly good: readonly unknown[];
  readonly bad: readonly unknown[];
}[] = [
  {
    schema: 'ChatCompletionRequest',
    parse: parseChat,
    good: [
      chat({}),
      chat({ temperature: null, stop: null, tools: null, keep_alive: null, audio: null }),
      chat({ temperature: 0, top_p: 1, top_k: 0, min_p: 1, typical_p: 0.5, seed: -1, n: 8 }),
      chat({ stop: 'END' }),
      chat({ stop: ['a', 'b'] }),
      chat({ keep_alive: '1h30m' }),
      chat({ keep_alive: -1 }),
      chat({ logit_bias: { 12: -100 }, mirostat: 2, samplers: ['temp', 'top_k'] }),
      chat({ response_format: { type: 'json_schema', json_schema: { name: 'a', schema: true } } }),
      chat({ tool_choice: 'none', functions: [], modalities: ['text'], verbosity: 'medium' }),
      chat({ store: true, metadata: { a: 'b' }, unheard_of: [1] }),
      chat({ chat_template_kwargs: { enable_thinking: false }, truncation: 'auto' }),
      tool({ name: 'f', parameters: { type: 'object' }, strict: true }),
      said({
        role: 'tool',
        content: [{ type: 'text', text: 'a' }],
        tool_call_id: 'c',
        refusal: 'x',
      }),
      said({
        role: 'assistant',
        content: null,
        tool_calls: [{ function: { name: 'f' }, index: 0 }],
      }),
    ],
    bad: [
      null,
      [],
      {},
      { model: 'm' },
      chat({ model: '' }),
      chat({ model: 'x'.repeat(1025) }),
      chat({ messages: [] }),
      chat({ messages: 'Hi' }),
      said({ content: 'Hi' }),
      said({ role: 'robot', content: 'Hi' }),
      said({ role: 'user', content: 5 }),
      said({ role: 'user', content: [{ type: 'text' }] }),
      said({ role: 'user', content: [{ type: 'image_url', image_url: {} }] }),
      said({ role: 'assistant', tool_calls: [{ function: { name: '' } }] }),
      said({ role: 'assistant', audio: { id: 'a' } }),
      chat({ temperature: 2.1 }),
      chat({ temperature: '1' }),
      chat({ top_k: 1.5 }),
      chat({ n: 9 }),
      chat({ repeat_penalty: 0 }),
      chat({ mirostat: 1 }),
      chat({ samplers: ['dice'] }),
      chat({ samplers: ['top_k', 'top_k'] }),
      chat({ stop: [''] }),
      chat({ stop: Array(17).fill('a') }),
      chat({ logit_bias: { hello: 1 } }),
      chat({ logit_bias: { 1: 101 } }),
      chat({ keep_alive: 'soon' }),
      chat({ keep_alive: 3_000_000 }),
      chat({ keep_alive: true }),
      chat({ max_tokens: 0 }),
      chat({ response_format: { type: 'xml' } }),
      chat({ response_format: { type: 'json_schema', json_schema: { name: 'a b' } } }),
      chat({ chat_template_kwargs: { messages: [] } }),
      chat({ tool_choice: 'perhaps' }),
      chat({ audio: {} }),
      chat({ functions: [{}] }),
      chat({ verbosity: 'high' }),
      tool({ name: 'no spaces' }),
      chat({ tools: [{ type: 'function' }] }),
      chat({ tools: Array(129).fill({ type: 'function', function: { name: 'f' } }) }),
    ],
  },
  {
    schema: 'CompletionRequest',
    parse: parseCompletion,
    good: [
      { model: 'm', prompt: '' },
      { model: 'm', prompt: 'a', suffix: 'b', stream: true, stream_options: {} },
      { model: 'm', prompt: [1, 2], n: 2, best_of: 8, logprobs: 20 },
      { model: 'm', prompt: ['a', ''], echo: true, max_tokens: 0, stop: 'END' },
      { model: 'm', prompt: [[1], [2, 3]], grammar: 'root ::= "a"', keep_alive: 0 },
      { model: 'm', prompt: 'a', response_format: { type: 'text' }, json_schema: null },
      { model: 'm', prompt: 'a', logprobs: null, user: 'u', unheard_of: 1 },
    ],
    bad: [
      { model: 'm' },
      { prompt: 'a' },
      { model: 'm', prompt: null },
      { model: 'm', prompt: 1 },
      { model: 'm', prompt: [] },
      { model: 'm', prompt: [[]] },
      { model: 'm', prompt: [-1] },
      { model: 'm', prompt: ['a', 1] },
      { model: 'm', prompt: Array(33).fill('a') },
      { model: 'm', prompt: 'a', max_tokens: -1 },
      { model: 'm', prompt: 'a', n: 9 },
      { model: 'm', prompt: 'a', best_of: 0 },
      { model: 'm', prompt: 'a', logprobs: true },
      { model: 'm', prompt: 'a', logprobs: 21 },
      { model: 'm', prompt: 'a', suffix: 1 },
      { model: 'm', prompt: 'a', stream: true, stream_options: { include_usage: 1 } },
      { model: 'm', prompt: 'a', response_format: { type: 'json_object' } },
      { model: 'm', prompt: 'a', json_schema: {} },
      { model: 'm', prompt: 'a', temperature: 3 },
    ],
  },
  {
    schema: 'InfillRequest',
    parse: parseInfill,
    good: [
      { input_prefix: '', input_suffix: '' },
      { model: 'm', input_prefix: 'a', input_suffix: 'b', prompt: 'c', n_predict: -1 },
      { input_prefix: 'a', input_suffix: 'b', input_extra: [{ text: 'c', filename: null }] },
      { input_prefix: 'a', input_suffix: 'b', samplers: ['top_k', 'infill'], n_probs: 0 },
      { input_prefix: 'a', input_suffix: 'b', samplers: null, t_max_predict_ms: 500 },
    ],
    bad: [
      { input_prefix: 'a' },
      { input_suffix: 'b' },
      { model: '', input_prefix: 'a', input_suffix: 'b' },
      { input_prefix: ['a'], input_suffix: 'b' },
      { input_prefix: 'a', input_suffix: 'b', n_predict: -2 },
      { input_prefix: 'a', input_suffix: 'b', input_extra: [{ filename: 'f' }] },
      { input_prefix: 'a', input_suffix: 'b', input_extra: ['c'] },
      { input_prefix: 'a', input_suffix: 'b', input_extra: Array(257).fill({ text: '' }) },
      { input_prefix: 'a', input_suffix: 'b', n_probs: 1 },
      { input_prefix: 'a', input_suffix: 'b', json_schema: {} },
      { input_prefix: 'a', input_suffix: 'b', samplers: ['dice'] },
      { input_prefix: 'a', input_suffix: 'b', samplers: ['top_k', 'top_k'] },
    ],
  },
  {
    schema: 'RerankRequest',
    parse: parseRerank,
    good: [
      { model: 'm', query: 'q', documents: ['a', { text: 'b', title: 't' }] },
      { model: 'm', query: 'q', documents: ['a'], top_n: 9, return_documents: true, user: 'u' },
    ],
    bad: [
      { query: 'q', documents: ['a'] },
      { model: 'm', documents: ['a'] },
      { model: 'm', query: '', documents: ['a'] },
      { model: 'm', query: 'q' },
      { model: 'm', query: 'q', documents: [] },
      { model: 'm', query: 'q', documents: ['a', ''] },
      { model: 'm', query: 'q', documents: [{ title: 't' }] },
      { model: 'm', query: 'q', documents: Array(2049).fill('a') },
      { model: 'm', query: 'q', documents: ['a'], top_n: 0 },
      { model: 'm', query: 'q', documents: ['a'], return_documents: 1 },
    ],
  },
  {
    schema: 'EmbeddingRequest',
    parse: parseEmbedding,
    good: [
      { model: 'm', input: 'a' },
      { model: 'm', input: [1, 2] },
      { model: 'm', input: ['a', 'b'], encoding_format: 'base64', dimensions: 4, user: 'u' },
      { model: 'm', input: [[1], [2, 3]] },
    ],
    bad: [
      { model: 'm' },
      { input: 'a' },
      { model: 'm', input: '' },
      { model: 'm', input: [] },
      { model: 'm', input: [-1] },
      { model: 'm', input: ['a', 1] },
      { model: 'm', input: [[]] },
      { model: 'm', input: Array(2049).fill('a') },
      { model: 'm', input: 'a', encoding_format: 'int8' },
      { model: 'm', input: 'a', dimensions: 0 },
    ],
  },
  {
    schema: 'TokenizeRequest',
    parse: parseTokenize,
    good: [{ content: '' }, { model: 'm', content: 'a', add_special: true, with_pieces: null }],
    bad: [{}, { content: 1 }, { content: 'a', parse_special: 'yes' }],
  },
  {
    schema: 'DetokenizeRequest',
    parse: parseDetokenize,
    good: [{ tokens: [] }, { tokens: [0, 2 ** 31 - 1] }],
    bad: [{}, { tokens: [1.5] }, { tokens: [2 ** 31] }, { tokens: 'a' }],
  },
  {
    schema: 'AddModelRequest',
    parse: parseAdd,
    good: [
      { name: 'm', path: '/m.gguf', n_ctx: 1, n_gpu_layers: 'auto', stop: ['a'], force: null },
    ],
    bad: [{ name: 'm' }, { name: '', path: '/m' }, { name: 'm', path: '/m', n_ctx: 0 }],
  },
  {
    schema: 'UseLibraryRequest',
    parse: parseUse,
    good: [{ id: null }, { id: 'b9999-vulkan' }],
    bad: [{}, { id: '../x' }, { id: 1 }],
  },
  {
    schema: 'LoadModelRequest',
    parse: parseLoad,
    good: [{}, { keep_alive: 5 }],
    bad: [{ keep_alive: [] }],
  },
  {
    schema: 'UnloadRequest',
    parse: parseUnload,
    good: [{}, { model: null }, { model: 'm' }],
    bad: [{ model: '' }, { model: 1 }],
  },
];

describe('openapi: bodies', () => {
  it('have a table of examples for every request that has one', () => {
    const titles = new Set(OPERATIONS.flatMap(({ body }) => (body ? [body.title] : [])));
    assert.deepEqual(BODIES.map(({ schema }) => schema).sort(), [...titles].sort());
  });

  for (const { schema, parse, good, bad } of BODIES) {
    it(`${schema}: what the parser takes fits, and what it refuses does not`, () => {
      for (const body of good) {
        parse(body, false);
        assert.equal(complaints(schema, body), '', JSON.stringify(body));
      }
      for (const body of bad) {
        assert.throws(() => parse(body, false), HoshikageError, JSON.stringify(body).slice(0, 200));
        assert.notEqual(complaints(schema, body), '', JSON.stringify(body).slice(0, 200));
      }
    });
  }
});
