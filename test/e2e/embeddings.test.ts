/** Vectors and tokens over the wire: an OpenAI client, an encoder beside a chat model. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { writeEncoder } from '../helpers/encoder-model.js';
import { listen } from '../helpers/feed.js';
import { madeModel, rambler, TEXT, talker } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { makeHome, startServer, type TestServer } from '../helpers/server.js';
import { chatBody, chunksOf, getJson, openStream } from '../helpers/wire.js';

/** llama_pooling_type: the mean over a text's tokens. */
const MEAN = 1;

const encoder = () => madeModel(['encoder', MEAN], (path) => writeEncoder(path, MEAN));

const dot = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);

describe('With an encoder and a chat model', () => {
  const owner = suiteOwner();
  let server: TestServer;
  let client: OpenAI;

  before(async () => {
    const home = makeHome(owner);
    home.writeMap({ encoder: await encoder(), talker: await talker() });
    server = await startServer(owner, { home });
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });

  const embed = async (input: string | string[] | number[], more: object = {}) => {
    const { data, usage } = await client.embeddings.create({ model: 'encoder', input, ...more });
    return { vectors: data.map(({ embedding }) => embedding), usage };
  };

  test('an OpenAI client gets the same vectors of length 1 as floats and as base64', async () => {
    const input = ['star shadow', 'light'];
    const floats = await embed(input, { encoding_format: 'float' });
    // What the client asks for by itself, and decodes by itself.
    const usual = await embed(input);
    assert.deepEqual(
      floats.vectors.map((vector) => vector.map(Math.fround)),
      usual.vectors,
    );
    for (const vector of usual.vectors) {
      assert.equal(vector.length, 64);
      assert.ok(Math.abs(dot(vector, vector) - 1) < 1e-5);
    }
    assert.ok(usual.usage.prompt_tokens >= 6);
    assert.equal(usual.usage.total_tokens, usual.usage.prompt_tokens);
  });

  test('equal texts are equal, in a list or alone; others are not', async () => {
    const { vectors } = await embed(['star', 'light shadow', 'star']);
    const [first = [], other = [], again = []] = vectors;
    const [alone = []] = (await embed('star')).vectors;
    assert.ok(dot(first, again) > 0.99999);
    assert.ok(dot(first, alone) > 0.99999);
    assert.ok(dot(first, other) < 0.999);
  });

  test('tokens say the same as their text', async () => {
    const asked = { json: { model: 'encoder', content: 'star shadow', add_special: true } };
    const { body } = await getJson(`${server.url}/tokenize`, asked);
    const { tokens } = body as { tokens: number[] };
    const [byText = []] = (await embed('star shadow')).vectors;
    const [byTokens = []] = (await embed(tokens)).vectors;
    assert.deepEqual(byTokens, byText);
  });

  test('dimensions cut a vector and make it of length 1 again', async () => {
    const [whole = []] = (await embed('star')).vectors;
    const [cut = []] = (await embed('star', { dimensions: 3 })).vectors;
    assert.equal(cut.length, 3);
    const length = Math.hypot(...whole.slice(0, 3));
    for (const [index, value] of cut.entries()) {
      assert.ok(Math.abs(value - (whole[index] ?? 0) / length) < 1e-6);
    }
    await assert.rejects(embed('star', { dimensions: 65 }), { status: 400, param: 'dimensions' });
  });

  test('a text longer than the context is refused, with its numbers', async () => {
    const error = await embed('star '.repeat(2000)).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.deepEqual([error.code, error.param], ['context_length_exceeded', 'input']);
  });

  test('a text goes to tokens and back', async () => {
    const content = '星 <|im_end|> 🎉';
    const json = { model: 'talker', content, with_pieces: true, parse_special: false };
    const { body } = await getJson(`${server.url}/tokenize`, { json });
    const { tokens } = body as { tokens: { id: number; piece: string | number[] }[] };
    const bytes = tokens.map(({ piece }) => Buffer.from(piece as string)); // or an array: either is taken
    assert.equal(Buffer.concat(bytes).toString().trim(), content);
    const ids = tokens.map(({ id }) => id);
    const back = await getJson(`${server.url}/detokenize`, {
      json: { model: 'talker', tokens: ids },
    });
    assert.equal((back.body as { content: string }).content.trim(), content);
  });

  test('retrieval and chat take turns, and neither costs the other its place', async (t) => {
    const feed = await listen(t, server);
    const say = async () => {
      const { choices } = await client.chat.completions.create({
        ...{ model: 'talker', temperature: 0 },
        messages: [{ role: 'user', content: '設定' }],
      });
      assert.equal(choices[0]?.message.content, TEXT.settings);
    };
    await embed('star');
    await say();
    const pids = async () => {
      const { body } = await getJson(`${server.url}/v1/status`);
      const { residents } = body as { residents: { id: string; purpose: string; pid: number }[] };
      return residents.map(({ id, purpose, pid }) => `${id} ${purpose} ${pid}`).sort();
    };
    const before = await pids();
    assert.deepEqual(
      before.map((one) => one.replace(/ \d+$/, '')),
      ['encoder embed', 'talker generate'],
    );
    const started = feed.count('load');
    for (let i = 0; i < 5; i++) await Promise.all([embed('star shadow'), say()]);
    assert.deepEqual(await pids(), before);
    assert.deepEqual([feed.count('load'), feed.count('unload')], [started, 0]);
  });

  test('a chat with the encoder, and what is not there, are the mistake of who asked', async () => {
    const messages = [{ role: 'user' as const, content: 'star' }];
    const chat = client.chat.completions.create({ model: 'encoder', messages });
    await assert.rejects(chat, { status: 400, code: 'model_not_generative' });
    const gone = client.embeddings.create({ model: 'nobody', input: 'star' });
    await assert.rejects(gone, { status: 404, code: 'model_not_found' });
  });
});

describe('With one slot that is taken', () => {
  test('vectors and tokens of the same model come all the same', async (t) => {
    const home = makeHome(t);
    home.writeMap({ rambler: await rambler() });
    const server = await startServer(t, { home, env: { N_SLOTS: '1' } });
    const chunks = chunksOf(await openStream(server, chatBody('rambler', '話して')));
    await chunks.next();
    const vectors = await getJson(`${server.url}/v1/embeddings`, {
      json: { model: 'rambler', input: '短く', dimensions: 4 },
    });
    assert.equal(vectors.status, 200);
    const tokens = await getJson(`${server.url}/tokenize`, { json: { content: '短く' } });
    assert.equal(tokens.status, 200);
    assert.equal((await server.status()).model?.active, 1);
    assert.equal((await chunks.next()).done, false);
    await chunks.return(undefined);
  });
});
