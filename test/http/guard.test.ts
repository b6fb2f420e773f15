import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { ADMIN, errorOf, fakeApp, renderer } from '../helpers/fake-app.js';

after(() => renderer.close());

const KEY = { API_KEY: 'key-123456' };
const OTHER = 'https://evil.example';
const NAMED = 'https://page.example';

/** Status of a GET with these headers. */
async function get(
  settings: Record<string, string>,
  headers: Record<string, string>,
  path = '/v1/models',
): Promise<number> {
  return (await fakeApp({ settings }).ask(path, { headers })).status;
}

describe('guard: Host', () => {
  it('passes loopback names on a loopback address, with any port', async () => {
    for (const host of ['localhost:3030', '127.0.0.1', '127.1.2.3:80', '[::1]:3030', 'LOCALHOST']) {
      assert.equal(await get({}, { host }), 200, host);
    }
  });

  it('refuses any other name there, on every route', async () => {
    for (const path of ['/v1/models', '/health', '/nothing']) {
      assert.equal(await get({}, { host: 'evil.example' }, path), 403, path);
    }
    const response = await fakeApp().ask('/', { headers: { host: 'localhost.evil.example' } });
    assert.equal((await errorOf(response)).code, 'host_not_allowed');
  });

  it('passes ALLOWED_HOSTS', async () => {
    const settings = { ALLOWED_HOSTS: 'ai.home' };
    assert.equal(await get(settings, { host: 'ai.home:3030' }), 200);
    assert.equal(await get(settings, { host: 'other.home' }), 403);
  });

  it('passes every name on an address that others can reach', async () => {
    assert.equal(await get({ HOST: '0.0.0.0', ...KEY }, { host: 'ai.home' }, '/health'), 200);
  });
});

describe('guard: Origin', () => {
  it('lets a foreign page change nothing', async () => {
    const response = await fakeApp().post('/v1/chat/completions', {}, { origin: OTHER });
    assert.equal(response.status, 403);
    assert.equal((await errorOf(response)).code, 'origin_not_allowed');
    assert.equal(response.headers.get('access-control-allow-origin'), null);
    const none = await fakeApp().post('/v1/chat/completions', {}, { origin: 'null' });
    assert.equal(none.status, 403);
  });

  it('lets a foreign page ask, but gives its browser no leave to show the answer', async () => {
    const response = await fakeApp().ask('/v1/models', { headers: { origin: OTHER } });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('access-control-allow-origin'), null);
  });

  it('keeps foreign pages out of /admin altogether', async () => {
    assert.equal(await get({}, { ...ADMIN, origin: OTHER }, '/admin/models'), 403);
  });

  it('takes a page of its own for no stranger', async () => {
    const own = { host: 'localhost:3030', origin: 'http://localhost:3030' };
    assert.equal((await fakeApp().post('/v1/chat/completions', {}, own)).status, 400);
  });

  it('refuses the preflight of a page that is not named', async () => {
    const response = await fakeApp().ask('/v1/chat/completions', {
      method: 'OPTIONS',
      headers: { origin: OTHER, 'access-control-request-method': 'POST' },
    });
    assert.equal(response.status, 403);
  });

  it('answers the preflight of a named page, without a key', async () => {
    const { ask } = fakeApp({ settings: { ...KEY, CORS_ORIGINS: NAMED } });
    const response = await ask('/v1/chat/completions', {
      method: 'OPTIONS',
      headers: {
        origin: NAMED,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
      },
    });
    assert.equal(response.status, 204);
    assert.equal(response.headers.get('access-control-allow-origin'), NAMED);
    assert.match(response.headers.get('access-control-allow-headers') ?? '', /authorization/);
  });

  it('lets a named page chat and read the answer, errors included', async () => {
    const settings = { CORS_ORIGINS: NAMED };
    const chat = { model: 'm', messages: [{ role: 'user', content: 'a' }], stream: true };
    for (const body of [chat, {}]) {
      const { post } = fakeApp({ settings });
      const response = await post('/v1/chat/completions', body, { origin: NAMED });
      assert.equal(response.status, body === chat ? 200 : 400);
      assert.equal(response.headers.get('access-control-allow-origin'), NAMED);
      assert.match(response.headers.get('access-control-expose-headers') ?? '', /x-request-id/);
      await response.text();
    }
  });

  it('with CORS_ORIGINS=* every page may', async () => {
    const { post } = fakeApp({ settings: { CORS_ORIGINS: '*' } });
    assert.equal((await post('/v1/chat/completions', {}, { origin: OTHER })).status, 400);
  });
});

describe('guard: API_KEY', () => {
  const right = { authorization: 'Bearer key-123456' };

  it('is wanted by every route but / and /health', async () => {
    for (const path of ['/v1/models', '/v1/status', '/v1/api/version', '/nothing']) {
      assert.equal(await get(KEY, {}, path), 401, path);
    }
    for (const path of ['/', '/health']) assert.equal(await get(KEY, {}, path), 200, path);
    assert.equal(await get(KEY, right), 200);
  });

  it('refuses a wrong, a malformed and a missing one alike, in our error shape', async () => {
    for (const authorization of ['Bearer wrong', 'Basic abc', 'Bearer', 'Bearer key-1234567']) {
      const response = await fakeApp({ settings: KEY }).ask('/v1/models', {
        headers: { authorization },
      });
      assert.equal(response.status, 401, authorization);
      assert.equal((await errorOf(response)).code, 'invalid_api_key');
      assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer/);
      assert.match(response.headers.get('x-request-id') ?? '', /^req-/);
    }
  });

  it('is not asked for where none is set, and one that is sent does no harm', async () => {
    assert.equal(await get({}, { authorization: 'Bearer dummy' }), 200);
  });
});

describe('guard: /admin', () => {
  it('opens with the token of run.json or with the API key', async () => {
    assert.equal(await get({}, ADMIN, '/admin/models'), 200);
    assert.equal(await get(KEY, ADMIN, '/admin/models'), 200);
    const key = { authorization: 'Bearer key-123456' };
    assert.equal(await get(KEY, key, '/admin/models'), 200);
  });

  it('is closed otherwise, also where no key is set', async () => {
    assert.equal(await get({}, {}, '/admin/models'), 403);
    const response = await fakeApp().ask('/admin/unload', {
      method: 'POST',
      headers: { authorization: 'Bearer wrong' },
    });
    assert.equal(response.status, 403);
    assert.equal((await errorOf(response)).code, 'admin_not_allowed');
  });
});

describe('guard: the log', () => {
  it('says by its code why a request was turned away', async () => {
    const { ask, lines } = fakeApp({ settings: KEY });
    await ask('/v1/models', { headers: { authorization: 'Bearer wrong' } });
    await ask('/admin/models');
    const codes = lines.map(({ fields }) => fields.code).filter((code) => code !== undefined);
    assert.deepEqual(codes, ['invalid_api_key', 'admin_not_allowed']);
  });
});
