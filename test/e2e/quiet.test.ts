/** A server nobody asks: what it has loaded, what it holds and does once its model has gone. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { talker } from '../helpers/models.js';
import {
  childrenOf,
  hasProc,
  privateBytes,
  residentBytes,
  threadsOf,
  wakeUps,
} from '../helpers/proc.js';
import { makeHome, startServer } from '../helpers/server.js';
import { pause, until } from '../helpers/waiting.js';
import { chat, chatBody, getJson } from '../helpers/wire.js';

/** States come when they come on a busy machine. */
const PATIENT = { deadlineMs: 60_000 };
const NODE_MAJOR = Number.parseInt(process.versions.node, 10);

/** Files of ours and packages of others that a process loaded until its end, by V8's own account. */
function loaded(coverageDir: string, pid: number): { files: string[]; packages: string[] } {
  const files = new Set<string>();
  const packages = new Set<string>();
  const reports = readdirSync(coverageDir).filter((name) => name.startsWith(`coverage-${pid}-`));
  assert.notEqual(reports.length, 0);
  for (const name of reports) {
    const { result } = JSON.parse(readFileSync(join(coverageDir, name), 'utf8'));
    for (const { url } of result as { url: string }[]) {
      const ours = /\/dist\/((?:src|cli)\/.*)\.js$/.exec(url)?.[1];
      const others = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
      if (others !== undefined) packages.add(others);
      else if (ours !== undefined) files.add(ours);
    }
  }
  return { files: [...files].sort(), packages: [...packages].sort() };
}

/** A lock that a dead server left brings fs-ext; the check of the library asks where the addon is. */
const WANTED = ['@hono/node-server', 'dotenv', 'fs-ext', 'hono', 'node-gyp-build', 'zod'];

describe('A server that was only looked at', () => {
  test('has loaded nothing that only a chat, /admin or a command needs', async (t) => {
    const home = makeHome(t);
    home.writeMap({ talker: await talker() });
    const coverageDir = join(home.root, 'coverage');
    const server = await startServer(t, { home, env: { NODE_V8_COVERAGE: coverageDir } });
    await server.status();
    await getJson(`${server.url}/v1/models`);
    assert.equal((await server.stop()).code, 0);
    const { files, packages } = loaded(coverageDir, server.pid);
    assert.deepEqual(
      packages.filter((name) => !WANTED.includes(name)),
      [],
    );
    assert.ok(files.includes('src/http/app'), files.join('\n'));
    const unwanted =
      /^(cli\/parser|src\/(http\/(chat|admin|schema)|chat\/(?!template)|install|canary|doctor))/;
    assert.deepEqual(
      files.filter((file) => unwanted.test(file)),
      [],
    );
  });
});

describe('A server whose model has gone', { skip: !hasProc }, () => {
  test('has no engine and no template worker, and hardly a wake-up, in 80 MB', async (t) => {
    const home = makeHome(t);
    home.writeMap({ talker: await talker() });
    // Long enough to be looked at after its last answer, on a busy machine too.
    const server = await startServer(t, { home, env: { IDLE_TIMEOUT: '4' } });
    const { pid } = server;
    const checked = async (): Promise<boolean> =>
      (await server.status()).library.state === 'ok' && childrenOf(pid).length === 0;
    await until('end of the library check', checked, PATIENT);
    const threads = threadsOf(pid).length;
    for (let turn = 0; turn < 20; turn++) await chat(server, chatBody('talker', `${turn}`));
    assert.equal(threadsOf(pid).length, threads + 1, 'one template worker');
    assert.equal(childrenOf(pid).length, 1, 'one engine');
    await until('unload', async () => (await server.status()).model === null, PATIENT);
    assert.deepEqual(childrenOf(pid), []);
    await until('end of the template worker', () => threadsOf(pid).length <= threads, PATIENT);
    // States and no race: nothing allocates any more, and what is held is decided by what was loaded
    // and kept, on any machine. Newer Nodes map up to 20 MB more of their own file, which is shared
    // memory that the system may take back: there only what is the server's own is held to a bound.
    await until('little memory of its own', () => privateBytes(pid) <= 45e6, PATIENT);
    const small = (): boolean => residentBytes(pid) <= 80e6;
    if (NODE_MAJOR <= 20) await until('a small server', small, PATIENT);
    // One window may hold the last steps of a collection; an idle server has quiet ones for ever.
    await until(
      'four seconds with fewer than 5 wake-ups each',
      async () => {
        const before = wakeUps(pid);
        await pause(4000);
        return wakeUps(pid) - before < 20;
      },
      PATIENT,
    );
    const answer = await chat(server, chatBody('talker', 'また'));
    assert.equal(answer.status, 200);
  });
});
