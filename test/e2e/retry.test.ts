/** RETRY_ON_CRASH=1: an engine is killed under requests that have sent nothing yet. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { rambler } from '../helpers/models.js';
import { makeHome, type Owner, startServer, type TestServer } from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import {
  chat,
  chatBody,
  type ErrorBody,
  eventsOf,
  openStream,
  streamChat,
} from '../helpers/wire.js';

async function serverThatRetries(owner: Owner): Promise<TestServer> {
  const home = makeHome(owner);
  home.writeMap({ rambler: await rambler() });
  return startServer(owner, { home, env: { RETRY_ON_CRASH: '1' } });
}

const short = chatBody('rambler', '短く', { temperature: 0 });
const SHORT = 'はい、短く答えます。';

/** The process of the engine, once `isReady`. */
function engineOf(
  server: TestServer,
  isReady: (model: NonNullable<Awaited<ReturnType<TestServer['status']>>['model']>) => boolean,
): Promise<number> {
  return until('engine', async () => {
    const { model } = await server.status();
    return model && isReady(model) ? model.pid : null;
  });
}

describe('With RETRY_ON_CRASH=1', () => {
  test('an answer that goes out whole is made anew, however far it was', async (t) => {
    const server = await serverThatRetries(t);
    const body = chatBody('rambler', '話して', { temperature: 0, max_tokens: 150 });
    const first = await chat(server, body);
    const running = chat(server, body);
    const pid = await engineOf(server, ({ slots }) =>
      slots.some(({ state, generated_tokens }) => state === 'generation' && generated_tokens > 3),
    );
    process.kill(pid, 'SIGKILL');
    const answer = await running;
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.body.choices, first.body.choices);
    const { timings } = answer.body as unknown as { timings: Record<string, number> };
    assert.ok(Number(timings.retried_ms) > 0 && Number(timings.load_ms) > 0);
    assert.notEqual((await server.status()).model?.pid, pid);
  });

  test('a stream that had said nothing goes on with the next engine', async (t) => {
    const server = await serverThatRetries(t);
    await chat(server, short);
    const pid = await engineOf(server, ({ active }) => active === 0);
    // It takes the request and can say nothing to it.
    process.kill(pid, 'SIGSTOP');
    const streamed = streamChat(server, short);
    await engineOf(server, ({ active }) => active === 1);
    process.kill(pid, 'SIGKILL');
    const { text, done, error } = await streamed;
    assert.deepEqual([text, done, error], [SHORT, true, null]);
  });

  test('a stream that had begun ends by an error', async (t) => {
    const server = await serverThatRetries(t);
    const endless = chatBody('rambler', '話して', { temperature: 0 });
    const events: string[] = [];
    for await (const event of eventsOf(await openStream(server, endless))) {
      events.push(event);
      if (events.length !== 5) continue;
      process.kill(await engineOf(server, () => true), 'SIGKILL');
    }
    const { error } = JSON.parse(events.at(-1) ?? '{}') as { error: ErrorBody };
    assert.equal(error.code, 'engine_crashed');
    assert.equal((await chat(server, short)).body.choices[0]?.message.content, SHORT);
  });
});
