/**
 * A client that goes away: its slot becomes free in every phase, streamed or not, and nobody else
 * notices. A stopped engine process (SIGSTOP) makes the short phases as long as a test needs them.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { rambler, TEXT, talker } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { childrenOf, commandOf, hasProc } from '../helpers/proc.js';
import {
  makeHome,
  type ServerStatus,
  startServer,
  type TestServer,
  untilFree,
} from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { ask, chat, chatBody, chunksOf, getJson, openStream } from '../helpers/wire.js';

/** A request that can be dropped; its own failure is expected. */
function begin(server: TestServer, body: object): { drop(): void; ended: Promise<unknown> } {
  const leaving = new AbortController();
  const ended = ask(`${server.url}/v1/chat/completions`, { json: body, signal: leaving.signal })
    .then(async ({ bytes }) => {
      for await (const _ of bytes);
    })
    .catch((error: unknown) => error);
  return { drop: () => leaving.abort(), ended };
}

function untilStatus(
  server: TestServer,
  label: string,
  is: (status: ServerStatus) => boolean,
): Promise<ServerStatus> {
  return until(label, async () => {
    const status = await server.status();
    return is(status) ? status : null;
  });
}

/** Pid of the engine process; one that is still a copy of the server (before exec) does not count. */
const engineOf = (pid: number): number | undefined =>
  childrenOf(pid).find((child) => /\bhost\.[jt]s\b/.test(commandOf(child)));

const slotIs =
  (state: string) =>
  ({ model }: ServerStatus): boolean =>
    model?.slots.some((slot) => slot.state === state) ?? false;

describe('When the client goes away', () => {
  const owner = suiteOwner();
  let server: TestServer;
  const endless = (stream: boolean) => chatBody('rambler', '話して', { stream, temperature: 0 });

  before(async () => {
    const home = makeHome(owner);
    home.writeMap({ rambler: await rambler(), talker: await talker() });
    const env = { N_CTX: '16384', N_BATCH: '32', QUEUE_SIZE: '4' };
    server = await startServer(owner, { home, env });
    await until('library', async () => (await server.status()).library.state === 'ok');
  });

  for (const stream of [true, false]) {
    const how = stream ? 'streamed' : 'not streamed';

    test(`in mid-generation, ${how}, its slot becomes free`, async () => {
      const request = begin(server, endless(stream));
      await untilStatus(server, 'generation', slotIs('generation'));
      request.drop();
      await untilFree(server);
      await request.ended;
      assert.equal((await chat(server, chatBody('rambler', '短く'))).status, 200);
    });

    test(`in the prefill, ${how}, its slot becomes free`, async () => {
      // Text that no other request began with, so that none of it is cached.
      const prompt = `${stream}${'長い長い前置き、'.repeat(1000)}`;
      const request = begin(server, chatBody('rambler', prompt, { stream }));
      await untilStatus(server, 'prefill', slotIs('prefill'));
      request.drop();
      const { model } = await untilFree(server);
      assert.ok(
        model?.slots.every(({ generated_tokens }) => generated_tokens === 0) ?? true,
        'nothing was generated',
      );
      await request.ended;
    });

    test(`in the queue, ${how}, it leaves the queue and the others stay`, async () => {
      const running = begin(server, endless(true));
      await untilStatus(server, 'generation', slotIs('generation'));
      const waiting = begin(server, endless(stream));
      const staying = begin(server, chatBody('rambler', '短く', { stream }));
      await untilStatus(server, 'queue of two', ({ queue }) => queue.length === 2);
      waiting.drop();
      await untilStatus(server, 'queue of one', ({ queue }) => queue.length === 1);
      assert.equal((await server.status()).model?.active, 1);
      running.drop();
      await staying.ended;
      await untilFree(server);
    });
  }

  test('a queue that is full refuses with Retry-After', async () => {
    const requests = [begin(server, endless(true))];
    await untilStatus(server, 'generation', slotIs('generation'));
    for (let i = 1; i <= 4; i++) requests.push(begin(server, endless(i % 2 === 0)));
    await untilStatus(server, 'full queue', ({ queue }) => queue.length === 4);
    const refused = await chat(server, chatBody('rambler', '短く'));
    assert.equal(refused.status, 503);
    assert.equal(refused.body.error?.code, 'queue_full');
    assert.match(String(refused.headers['retry-after']), /^[1-9]/);
    for (const { drop } of requests) drop();
    await untilFree(server);
  });

  test('another stream does not notice', async () => {
    const leaving = begin(server, endless(true));
    await untilStatus(server, 'generation', slotIs('generation'));
    const other = chat(server, chatBody('talker', 'English', { temperature: 0 }));
    leaving.drop();
    assert.equal((await other).body.choices[0]?.message.content, TEXT.english);
  });

  for (const stream of [true, false]) {
    const skip = !hasProc && 'needs /proc';
    const how = stream ? 'streamed' : 'not streamed';

    test(`while the model loads, ${how}, the server stays awake and the load is not lost`, {
      skip,
    }, async () => {
      const { url, run } = server;
      await getJson(`${url}/admin/unload`, {
        method: 'POST',
        headers: { authorization: `Bearer ${run.token}` },
        json: {},
      });
      await untilStatus(server, 'empty server', ({ model }) => model === null);
      const request = begin(server, chatBody('talker', '設定', { stream }));
      const engine = await until('engine process', () => engineOf(server.pid), { everyMs: 1 });
      process.kill(engine, 'SIGSTOP');
      try {
        await untilStatus(server, 'loading', ({ model }) => model?.state === 'loading');
        for (let i = 0; i < 20; i++) assert.equal((await ask(`${url}/health`)).status, 200);
        assert.equal((await server.status()).model?.state, 'loading');
        request.drop();
        await request.ended;
        await untilFree(server);
      } finally {
        process.kill(engine, 'SIGCONT');
      }
      const { model } = await untilStatus(
        server,
        'loaded model',
        (s) => s.model?.state === 'ready',
      );
      assert.equal(model?.pid, engine);
      const answer = await chat(server, chatBody('talker', '設定', { temperature: 0 }));
      assert.equal(answer.body.choices[0]?.message.content, TEXT.settings);
    });
  }

  test('a stream that is read slowly loses nothing', async () => {
    const reply = await openStream(server, chatBody('talker', 'こんにちは', { temperature: 0 }));
    let text = '';
    for await (const chunk of chunksOf(reply)) {
      text += chunk.choices?.[0]?.delta.content ?? '';
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(text, TEXT.greeting);
  });
});
