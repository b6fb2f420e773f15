/** `hoshikage ps`: what it shows of a server that holds a lot, of one that holds nothing, and of none. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { type CommandUser, commandUser } from '../helpers/command.js';
import { answer, error, fakeServer, writeRunFile } from '../helpers/fake-admin.js';

const GIB = 1024 ** 3;
const IDLE = { id: 0, state: 'idle' };

const STATUS = {
  status: 'ok',
  version: '9.8.7',
  uptime_s: 7500,
  residents: [
    {
      id: '星/影',
      state: 'ready',
      purpose: 'generate',
      progress: null,
      pid: 4321,
      active: 1,
      idle_ms: null,
      unload_in_ms: null,
      memory: 4 * GIB,
      slots: [{ id: 0, state: 'generation' }, IDLE],
    },
    {
      id: 'vectors',
      state: 'ready',
      purpose: 'embed',
      pid: 4322,
      idle_ms: 20_000,
      unload_in_ms: 280_000,
      memory: GIB,
      slots: [],
    },
    {
      ...{ id: 'kept', state: 'ready', idle_ms: 0, unload_in_ms: null, pid: 4324 },
      ...{ slots: [IDLE], slot_choice: 'measured' },
    },
    { id: 'next', state: 'loading', progress: 0.429, pid: 4323, memory: null, slots: [] },
  ],
  queue: {
    length: 2,
    limit: 64,
    oldest_wait_ms: 12_000,
    waiting: [
      { model: 'next', position: 1, waited_ms: 12_000, priority: 'interactive', state: 'loading' },
      { model: '星/影', position: 2, waited_ms: 3000, priority: 'batch', state: 'queued' },
    ],
  },
  held: [{ model: 'broken', crashes: 3 }],
  ramdisk: {
    mode: 'auto',
    copies: [{ source: '/models/a.gguf', bytes: 4 * GIB, idle_ms: 1 }],
    copying: { source: '/models/b.gguf' },
  },
  states: { place: 'memory', bytes: GIB / 4, limit_bytes: GIB, states: 3 },
  memory: { rss: GIB / 16, free: 8 * GIB, total: 16 * GIB },
};

const EMPTY = { ...STATUS, residents: [], held: [], ramdisk: null, states: null };
const NONE_WAIT = { length: 0, limit: 64, oldest_wait_ms: 0, waiting: [] };

async function userOf(context: TestContext, status: object): Promise<CommandUser> {
  const user = commandUser(context);
  const server = await fakeServer(context, (seen, response) => {
    const wants = seen.authorization === 'Bearer sesame' || !('locked' in status);
    if (!wants) answer(response, 401, error('invalid_api_key'));
    else answer(response, seen.url === '/v1/status' ? 200 : 404, status);
  });
  writeRunFile(user, server);
  return user;
}

describe('hoshikage ps', { concurrency: 2 }, () => {
  it('draws the memory, then every model, who waits, and what is kept', async (context) => {
    const { code, stdout, stderr } = await (await userOf(context, STATUS)).run(['ps']);
    assert.deepEqual([code, stderr], [0, '']);
    const [head, picture, gap, ...lines] = stdout.split('\n');
    assert.match(
      head ?? '',
      /^星影 Hoshikage 9\.8\.7 {2}127\.0\.0\.1:\d+ {2}pid \d+ .* up 2 h 5 min$/,
    );
    assert.match(picture ?? '', /^\[#{6}={4}\.{10}\] {2}Hoshikage 5\.1 GiB \(#\), free 8\.0 GiB/);
    assert.equal(gap, '');
    assert.deepEqual(lines.slice(0, 5), [
      'MODEL    STATE               MEMORY   SLOTS       IDLE  LEAVES IN   PID',
      '星/影    busy                4.0 GiB  ●○ 1/2      -     -           4321',
      'vectors  ready (embeddings)  1.0 GiB  -           20 s  4 min 40 s  4322',
      'kept     ready               -        ○ 0/1 auto  0 s   stays       4324',
      'next     loading 42 %        -        -           -     -           4323',
    ]);
    assert.deepEqual(lines.slice(5, 10), [
      '',
      'Queue: 2 / 64',
      'NEXT   MODEL  WAITED  KIND',
      'loads  next   12 s    interactive',
      '2      星/影  3 s     batch',
    ]);
    const rest = lines.slice(10).join('\n');
    assert.match(rest, /^Held back: broken \(crashed 3 times; resume with .*load broken\)$/m);
    assert.match(rest, /^Copies on the RAM disk: 1, 4\.0 GiB$/m);
    assert.match(rest, /^Copying to the RAM disk: \/models\/b\.gguf$/m);
    assert.match(rest, /^Saved states of conversations: 3, 256\.0 MiB of 1\.0 GiB$/m);
  });

  it('speaks Japanese too', async (context) => {
    const user = await userOf(context, STATUS);
    const { stdout } = await user.run(['ps', '--lang', 'ja']);
    assert.match(stdout, /起動から 2 時間 5 分/);
    assert.match(stdout, /^星\/影 +使用中 /m);
    assert.match(stdout, /^止めているモデル: broken/m);
  });

  it('says in a line that nothing is loaded, and leaves out what is not there', async (context) => {
    const user = await userOf(context, { ...EMPTY, queue: NONE_WAIT });
    const { code, stdout } = await user.run(['ps']);
    assert.equal(code, 0);
    assert.deepEqual(stdout.split('\n').slice(2), [
      '',
      'No model is in memory (one is loaded when it is asked for)',
      '',
    ]);
  });

  it('--json gives the whole status, and where the server is', async (context) => {
    const { code, stdout } = await (await userOf(context, STATUS)).run(['ps', '--json']);
    const { running, stopping, pid, host, port, ...status } = JSON.parse(stdout);
    assert.deepEqual(
      [code, running, stopping, pid, host],
      [0, true, false, process.pid, '127.0.0.1'],
    );
    assert.equal(typeof port, 'number');
    assert.deepEqual(status, STATUS);
  });

  it('without a server says so in a line, and that is no failure', async (context) => {
    const user = commandUser(context);
    const [text, json] = [await user.run(['ps']), await user.run(['ps', '--json'])];
    assert.deepEqual([text.code, text.stderr], [0, '']);
    assert.match(text.stdout, /^No server is running \(start one with .* serve\)\n$/);
    assert.deepEqual(JSON.parse(json.stdout), { running: false, stopping: false });
  });

  it('tells of a server that is stopping how long it may take', async (context) => {
    const user = commandUser(context);
    const stopping = { since: Date.now(), grace_ms: 3_600_000 };
    user.writeFile(user.runFile, JSON.stringify({ pid: process.pid, token: 't', stopping }));
    const [text, json] = [await user.run(['ps']), await user.run(['ps', '--json'])];
    assert.equal(text.code, 0);
    assert.match(text.stdout, /^The server \(pid \d+\) is stopping: .* (1 h|59 min \d+ s) more\n$/);
    assert.equal(JSON.parse(json.stdout).stopping, true);
  });

  it('shows the API key where the server wants one, and says so where it has none', async (context) => {
    const user = await userOf(context, { ...STATUS, locked: true });
    const [without, withKey] = [
      await user.run(['ps']),
      await user.run(['ps'], { API_KEY: 'sesame' }),
    ];
    assert.deepEqual([without.code, withKey.code], [1, 0]);
    assert.match(without.stderr, /The server wants its API_KEY/);
  });

  it('fails where the server does not answer', async (context) => {
    const user = commandUser(context);
    writeRunFile(user, await fakeServer(context, () => {}));
    const { code, stderr } = await user.run(['ps']);
    assert.equal(code, 1);
    assert.match(stderr, /does not answer, so nobody knows what it does/);
  });
});
