import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { type Config, engineEnvironmentOf, loadConfig } from '../src/config.js';
import { type RunningServer, startServer } from '../src/start.js';
import { recordingLog } from './helpers/recording-log.js';
import { type ErrorBody, getJson } from './helpers/wire.js';

let root = '';
let servers: RunningServer[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'hoshikage-server-'));
  servers = [];
});

afterEach(async () => {
  for (const server of servers) await server.stop(0);
  rmSync(root, { recursive: true });
});

/** A configuration whose library is nowhere, so that no process is started. */
function configOf(env: NodeJS.ProcessEnv = {}): Config {
  return loadConfig({
    home: root,
    env: {
      PORT: '0',
      XDG_CONFIG_HOME: join(root, 'config'),
      XDG_CACHE_HOME: join(root, 'cache'),
      HOSHIKAGE_LIB_PATH: join(root, 'no-library'),
      ...env,
    },
  });
}

async function start(config = configOf()): Promise<RunningServer> {
  const server = await startServer(config, { log: recordingLog(), version: '1.2.3' });
  servers.push(server);
  return server;
}

function ask(server: RunningServer, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { connection: 'close', 'content-type': 'application/json' };
  return fetch(`http://${server.host}:${server.port}${path}`, { headers, ...init });
}

test('a started server answers, and its directories exist', async () => {
  const config = configOf();
  const server = await start(config);
  assert.equal((await ask(server, '/health')).status, 200);
  for (const path of [config.configDir, config.cacheDir, config.libDir, config.modelDir]) {
    assert.ok(statSync(path).isDirectory(), path);
  }
});

test('a request whose address cannot be read gets an error in our shape', async () => {
  const { port } = await start();
  const url = `http://127.0.0.1:${port}/health`;
  const { status, headers, body } = await getJson(url, { headers: { host: 'two words' } });
  assert.equal(status, 400);
  assert.match(String(headers['x-request-id']), /^req-/);
  assert.equal((body as { error: ErrorBody }).error.code, 'invalid_value');
});

test('run.json tells the CLI pid, place and token, to this user only, while the server runs', async () => {
  const config = configOf();
  const server = await start(config);
  const run = JSON.parse(readFileSync(config.runFile, 'utf8'));
  assert.deepEqual(
    { ...run, token: '' },
    { pid: process.pid, host: '127.0.0.1', port: server.port, token: '', version: '1.2.3' },
  );
  assert.match(run.token, /^[0-9a-f]{64}$/);
  assert.equal(statSync(config.runFile).mode & 0o777, 0o600);
  await server.stop();
  assert.ok(!existsSync(config.runFile));
});

test('a private server leaves no run.json, and leaves that of another one alone', async () => {
  const config = configOf();
  const open = { log: recordingLog(), version: '1.2.3', isPrivate: true };
  const server = await startServer(config, open);
  servers.push(server);
  assert.equal((await ask(server, '/health')).status, 200);
  assert.ok(!existsSync(config.runFile));
  const other = await start(config);
  const run = readFileSync(config.runFile, 'utf8');
  await server.stop();
  assert.equal(readFileSync(config.runFile, 'utf8'), run);
  await other.stop();
});

test("another server's run.json is left alone", async () => {
  const config = configOf();
  const server = await start(config);
  writeFileSync(config.runFile, '{"pid":1,"token":"of another"}');
  await server.stop();
  assert.equal(readFileSync(config.runFile, 'utf8'), '{"pid":1,"token":"of another"}');
});

test("another server's place in run.json is taken for as long as a server runs, and told", async () => {
  const config = configOf();
  await (await start(config)).stop();
  // A process that lives and is not this one.
  const first = { pid: process.ppid, host: '127.0.0.1', port: 3061, token: 'of the first' };
  const dead = { pid: 2 ** 30, host: '127.0.0.1', port: 3060, token: 'of one that is gone' };
  writeFileSync(config.runFile, JSON.stringify({ ...first, before: [dead] }));
  const server = await start(config);
  assert.equal(server.displaced?.port, 3061);
  const { before, ...own } = JSON.parse(readFileSync(config.runFile, 'utf8'));
  assert.deepEqual([own.pid, own.port, before], [process.pid, server.port, [first]]);
  await server.stop();
  assert.deepEqual(JSON.parse(readFileSync(config.runFile, 'utf8')), first);
});

test('a server whose place was taken leaves only its own record out when it ends', async () => {
  const config = configOf();
  const server = await start(config);
  assert.equal(server.displaced, null);
  const own = JSON.parse(readFileSync(config.runFile, 'utf8'));
  const second = { pid: process.ppid, host: '127.0.0.1', port: 3062, token: 'of the second' };
  writeFileSync(config.runFile, JSON.stringify({ ...second, before: [own] }));
  await server.stop();
  assert.deepEqual(JSON.parse(readFileSync(config.runFile, 'utf8')), second);
});

test('a port in use is a plain error, and nothing is left behind', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  const address = other.address();
  assert.ok(address && typeof address === 'object');
  const config = configOf({ PORT: String(address.port) });
  await assert.rejects(start(config), {
    code: 'port_in_use',
    details: { host: '127.0.0.1', port: address.port },
  });
  assert.ok(!existsSync(config.runFile));
  await new Promise((resolve) => other.close(resolve));
});

test('an address that is not ours is a bad setting that names HOST', async () => {
  const config = configOf({ HOST: '192.0.2.1', API_KEY: 'secret-key' });
  await assert.rejects(start(config), { code: 'setting_invalid' });
});

test('a public address without a key is refused before anything is made', async () => {
  const config = configOf({ HOST: '0.0.0.0' });
  await assert.rejects(start(config), { code: 'insecure_bind' });
  assert.ok(!existsSync(config.configDir));
});

test('without a library the server runs and says so; a chat gets the reason', async () => {
  const server = await start();
  const reply = await ask(server, '/v1/chat/completions', {
    method: 'POST',
    body: JSON.stringify({
      model: 'hoshikage-guide',
      messages: [{ role: 'user', content: 'Hello' }],
    }),
  });
  assert.equal(reply.status, 503);
  const { error } = JSON.parse(await reply.text());
  assert.equal(error.code, 'library_not_found');
  assert.match(error.message, /HOSHIKAGE_LIB_PATH=/);
  const status = JSON.parse(await (await ask(server, '/v1/status')).text());
  assert.equal(status.library.state, 'missing');
});

test('a broken map stops the start and names the file', async () => {
  const config = configOf();
  await (await start(config)).stop();
  writeFileSync(config.modelMapFile, '{"a":');
  await assert.rejects(start(config), { code: 'map_broken' });
});

test('a stopped server accepts nothing, and stopping again is harmless', async () => {
  const server = await start();
  await Promise.all([server.stop(60_000), server.stop(0)]);
  await assert.rejects(ask(server, '/health'));
});

test('an engine gets our environment and the rest of the .env file, but no setting of ours', () => {
  const env = engineEnvironmentOf(
    { engineEnvironment: { LD_LIBRARY_PATH: '/opt/lib' } },
    { PATH: '/bin', API_KEY: 'secret', N_CTX: '1' },
  );
  assert.deepEqual(env, { PATH: '/bin', LD_LIBRARY_PATH: '/opt/lib' });
});

test("a started server tells whether work runs, and the library's verdict within a limit", async () => {
  const server = await start();
  assert.equal((await server.library(10_000)).error?.code, 'library_not_found');
  assert.equal(server.busy(), false);
});
