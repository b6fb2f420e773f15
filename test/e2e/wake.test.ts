/**
 * A conversation goes on after its model was unloaded as if nothing had been: the same text, its
 * prompt not computed again; and whatever happened to what was saved meanwhile, the text stays right.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { isInMemory } from '../../src/folders/space.js';
import { listen } from '../helpers/feed.js';
import { TEXT, talker } from '../helpers/models.js';
import { copyLibrary } from '../helpers/packaged.js';
import {
  type Home,
  type MapModel,
  makeHome,
  type Owner,
  startServer,
  type TestServer,
} from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { getJson } from '../helpers/wire.js';

const LONG = 'これは長い前置きです。'.repeat(190);
/** The shared memory of this machine, where it can hold states. */
const SHARED = '/dev/shm';
const isShared =
  process.platform === 'linux' && (await isInMemory(SHARED).catch(() => false)) === true;

/** Where the homes of these tests are. */
const isDisk = !(await isInMemory(tmpdir()));

/** Runs a command that may mount what nobody else sees. */
const NAMESPACE = ['unshare', '--map-root-user', '--mount'];
const canMount =
  spawnSync('unshare', [...NAMESPACE.slice(1), 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status ===
  0;

interface Turn {
  readonly text: string;
  readonly prompt: number;
  readonly cached: number;
  readonly recallMs: number;
}

/** User texts of a conversation; the answers between them are what the model really says. */
type Talk = readonly { readonly user: string; readonly answer: string }[];

/** The first turn is long, its answer and the next depend on words all over the conversation. */
const FIRST = { user: `${LONG}設定は?`, answer: TEXT.settings };
const SECOND = { user: 'そして English では?', answer: TEXT.english };
const TALK: Talk = [FIRST, SECOND];

/** Has the last turn of a conversation answered; temperature 0. */
async function say(server: TestServer, talk: Talk, more: object = {}): Promise<Turn> {
  const messages = talk.flatMap(({ user, answer }) => [
    { role: 'user', content: user },
    { role: 'assistant', content: answer },
  ]);
  const json = { model: 'talker', temperature: 0, ...more, messages: messages.slice(0, -1) };
  const { status, body } = await getJson(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    json,
  });
  assert.equal(status, 200, JSON.stringify(body));
  // The shape is http's own, and wrong fields fail the asserts.
  const { choices, usage, timings } = body as {
    choices: { message: { content: string } }[];
    usage: { prompt_tokens: number; prompt_tokens_details: { cached_tokens: number } };
    timings: { recall_ms: number };
  };
  return {
    text: choices[0]?.message.content ?? '',
    prompt: usage.prompt_tokens,
    cached: usage.prompt_tokens_details.cached_tokens,
    recallMs: timings.recall_ms,
  };
}

/** What /v1/status says of the saved states. */
async function statesOf(server: TestServer): Promise<unknown> {
  const { body } = await getJson(`${server.url}/v1/status`);
  return typeof body === 'object' && body !== null && 'states' in body ? body.states : undefined;
}

/** As a user does it; gives the memory back, so nothing of the conversation is in a process any more. */
async function unload(server: TestServer): Promise<void> {
  const headers = { authorization: `Bearer ${server.run.token}` };
  await getJson(`${server.url}/admin/unload`, { method: 'POST', headers, json: {} });
  await until('unload', async () => (await server.status()).model === null);
}

async function start(
  owner: Owner,
  env: NodeJS.ProcessEnv = {},
  models: Readonly<Record<string, string | MapModel>> = {},
): Promise<{ server: TestServer; home: Home; states: () => string[] }> {
  const home = makeHome(owner);
  home.writeMap({ talker: await talker(), ...models });
  const stateDir = join(home.root, 'states');
  const server = await startServer(owner, { home, env: { STATE_DIR: stateDir, ...env } });
  return { server, home, states: () => statesBelow(env.STATE_DIR ?? stateDir) };
}

function statesBelow(base: string): string[] {
  if (!existsSync(base)) return [];
  return readdirSync(base, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.state'))
    .map((entry) => join(entry.parentPath, entry.name));
}

const noneBelow = (base: string): boolean => !existsSync(base) || readdirSync(base).length === 0;

describe('A conversation whose model was unloaded', () => {
  test('of 2,000 tokens goes on with the same text, and its prompt is not computed again', async (t) => {
    const { server, states, home } = await start(t);
    const first = await say(server, [FIRST]);
    assert.equal(first.text, FIRST.answer);
    assert.ok(first.prompt >= 2000, `${first.prompt} tokens`);
    assert.equal(first.cached, 0);
    const kept = await say(server, TALK);
    assert.equal(kept.text, SECOND.answer);
    assert.equal(kept.recallMs, 0);
    // The same again in another process, which knows nothing of the second turn.
    const other = await start(t);
    await say(other.server, [FIRST]);
    await unload(other.server);
    const [saved = ''] = other.states();
    assert.equal(other.states().length, 1);
    assert.deepEqual(await statesOf(other.server), {
      ...{
        place: isDisk ? 'disk' : 'memory',
        bytes: statSync(saved).size,
        limit_bytes: 2 ** 30,
        states: 1,
      },
    });
    const woken = await say(other.server, TALK);
    assert.equal(woken.text, kept.text);
    assert.equal(woken.cached, kept.cached);
    assert.ok(woken.cached >= 0.95 * first.prompt, `${woken.cached} of ${first.prompt} tokens`);
    assert.ok(woken.recallMs > 0);
    assert.match(other.server.output(), /conversation saved.*tokens=2\d{3}/);
    assert.match(other.server.output(), /conversation brought back.*tokens=2\d{3}/);
    const files = process.platform === 'win32' ? [] : [...states(), ...other.states()];
    for (const one of files) {
      assert.equal(statSync(one).mode & 0o777, 0o600);
      assert.equal(statSync(join(one, '..')).mode & 0o777, 0o700);
    }
    await Promise.all([server.stop(), other.server.stop()]);
    assert.ok(noneBelow(join(home.root, 'states')));
    assert.ok(noneBelow(join(other.home.root, 'states')));
  });

  test('says what was asked for in the part that came back, keywords and all', async (t) => {
    const { server } = await start(t);
    await say(server, [FIRST]);
    await unload(server);
    const again = await say(server, [FIRST]);
    assert.equal(again.text, FIRST.answer);
    assert.equal(again.cached, again.prompt - 1);
    // Only a part is common: what follows it is another question.
    await unload(server);
    const other = await say(server, [{ user: `${LONG}English?`, answer: '' }]);
    assert.equal(other.text, TEXT.english);
    assert.ok(other.cached > 0.9 * other.prompt, `${other.cached} of ${other.prompt} tokens`);
    assert.ok(other.recallMs > 0);
  });

  test('is told of as it is saved, brought back and replaced', async (t) => {
    const { server } = await start(t);
    const feed = await listen(t, server);
    const first = await say(server, [FIRST]);
    await unload(server);
    const woken = await say(server, TALK);
    await unload(server);
    await feed.find('end of the old state', ({ data }) => data.action === 'dropped');
    const told = feed.events.filter(({ name }) => name === 'state').map(({ data }) => data);
    const [saved, restored, again, dropped] = told;
    assert.deepEqual(
      told.map(({ model, action }) => [model, action]),
      ['saved', 'restored', 'saved', 'dropped'].map((action) => ['talker', action]),
    );
    // The answer is in it as well, but for what was never computed.
    assert.ok(Number(saved?.tokens) > first.prompt);
    assert.ok(Number(restored?.tokens) >= woken.cached);
    assert.ok(Number(again?.tokens) > woken.prompt);
    assert.deepEqual(
      [restored?.tokens, restored?.bytes, dropped?.tokens, dropped?.bytes],
      [saved?.tokens, saved?.bytes, saved?.tokens, saved?.bytes],
    );
    for (const { at, bytes, ms } of told) {
      assert.ok(Number(at) > 0 && Number(bytes) > 0 && Number(ms) >= 0);
    }
    assert.equal(dropped?.reason, 'replaced by a newer one');
  });

  test('goes on after another model was used in between', async (t) => {
    const { server } = await start(t, {}, { other: { file: await talker(), n_ctx: 512 } });
    const first = await say(server, [FIRST]);
    await say(server, [{ user: 'English?', answer: '' }], { model: 'other' });
    const woken = await say(server, TALK);
    assert.equal(woken.text, SECOND.answer);
    assert.ok(woken.cached >= 0.95 * first.prompt, `${woken.cached} of ${first.prompt} tokens`);
  });

  test('goes on in each of several slots', async (t) => {
    const { server, states } = await start(t, { N_SLOTS: '2' });
    const english = [{ user: `English, ${LONG}`, answer: TEXT.english }];
    // Side by side: one that comes after the other takes its slot, since the prompts begin alike.
    const isTold = async (): Promise<boolean> => {
      await Promise.all([say(server, [FIRST]), say(server, english)]);
      const { model } = await server.status();
      return model?.slots.every((slot) => slot.cached_tokens > 0) ?? false;
    };
    let times = 1;
    while (!(await isTold()) && times < 20) times += 1;
    await unload(server);
    assert.equal(states().length, 2);
    for (const talk of [[FIRST], english]) {
      const woken = await say(server, talk);
      assert.equal(woken.text, talk[0]?.answer);
      assert.equal(woken.cached, woken.prompt - 1);
      assert.ok(woken.recallMs > 0);
    }
  });

  test('is not asked after where cache_prompt is off', async (t) => {
    const { server } = await start(t);
    await say(server, [FIRST]);
    await unload(server);
    const anew = await say(server, TALK, { cache_prompt: false });
    assert.deepEqual([anew.text, anew.cached, anew.recallMs], [SECOND.answer, 0, 0]);
  });

  test('is in shared memory where nothing is set, and gone with the server', {
    skip: !isShared && 'no shared memory',
  }, async (t) => {
    const { server } = await start(t, { STATE_DIR: '' });
    await say(server, [FIRST]);
    await unload(server);
    // Servers of other tests may be at work there; each folder names its own.
    const isOurs = (path: string): boolean => {
      const manifest = join(path, '..', 'manifest.json');
      return JSON.parse(readFileSync(manifest, 'utf8')).server.pid === server.pid;
    };
    const mine = statesBelow(SHARED).filter(isOurs);
    assert.equal(mine.length, 1);
    assert.ok((await say(server, TALK)).recallMs > 0);
    await server.stop();
    for (const path of mine) assert.equal(existsSync(join(path, '..')), false);
  });
});

/** What somebody or something did to the file of a state, or to what it belongs to. */
const HARM: Readonly<
  Record<string, (made: { state: string; model: string; lib: string }) => void>
> = {
  'is damaged': ({ state }) => {
    const bytes = readFileSync(state);
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(state, bytes);
  },
  'is cut short': ({ state }) => truncateSync(state, statSync(state).size >> 1),
  'is empty': ({ state }) => truncateSync(state, 0),
  'was another library’s': ({ lib }) => utimesSync(lib, 1, 1),
  'was of another model file': ({ model }) => utimesSync(model, 1, 1),
};

describe('A saved conversation', () => {
  for (const [what, harm] of Object.entries(HARM)) {
    test(`that ${what} is not used, which only the log says; the text is right`, async (t) => {
      const home = makeHome(t);
      const model = join(home.root, 'model.gguf');
      cpSync(await talker(), model);
      home.writeMap({ talker: model });
      const lib = await copyLibrary(join(home.root, 'lib'));
      const env = { STATE_DIR: join(home.root, 'states'), HOSHIKAGE_LIB_PATH: lib };
      const server = await startServer(t, { home, env });
      await say(server, [FIRST]);
      await unload(server);
      const [state = ''] = statesBelow(env.STATE_DIR);
      harm({ state, model, lib });
      const turn = await say(server, TALK);
      assert.deepEqual([turn.text, turn.cached, turn.recallMs], [SECOND.answer, 0, 0]);
      assert.match(server.output(), /the saved state .* is not used: /);
      assert.match(server.output(), /saved conversation dropped/);
      assert.equal(existsSync(state), false);
      // And what is saved next is sound.
      await unload(server);
      assert.ok((await say(server, TALK)).recallMs > 0);
    });
  }

  test('is not that of a model with other settings', async (t) => {
    const { server, home } = await start(t);
    await say(server, [FIRST]);
    await unload(server);
    home.writeMap({ talker: { file: await talker(), n_ctx: 3000 } });
    const headers = { authorization: `Bearer ${server.run.token}` };
    await getJson(`${server.url}/admin/reload`, { method: 'POST', headers, json: {} });
    const turn = await say(server, TALK);
    assert.deepEqual([turn.text, turn.cached, turn.recallMs], [SECOND.answer, 0, 0]);
  });

  test('goes where the budget is too small for all, the one unused for longest first', async (t) => {
    const { server, states } = await start(t);
    await say(server, [FIRST]);
    await unload(server);
    const [one = ''] = states();
    const budget = String(Math.ceil(1.5 * statSync(one).size));
    const small = await start(t, { STATE_CACHE_BYTES: budget });
    await say(small.server, [FIRST]);
    await unload(small.server);
    const [old = ''] = small.states();
    await say(small.server, [{ user: `English? ${LONG}`, answer: '' }]);
    await unload(small.server);
    assert.equal(existsSync(old), false);
    assert.equal(small.states().length, 1);
    const turn = await say(small.server, TALK);
    assert.deepEqual([turn.text, turn.recallMs], [SECOND.answer, 0]);
    // A budget that holds not even one.
    const none = await start(t, { STATE_CACHE_BYTES: '100000' });
    await say(none.server, [FIRST]);
    await unload(none.server);
    assert.deepEqual(none.states(), []);
    assert.equal((await say(none.server, TALK)).text, SECOND.answer);
  });

  test('is none on a file system that is full; the conversation goes on all the same', {
    skip: !canMount && 'nothing can be mounted here',
  }, async (t) => {
    const home = makeHome(t);
    home.writeMap({ talker: await talker() });
    const full = join(home.root, 'full');
    mkdirSync(full);
    // In a namespace of the server's own, which ends with it.
    const mount = 'mount -t tmpfs -o size=1m,mode=700 tmpfs "$STATE_DIR" && exec "$@"';
    const under = [...NAMESPACE, 'sh', '-c', mount, 'sh'];
    const server = await startServer(t, { home, env: { STATE_DIR: full }, under });
    const seen = join('/proc', String(server.pid), 'root', full);
    await say(server, [FIRST]);
    writeFileSync(join(seen, 'foreign'), Buffer.alloc(700_000));
    await unload(server);
    assert.deepEqual(statesBelow(seen), []);
    const turn = await say(server, TALK);
    assert.deepEqual([turn.text, turn.cached], [SECOND.answer, 0]);
    assert.equal(statSync(join(seen, 'foreign')).size, 700_000);
  });

  test('of a server that was killed is swept by the next one, and by nobody while it lives', async (t) => {
    const { server, home, states } = await start(t);
    await say(server, [FIRST]);
    await unload(server);
    const env = { STATE_DIR: join(home.root, 'states') };
    const other = await start(t, env);
    await say(other.server, [FIRST]);
    await unload(other.server);
    assert.equal(states().length, 2);
    await server.stop('SIGKILL');
    assert.equal(states().length, 2);
    const next = await startServer(t, { home, env });
    await until('sweep', () => states().length === 1);
    assert.ok((await say(other.server, TALK)).recallMs > 0);
    await Promise.all([next.stop(), other.server.stop()]);
    assert.ok(noneBelow(env.STATE_DIR));
  });
});
