/** Answers: those that the routes really give have what the document of the API says, and nothing more. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { errorBody } from '../../src/http/error.js';
import { OPERATIONS } from '../../src/http/schema/operations.js';
import { closeComplaints } from '../helpers/api-document.js';
import { ADMIN, eventsOf, fakeApp, renderer } from '../helpers/fake-app.js';
import { FakeEngine } from '../helpers/fake-engine.js';
import { EOG, letters, SayingEngine } from '../helpers/saying-engine.js';

after(() => renderer.close());

/** It thinks, calls a function and says something, token by token. */
const SAID =
  '<think>Hm</think>Let me look.\n<tool_call>\n{"name":"f","arguments":{"n":1}}\n</tool_call>';
const TEMPLATE =
  '{% for m in messages %}{{ m.content }}\n{% endfor %}{# {{ tools }} <tool_call></tool_call> <think></think> #}';
const fim = { prefix: 310, suffix: 311, middle: 312, repository: null, separator: null };

function speaker(text = SAID) {
  const model = { chatTemplate: TEMPLATE, fim };
  const pieces = letters(text, -0.5).map((one) => ({ ...one, top: [[65, -1] as const] }));
  return fakeApp({ engine: new SayingEngine([[...pieces, EOG]], { model, contextTokens: 300 }) });
}

async function fits(schema: string, response: Response): Promise<string> {
  const text = await response.text();
  assert.equal(response.status, 200, text);
  assert.equal(closeComplaints(schema, JSON.parse(text)), '', text);
  return text;
}

/** All that a stream holds but its mark at the end, as one text. */
async function allFit(schema: string, response: Response): Promise<string> {
  assert.equal(response.status, 200);
  const events = await eventsOf(response);
  const chunks = events.filter((event) => event !== '[DONE]');
  assert.ok(chunks.length > 1, `${chunks.length} events`);
  for (const chunk of chunks) {
    assert.equal(closeComplaints(schema, chunk), '', JSON.stringify(chunk));
  }
  return JSON.stringify(chunks);
}

/** What is asked of a chat so that its answer has all that an answer may have. */
const rich = {
  messages: [
    { role: 'user', content: 'x'.repeat(400) },
    { role: 'assistant', content: 'y' },
    { role: 'user', content: 'Hi' },
  ],
  tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }],
  truncation: 'auto',
  logprobs: true,
  top_logprobs: 1,
};

describe('openapi: answers', () => {
  it('of the routes that need no model fit their schemas', async () => {
    const { ask } = fakeApp();
    for (const { method, path, answer } of OPERATIONS) {
      if (method !== 'GET' || !answer || answer === 'OpenApi') continue;
      await fits(answer, await ask(path.replace('{id}', 'm'), { headers: ADMIN }));
    }
  });

  it('that are errors fit theirs', () => {
    const codes = ['invalid_value', 'model_not_found', 'queue_full', 'internal_error'] as const;
    for (const code of codes) {
      const body = errorBody(new HoshikageError(code, { param: 'model', crashes: 2 }));
      assert.equal(closeComplaints('Error', body), '', code);
    }
  });

  it('of a chat fit theirs, whole and in chunks', async () => {
    const parts = ['"reasoning_content"', '"tool_calls"', '"truncated_tokens"', '"top_logprobs"'];
    const usage = { stream: true, stream_options: { include_usage: true } };
    for (const text of [
      await fits('ChatCompletion', await speaker().chat(rich)),
      await allFit('ChatCompletionChunk', await speaker().chat({ ...rich, ...usage })),
    ]) {
      for (const one of parts) assert.ok(text.includes(one), `${one} in ${text}`);
    }
    await fits('ChatCompletion', await speaker('Hello').chat());
    await allFit('ChatCompletionChunk', await speaker('Hello').chat({ stream: true, n: 2 }));
  });

  it('of a chat that only calls have no content', async () => {
    const call = SAID.slice(SAID.indexOf('<tool_call>'));
    const text = await fits(
      'ChatCompletion',
      await speaker(call).chat({ ...rich, logprobs: null, top_logprobs: 0 }),
    );
    assert.match(text, /"content":null/);
    assert.match(text, /"finish_reason":"tool_calls"/);
  });

  it('of a chat that is counted fit theirs', async () => {
    await fits(
      'InputTokens',
      await speaker().post('/v1/chat/completions/input_tokens', { model: 'm', ...rich }),
    );
  });

  it('of a text that goes on fit theirs, whole and in chunks', async () => {
    const ask = (more: object) =>
      speaker('Hello').post('/v1/completions', { model: 'm', prompt: 'a', ...more });
    await fits('TextCompletion', await ask({}));
    const whole = await fits('TextCompletion', await ask({ logprobs: 1, n: 2 }));
    assert.ok(whole.includes('"text_offset"'), whole);
    const echoed = await fits('TextCompletion', await ask({ logprobs: 1, echo: true }));
    assert.ok(echoed.includes('"token_logprobs":[null,'), echoed);
    await allFit('TextCompletionChunk', await ask({ stream: true }));
    const usage = { stream: true, stream_options: { include_usage: true }, logprobs: 1, n: 2 };
    const chunks = await allFit('TextCompletionChunk', await ask(usage));
    for (const one of ['"text_offset"', '"prompt_tokens"', '"timings"']) {
      assert.ok(chunks.includes(one), `${one} in ${chunks}`);
    }
  });

  it('of a gap fit theirs, whole and in events', async () => {
    const ask = (more: object) =>
      speaker('Hello').post('/infill', { input_prefix: 'a', input_suffix: 'b', ...more });
    await fits('Infill', await ask({}));
    await allFit('InfillEvent', await ask({ stream: true }));
  });

  it('of vectors and of documents in order fit theirs', async () => {
    const { post } = fakeApp({ engine: new FakeEngine({ model: { poolingType: 'mean' } }) });
    const texts = { model: 'm', input: ['a', 'b'] };
    await fits('EmbeddingList', await post('/v1/embeddings', texts));
    await fits(
      'EmbeddingList',
      await post('/v1/embeddings', { ...texts, encoding_format: 'base64' }),
    );
    const engine = new FakeEngine({ model: { poolingType: 'rank', sepToken: 302 } });
    engine.embed = async (inputs) => inputs.map(({ length }) => Float32Array.of(length));
    const rank = (more: object) =>
      fakeApp({ engine }).post('/v1/rerank', {
        model: 'm',
        query: 'q',
        documents: ['a', 'b'],
        ...more,
      });
    await fits('RerankList', await rank({}));
    await fits('RerankList', await rank({ return_documents: true, top_n: 1 }));
  });

  it('of tokens fit theirs', async () => {
    const { post } = fakeApp();
    await fits('Tokens', await post('/tokenize', { model: 'm', content: 'あ' }));
    await fits('Tokens', await post('/tokenize', { model: 'm', content: 'あ', with_pieces: true }));
    await fits('Text', await post('/detokenize', { model: 'm', tokens: [72, 105] }));
  });
});
