/** Turns over the wire: who goes first, how long a model stays, and what a waiting stream is told. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import OpenAI from 'openai';
import { listen } from '../helpers/feed.js';
import { rambler, TEXT, talker } from '../helpers/models.js';
import { makeHome, type Owner, startServer, type TestServer } from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { ask, chatBody, chunksOf, getJson, openStream, type Reply } from '../helpers/wire.js';

async function serverWithModels(owner: Owner): Promise<TestServer> {
  const home = makeHome(owner);
  home.writeMap({ rambler: await rambler(), talker: await talker() });
  return startServer(owner, { home, env: { N_SLOTS: '1' } });
}

interface Waiting {
  readonly model: string;
  readonly position: number;
  readonly priority: string;
}

async function queueOf(server: TestServer): Promise<readonly Waiting[]> {
  const { body } = await getJson(`${server.url}/v1/status`);
  return (body as { queue: { waiting: readonly Waiting[] } }).queue.waiting;
}

/** A stream that holds the one slot until the function it gives is called. */
async function occupied(server: TestServer): Promise<() => void> {
  const going = new AbortController();
  const body = chatBody('rambler', '話して', { temperature: 0 });
  const chunks = chunksOf(await openStream(server, body, { signal: going.signal }));
  await chunks.next();
  await chunks.next();
  return () => going.abort();
}

const short = (more: object = {}) => chatBody('rambler', '短く', { temperature: 0, ...more });

describe('An OpenAI client', () => {
  test('says how long the model stays: not at all, or for ever', async (t) => {
    const server = await serverWithModels(t);
    const feed = await listen(t, server);
    const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
    const say = async (keepAlive: number | string) => {
      const { choices } = await client.chat.completions.create({
        ...{ model: 'talker', temperature: 0, messages: [{ role: 'user', content: '設定' }] },
        // Not OpenAI's, but what its clients send on.
        ...{ keep_alive: keepAlive },
      });
      assert.equal(choices[0]?.message.content, TEXT.settings);
    };
    await say(0);
    const { data } = await feed.find('unload', ({ name }) => name === 'unload');
    assert.deepEqual([data.model, data.reason], ['talker', 'keep_alive']);
    await say('-1');
    const { body } = await getJson(`${server.url}/v1/status`);
    const { model } = body as { model: { state: string; unload_in_ms: number | null } };
    assert.deepEqual([model.state, model.unload_in_ms], ['ready', null]);
    const refused = await say('soon').catch((thrown: unknown) => thrown);
    assert.ok(refused instanceof OpenAI.BadRequestError);
    assert.equal(refused.param, 'keep_alive');
  });

  test('lets others go first with a header, whenever it came', async (t) => {
    const server = await serverWithModels(t);
    const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
    const free = await occupied(server);
    const ended: string[] = [];
    const send = (priority: string, count: number) => {
      const answer = client.chat.completions
        .create(
          { model: 'rambler', temperature: 0, messages: [{ role: 'user', content: '短く' }] },
          { headers: { 'x-hoshikage-priority': priority } },
        )
        .then(() => ended.push(priority));
      return {
        answer,
        queued: until('queue', async () => (await queueOf(server)).length === count),
      };
    };
    const batch = send('batch', 1);
    await batch.queued;
    const interactive = send('interactive', 2);
    await interactive.queued;
    assert.deepEqual(
      (await queueOf(server)).map(({ position, priority }) => [position, priority]),
      [
        [1, 'interactive'],
        [2, 'batch'],
      ],
    );
    free();
    await Promise.all([batch.answer, interactive.answer]);
    assert.deepEqual(ended, ['interactive', 'batch']);
    const wrong = client.chat.completions.create(
      { model: 'rambler', messages: [{ role: 'user', content: '短く' }] },
      { headers: { 'x-hoshikage-priority': 'urgent' } },
    );
    await assert.rejects(wrong, { status: 400, param: 'x-hoshikage-priority' });
  });
});

/** What has come of a stream so far, comments too. */
function heard(reply: Reply): { text: string; readonly ended: Promise<void> } {
  const state = { text: '', ended: Promise.resolve() };
  const decoder = new TextDecoder();
  state.ended = (async () => {
    for await (const part of reply.bytes) state.text += decoder.decode(part, { stream: true });
  })();
  return state;
}

describe('A stream that waits', () => {
  test('is told its place, also when somebody before it leaves, and then answers', async (t) => {
    const server = await serverWithModels(t);
    const free = await occupied(server);
    const leaving = new AbortController();
    const before = openStream(server, short(), { signal: leaving.signal });
    before.catch(() => {});
    await until('queue', async () => (await queueOf(server)).length === 1);
    const stream = heard(await openStream(server, short()));
    const first = await until(
      'its place',
      () => /^: queued position=2 waited_ms=\d+$/m.exec(stream.text),
      {
        deadlineMs: 15_000,
      },
    );
    assert.equal(stream.text.indexOf(first[0]), 0);
    leaving.abort();
    await until('its new place', () => /^: queued position=1 waited_ms=\d+$/m.exec(stream.text), {
      deadlineMs: 15_000,
    });
    free();
    await stream.ended;
    assert.match(stream.text, /"finish_reason":"stop"/);
    assert.match(stream.text, /data: \[DONE\]\n\n$/);
  });
});

describe('The stream of events', () => {
  test('begins with what is there, tells loads and unloads with their reasons, and ends with the server', async (t) => {
    const server = await serverWithModels(t);
    const feed = await listen(t, server);
    const hello = await feed.find('hello', ({ name }) => name === 'hello');
    assert.deepEqual([hello.data.residents, hello.data.held], [[], []]);
    const headers = { authorization: `Bearer ${server.run.token}` };
    const admin = (path: string, json: object = {}) =>
      getJson(`${server.url}/admin/${path}`, { headers, json });
    await admin('models/talker/load', { keep_alive: '1h' });
    const ready = await feed.find('load', ({ data }) => data.state === 'ready');
    const { model } = await server.status();
    assert.deepEqual([ready.data.model, ready.data.pid], ['talker', model?.pid]);
    const { body } = await admin('unload', { model: 'talker' });
    assert.deepEqual((body as { unloaded: string[] }).unloaded, ['talker']);
    const unload = await feed.find('unload', ({ name }) => name === 'unload');
    assert.equal(unload.data.reason, 'request');
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    await feed.ended;
  });
});

describe('A model whose engine keeps crashing', () => {
  test('is held back with a clear 503, until it is asked for by name', async (t) => {
    const server = await serverWithModels(t);
    const feed = await listen(t, server);
    for (let i = 1; i <= 3; i++) {
      const stream = openStream(server, chatBody('rambler', '話して', { temperature: 0 }));
      const { data } = await feed.find('load', (event) => {
        return event === feed.events.filter(({ data }) => data.state === 'ready')[i - 1];
      });
      await stream;
      process.kill(Number(data.pid), 'SIGKILL');
      await until('crash', () => feed.count('crash') === i);
      assert.equal(
        feed.count('crash', ({ held }) => held === true),
        i === 3 ? 1 : 0,
      );
      await (await stream).bytes[Symbol.asyncIterator]().return?.();
    }
    const refused = await getJson(`${server.url}/v1/chat/completions`, { json: short() });
    const { error } = refused.body as { error: { code: string; crashes: number } };
    assert.deepEqual([refused.status, error.code, error.crashes], [503, 'model_held', 3]);
    const status = await getJson(`${server.url}/v1/status`);
    assert.deepEqual((status.body as { held: unknown }).held, [{ model: 'rambler', crashes: 3 }]);
    const headers = { authorization: `Bearer ${server.run.token}` };
    const loaded = await ask(`${server.url}/admin/models/rambler/load`, {
      method: 'POST',
      headers,
    });
    assert.equal(loaded.status, 200);
    const answer = await getJson(`${server.url}/v1/chat/completions`, { json: short() });
    assert.equal(answer.status, 200);
  });
});
