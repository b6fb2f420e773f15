/** `hoshikage doctor` as a process: what it prints, and what it ends with. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { describe, it } from 'node:test';
import { CHECKS } from '../../src/doctor/check.js';
import { commandUser } from '../helpers/command.js';
import { whyNoLibrary } from '../helpers/default-library.js';
import { until } from '../helpers/waiting.js';

const FREE = { PORT: '0' };

/** What --json prints. */
interface Report {
  readonly ok: boolean;
  readonly checks: readonly {
    readonly id: string;
    readonly state: string;
    readonly title: { readonly ja: string; readonly en: string };
    readonly detail: { readonly ja: string; readonly en: string };
    readonly remedy: { readonly ja: string; readonly en: string } | null;
  }[];
}

describe('hoshikage doctor', { concurrency: 2 }, () => {
  it('finds nothing broken for a new user, and ends with 0', {
    skip: whyNoLibrary(),
  }, async (context) => {
    const user = commandUser(context);
    const { code, stdout, stderr } = await user.run(['doctor', '--lang', 'ja'], FREE);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^実行環境\n {2}✓ Node\.js +v\d/);
    assert.match(stdout, /\nlibllama\n {2}✓ 場所 +.*libllama/);
    assert.match(stdout, /✓ デバイス +CPU \[cpu\]/);
    assert.doesNotMatch(stdout, /✗/);
    assert(!stdout.includes('\u001b'), 'no colours where nobody watches');
    assert.equal(stderr, '');
  });

  it('prints JSON in both languages, with a name for each check', async (context) => {
    const user = commandUser(context);
    const env = { ...FREE, HOSHIKAGE_LIB_PATH: `${user.home}/nowhere` };
    const { code, stdout } = await user.run(['doctor', '--json'], env);
    assert.equal(code, 1);
    // Written by the command under test; the assertions check the parts they use.
    const report = JSON.parse(stdout) as Report;
    assert.equal(report.ok, false);
    for (const { id, title, detail } of report.checks) {
      assert(Object.hasOwn(CHECKS, id), id);
      for (const text of [title, detail]) assert(text.ja !== '' && text.en !== '', id);
    }
    const search = report.checks.find(({ id }) => id === 'library.search');
    assert.equal(search?.state, 'broken');
    assert.match(search?.remedy?.ja ?? '', /HOSHIKAGE_LIB_PATH を直すか/);
  });

  it('says how to choose again where the chosen library is gone', async (context) => {
    const user = commandUser(context);
    const chosen = { format: 1, active: { id: 'gone-1', minimal: false } };
    user.writeFile(`${user.configDir}/lib/active.json`, JSON.stringify(chosen));
    const { code, stdout } = await user.run(['doctor', '--lang', 'en'], FREE);
    assert.equal(code, 1);
    assert.match(stdout, /✗ Place .*the chosen gone-1 is not installed any more/);
    assert.match(stdout, /→ Choose again with .* lib use <ID>/);
    assert.match(stdout, /- Opening +Not reached/);
  });

  it('finds its own server healthy although it wants a key that only the server knows', {
    skip: whyNoLibrary(),
  }, async (context) => {
    const user = commandUser(context);
    const server = user.start(['serve', '--port', '0'], { API_KEY: 'k' });
    const limit = { deadlineMs: 30_000 };
    await until('greeting', () => /Stop: Ctrl-C/.test(server.stdout()), limit);
    const { port } = JSON.parse(readFileSync(user.runFile, 'utf8'));
    const asked = async (env: NodeJS.ProcessEnv) => {
      const { stdout } = await user.run(['doctor', '--lang', 'en'], { ...env, PORT: `${port}` });
      return stdout;
    };
    const without = await asked({});
    assert.match(without, /✓ Running server .*\(pid \d+\); set API_KEY to see more/);
    assert.match(without, /✓ Port .*used by Hoshikage's server/);
    assert.match(await asked({ API_KEY: 'k' }), /✓ Running server .*model in memory: none/);
  });

  it('does not tell to stop a server that will not have its key', async (context) => {
    const user = commandUser(context);
    const other = createHttpServer((_, response) => void response.writeHead(401).end('{}'));
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    context.after(() => {
      other.closeAllConnections();
      other.close();
    });
    // address() of a listening TCP server is an AddressInfo.
    const { port } = other.address() as AddressInfo;
    const run = { pid: process.pid, host: '127.0.0.1', port, token: 'a1b2', version: '0.0.0' };
    user.writeFile(user.runFile, JSON.stringify(run));
    const { stdout } = await user.run(['doctor', '--lang', 'en'], { PORT: `${port}` });
    assert.match(stdout, /! Port .*cannot be told/);
    assert.doesNotMatch(stdout, /Stop it/);
  });

  it('ends although a file system call of its never does', {
    skip: process.platform === 'win32' ? 'Windows has no FIFO' : false,
  }, async (context) => {
    const user = commandUser(context);
    const pipe = `${user.home}/pipe`;
    execFileSync('mkfifo', [pipe]);
    // Nobody ever writes into it, so that opening it holds a thread of the process that examines.
    const hang = `require('node:fs').open(${JSON.stringify(pipe)}, 'r', () => {});`;
    user.writeFile(`${user.home}/hang.cjs`, `if (/doctor-process/.test(process.argv[1])) ${hang}`);
    const env = { ...FREE, NODE_OPTIONS: `--require ${user.home}/hang.cjs` };
    const { code, stdout, stderr } = await user.run(['doctor', '--lang', 'en'], env);
    assert.notEqual(code, null, stderr);
    assert.match(stdout, /\nServer\n/);
  });

  it('shows everything that is wrong at once, each with its remedy', async (context) => {
    const user = commandUser(context);
    user.writeFile(user.mapFile, '{');
    user.writeFile(`${user.configDir}/.env`, 'N_CTX=lots\n');
    writeFileSync(`${user.home}/libllama.so`, 'not a library');
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    context.after(() => taken.close());
    // address() of a listening TCP server is an AddressInfo.
    const port = String((taken.address() as AddressInfo).port);
    const env = { PORT: port, HOSHIKAGE_LIB_PATH: `${user.home}/libllama.so` };
    const { code, stdout } = await user.run(['doctor', '--lang', 'en'], env);
    assert.equal(code, 1);
    assert.match(stdout, /✗ Before opening .*libllama\.so is a text, not a library/);
    assert.match(stdout, /✗ Values .*"lots" for the setting N_CTX/);
    assert.match(stdout, /✗ Map .*cannot be read/);
    assert.match(stdout, /✗ Port .*is used by another program\n +→ Stop it, or choose/);
    assert.match(stdout, /\nBroken: 4, warnings: \d\n$/);
  });
});
