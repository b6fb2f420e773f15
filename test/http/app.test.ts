import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { ROUTES } from '../../src/http/app.js';
import { errorOf, fakeApp, renderer } from '../helpers/fake-app.js';

after(() => renderer.close());

describe('app: while the rooms are being built', () => {
  it('what is known of the server is answered; what needs a room waits for it', async () => {
    const events: string[] = [];
    let open = (): void => {};
    const opening = new Promise<void>((resolve) => {
      open = resolve;
    });
    const { ask } = fakeApp({ opening });
    const models = (async () => events.push(`models ${(await ask('/v1/models')).status}`))();
    for (const path of ['/health', '/', '/v1/api/version']) {
      events.push(`${path} ${(await ask(path)).status}`);
    }
    open();
    await models;
    assert.deepEqual(events, ['/health 200', '/ 200', '/v1/api/version 200', 'models 200']);
  });

  it('a start that fails is the answer to whoever waited', async () => {
    const broken = new HoshikageError('map_broken', { path: '/map', reason: 'not JSON' });
    const { ask } = fakeApp({ opening: Promise.reject(broken) });
    assert.equal((await errorOf(await ask('/v1/models'))).code, 'map_broken');
    assert.equal((await ask('/health')).status, 200);
  });
});

describe('app: routes', () => {
  it('GET / says name and version as text', async () => {
    const response = await fakeApp().ask('/');
    assert.equal(response.status, 200);
    assert.equal(await response.text(), '星影 Hoshikage 1.2.3\n');
  });

  it('GET /health and /v1/api/version', async () => {
    const { ask } = fakeApp();
    assert.deepEqual(await (await ask('/health')).json(), { status: 'ok' });
    assert.deepEqual(await (await ask('/v1/api/version')).json(), { version: '1.2.3' });
  });

  it('HEAD answers as GET, without a body', async () => {
    const response = await fakeApp().ask('/health', { method: 'HEAD' });
    assert.equal(response.status, 200);
    assert.equal(await response.text(), '');
  });

  it('an unknown route is 404', async () => {
    const { ask, post } = fakeApp();
    for (const response of [await ask('/v1/nothing'), await post('/v1/nothing', {})]) {
      assert.equal(response.status, 404);
      assert.equal((await errorOf(response)).code, 'route_not_found');
    }
  });

  it('a path counts as it was sent', async () => {
    const { ask } = fakeApp();
    assert.equal((await errorOf(await ask('/v1/%6dodels/m'))).code, 'route_not_found');
    const broken = await ask('/v1/models/a%0D%0Ab');
    assert.equal(broken.status, 404);
    assert.equal((await errorOf(broken)).code, 'model_not_found');
  });

  it('a wrong method is 405 and names the right ones', async () => {
    const { ask } = fakeApp();
    const response = await ask('/v1/chat/completions');
    assert.equal(response.status, 405);
    assert.equal(response.headers.get('allow'), 'POST, OPTIONS');
    assert.equal((await errorOf(response)).code, 'method_not_allowed');
    const models = await ask('/v1/models/a/b', { method: 'DELETE' });
    assert.equal(models.headers.get('allow'), 'GET, HEAD, OPTIONS');
  });

  it('OPTIONS names the methods of a path', async () => {
    const response = await fakeApp().ask('/v1/models', { method: 'OPTIONS' });
    assert.equal(response.status, 204);
    assert.equal(response.headers.get('allow'), 'GET, HEAD, OPTIONS');
  });

  it('the table of routes is what documents are held against', () => {
    const rows = ROUTES.map(({ method, path }) => `${method} ${path}`);
    assert.ok(rows.includes('POST /v1/chat/completions'));
    assert.ok(rows.includes('DELETE /admin/models/{id}'));
    assert.equal(new Set(rows).size, rows.length);
  });
});

describe('app: request ids', () => {
  it('every answer has one, errors and streams included', async () => {
    const { ask, chat } = fakeApp();
    const answers = [await ask('/health'), await ask('/nothing'), await chat({ stream: true })];
    for (const response of answers) {
      assert.match(response.headers.get('x-request-id') ?? '', /^req-[\w-]+$/);
      await response.text();
    }
  });

  it('a client may give its own, if it is harmless', async () => {
    const { ask } = fakeApp();
    const own = await ask('/health', { headers: { 'x-request-id': 'abc-1' } });
    assert.equal(own.headers.get('x-request-id'), 'abc-1');
    const odd = await ask('/health', { headers: { 'x-request-id': '<script>' } });
    assert.match(odd.headers.get('x-request-id') ?? '', /^req-/);
  });
});

describe('app: bodies', () => {
  const small = { MAX_BODY_BYTES: '1024' };
  const long = JSON.stringify({ model: 'm', messages: [], user: 'x'.repeat(2000) });

  it('are JSON by their type, else 415', async () => {
    const { ask } = fakeApp();
    for (const type of ['text/plain', 'application/jsonx', '']) {
      const response = await ask('/v1/chat/completions', {
        method: 'POST',
        headers: { 'content-type': type },
        body: '{}',
      });
      assert.equal(response.status, 415);
      assert.equal((await errorOf(response)).code, 'unsupported_media_type');
    }
  });

  it('may name a charset', async () => {
    const response = await fakeApp().post('/v1/chat/completions', '{}', {
      'content-type': 'application/json; charset=utf-8',
    });
    assert.equal((await errorOf(response)).code, 'missing_required_parameter');
  });

  it('are 400 when they are not valid JSON, and what they say is not repeated', async () => {
    const { post, lines } = fakeApp();
    for (const body of ['', '{"secret":', 'secret', '{"secret": 1,}']) {
      const response = await post('/v1/chat/completions', body);
      const text = await response.text();
      assert.equal(response.status, 400);
      assert.equal(JSON.parse(text).error.code, 'invalid_json');
      assert.ok(!text.includes('secret'));
    }
    assert.ok(!JSON.stringify(lines).includes('secret'));
  });

  it('are 400 when they are not UTF-8, whole or in pieces', async () => {
    const bytes = Buffer.from(
      '{"model":"m","messages":[{"role":"user","content":"\u0083\u0082"}]}',
      'latin1',
    );
    for (const headers of [{ 'content-length': String(bytes.length) }, {}]) {
      const response = await fakeApp().ask('/v1/chat/completions', {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: bytes,
      });
      assert.equal(response.status, 400);
      assert.match((await errorOf(response)).message, /UTF-8 ではありません \/ .*not UTF-8/);
    }
  });

  it('are 413 when they are too long by their own account', async () => {
    const response = await fakeApp({ settings: small }).post('/v1/chat/completions', long, {
      'content-length': String(long.length),
    });
    assert.equal(response.status, 413);
    assert.equal((await errorOf(response)).code, 'body_too_large');
  });

  it('are 413 when they come in pieces and get too long', async () => {
    let pulled = 0;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        pulled += 1;
        controller.enqueue(new Uint8Array(500).fill(0x20));
      },
    });
    const request = new Request('http://localhost/v1/chat/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      // Node wants this said for a streamed body; the DOM's types do not know it.
      ...{ duplex: 'half' },
    });
    const response = await fakeApp({ settings: small }).app.request(request);
    assert.equal(response.status, 413);
    assert.ok(pulled < 10);
  });
});

describe('app: errors', () => {
  it("have OpenAI's shape: four keys, Japanese and English on one line", async () => {
    const response = await fakeApp().chat({ model: 'x' });
    assert.equal(response.status, 404);
    assert.deepEqual(await response.json(), {
      error: {
        message:
          'モデルが見つかりません: x。登録済みの名前は npx hoshikage list で分かります / Model not found: x; npx hoshikage list shows the registered names',
        type: 'invalid_request_error',
        param: 'model',
        code: 'model_not_found',
      },
    });
  });

  it('say with Retry-After when trying again may help', async () => {
    const { chat, pool } = fakeApp();
    pool.refusal = new HoshikageError('queue_full', { limit: 64 });
    const response = await chat();
    assert.equal(response.status, 503);
    assert.equal(response.headers.get('retry-after'), '5');
  });

  it('that nobody foresaw are 500 and show nothing; their cause is in the log', async () => {
    const { ask, library, lines } = fakeApp();
    library.status = () => {
      throw new Error('inner secret');
    };
    const response = await ask('/v1/status');
    const text = await response.text();
    assert.equal(response.status, 500);
    assert.equal(JSON.parse(text).error.code, 'internal_error');
    assert.ok(!text.includes('secret'));
    const line = lines.find(({ level }) => level === 'error');
    assert.ok(line?.fields.cause instanceof Error);
    assert.equal(line.fields.cause.message, 'inner secret');
    assert.equal(line.fields.request, response.headers.get('x-request-id'));
  });
});

describe('app: the log', () => {
  it('has one line per request, with no word of the conversation', async () => {
    const { chat, lines } = fakeApp();
    const content = 'a secret question';
    await (await chat({ messages: [{ role: 'user', content }] })).text();
    assert.equal(lines.length, 1);
    const { level, message, fields } = lines[0] ?? assert.fail();
    assert.deepEqual([level, message], ['info', 'request']);
    assert.equal(fields.method, 'POST');
    assert.equal(fields.path, '/v1/chat/completions');
    assert.equal(fields.status, 200);
    assert.equal(fields.model, 'm');
    assert.equal(typeof fields.ms, 'number');
    assert.match(String(fields.request), /^req-/);
    assert.ok(!JSON.stringify(lines).includes('secret'));
  });

  it("has a stream's line when the stream has ended", async () => {
    const { chat, lines } = fakeApp();
    const response = await chat({ stream: true });
    assert.equal(lines.length, 0);
    await response.text();
    assert.equal(lines.length, 1);
  });

  it('shows a path as it was sent, on one line', async () => {
    const { ask, lines } = fakeApp();
    await ask('/v1/models/a%0Ab');
    assert.equal(lines[0]?.fields.path, '/v1/models/a%0Ab');
  });

  it('names what was refused by code and field', async () => {
    const { chat, lines } = fakeApp();
    await chat({ temperature: 9 });
    const warning = lines.find(({ level }) => level === 'warn');
    assert.equal(warning?.fields.code, 'invalid_value');
    assert.equal(warning?.fields.param, 'temperature');
  });
});
