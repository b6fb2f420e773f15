/** `hoshikage load` and `hoshikage unload`: what they ask, what they show meanwhile, and how they end. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { type CommandUser, commandUser } from '../helpers/command.js';
import { answer, error, fakeServer, type Seen, writeRunFile } from '../helpers/fake-admin.js';
import { until, within } from '../helpers/waiting.js';

const DEADLINE_MS = 30_000;

interface Asked {
  readonly user: CommandUser;
  /** What was asked of it besides how it is. */
  posts(): readonly Seen[];
  looks(): number;
}

/** A server that says how it is by `status`, and answers all else by `handler`. */
async function serverWith(
  context: TestContext,
  status: object,
  handler: (response: ServerResponse) => void,
): Promise<Asked> {
  const user = commandUser(context);
  const server = await fakeServer(context, ({ url }, response) => {
    if (url === '/v1/status') answer(response, 200, status);
    else handler(response);
  });
  writeRunFile(user, server);
  const isLook = ({ url }: Seen) => url === '/v1/status';
  return {
    user,
    posts: () => server.seen.filter((seen) => !isLook(seen)),
    looks: () => server.seen.filter(isLook).length,
  };
}

const resident = (changes: object) => ({
  residents: [{ id: 'm', state: 'ready', slots: [], memory: 3 * 1024 ** 3, ...changes }],
});

describe('hoshikage load', { concurrency: 2 }, () => {
  it('asks for the model by its name, and says how much memory it takes', async (context) => {
    const { user, posts } = await serverWith(context, resident({ id: '星/影' }), (response) =>
      answer(response, 200, { success: true }),
    );
    const { code, stdout } = await user.run(['load', '星/影', '--keep-alive', '1h30m']);
    assert.equal(code, 0);
    assert.equal(stdout, 'Loaded 星/影 (3.0 GiB)\nIt goes after 1 h 30 min without use\n');
    assert.deepEqual(
      posts().map(({ method, url, body }) => ({ method, url, body })),
      [
        {
          method: 'POST',
          url: `/admin/models/${encodeURIComponent('星/影')}/load`,
          body: { keep_alive: '1h30m' },
        },
      ],
    );
  });

  it('may keep it for ever', async (context) => {
    const { user, posts } = await serverWith(context, resident({}), (response) =>
      answer(response, 200, { success: true }),
    );
    const { stdout } = await user.run(['load', 'm', '--keep-alive', '-1']);
    assert.match(stdout, /^It stays, used or not$/m);
    assert.deepEqual(posts()[0]?.body, { keep_alive: '-1' });
  });

  it('shows what goes on until the server answers', async (context) => {
    let pending: ServerResponse | null = null;
    const status = resident({ state: 'loading', progress: 0.5, memory: null });
    const { user } = await serverWith(context, status, (response) => {
      pending = response;
    });
    const { ended, stderr } = user.start(['load', 'm']);
    await until('progress', () => stderr().includes('Loading m'), { deadlineMs: DEADLINE_MS });
    assert.ok(pending);
    answer(pending, 200, { success: true });
    const { code, stdout } = await within(ended, DEADLINE_MS, 'end of load');
    assert.deepEqual([code, stdout], [0, 'Loaded m\n']);
  });

  it('waits its turn where other models work', async (context) => {
    const busy = resident({ id: 'other', active: 1 });
    const { user } = await serverWith(context, busy, () => {});
    const { child, ended, stderr } = user.start(['load', 'm']);
    await until('words', () => stderr().includes('Waiting its turn: m'), {
      deadlineMs: DEADLINE_MS,
    });
    child.kill('SIGINT');
    const { code } = await within(ended, DEADLINE_MS, 'end of load');
    assert.equal(code, 130);
    assert.match(stderr(), /No longer waiting; ps shows how far the load is/);
  });

  it('ends with 1 and the words of the server, one language a line, where it cannot be done', async (context) => {
    for (const [status, code] of [
      [503, 'memory_short'],
      [503, 'model_held'],
      [503, 'model_load_failed'],
    ] as const) {
      const { user, posts } = await serverWith(context, {}, (response) =>
        answer(response, status, error(code, `足りません / ${code} in words`)),
      );
      const outcome = await user.run(['load', 'm']);
      assert.deepEqual([outcome.code, posts().length], [1, 1], code);
      const lines = `hoshikage: ${code} in words\n           足りません\n`;
      assert.ok(outcome.stderr.endsWith(lines), outcome.stderr);
    }
  });

  it('names a model that there is not', async (context) => {
    const { user } = await serverWith(context, {}, (response) =>
      answer(response, 404, error('model_not_found')),
    );
    const { code, stderr } = await user.run(['load', 'none']);
    assert.equal(code, 1);
    assert.match(stderr, /Model not found: none/);
  });

  it('refuses a time that is none before it asks', async (context) => {
    const { user, posts } = await serverWith(context, {}, () => {});
    const { code, stderr } = await user.run(['load', 'm', '--keep-alive', 'soon']);
    assert.deepEqual([code, posts().length], [2, 0]);
    assert.match(stderr, /--keep-alive soon: expected seconds or a time such as "5m"/);
  });

  it('says what became of a server that is not there, is stopping, or goes away', async (context) => {
    const alone = commandUser(context);
    const missing = await alone.run(['load', 'm']);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /No server is running; start one with .* serve/);
    const stopping = { since: Date.now(), grace_ms: 3_600_000 };
    alone.writeFile(alone.runFile, JSON.stringify({ pid: process.pid, token: 't', stopping }));
    const late = await alone.run(['unload']);
    assert.equal(late.code, 1);
    assert.match(late.stderr, /is stopping and takes no more requests/);
    const { user } = await serverWith(context, {}, (response) => response.destroy());
    const gone = await user.run(['load', 'm']);
    assert.equal(gone.code, 1);
    assert.match(gone.stderr, /does not answer, so nobody knows what became of it/);
  });
});

describe('hoshikage unload', { concurrency: 2 }, () => {
  it('names what has gone, one model or all', async (context) => {
    const { user, posts } = await serverWith(context, {}, (response) =>
      answer(response, 200, { success: true, unloaded: ['m', 'v'] }),
    );
    const one = await user.run(['unload', 'm']);
    const all = await user.run(['unload', '--lang', 'ja']);
    assert.deepEqual([one.code, one.stdout], [0, 'Unloaded m, v\n']);
    assert.deepEqual([all.code, all.stdout], [0, '降ろしました: m, v\n']);
    assert.deepEqual(
      posts().map(({ url, body }) => [url, body]),
      [
        ['/admin/unload', { model: 'm' }],
        ['/admin/unload', {}],
      ],
    );
  });

  it('is done where nothing is loaded', async (context) => {
    const { user } = await serverWith(context, {}, (response) =>
      answer(response, 200, { success: true, unloaded: [] }),
    );
    const [one, all] = [await user.run(['unload', 'm']), await user.run(['unload'])];
    assert.deepEqual([one.code, one.stdout], [0, 'm is not in memory\n']);
    assert.deepEqual([all.code, all.stdout], [0, 'No model is in memory\n']);
  });

  it('Ctrl-C ends only the waiting', async (context) => {
    const { user, looks } = await serverWith(context, {}, () => {});
    const { child, ended, stderr } = user.start(['unload']);
    await until('a look', () => looks() > 0, { deadlineMs: DEADLINE_MS });
    child.kill('SIGINT');
    const { code } = await within(ended, DEADLINE_MS, 'end of unload');
    assert.equal(code, 130);
    assert.match(stderr(), /the model goes once its running answers have ended/);
  });
});
