/** Fifty clients and one slot: the order, the places, and the one too many. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rambler } from '../helpers/models.js';
import { makeHome, startServer, type TestServer } from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { chat, chatBody, chunksOf, openStream } from '../helpers/wire.js';

const CLIENTS = 50;

interface Waiting {
  readonly position: number;
  readonly waited_ms: number;
  readonly state: string;
}

async function waitingIn(server: TestServer): Promise<readonly Waiting[]> {
  const { queue } = (await server.status()) as unknown as { queue: { waiting: Waiting[] } };
  return queue.waiting;
}

test('fifty clients are served in the order they came, and one more is refused at once', async (t) => {
  const home = makeHome(t);
  home.writeMap({ rambler: await rambler() });
  const env = { N_SLOTS: '1', QUEUE_SIZE: String(CLIENTS) };
  const server = await startServer(t, { home, env });
  const body = chatBody('rambler', '短く', { temperature: 0, max_tokens: 2 });
  const going = new AbortController();
  const endless = chatBody('rambler', '話して', { temperature: 0 });
  const chunks = chunksOf(await openStream(server, endless, { signal: going.signal }));
  await chunks.next();
  const served: number[] = [];
  const leaving = new AbortController();
  const left = CLIENTS / 2;
  const answers: Promise<unknown>[] = [];
  for (let i = 0; i < CLIENTS; i++) {
    const signal = i === left ? leaving.signal : undefined;
    const answer = chat(server, body, signal && { signal });
    answers.push(
      answer.then(
        ({ status }) => served.push(status === 200 ? i : -1),
        () => {},
      ),
    );
    await until('its place', async () => (await waitingIn(server)).length === i + 1, {
      everyMs: 2,
    });
  }
  const waiting = await waitingIn(server);
  assert.deepEqual(
    waiting.map(({ position, state }) => [position, state]),
    Array.from({ length: CLIENTS }, (_, index) => [index + 1, 'queued']),
  );
  const times = waiting.map(({ waited_ms }) => waited_ms);
  assert.deepEqual(
    times,
    [...times].sort((a, b) => b - a),
  );
  for (const stream of [false, true]) {
    const refused = await chat(server, { ...body, stream });
    assert.deepEqual([refused.status, refused.body.error?.code], [503, 'queue_full']);
    assert.match(String(refused.headers['retry-after']), /^[1-9]/);
  }
  leaving.abort();
  await until('one less', async () => (await waitingIn(server)).length === CLIENTS - 1);
  going.abort();
  await Promise.all(answers);
  const all = Array.from({ length: CLIENTS }, (_, index) => index);
  assert.deepEqual(
    served,
    all.filter((index) => index !== left),
  );
});
