/** The `openai` library, unmodified, beside chats: legacy completions, embeddings, models. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { suiteOwner } from '../helpers/owner.js';
import { type TestServer, untilFree } from '../helpers/server.js';
import { getJson } from '../helpers/wire.js';
import { HELLO, HELLO_COUNT, HELLO_TOKENS, MODEL, serveModels } from './models.js';

/** The answer's first token, which the model goes on from: no template stands between. */
const [PROMPT, ...REST] = HELLO_TOKENS;
const CONTINUED = REST.join('');

describe('The openai library, beside chats', () => {
  const owner = suiteOwner();
  let server: TestServer;
  let client: OpenAI;
  /** Bodies that the library sent. */
  const sent: string[] = [];

  before(async () => {
    server = await serveModels(owner, ['assistant', 'rambler', 'encoder', 'oddlyNamed']);
    client = new OpenAI({
      ...{ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 },
      fetch(url, init) {
        if (typeof init?.body === 'string') sent.push(init.body);
        return fetch(url, init);
      },
    });
  });

  describe('completes a text', () => {
    const asked = { model: MODEL.assistant, prompt: PROMPT, temperature: 0 };

    test('by what follows it', async () => {
      const completion = await client.completions.create(asked);
      const expected: OpenAI.CompletionChoice[] = [
        { index: 0, text: CONTINUED, logprobs: null, finish_reason: 'stop' },
      ];
      assert.deepEqual(completion.choices, expected);
      assert.equal(completion.object, 'text_completion');
      assert.equal(completion.model, MODEL.assistant);
      assert.match(completion.id, /^cmpl-/);
      const { usage } = completion;
      // BOS and the prompt.
      assert.equal(usage?.prompt_tokens, 2);
      assert.equal(usage.completion_tokens, HELLO_COUNT - 1);
      assert.equal(usage.total_tokens, HELLO_COUNT + 1);
    });

    test('in a stream that says the same', async () => {
      const stream = await client.completions.create({
        ...{ ...asked, stream: true },
        stream_options: { include_usage: true },
      });
      let text = '';
      const ends: string[] = [];
      let usage: OpenAI.CompletionUsage | null | undefined;
      for await (const chunk of stream) {
        assert.equal(chunk.object, 'text_completion');
        text += chunk.choices[0]?.text ?? '';
        const end = chunk.choices[0]?.finish_reason;
        if (end) ends.push(end);
        usage = chunk.usage ?? usage;
      }
      assert.equal(text, CONTINUED);
      assert.deepEqual(ends, ['stop']);
      assert.equal(usage?.completion_tokens, HELLO_COUNT - 1);
    });

    test('with the prompt before it, where echo is asked for', async () => {
      const { choices } = await client.completions.create({ ...asked, echo: true });
      assert.equal(choices[0]?.text, HELLO);
    });

    test('with log probabilities in the legacy form', async () => {
      const { choices } = await client.completions.create({ ...asked, logprobs: 2 });
      const found = choices[0]?.logprobs;
      assert.deepEqual(found?.tokens, REST);
      const offsets = REST.map((_, index) => REST.slice(0, index).join('').length);
      const [start = 0] = found.text_offset ?? [];
      assert.deepEqual(
        found.text_offset?.map((offset) => offset - start),
        offsets,
      );
      for (const [index, token] of REST.entries()) {
        const own: number = found.token_logprobs?.[index] ?? Number.NaN;
        assert.ok(own <= 0 && own > -0.01, `${token}: ${own}`);
        const rivals: Readonly<Record<string, number>> = found.top_logprobs?.[index] ?? {};
        assert.equal(rivals[token], own);
        assert.equal(Object.keys(rivals).length, 2);
      }
    });

    test('with those of the prompt too, whose first token has none', async () => {
      const { choices, usage } = await client.completions.create({
        ...{ ...asked, echo: true, logprobs: 1 },
      });
      const found = choices[0]?.logprobs;
      // BOS and the end of the answer are tokens that say nothing.
      assert.deepEqual(found?.tokens, ['', PROMPT, ...REST, '']);
      assert.equal(found.token_logprobs?.[0], null);
      assert.equal(found.token_logprobs.length, usage?.total_tokens);
      assert.equal(found.tokens.join(''), choices[0]?.text);
      const offsets = found.tokens.map((_, at) => found.tokens?.slice(0, at).join('').length);
      assert.deepEqual(found.text_offset, offsets);
    });

    test('and may be compared by them without an answer, as harnesses do', async () => {
      const prompt = [PROMPT, 'さて\n'];
      const { choices } = await client.completions.create({
        ...{ ...asked, prompt, echo: true, logprobs: 1, max_tokens: 0 },
      });
      const likelihoods = choices.map(({ text, finish_reason: reason, logprobs }, index) => {
        assert.deepEqual([text, reason], [prompt[index], 'length']);
        assert.equal(logprobs?.tokens?.join(''), text);
        const { token_logprobs: values = [], top_logprobs: best = [] } = logprobs;
        assert.deepEqual([values[0], best[0]], [null, null]);
        return values.slice(1).reduce((sum, value) => sum + value, 0);
      });
      const [likely = Number.NaN, unlikely = Number.NaN] = likelihoods;
      // The model begins by the first one.
      assert.ok(likely <= 0 && likely > -0.01, `${likely}`);
      assert.ok(unlikely < -5, `${unlikely}`);
    });

    test('given as tokens, or several at once, each with its index', async () => {
      const json = { model: MODEL.assistant, content: PROMPT, add_special: true };
      const { body } = await getJson(`${server.url}/tokenize`, { json });
      const { tokens } = body as { tokens: number[] };
      const byTokens = await client.completions.create({ ...asked, prompt: tokens });
      assert.equal(byTokens.choices[0]?.text, CONTINUED);
      const prompt = [PROMPT, 'さて\n'];
      const { choices, usage } = await client.completions.create({ ...asked, prompt });
      assert.deepEqual(
        choices.map(({ index, text }) => [index, text]),
        [
          [0, CONTINUED],
          [1, HELLO],
        ],
      );
      assert.equal(usage?.completion_tokens, 2 * HELLO_COUNT - 1);
    });

    test('up to a limit and a stop text', async () => {
      const short = await client.completions.create({ ...asked, max_tokens: 2 });
      assert.equal(short.choices[0]?.text, REST.slice(0, 2).join(''));
      assert.equal(short.choices[0]?.finish_reason, 'length');
      const stopped = await client.completions.create({ ...asked, stop: 'ご用' });
      assert.equal(stopped.choices[0]?.text, 'です。');
      assert.equal(stopped.choices[0]?.finish_reason, 'stop');
    });

    test('several times, of which the best may be chosen', async () => {
      const { choices } = await client.completions.create({ ...asked, n: 2, best_of: 3 });
      assert.deepEqual(
        choices.map(({ index, text }) => [index, text]),
        [
          [0, CONTINUED],
          [1, CONTINUED],
        ],
      );
    });

    test('and learns that this model cannot fill a gap', async () => {
      const asking = client.completions.create({ ...asked, suffix: 'をどうぞ。' });
      await assert.rejects(asking, (error) => {
        assert.ok(error instanceof OpenAI.BadRequestError);
        assert.equal(error.param, 'suffix');
        return true;
      });
    });

    test('and gives up in mid-stream, which frees the slot', async () => {
      const endless = { model: MODEL.rambler, prompt: 'さて\n', temperature: 0 };
      const stream = await client.completions.create({ ...endless, stream: true });
      let text = '';
      for await (const { choices } of stream) {
        text += choices[0]?.text ?? '';
        if (text.length > 40) break;
      }
      await untilFree(server);
    });
  });

  describe('gets embeddings', () => {
    const input = ['star shadow', 'light'];
    const asked = { model: MODEL.encoder, input };

    test('as base64 by itself, and as floats when asked, alike', async () => {
      const usual = await client.embeddings.create(asked);
      assert.equal(JSON.parse(sent.at(-1) ?? '').encoding_format, 'base64');
      const floats = await client.embeddings.create({ ...asked, encoding_format: 'float' });
      assert.equal(JSON.parse(sent.at(-1) ?? '').encoding_format, 'float');
      assert.equal(usual.object, 'list');
      assert.equal(usual.model, MODEL.encoder);
      assert.deepEqual(
        usual.data.map(({ object, index, embedding }) => [object, index, embedding.length]),
        [
          ['embedding', 0, 64],
          ['embedding', 1, 64],
        ],
      );
      for (const [index, { embedding }] of floats.data.entries()) {
        assert.deepEqual(embedding.map(Math.fround), usual.data[index]?.embedding);
        assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-5);
      }
      assert.deepEqual(floats.usage, usual.usage);
      assert.equal(usual.usage.total_tokens, usual.usage.prompt_tokens);
    });

    test('as base64 text when it asks for that by name', async () => {
      const usual = await client.embeddings.create(asked);
      const { data } = await client.embeddings.create({ ...asked, encoding_format: 'base64' });
      const [first] = data as unknown as readonly { embedding: string }[];
      const bytes = Buffer.from(first?.embedding ?? '', 'base64');
      assert.equal(bytes.length, 64 * 4);
      assert.equal(bytes.readFloatLE(0), usual.data[0]?.embedding[0]);
    });

    test('cut to fewer dimensions, still of length 1', async () => {
      const { data } = await client.embeddings.create({ ...asked, dimensions: 8 });
      assert.equal(data[0]?.embedding.length, 8);
      assert.ok(Math.abs(Math.hypot(...(data[0]?.embedding ?? [])) - 1) < 1e-5);
    });

    test('and learns that more than all dimensions are too many', async () => {
      const asking = client.embeddings.create({ ...asked, dimensions: 65 });
      await assert.rejects(asking, (error) => {
        assert.ok(error instanceof OpenAI.BadRequestError);
        assert.deepEqual([error.param, error.code], ['dimensions', 'invalid_value']);
        return true;
      });
    });
  });

  describe('lists models', () => {
    test('as a page that can be walked through', async () => {
      const ids: string[] = [];
      for await (const model of client.models.list()) {
        assert.equal(model.object, 'model');
        assert.equal(model.owned_by, 'tane');
        assert.ok(Number.isInteger(model.created));
        ids.push(model.id);
      }
      const served = [MODEL.assistant, MODEL.encoder, MODEL.oddlyNamed, MODEL.rambler];
      assert.deepEqual(ids.sort(), [...served].sort());
    });

    test('and finds one of them, whatever its name', async () => {
      for (const name of [MODEL.assistant, MODEL.oddlyNamed]) {
        const { id, object } = await client.models.retrieve(name);
        assert.deepEqual([id, object], [name, 'model']);
      }
    });

    test('and learns that one is not there', async () => {
      const asking = client.models.retrieve('nobody');
      await assert.rejects(asking, (error) => {
        assert.ok(error instanceof OpenAI.NotFoundError);
        assert.equal(error.code, 'model_not_found');
        return true;
      });
    });
  });
});
