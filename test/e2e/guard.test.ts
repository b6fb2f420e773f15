/** What the server lets in: key, Host, Origin, methods, types and sizes. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { talker } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { makeHome, startServer, type TestServer } from '../helpers/server.js';
import { type Ask, ask, chatBody, type ErrorBody, getJson, textOf } from '../helpers/wire.js';

const KEY = 'correct-horse-battery-staple';

async function errorOf(url: string, what: Ask): Promise<{ status: number; error: ErrorBody }> {
  const { status, body } = await getJson(url, what);
  const { error } = body as { error: ErrorBody };
  assert.deepEqual(Object.keys(error).sort(), ['code', 'message', 'param', 'type']);
  return { status, error };
}

describe('Without a key', () => {
  const owner = suiteOwner();
  let server: TestServer;
  let chatUrl: string;

  before(async () => {
    const home = makeHome(owner);
    home.writeMap({ talker: await talker() });
    server = await startServer(owner, { home, env: { MAX_BODY_BYTES: '4096' } });
    chatUrl = `${server.url}/v1/chat/completions`;
  });

  test('a foreign Host is refused', async () => {
    const headers = { host: 'evil.example' };
    const { status, error } = await errorOf(`${server.url}/v1/models`, { headers });
    assert.equal(status, 403);
    assert.equal(error.code, 'host_not_allowed');
    const fine = await ask(`${server.url}/v1/models`, {
      headers: { host: `localhost:${server.port}` },
    });
    assert.equal(fine.status, 200);
  });

  test('a foreign Origin may change nothing', async () => {
    const headers = { origin: 'https://evil.example' };
    const { status, error } = await errorOf(chatUrl, { headers, json: chatBody('talker', 'x') });
    assert.equal(status, 403);
    assert.equal(error.code, 'origin_not_allowed');
  });

  test('the admin API wants the token of run.json', async () => {
    const url = `${server.url}/admin/models`;
    assert.equal((await errorOf(url, {})).error.code, 'admin_not_allowed');
    const headers = { authorization: `Bearer ${server.run.token}` };
    assert.equal((await getJson(url, { headers })).status, 200);
    const foreign = { ...headers, origin: 'https://evil.example' };
    const { status } = await errorOf(url, {
      headers: foreign,
      json: { name: 'x', path: '/x.gguf' },
    });
    assert.equal(status, 403);
  });

  test('a wrong method is 405 and says which are right', async () => {
    const { status, headers, body } = await getJson(chatUrl);
    assert.equal(status, 405);
    assert.match(String(headers.allow), /POST/);
    assert.equal((body as { error: ErrorBody }).error.code, 'method_not_allowed');
  });

  test('an unknown route is 404', async () => {
    const { status, error } = await errorOf(`${server.url}/v2/nothing`, {});
    assert.equal(status, 404);
    assert.equal(error.code, 'route_not_found');
  });

  test('a body that is not JSON is 415, broken JSON 400', async () => {
    const text = JSON.stringify(chatBody('talker', 'x'));
    const plain = { body: text, headers: { 'content-type': 'text/plain' } };
    assert.equal((await errorOf(chatUrl, plain)).status, 415);
    const broken = { body: text.slice(1), headers: { 'content-type': 'application/json' } };
    const { status, error } = await errorOf(chatUrl, broken);
    assert.equal(status, 400);
    assert.equal(error.code, 'invalid_json');
  });

  test('a body over the limit is 413', async () => {
    const json = chatBody('talker', 'x'.repeat(5000));
    const { status, error } = await errorOf(chatUrl, { json });
    assert.equal(status, 413);
    assert.equal(error.code, 'body_too_large');
  });

  test('every answer has a request id of its own', async () => {
    const ids = await Promise.all(
      ['/health', '/v1/status', '/nowhere'].map(
        async (path) => (await ask(server.url + path)).headers['x-request-id'],
      ),
    );
    for (const id of ids) assert.match(String(id), /^req-/);
    assert.equal(new Set(ids).size, 3);
  });
});

describe('With a key', () => {
  const owner = suiteOwner();
  let server: TestServer;

  before(async () => {
    const home = makeHome(owner);
    home.writeMap({ talker: await talker() });
    server = await startServer(owner, { home, env: { API_KEY: KEY } });
  });

  test('only /health and / answer without it', async () => {
    for (const path of ['/health', '/']) assert.equal((await ask(server.url + path)).status, 200);
    for (const path of ['/v1/models', '/v1/status', '/v1/api/version', '/none']) {
      const { status, error } = await errorOf(server.url + path, {});
      assert.equal(status, 401, path);
      assert.equal(error.code, 'invalid_api_key');
    }
    assert.equal((await errorOf(`${server.url}/admin/models`, {})).status, 403);
    const json = chatBody('talker', 'x');
    const headers = { authorization: 'Bearer wrong' };
    const wrong = await errorOf(`${server.url}/v1/chat/completions`, { json, headers });
    assert.equal(wrong.status, 401);
  });

  test('it opens everything, the admin API too', async () => {
    const headers = { authorization: `Bearer ${KEY}` };
    for (const path of ['/v1/models', '/v1/status', '/admin/models']) {
      assert.equal((await ask(server.url + path, { headers })).status, 200, path);
    }
    const json = chatBody('talker', '設定', { max_tokens: 2 });
    const reply = await ask(`${server.url}/v1/chat/completions`, { json, headers });
    assert.equal(reply.status, 200, await textOf(reply));
  });

  test('the token of run.json opens the admin API only', async () => {
    const headers = { authorization: `Bearer ${server.run.token}` };
    assert.equal((await ask(`${server.url}/admin/models`, { headers })).status, 200);
    assert.equal((await ask(`${server.url}/v1/models`, { headers })).status, 401);
  });
});
