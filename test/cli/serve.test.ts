/** `hoshikage serve` as a process: how it starts, what it says, and how it ends. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { commandUser } from '../helpers/command.js';
import { until, within } from '../helpers/waiting.js';

const DEADLINE_MS = 30_000;

describe('hoshikage serve', { concurrency: 2 }, () => {
  it('leaves run.json for this user only, says where it listens, and ends with 0 on SIGTERM', async (context) => {
    const user = commandUser(context);
    user.writeFile(`${user.configDir}/.env`, 'IDLE_TIMEOUT_SECONDS=10\n');
    const server = user.start(['serve', '--port', '0']);
    await until('greeting', () => /add .*my-model/.test(server.stdout()), {
      deadlineMs: DEADLINE_MS,
    });
    const run = JSON.parse(readFileSync(user.runFile, 'utf8'));
    assert(server.stdout().includes(`http://127.0.0.1:${run.port}`), server.stdout());
    assert.match(server.stdout(), /試す \/ Try:\n +curl .*"model":"hoshikage-demo"/);
    assert.match(server.stdout(), /WARN .*IDLE_TIMEOUT_SECONDS has no effect; use IDLE_TIMEOUT/);
    server.child.kill('SIGTERM');
    const { code } = await within(server.ended, DEADLINE_MS, 'end of the server');
    assert.equal(code, 0);
    assert(!existsSync(user.runFile));
  });

  it('writes the log to LOG_FILE_PATH and only start-up lines to standard error', async (context) => {
    const user = commandUser(context);
    const server = user.start(['serve', '--port', '0'], { LOG_FILE_PATH: '~/logs/h.log' });
    await until('greeting', () => /my-model/.test(server.stderr()), { deadlineMs: DEADLINE_MS });
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
