/** `hoshikage serve` as a process: how it starts, what it says, and how it ends. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { basename, dirname } from 'node:path';
import { describe, it } from 'node:test';
import { type CommandUser, commandUser } from '../helpers/command.js';
import { whyNoLibrary } from '../helpers/default-library.js';
import { rambler } from '../helpers/models.js';
import { until, within } from '../helpers/waiting.js';

const DEADLINE_MS = 30_000;

/** Starts a server and waits for its whole greeting. */
async function started(user: CommandUser, env: NodeJS.ProcessEnv, ...args: string[]) {
  const server = user.start(['serve', '--port', '0', ...args], env);
  await until('greeting', () => /Stop: Ctrl-C/.test(server.stdout()), { deadlineMs: DEADLINE_MS });
  const { port } = JSON.parse(readFileSync(user.runFile, 'utf8'));
  return { ...server, port: Number(port) };
}

describe('hoshikage serve', { concurrency: 2 }, () => {
  it('leaves run.json for this user only, says where it listens, and ends with 0 on SIGTERM', async (context) => {
    const user = commandUser(context);
    user.writeFile(`${user.configDir}/.env`, 'IDLE_TIMEOUT_SECONDS=10\n');
    const server = user.start(['serve', '--port', '0']);
    await until('greeting', () => /Stop: Ctrl-C/.test(server.stdout()), {
      deadlineMs: DEADLINE_MS,
    });
    const run = JSON.parse(readFileSync(user.runFile, 'utf8'));
    assert(server.stdout().includes(`http://127.0.0.1:${run.port}`), server.stdout());
    assert.match(server.stdout(), /試す \/ Try:\n +curl .*"model":"hoshikage-guide"/);
    assert.match(server.stdout(), /WARN .*IDLE_TIMEOUT_SECONDS has no effect; use IDLE_TIMEOUT/);
    server.child.kill('SIGTERM');
    const { code } = await within(server.ended, DEADLINE_MS, 'end of the server');
    assert.equal(code, 0);
    assert(!existsSync(user.runFile));
  });

  it('writes the log to LOG_FILE_PATH and only start-up lines to standard error', async (context) => {
    const user = commandUser(context);
    const server = user.start(['serve', '--port', '0'], { LOG_FILE_PATH: '~/logs/h.log' });
    await until('greeting', () => /Stop: Ctrl-C/.test(server.stderr()), {
      deadlineMs: DEADLINE_MS,
    });
    const run = JSON.parse(readFileSync(user.runFile, 'utf8'));
    await fetch(`http://127.0.0.1:${run.port}/v1/api/version`);
    server.child.kill('SIGINT');
    const { code, stdout, stderr } = await within(server.ended, DEADLINE_MS, 'end of the server');
    assert.deepEqual([code, stdout], [0, '']);
    assert.match(stderr, /INFO {2}listening/);
    assert.doesNotMatch(stderr, /path=\/v1\/api\/version/);
    const name = user.files('logs').find((file) => /^h\.log\.\d{4}-\d\d-\d\d$/.test(file));
    assert.match(readFileSync(`${user.home}/logs/${name}`, 'utf8'), /path=\/v1\/api\/version/);
  });

  it('says at the first Ctrl-C what it waits for, and ends at the second', {
    skip: whyNoLibrary(),
  }, async (context) => {
    const user = commandUser(context);
    const path = await rambler();
    const entry = { path: dirname(path), model: basename(path), stop: [] };
    user.writeFile(user.mapFile, JSON.stringify({ rambler: entry }));
    // Long enough that the answer runs until it is stopped.
    const server = await started(user, { N_CTX: '8192' });
    const response = await fetch(`http://127.0.0.1:${server.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'rambler',
        messages: [{ role: 'user', content: '話して' }],
        stream: true,
      }),
    });
    const reader = response.body?.getReader();
    let heard = '';
    const reading = (async () => {
      for (let part = await reader?.read(); part?.value; part = await reader?.read()) {
        heard += Buffer.from(part.value).toString();
      }
    })().catch(() => {});
    // While the model is loaded there are only signs of life.
    await until('text', () => /"content":"[^"]/.test(heard), { deadlineMs: DEADLINE_MS });
    server.child.kill('SIGINT');
    await until('what it waits for', () => /second Ctrl-C stops at once/.test(server.stdout()), {
      deadlineMs: DEADLINE_MS,
    });
    assert.match(server.stdout(), /最大 30 秒待って.*もう一度 Ctrl-C/);
    assert.match(server.stdout(), /may finish within 30 s/);
    const { code: shown, stdout } = await user.run(['ps']);
    assert.equal(shown, 0);
    assert.match(stdout, /is stopping: running answers may take (30|2\d) s more/);
    server.child.kill('SIGINT');
    const { code } = await within(server.ended, DEADLINE_MS, 'end of the server');
    assert.equal(code, 130);
    await within(reading, DEADLINE_MS, 'end of the answer');
  });

  it('says in both languages why no model can answer, in the place of what to try', async (context) => {
    const user = commandUser(context);
    const server = await started(user, { HOSHIKAGE_LIB_PATH: `${user.home}/nowhere` });
    const text = server.stdout();
    assert.doesNotMatch(text, /Try:/);
    assert.match(text, /libllama が見つかりません.*\n +No libllama was found/);
    assert.match(text, /HOSHIKAGE_LIB_PATH を直すか.*\n +Mend or remove HOSHIKAGE_LIB_PATH/);
  });

  it('shows where other machines reach it, and where the key goes', async (context) => {
    const user = commandUser(context);
    const env = { API_KEY: 'not-to-be-shown' };
    const { stdout } = await started(user, env, '--host', '0.0.0.0');
    assert.match(stdout(), /curl -H "Authorization: Bearer <API_KEY>" http:\/\/127\.0\.0\.1:/);
    assert.match(stdout(), /<API_KEY>: the key from your settings/);
    assert.doesNotMatch(stdout(), /not-to-be-shown/);
    const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    const lan = addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
    if (lan) assert(stdout().includes(`From other machines: http://${lan}:`), stdout());
    else assert.doesNotMatch(stdout(), /From other machines/);
  });

  it('says beside another server whom the commands talk to, and gives the place back', async (context) => {
    const user = commandUser(context);
    const first = await started(user, {});
    const second = await started(user, {});
    assert(
      second.stdout().includes(`Another Hoshikage is running: http://127.0.0.1:${first.port}`),
    );
    const asked = async (): Promise<number> =>
      JSON.parse((await user.run(['ps', '--json'])).stdout).port;
    assert.equal(await asked(), second.port);
    second.child.kill('SIGINT');
    await within(second.ended, DEADLINE_MS, 'end of the second server');
    assert.equal(await asked(), first.port);
  });

  it('says in one message that the port is taken, and ends with 1', async (context) => {
    const user = commandUser(context);
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    context.after(() => taken.close());
    // address() of a listening TCP server is an AddressInfo.
    const port = String((taken.address() as AddressInfo).port);
    const { code, stderr } = await user.run(['--port', port]);
    assert.equal(code, 1);
    assert.equal(
      stderr.trimEnd().split('\n')[0],
      `hoshikage: Address already in use: 127.0.0.1:${port}; choose another with --port`,
    );
    assert.doesNotMatch(stderr, / at /);
  });

  it('refuses an address that others can reach without a key, and ends with 2', async (context) => {
    const { code, stderr } = await commandUser(context).run(['serve', '--host', '0.0.0.0']);
    assert.equal(code, 2);
    assert.match(stderr, /API_KEY/);
  });

  it('ends with 1 when the map is broken, naming it', async (context) => {
    const user = commandUser(context);
    user.writeFile(user.mapFile, '{');
    const { code, stderr } = await user.run(['serve', '--port', '0']);
    assert.equal(code, 1);
    assert(stderr.includes(user.mapFile), stderr);
  });
});
