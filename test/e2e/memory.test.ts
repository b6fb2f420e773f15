/** A model that no machine has the memory for, beside one that works: refused, and nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomModel, TEXT, talker } from '../helpers/models.js';
import { makeHome, type ServerStatus, startServer, type TestServer } from '../helpers/server.js';
import { chatBody, getJson } from '../helpers/wire.js';

/** What there is of it in a status and an answer. */
interface Refused {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly needed_bytes: number;
  };
}

const greeting = { temperature: 0, max_tokens: 200 };

async function ask(server: TestServer, model: string, more: object = greeting) {
  const json = chatBody(model, 'こんにちは', more);
  return getJson(`${server.url}/v1/chat/completions`, { json });
}

type Estimated = NonNullable<ServerStatus['model']> & {
  readonly memory_estimate: { readonly weights: number; readonly kv: number };
};

test('a model that cannot fit is refused before anything goes for it', async (context) => {
  // 16 KiB of cache for a token, times 2^24 tokens: 256 GiB, of a file of 9 MB.
  const file = await randomModel({
    embedding: 512,
    layers: 8,
    heads: 8,
    kvHeads: 8,
    feedForward: 32,
    contextLength: 2 ** 24,
    commonWords: false,
    type: 'q8_0',
  });
  const home = makeHome(context);
  home.writeMap({
    talker: await talker(),
    huge: { file, n_ctx: 2 ** 24 },
    modest: { file, n_ctx: 2048 },
  });
  const server = await startServer(context, { home, env: { N_SLOTS: '4' } });

  assert.equal((await ask(server, 'talker')).status, 200);
  const before = (await server.status()).model;
  assert.ok(before?.pid);

  // More often than a model may crash, since it is none.
  for (let round = 0; round < 4; round++) {
    const { status, body } = await ask(server, 'huge');
    const { error } = body as Refused; // its fields are asserted
    assert.equal(status, 503, error.message);
    assert.equal(error.code, 'memory_short');
    // Exactly the cache, and something for the rest.
    assert.ok(error.needed_bytes > 2 ** 40 && error.needed_bytes < 2 ** 40 + 2 ** 28);
    assert.match(error.message, /huge には.*足りません.*N_CTX.*以下にすると入ります/);
    assert.match(error.message, /huge needs [\d.]+ [GT]iB more memory than there is/);
  }
  const after = (await server.status()).model;
  assert.equal(after?.id, 'talker');
  assert.equal(after?.pid, before.pid);
  assert.equal(after?.state, 'ready');

  const again = await ask(server, 'talker');
  assert.match(JSON.stringify(again.body), new RegExp(TEXT.greeting.slice(0, 8)));

  const fits = await ask(server, 'modest', { ...greeting, max_tokens: 4 });
  assert.equal(fits.status, 200);
  const model = (await server.status()).model as Estimated; // its fields are asserted
  assert.equal(model.memory_estimate.kv, 4 * 2048 * 16 * 1024);
  assert.ok(model.memory_estimate.weights > 2 ** 20);
});
