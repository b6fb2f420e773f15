/** One GET with its redirects: who is followed where, and who is given the key. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo, LookupFunction } from 'node:net';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { discard, Unfollowed, Web, type WebOptions } from '../../src/web/web.js';

/** Names as a resolver that a test plays knows them. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  // To these tests 127.0.0.1 is a host outside and 127.0.0.66 one inside, so that both can be reached.
  'outside.example': ['127.0.0.1'],
  'inside.example': ['127.0.0.66'],
  'both.example': ['127.0.0.1', '127.0.0.66'],
};

const lookup: LookupFunction = (hostname, { all }, callback) => {
  const found = (NAMES[hostname] ?? []).map((address) => ({ address, family: 4 }));
  const [first] = found;
  if (!first) callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), []);
  else if (all) callback(null, found);
  else callback(null, first.address, 4);
};

function web(context: TestContext, more: Partial<WebOptions> = {}): Web {
  const made = new Web({
    ...{ httpProxy: '', httpsProxy: '', noProxy: '', silenceMs: 5000, lookup },
    isPrivate: (address) => address === '127.0.0.66' || address.startsWith('10.'),
    ...more,
  });
  context.after(() => made.close());
  return made;
}

/** Gives the port of a server on all addresses of 127/8. */
async function serve(context: TestContext, answer: RequestListener): Promise<number> {
  const server = createServer(answer);
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function get(from: Web, url: string, authorization?: (url: URL) => string | null) {
  const reply = await from.get(new URL(url), {
    headers: {},
    ...(authorization && { authorization }),
    signal: AbortSignal.timeout(10_000),
  });
  discard(reply);
  return reply;
}

const unfollowed = (words: RegExp) => (error: Error & { cause?: unknown }) => {
  const found = [error, error.cause].find((one) => one instanceof Unfollowed);
  assert.ok(found instanceof Unfollowed, String(error));
  assert.match(found.message, words);
  return true;
};

test('a redirect from a host outside to an address inside is refused before anything is connected', async (t) => {
  let inside = 0;
  let location = '';
  const port = await serve(t, (request, response) => {
    if (request.socket.localAddress === '127.0.0.66') inside += 1;
    if (request.url === '/file') response.writeHead(302, { location }).end();
    else response.writeHead(200).end('reached');
  });
  for (const target of [
    `http://inside.example:${port}/x`,
    `http://both.example:${port}/x`,
    `http://127.0.0.66:${port}/x`,
    `http://10.0.0.1/x`,
    `http://localhost:${port}/x`,
    `http://a.localhost:${port}/x`,
  ]) {
    location = target;
    const asked = get(web(t), `http://outside.example:${port}/file`);
    await assert.rejects(asked, unfollowed(/address of this machine or of a private network/));
  }
  location = `http://outside.example:${port}/x`;
  assert.equal((await get(web(t), `http://outside.example:${port}/file`)).status, 200);
  assert.equal(inside, 0);
});

test('a host inside that the user named may lead to others inside', async (t) => {
  const port = await serve(t, (request, response) => {
    const location = `http://127.0.0.66:${port}/x`;
    if (request.url === '/file') response.writeHead(302, { location }).end();
    else response.writeHead(200).end('reached');
  });
  assert.equal((await get(web(t), `http://inside.example:${port}/file`)).status, 200);
  // From there to the outside and in again is a stranger's word.
  const chain = await serve(t, (request, response) => {
    const out = `http://outside.example:${chain}/out`;
    const location = request.url === '/file' ? out : `http://inside.example:${chain}/x`;
    response.writeHead(302, { location }).end();
  });
  await assert.rejects(get(web(t), `http://inside.example:${chain}/file`), unfollowed(/private/));
});

test('a name that means something else at every asking is judged by what is connected to', async (t) => {
  let answers = 0;
  const changing: LookupFunction = (hostname, options, callback) => {
    if (hostname !== 'changing.example') return lookup(hostname, options, callback);
    answers += 1;
    return lookup(answers === 1 ? 'outside.example' : 'inside.example', options, callback);
  };
  const port = await serve(t, (_, response) => {
    // Each hop wants a connection of its own, so the name is looked up anew.
    const headers = { location: `http://changing.example:${port}/again`, connection: 'close' };
    response.writeHead(302, headers).end();
  });
  const asked = get(web(t, { lookup: changing }), `http://changing.example:${port}/file`);
  await assert.rejects(asked, unfollowed(/changing\.example/));
  assert.equal(answers, 2);
});

test('through a proxy, redirects to addresses inside are refused all the same', async (t) => {
  const tunnels: string[] = [];
  const proxy = createServer();
  proxy.on('connect', (request, client: Socket) => {
    tunnels.push(request.url ?? '');
    const target = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      target.pipe(client).pipe(target);
    });
    target.on('error', () => client.destroy());
    client.on('error', () => target.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  let location = 'http://10.0.0.1/latest';
  const port = await serve(t, (request, response) => {
    if (request.url === '/file') response.writeHead(302, { location }).end();
    else response.writeHead(200).end('reached');
  });
  const httpProxy = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const through = web(t, { httpProxy, httpsProxy: httpProxy });
  assert.equal((await get(through, 'http://hub.example/ok')).status, 200);
  await assert.rejects(get(through, 'http://hub.example/file'), unfollowed(/10\.0\.0\.1/));
  // Names, too, as far as they mean anything here; what only the proxy knows is left to it.
  for (const name of ['inside.example', 'both.example']) {
    location = `http://${name}/x`;
    await assert.rejects(get(through, 'http://hub.example/file'), unfollowed(/example/));
  }
  for (const name of ['outside.example', 'unknown.example']) {
    location = `http://${name}/x`;
    assert.equal((await get(through, 'http://hub.example/file')).status, 200);
  }
  const without = web(t, { httpProxy, noProxy: 'outside.example' });
  assert.equal((await get(without, `http://outside.example:${port}/ok`)).status, 200);
  assert.deepEqual(
    [...new Set(tunnels)],
    ['hub.example:80', 'outside.example:80', 'unknown.example:80'],
  );
});

test('the key goes to the origin it was asked for, and to no other', async (t) => {
  const seen: string[] = [];
  const other = await serve(t, (request, response) => {
    seen.push(`other ${request.headers.authorization}`);
    response.writeHead(200).end('x');
  });
  const port = await serve(t, (request, response) => {
    seen.push(`${request.url} ${request.headers.authorization}`);
    const location = request.url === '/first' ? '/second' : `http://127.0.0.1:${other}/x`;
    response.writeHead(307, { location }).end();
  });
  const key = () => 'Bearer secret';
  const reply = await get(web(t), `http://127.0.0.1:${port}/first`, key);
  assert.deepEqual(seen, ['/first Bearer secret', '/second Bearer secret', 'other undefined']);
  assert.equal(reply.url.href, `http://127.0.0.1:${other}/x`);
});

test('redirects without an end, to no address, or to another kind of one are not followed', async (t) => {
  let location = '/again';
  const port = await serve(t, (_, response) => void response.writeHead(302, { location }).end());
  const url = `http://127.0.0.1:${port}/again`;
  await assert.rejects(get(web(t), url), unfollowed(/more than 5/));
  for (const target of ['file:///etc/passwd', 'ftp://a.example/x', 'http://']) {
    location = target;
    await assert.rejects(get(web(t), url), unfollowed(/cannot be trusted/));
  }
});

test('a server that says nothing is given up', async (t) => {
  const port = await serve(t, () => {});
  const asked = get(web(t, { silenceMs: 50 }), `http://127.0.0.1:${port}/`);
  await assert.rejects(asked, { code: 'UND_ERR_HEADERS_TIMEOUT' });
});
