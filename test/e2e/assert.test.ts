/** A libllama that gives up in the middle of an answer: a clear error, a new engine, a server that goes on. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { talker } from '../helpers/models.js';
import { makeHome, type Owner, startServer } from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { chat, chatBody } from '../helpers/wire.js';
import { ASSERT, buildFake, FakeControl, skipReason } from '../native/fake.js';

async function startOnFake(
  owner: Owner,
  control: FakeControl,
  settings: Readonly<Record<string, string>> = {},
): ReturnType<typeof startServer> {
  const home = makeHome(owner);
  home.writeMap({ talker: await talker() });
  const library = buildFake(
    (source) => `${source}\nEXPORT void ggml_backend_cpu_init() {}\n`, // needs no backend file
  );
  const env = { HOSHIKAGE_LIB_PATH: library, HK_FAKE_CONTROL: control.path, ...settings };
  return startServer(owner, { home, env });
}

describe('When libllama gives up (GGML_ASSERT)', { skip: skipReason }, () => {
  test('in a decode, its request gets the error, and the next one a new engine', async (t) => {
    const control = new FakeControl();
    t.after(() => control.close());
    const server = await startOnFake(t, control);
    control.set('failCode', ASSERT);
    control.set('failAt', 4);
    const { status, body } = await chat(server, chatBody('talker', 'x'));
    assert.deepEqual([status, body.error?.code], [503, 'engine_crashed']);
    await until('the end of that engine', async () => (await server.status()).model === null);
    control.set('failAt', 0);
    assert.equal((await chat(server, chatBody('talker', 'x'))).status, 200);
    assert.match(server.output(), /GGML_ASSERT\(n_tokens <= n_batch\) failed/);
    assert.match(server.output(), /ended with exit code 70/);
  });

  test('a request that waits for the only slot is served by the new engine', async (t) => {
    const control = new FakeControl();
    t.after(() => control.close());
    const server = await startOnFake(t, control, { N_SLOTS: '1' });
    control.set('holdDecode', 1);
    control.set('failCode', ASSERT);
    control.set('failAt', 2);
    const running = chat(server, chatBody('talker', 'x'));
    await until('the decode', () => control.get('inDecode') === 1);
    const pid = (await server.status()).model?.pid;
    const waiting = chat(server, chatBody('talker', 'y'));
    await until('the queue', async () => (await server.status()).queue.length === 1);
    control.set('holdDecode', 0);
    const { status, body } = await running;
    assert.deepEqual([status, body.error?.code], [503, 'engine_crashed']);
    assert.equal((await waiting).status, 200);
    assert.notEqual((await server.status()).model?.pid, pid);
  });
});
