/** The promise that nothing leaves this machine: which sockets the server and its engine have. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { hasProc, networkSockets, type Socket } from '../helpers/proc.js';
import { makeHome, startServer, type TestServer } from '../helpers/server.js';
import { pause } from '../helpers/waiting.js';
import { chatBody, chunksOf, openStream, streamChat } from '../helpers/wire.js';

const LOOPBACK = '0100007F';

describe('The network', { skip: !hasProc && 'needs /proc' }, () => {
  test('sees one listener and connections to it, before, during and after a chat', async (t) => {
    const server = await startServer(t);
    const seen: Socket[] = [];
    let watching = true;
    const watcher = (async () => {
      while (watching) {
        seen.push(...networkSockets(server.pid));
        await pause(5);
      }
    })();
    let engine = 0;
    try {
      const reply = await openStream(server, chatBody('hoshikage-guide', 'Hello'));
      for await (const _ of chunksOf(reply)) {
        if (engine === 0) engine = (await server.status()).model?.pid ?? 0;
        if (engine > 0) assert.deepEqual(networkSockets(engine), []);
      }
      assert.ok(engine > 0);
      assert.deepEqual(networkSockets(engine), []);
    } finally {
      watching = false;
      await watcher;
    }
    checkSockets(server, seen);
    checkSockets(server, networkSockets(server.pid));
  });

  test('is never called: no process of ours connects, sends or binds elsewhere', {
    skip: spawnSync('strace', ['-V']).status !== 0 && 'needs strace',
  }, async (t) => {
    const home = makeHome(t);
    const trace = join(home.root, 'trace');
    const calls = 'trace=connect,bind,sendto,sendmsg,sendmmsg';
    const under = ['strace', '-f', '-qq', '-e', calls, '-e', 'signal=none', '-o', trace];
    const server = await startServer(t, { home, under });
    const { done } = await streamChat(server, chatBody('hoshikage-guide', 'Hello'));
    assert.equal(done, true);
    await server.stop();
    const lines = readFileSync(trace, 'utf8')
      .split('\n')
      .filter((line) => /AF_INET/.test(line));
    assert.equal(lines.length, 1, lines.join('\n'));
    assert.match(lines[0] ?? '', /bind\(.*sin_addr=inet_addr\("127\.0\.0\.1"\)/);
  });
});

function checkSockets(server: TestServer, sockets: readonly Socket[]): void {
  const own = `${LOOPBACK}:${server.port}`;
  assert.ok(
    sockets.some(({ state, local }) => state === 'listen' && local === own),
    'no listener',
  );
  for (const { protocol, state, local, remote } of sockets) {
    const line = `${protocol} ${state} ${local} ${remote}`;
    assert.equal(protocol, 'tcp', line);
    assert.equal(local, own, line);
    if (state !== 'listen') assert.ok(remote.startsWith(`${LOOPBACK}:`), line);
  }
}
