/** How commands find the running server and what they do when it is not what they hoped for. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  ask,
  askOnce,
  findServer,
  findStopping,
  type RunningServer,
} from '../../cli/admin-client.js';
import { Refusal } from '../../cli/fail.js';
import { commandUser } from '../helpers/command.js';
import { answer, error, fakeServer, writeRunFile } from '../helpers/fake-admin.js';
import { until, within } from '../helpers/waiting.js';

/** The id of a process that has ended. */
async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' });
  await once(child, 'exit');
  return child.pid ?? assert.fail('the process did not start');
}

describe('a command with a running server', { concurrency: 2 }, () => {
  it('asks it on the port and with the token of run.json, and leaves the map to it', async (context) => {
    const user = commandUser(context);
    const path = user.model('m.gguf');
    const server = await fakeServer(context, (_, response) =>
      answer(response, 200, { success: true }),
    );
    writeRunFile(user, server);
    const added = await user.run(['add', 'm.gguf', '星/影 %', 'stop']);
    const removed = await user.run(['rm', '星/影 %']);
    assert.deepEqual([added.code, removed.code], [0, 0], added.stderr + removed.stderr);
    const [post, remove] = server.seen;
    assert.deepEqual(post, {
      method: 'POST',
      url: '/admin/models',
      authorization: 'Bearer a1b2',
      body: { name: '星/影 %', path, stop: ['stop'], force: false },
    });
    assert.equal(remove?.method, 'DELETE');
    assert.equal(remove?.url, `/admin/models/${encodeURIComponent('星/影 %')}`);
    assert.throws(() => readFileSync(user.mapFile), { code: 'ENOENT' });
  });

  it('never goes through a proxy', async (context) => {
    const user = commandUser(context);
    const server = await fakeServer(context, (_, response) =>
      answer(response, 200, { models: [] }),
    );
    writeRunFile(user, server);
    const proxy = 'http://127.0.0.1:9';
    const env = { http_proxy: proxy, HTTP_PROXY: proxy, ALL_PROXY: proxy, NODE_USE_ENV_PROXY: '1' };
    const { code, stdout } = await user.run(['list', '--json'], env);
    assert.deepEqual([code, stdout.trim(), server.seen.length], [0, '[]', 1]);
  });

  it('shows its refusal and ends with 1', async (context) => {
    const user = commandUser(context);
    user.model('m.gguf');
    const server = await fakeServer(context, (_, response) =>
      answer(response, 409, error('model_exists')),
    );
    writeRunFile(user, server);
    const { code, stderr } = await user.run(['add', 'm.gguf', 'taken']);
    assert.equal(code, 1);
    assert.match(stderr, /The name is taken: taken/);
    assert.equal(server.seen.length, 1);
  });

  it('ends with 2 when it refuses what was asked for, as it does without a server', async (context) => {
    const user = commandUser(context);
    user.model('m.gguf');
    const alone = await user.run(['add', 'm.gguf', ' ']);
    const server = await fakeServer(context, (_, response) =>
      answer(response, 400, error('invalid_value')),
    );
    writeRunFile(user, server);
    const { code, stderr } = await user.run(['add', 'm.gguf', ' ']);
    assert.deepEqual([alone.code, code], [2, 2]);
    assert.match(stderr, /invalid_value ja/);
  });

  it('changes the file itself when the server hangs, and says so', async (context) => {
    const user = commandUser(context);
    user.model('m.gguf');
    const server = await fakeServer(context, () => {});
    writeRunFile(user, server);
    const { code, stderr } = await user.run(['add', 'm.gguf', 'm']);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /does not answer/);
    assert.equal(server.seen.length, 3);
    assert.match(readFileSync(user.mapFile, 'utf8'), /"m"/);
  });

  it('changes the file itself when run.json is left over from one that is gone', async (context) => {
    const user = commandUser(context);
    user.model('m.gguf');
    const server = await fakeServer(context, (_, response) => answer(response, 200, {}));
    writeRunFile(user, { ...server, pid: await deadPid() });
    const { code, stderr } = await user.run(['add', 'm.gguf', 'm']);
    assert.deepEqual([code, stderr, server.seen.length], [0, '', 0]);
    assert.match(readFileSync(user.mapFile, 'utf8'), /"m"/);
  });
});

describe('run.json', () => {
  const find = (context: TestContext, text: string): RunningServer | null => {
    const user = commandUser(context);
    user.writeFile(user.runFile, text);
    return findServer(user);
  };
  const good = { pid: process.pid, host: '127.0.0.1', port: 4000, token: 't' };

  it('that is whole names the server', (context) => {
    assert.deepEqual(find(context, JSON.stringify(good)), good);
  });

  it('of a server on all addresses is asked on the loopback one', (context) => {
    assert.equal(find(context, JSON.stringify({ ...good, host: '0.0.0.0' }))?.host, '127.0.0.1');
    assert.equal(find(context, JSON.stringify({ ...good, host: '::' }))?.host, '::1');
  });

  it('names the one before where the first is gone or stopping', async (context) => {
    const stopping = { pid: process.pid, token: 'u', stopping: { since: Date.now(), grace_ms: 1 } };
    for (const first of [{ ...good, pid: await deadPid(), port: 4001 }, stopping]) {
      assert.deepEqual(find(context, JSON.stringify({ ...first, before: [7, good] })), good);
    }
  });

  it('that is missing, cut short or wrong is no server', (context) => {
    assert.equal(findServer({ runFile: '/nowhere/run.json' }), null);
    assert.equal(find(context, '{"pid":'), null);
    assert.equal(find(context, '[]'), null);
    for (const wrong of [
      { pid: 0 },
      { pid: '1' },
      { port: 70_000 },
      { port: 80.5 },
      { token: 1 },
      { host: null },
    ]) {
      assert.equal(find(context, JSON.stringify({ ...good, ...wrong })), null);
    }
  });
});

describe('run.json', { skip: process.platform === 'win32' }, () => {
  it('that is a pipe, a device or no small file is no server, and keeps nobody waiting', (context) => {
    const { home } = commandUser(context);
    const pipe = join(home, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const large = join(home, 'large');
    writeFileSync(large, `{"pid":1}${' '.repeat(100_000)}`);
    for (const runFile of [pipe, '/dev/zero', home, large]) {
      assert.equal(findServer({ runFile }), null);
      assert.equal(findStopping({ runFile }), null);
    }
  });
});

describe('run.json of a server that is stopping', () => {
  const found = (context: TestContext, sinceMs: number, pid = process.pid) => {
    const user = commandUser(context);
    const stopping = { since: Date.now() - sinceMs, grace_ms: 30_000 };
    user.writeFile(user.runFile, JSON.stringify({ pid, token: 't', stopping }));
    return { server: findServer(user), stopping: findStopping(user) };
  };

  it('names no server to ask, but tells that it is stopping', (context) => {
    const { server, stopping } = found(context, 10_000);
    assert.equal(server, null);
    assert.equal(stopping?.pid, process.pid);
    assert(stopping.leftMs > 10_000 && stopping.leftMs <= 20_000, String(stopping.leftMs));
  });

  it('has no time left once its grace is over, and is another process long after it', (context) => {
    assert.equal(found(context, 40_000).stopping?.leftMs, 0);
    assert.equal(found(context, 200_000).stopping, null);
  });

  it('says nothing of a process that has ended', async (context) => {
    assert.equal(found(context, 0, await deadPid()).stopping, null);
  });
});

describe('a question to the server', { concurrency: true }, () => {
  it('is asked again while the server cannot do it, three times at most', async (context) => {
    let left = 2;
    const server = await fakeServer(context, (_, response) => {
      left -= 1;
      if (left >= 0) answer(response, 503, error('map_locked'));
      else answer(response, 200, { success: true });
    });
    const found = await ask(server, 'POST', '/admin/models', { body: {} });
    assert.equal(found?.status, 200);
    assert.equal(server.seen.length, 3);
  });

  it('fails with the words of the server when it cannot do it for long', async (context) => {
    const server = await fakeServer(context, (_, response) =>
      answer(response, 503, error('map_locked')),
    );
    await assert.rejects(ask(server, 'POST', '/admin/models'), (thrown) => {
      assert(thrown instanceof Refusal);
      assert.equal(thrown.message, 'map_locked ja / map_locked en');
      assert.deepEqual(thrown.words, { ja: 'map_locked ja', en: 'map_locked en' });
      return true;
    });
    assert.equal(server.seen.length, 3);
  });

  it('keeps the languages of a message together where it cannot tell them apart', async (context) => {
    for (const message of ['「a / b」は無理 / no place for "a / b"', 'English only', ' / ']) {
      const server = await fakeServer(context, (_, response) =>
        answer(response, 500, { error: { code: 'state_unwritable', message } }),
      );
      await assert.rejects(ask(server, 'POST', '/admin/models'), { message, words: null });
    }
  });

  it('is not asked again where the server has refused for good', async (context) => {
    for (const [status, code] of [
      [503, 'library_incompatible'],
      [500, 'library_unwritable'],
      [409, 'library_unproved'],
    ] as const) {
      const server = await fakeServer(context, (_, response) =>
        answer(response, status, error(code)),
      );
      await assert.rejects(ask(server, 'POST', '/admin/library'), Refusal);
      assert.equal(server.seen.length, 1, code);
    }
  });

  it('is asked again while the choice of libllama is locked, or a gateway has no answer', async (context) => {
    const answers: readonly (readonly [number, object])[] = [
      [503, error('library_locked')],
      [502, error('bad_gateway')],
      [200, { library: {} }],
    ];
    const server = await fakeServer(context, (_, response) => {
      const [status, body] = answers[server.seen.length - 1] ?? [500, {}];
      answer(response, status, body);
    });
    assert.equal((await ask(server, 'POST', '/admin/library'))?.status, 200);
  });

  it('counts "not found" as done when an earlier try may have removed it', async (context) => {
    const server = await fakeServer(context, (_, response) => {
      if (server.seen.length === 1) response.destroy();
      else answer(response, 404, error('model_not_found'));
    });
    const found = await ask(server, 'DELETE', '/admin/models/m', { details: { model: 'm' } });
    assert.equal(found?.retried, true);
  });

  it('counts "not found" as a failure when it is the first answer', async (context) => {
    const server = await fakeServer(context, (_, response) =>
      answer(response, 404, error('model_not_found')),
    );
    const asked = ask(server, 'DELETE', '/admin/models/m', { details: { model: 'm' } });
    await assert.rejects(asked, { code: 'model_not_found', details: { model: 'm' } });
  });

  it('is not answered by another program on that port, or by a server with another token', async (context) => {
    const other = await fakeServer(context, (_, response) => {
      response.writeHead(404, { 'content-type': 'text/html' });
      response.end('<h1>Not Found</h1>');
    });
    const stranger = await fakeServer(context, (_, response) =>
      answer(response, 403, error('admin_not_allowed')),
    );
    assert.equal(await ask(other, 'GET', '/admin/models'), null);
    assert.equal(await ask(stranger, 'GET', '/admin/models'), null);
    assert.deepEqual([other.seen.length, stranger.seen.length], [1, 1]);
  });

  it('is given up in time, also where the collector runs meanwhile', async (context) => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const server = await fakeServer(context, () => {});
    const asked = askOnce(server, 'GET', '/health', { limitMs: 300 });
    asked.catch(() => {});
    await until('the question', () => server.seen.length === 1);
    collect();
    await within(
      assert.rejects(asked, (error: Error) => error.name === 'AbortError'),
      10_000,
      'end of the wait',
    );
  });

  it('is not answered by a port nobody listens on', async () => {
    const nobody = { pid: process.pid, host: '127.0.0.1', port: 1, token: 't' };
    assert.equal(await ask(nobody, 'GET', '/admin/models'), null);
  });
});
