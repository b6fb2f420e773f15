/** Models come and go over the wire: one reload for all who wait, and switches counted. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Feed, listen } from '../helpers/feed.js';
import { rambler, TEXT, talker } from '../helpers/models.js';
import { hasProc } from '../helpers/proc.js';
import { makeHome, type Owner, startServer, type TestServer } from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { chat, chatBody, chunksOf, getJson, openStream } from '../helpers/wire.js';

async function serverWith(owner: Owner, env: Record<string, string>): Promise<TestServer> {
  const home = makeHome(owner);
  home.writeMap({ rambler: await rambler(), talker: await talker() });
  return startServer(owner, { home, env: { N_SLOTS: '1', ...env } });
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

const ANSWERS = { rambler: 'はい、短く答えます。', talker: TEXT.settings };

/** A short chat; checks its answer. */
async function say(server: TestServer, model: keyof typeof ANSWERS): Promise<void> {
  const question = model === 'rambler' ? '短く' : '設定';
  const { body } = await chat(server, chatBody(model, question, { temperature: 0 }));
  assert.equal(body.choices?.[0]?.message.content, ANSWERS[model], JSON.stringify(body));
}

/** Sends it and waits until it stands in the queue, so that the order is known. */
async function queued(server: TestServer, work: () => Promise<void>): Promise<Promise<void>[]> {
  const before = (await server.status()).queue.length;
  const answer = work();
  answer.catch(() => {});
  await until('place in the queue', async () => (await server.status()).queue.length > before);
  // In a list, so that the promise itself is not waited for.
  return [answer];
}

const loads = (feed: Feed): number => feed.count('load', ({ state }) => state === 'ready');

describe('Requests that come while their idle model goes', { skip: !hasProc }, () => {
  test('wait, and it is loaded once for all of them', async (t) => {
    const server = await serverWith(t, { IDLE_TIMEOUT: '1' });
    const feed = await listen(t, server);
    await say(server, 'talker');
    const { pid } = (await server.status()).model ?? {};
    assert.ok(pid);
    // It cannot end while it stands still.
    process.kill(pid, 'SIGSTOP');
    let answers: Promise<void>[] = [];
    try {
      await until('unload', async () => (await server.status()).model?.state === 'unloading');
      answers = Array.from({ length: 5 }, () => say(server, 'talker'));
      await until('five that wait', async () => {
        const { body } = await getJson(`${server.url}/v1/status`);
        return (body as { queue: { waiting: unknown[] } }).queue.waiting.length === 5;
      });
      assert.equal(loads(feed), 1);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await Promise.all(answers);
    assert.equal(loads(feed), 2);
    assert.ok((await server.status()).model?.pid !== pid);
  });
});

describe('Requests for two models in turn', () => {
  /** Asks in this order while the rambler is busy; gives the order of the answers and the loads. */
  async function interleaved(owner: Owner, env: Record<string, string>, order: string) {
    const server = await serverWith(owner, env);
    const feed = await listen(owner, server);
    const free = await occupied(server);
    const served: string[] = [];
    const answers: Promise<void>[] = [];
    for (const letter of order) {
      const model = letter === 'A' ? 'rambler' : 'talker';
      const work = () => say(server, model).then(() => void served.push(letter));
      answers.push(...(await queued(server, work)));
    }
    free();
    await Promise.all(answers);
    return { served: served.join(''), loads: loads(feed) };
  }

  test('cost one switch, since those of the model in memory go first', async (t) => {
    assert.deepEqual(await interleaved(t, {}, 'BABABA'), { served: 'AAABBB', loads: 2 });
  });

  test('but MAX_SKIPS times at most', async (t) => {
    const result = await interleaved(t, { MAX_SKIPS: '1' }, 'BAAB');
    assert.deepEqual(result, { served: 'ABBA', loads: 3 });
  });

  test('cost no switch at all where both may stay', async (t) => {
    const server = await serverWith(t, { MAX_LOADED_MODELS: '2' });
    const feed = await listen(t, server);
    for (let round = 0; round < 3; round++) {
      for (const model of ['rambler', 'talker'] as const) await say(server, model);
    }
    assert.deepEqual([loads(feed), feed.count('unload')], [2, 0]);
  });
});
