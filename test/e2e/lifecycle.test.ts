/** From start to end: what stops a start, how models come and go, how a server ends. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { hoshikage } from '../helpers/cli.js';
import { rambler, TEXT, talker } from '../helpers/models.js';
import { hasProc, isAlive } from '../helpers/proc.js';
import {
  type Home,
  makeHome,
  type Owner,
  startServer,
  type TestServer,
} from '../helpers/server.js';
import { until, within } from '../helpers/waiting.js';
import { chat, chatBody, chunksOf, openStream, streamChat } from '../helpers/wire.js';

async function homeWithModels(owner: Owner): Promise<Home> {
  const home = makeHome(owner);
  home.writeMap({ rambler: await rambler(), talker: await talker() });
  return home;
}

interface Stream {
  /** How it ended: the finish reason, or the code of its error event. */
  readonly end: Promise<{ finish: string | null; code: string | null }>;
}

/** A stream of so many tokens, under way. */
async function running(server: TestServer, tokens: number): Promise<Stream> {
  const body = chatBody('rambler', '話して', { temperature: 0, max_tokens: tokens });
  const chunks = chunksOf(await openStream(server, body));
  await chunks.next();
  await chunks.next();
  const end = (async () => {
    let finish: string | null = null;
    let code: string | null = null;
    for await (const chunk of chunks) {
      finish = chunk.choices?.[0]?.finish_reason ?? finish;
      code = chunk.error?.code ?? code;
    }
    return { finish, code };
  })();
  end.catch(() => {});
  return { end };
}

describe('A start', () => {
  test('at a port in use ends with a plain message and exit code 1', async (t) => {
    const other = net.createServer().listen(0, '127.0.0.1');
    t.after(() => void other.close());
    await new Promise((resolve) => other.once('listening', resolve));
    const address = other.address();
    assert.ok(address && typeof address === 'object', 'no address');
    const home = makeHome(t);
    const { code, output } = await hoshikage(t, home, ['serve', '--port', String(address.port)]);
    assert.equal(code, 1, output);
    assert.ok(output.includes(`127.0.0.1:${address.port}`), output);
    assert.doesNotMatch(output, /^\s+at /m);
    assert.equal(existsSync(home.runFile), false);
  });

  test('with a bad setting ends with exit code 2 and names key, value and source', async (t) => {
    const home = makeHome(t);
    const { code, output } = await hoshikage(t, home, ['serve', '--port', '0'], { N_CTX: 'abc' });
    assert.equal(code, 2, output);
    assert.match(output, /N_CTX.*abc/);
    assert.match(output, /environment/);
    home.writeMap({});
    const file = join(home.configDir, '.env');
    writeFileSync(file, 'TEMPERATURE=warm\n');
    const second = await hoshikage(t, home, ['serve', '--port', '0']);
    assert.equal(second.code, 2);
    assert.match(second.output, /TEMPERATURE.*warm/);
    assert.ok(second.output.includes(file), second.output);
  });

  test('at a public address without a key is refused', async (t) => {
    const home = makeHome(t);
    const args = ['serve', '--port', '0', '--host', '0.0.0.0'];
    const { code, output } = await hoshikage(t, home, args);
    assert.equal(code, 2, output);
    assert.match(output, /API_KEY/);
  });
});

describe('The resident model', () => {
  test('is switched when another one is asked for, after the requests that run', async (t) => {
    const server = await startServer(t, { home: await homeWithModels(t) });
    const first = await running(server, 60);
    const ask = (model: string, user: string) =>
      streamChat(server, chatBody(model, user, { temperature: 0 }));
    const second = ask('talker', 'English');
    await until('queue', async () => (await server.status()).queue.length === 1);
    const third = ask('rambler', '短く');
    assert.equal((await first.end).finish, 'length');
    assert.equal((await second).text, TEXT.english);
    assert.equal((await third).text, 'はい、短く答えます。');
    // The third found its model in memory, and went before the second.
    const { model } = await server.status();
    assert.equal(model?.id, 'talker');
  });

  test('ends with its process when idle, and the next request wakes it', async (t) => {
    const env = { IDLE_TIMEOUT: '0.3' };
    const server = await startServer(t, { home: await homeWithModels(t), env });
    const body = chatBody('talker', '設定', { temperature: 0 });
    const pids = new Set<number>();
    for (let i = 0; i < 2; i++) {
      const answer = chat(server, body);
      const pid = await until('engine', async () => (await server.status()).model?.pid, {
        everyMs: 2,
      });
      pids.add(pid);
      assert.equal((await answer).body.choices[0]?.message.content, TEXT.settings);
      await until('unload', async () => (await server.status()).model === null);
      if (hasProc) assert.equal(isAlive(pid), false);
    }
    assert.equal(pids.size, 2);
  });

  test('whose file is missing or broken costs its own requests an error and nothing else', async (t) => {
    const home = makeHome(t);
    const broken = join(home.root, 'broken.gguf');
    writeFileSync(broken, 'GGUF but not for long');
    home.writeMap({ broken, gone: join(home.root, 'gone.gguf'), talker: await talker() });
    const server = await startServer(t, { home });
    for (const model of ['broken', 'gone']) {
      const { status, body } = await chat(server, chatBody(model, 'x'));
      assert.equal(status, 503, model);
      assert.match(body.error?.code ?? '', /^model_/);
    }
    const { body } = await chat(server, chatBody('talker', '設定', { temperature: 0 }));
    assert.equal(body.choices[0]?.message.content, TEXT.settings);
  });
});

describe('A request in the queue', () => {
  test('gets 503 with Retry-After after QUEUE_TIMEOUT, in a stream too', async (t) => {
    const env = { QUEUE_TIMEOUT: '0.4' };
    const server = await startServer(t, { home: await homeWithModels(t), env });
    const first = await running(server, 2000);
    const body = chatBody('rambler', '短く');
    const [whole, streamed] = await Promise.all([chat(server, body), streamChat(server, body)]);
    assert.deepEqual([whole.status, streamed.status], [503, 503]);
    assert.deepEqual(
      [whole.body.error?.code, streamed.error?.code],
      Array(2).fill('queue_timeout'),
    );
    assert.match(String(whole.headers['retry-after']), /^[1-9]/);
    assert.equal((await server.status()).model?.active, 1);
    process.kill(server.pid, 'SIGKILL');
    await assert.rejects(first.end);
  });
});

describe('The log', () => {
  test('goes to its dated file, with what libllama says, and without what people write', async (t) => {
    const home = await homeWithModels(t);
    const path = join(home.root, 'logs', 'hoshikage.log');
    const server = await startServer(t, { home, env: { LOG_FILE_PATH: path } });
    const secret = '誰にも言わないこと';
    const { status } = await chat(server, chatBody('talker', secret));
    assert.equal(status, 200);
    const refused = await chat(server, chatBody('talker', secret.repeat(2000)));
    assert.equal(refused.status, 400);
    await server.stop();
    const files = readdirSync(dirname(path)).filter((name) => !name.startsWith('.'));
    assert.deepEqual(
      files.filter((name) => /^hoshikage\.log\.\d{4}-\d\d-\d\d$/.test(name)).length,
      1,
      files.join(),
    );
    const text = files.map((name) => readFileSync(join(dirname(path), name), 'utf8')).join('\n');
    assert.match(text, /\/v1\/chat\/completions/);
    assert.match(text, /context_length_exceeded/);
    assert.match(text, /llama_model_loader|print_info|llama_context/);
    assert.ok(text.includes(String(refused.headers['x-request-id'])), 'the request id is missing');
    for (const written of [text, server.output()]) {
      assert.ok(!written.includes(secret), 'the prompt is in the log');
    }
    assert.doesNotMatch(server.output(), /llama_model_loader/);
  });
});

describe('The engine process', { skip: !hasProc && 'needs /proc' }, () => {
  test('gets the variables of .env that are no settings', async (t) => {
    const home = await homeWithModels(t);
    writeFileSync(join(home.configDir, '.env'), 'CUDA_VISIBLE_DEVICES=3\nN_CTX=256\n');
    const server = await startServer(t, { home });
    await chat(server, chatBody('talker', '設定'));
    const { model } = await server.status();
    const environment = readFileSync(`/proc/${model?.pid}/environ`, 'utf8').split('\0');
    assert.ok(environment.includes('CUDA_VISIBLE_DEVICES=3'), environment.join('\n'));
  });
});

describe('The end', () => {
  for (const [signal, to, how] of [
    ['SIGTERM', 'server', 'by SIGTERM'],
    ['SIGINT', 'group', 'by Ctrl-C, which reaches the engine too,'],
  ] as const) {
    test(`${how} lets a running stream finish and removes run.json`, async (t) => {
      const server = await startServer(t, { home: await homeWithModels(t) });
      const stream = await running(server, 80);
      const pid = (await server.status()).model?.pid;
      const exit = server.stop(signal, to);
      assert.deepEqual(await within(stream.end, 10_000, 'end of the stream'), {
        finish: 'length',
        code: null,
      });
      assert.deepEqual(await exit, { code: 0, signal: null });
      assert.equal(existsSync(server.home.runFile), false);
      if (hasProc && pid) assert.equal(isAlive(pid), false);
    });
  }

  test('comes at SHUTDOWN_GRACE for a stream that takes longer', async (t) => {
    const env = { SHUTDOWN_GRACE: '0.3' };
    const server = await startServer(t, { home: await homeWithModels(t), env });
    const stream = await running(server, 4000);
    const exit = server.stop();
    const { finish, code } = await within(stream.end, 5000, 'end of the stream');
    assert.deepEqual({ finish, code }, { finish: null, code: 'shutting_down' });
    assert.deepEqual(await exit, { code: 0, signal: null });
  });

  test('comes at once with nothing to do', async (t) => {
    const server = await startServer(t);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.equal(existsSync(server.home.runFile), false);
  });
});
