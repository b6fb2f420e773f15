/** Death of the engine process, and of the server: each costs what it must and nothing else. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { rambler } from '../helpers/models.js';
import { hasProc, isAlive } from '../helpers/proc.js';
import { type Home, makeHome, type Owner, startServer } from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import {
  chat,
  chatBody,
  type ErrorBody,
  eventsOf,
  openStream,
  streamChat,
} from '../helpers/wire.js';

async function homeWithRambler(owner: Owner): Promise<Home> {
  const home = makeHome(owner);
  home.writeMap({ rambler: await rambler() });
  return home;
}

const endless = chatBody('rambler', '話して', { temperature: 0 });
const short = chatBody('rambler', '短く', { temperature: 0 });

describe('When the engine process is killed', () => {
  test('in mid-stream, its client gets an error event, and the next request a new engine', async (t) => {
    const server = await startServer(t, { home: await homeWithRambler(t) });
    const events: string[] = [];
    let killed = 0;
    for await (const event of eventsOf(await openStream(server, endless))) {
      events.push(event);
      if (events.length !== 10) continue;
      killed = (await server.status()).model?.pid ?? 0;
      assert.ok(killed > 0, 'no engine');
      process.kill(killed, 'SIGKILL');
    }
    const { error } = JSON.parse(events.at(-1) ?? '{}') as { error: ErrorBody };
    assert.equal(error.code, 'engine_crashed');
    assert.deepEqual(Object.keys(error).sort(), ['code', 'message', 'param', 'type']);
    assert.equal(events.includes('[DONE]'), false);
    const next = await streamChat(server, short);
    assert.equal(next.text, 'はい、短く答えます。');
    const pid = (await server.status()).model?.pid;
    assert.ok(pid && pid !== killed, `${pid} after ${killed}`);
    assert.match(server.output(), /SIGKILL/);
  });

  test('under requests that are not streamed, they get 503, and who waits a new engine', async (t) => {
    const server = await startServer(t, { home: await homeWithRambler(t) });
    const running = chat(server, endless);
    const pid = await until('generation', async () => {
      const { model } = await server.status();
      return model?.slots.some(({ state }) => state === 'generation') ? model.pid : null;
    });
    const waiting = chat(server, short);
    await until('queue', async () => (await server.status()).queue.length === 1);
    process.kill(pid, 'SIGKILL');
    const { status, headers, body } = await running;
    assert.equal(status, 503);
    assert.equal(body.error?.code, 'engine_crashed');
    assert.match(String(headers['retry-after']), /^[1-9]/);
    assert.equal((await waiting).body.choices[0]?.message.content, 'はい、短く答えます。');
  });
});

describe('When the server is killed', { skip: !hasProc && 'needs /proc' }, () => {
  test('its engine process ends too, and a new server starts as if nothing had been', async (t) => {
    const home = await homeWithRambler(t);
    const server = await startServer(t, { home });
    const stream = eventsOf(await openStream(server, endless));
    await stream.next();
    const pid = (await server.status()).model?.pid;
    assert.ok(pid && isAlive(pid), 'no engine');
    process.kill(server.pid, 'SIGKILL');
    await assert.rejects(async () => {
      for await (const _ of stream);
    });
    await server.exited;
    await until('end of the orphaned engine', () => !isAlive(pid));
    const next = await startServer(t, { home });
    assert.equal(
      (await chat(next, short)).body.choices[0]?.message.content,
      'はい、短く答えます。',
    );
  });
});
