/**
 * A server under attack: what is sent to it by hand, and somebody beside who must not notice. It must
 * never be content with a connection that only breaks: every attack gets an answer.
 */
import assert from 'node:assert/strict';
import { scriptedModel } from './models.js';
import { type Home, makeHome, type Owner, startServer, type TestServer } from './server.js';
import { within } from './waiting.js';
import { ask, chat, chatBody, type ErrorBody, streamChat, textOf } from './wire.js';

/** What the model of a siege says to whoever asks nothing in particular, and to the one beside. */
export const SHORT = 'はい、聞こえています。';
export const LONG = Array.from(
  { length: 30 },
  (_, at) => `${at}番目の文は、最後まで届きます。`,
).join('');

/** Far more than any answer takes; who waits for longer has lost. */
const DEADLINE_MS = 60_000;

/** A model that answers shortly, and at length where it is asked to (長く). */
export function besiegedModel(): Promise<string> {
  return scriptedModel({
    name: 'besieged',
    answers: [{ say: SHORT }, { when: '長く', say: LONG }],
    contextLength: 4096,
    ballastMiB: 4,
  });
}

/** A server with that model, and others beside it. */
export async function besiegedServer(
  owner: Owner,
  more: {
    readonly models?: Parameters<Home['writeMap']>[0];
    readonly env?: NodeJS.ProcessEnv;
  } = {},
): Promise<TestServer> {
  const home = makeHome(owner);
  home.writeMap({ besieged: await besiegedModel(), ...more.models });
  return startServer(owner, { home, env: { N_SLOTS: '3', N_CTX: '4096', ...more.env } });
}

/** What came of an attack; `code` and `param` of its error, null without one. */
export interface Outcome {
  readonly status: number;
  readonly code: string | null;
  readonly param: string | null;
  readonly text: string;
}

/** Sends a body as it is, says it is JSON, and holds the answer to being one: 2xx or 4xx. */
export async function attack(
  server: TestServer,
  path: string,
  body: string | Uint8Array,
): Promise<Outcome> {
  const headers = { 'content-type': 'application/json' };
  const asked = ask(server.url + path, { body, headers });
  const reply = await within(asked, DEADLINE_MS, `answer of ${path}`);
  const text = await within(textOf(reply), DEADLINE_MS, `end of the answer of ${path}`);
  const { status } = reply;
  const sent = Buffer.from(body).subarray(0, 300).toString();
  assert.ok(status < 500 && status >= 200, `${status} ${text.slice(0, 300)} for ${sent}`);
  // Whoever sends garbage gets no more than some lines of it back.
  if (status >= 400)
    assert.ok(text.length < 4096, `${text.length} characters of error for ${sent}`);
  const error = status < 400 ? null : (JSON.parse(text) as { error: ErrorBody }).error;
  return { status, code: error?.code ?? null, param: error?.param ?? null, text };
}

/** The server as somebody else sees it: healthy, and answering an ordinary question as ever. */
export async function assertUnharmed(server: TestServer): Promise<void> {
  const health = await within(ask(`${server.url}/health`), DEADLINE_MS, 'answer of /health');
  assert.equal(health.status, 200);
  const { status, body } = await chat(server, chatBody('besieged', '元気?', { temperature: 0 }));
  assert.equal(status, 200);
  assert.equal(body.choices[0]?.message.content, SHORT);
}

/**
 * Does something while streams run beside it, one after the other: each must be whole, and its text the
 * same as alone. Afterwards the server is unharmed, and its engine is the one that it was, unless the
 * work sends it away (`keeps` false).
 */
export async function besiege(
  server: TestServer,
  work: () => Promise<void>,
  { keeps = true } = {},
): Promise<void> {
  const beside = () => streamChat(server, chatBody('besieged', '長く', { temperature: 0 }));
  assert.equal((await beside()).text, LONG);
  const before = (await server.status()).model?.pid;
  let isOver = false;
  const watching = (async () => {
    do {
      const { status, text, done, finish } = await beside();
      assert.deepEqual([status, done, finish], [200, true, 'stop']);
      assert.equal(text, LONG);
      const health = await within(ask(`${server.url}/health`), DEADLINE_MS, 'answer of /health');
      assert.equal(health.status, 200);
    } while (!isOver);
  })();
  const working = work().finally(() => {
    isOver = true;
  });
  const [attacked, watched] = await Promise.allSettled([working, watching]);
  if (attacked.status === 'rejected') throw attacked.reason;
  if (watched.status === 'rejected') throw watched.reason;
  await assertUnharmed(server);
  if (keeps) assert.equal((await server.status()).model?.pid, before, 'the engine is another one');
}
