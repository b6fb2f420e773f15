/** `hoshikage ps`, `load` and `unload` with a server that really loads: what they say is what is there. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type CommandResult, hoshikage } from '../helpers/cli.js';
import { rambler, talker } from '../helpers/models.js';
import { hasProc, isAlive } from '../helpers/proc.js';
import {
  type Home,
  makeHome,
  type Owner,
  startServer,
  type TestServer,
} from '../helpers/server.js';
import { within } from '../helpers/waiting.js';
import { chatBody, chunksOf, openStream } from '../helpers/wire.js';

async function homeWithModels(owner: Owner): Promise<Home> {
  const home = makeHome(owner);
  home.writeMap({ rambler: await rambler(), talker: await talker() });
  return home;
}

/** A stream of so many tokens that has begun, and its end. */
async function talking(server: TestServer, tokens: number): Promise<{ ended: Promise<void> }> {
  const body = chatBody('rambler', '話して', { temperature: 0, max_tokens: tokens });
  const chunks = chunksOf(await openStream(server, body));
  await chunks.next();
  await chunks.next();
  const ended = (async () => {
    for await (const _ of chunks) {
      // Only its end matters.
    }
  })();
  ended.catch(() => {});
  return { ended };
}

describe('The command line with a server', () => {
  test('loads a model, shows it with its memory, and gives that back', async (t) => {
    const home = await homeWithModels(t);
    const server = await startServer(t, { home });
    const run = (...args: string[]): Promise<CommandResult> =>
      hoshikage(t, home, [...args, '--lang', 'en']);
    const empty = await run('ps');
    assert.equal(empty.code, 0);
    assert.match(empty.output, /No model is in memory/);

    const loaded = await run('load', 'talker', '--keep-alive', '1h');
    assert.equal(loaded.code, 0, loaded.output);
    assert.match(loaded.output, /^Loaded talker/m);
    const { model } = await server.status();
    assert.equal(model?.id, 'talker');
    const shown = await run('ps');
    assert.match(shown.output, /^talker +ready +.* ○ 0\/1 .* (1 h|59 min \d+ s) +\d+$/m);
    const status = JSON.parse((await run('ps', '--json')).output);
    assert.equal(status.pid, server.pid);
    assert.equal(status.residents[0].id, 'talker');

    const gone = await run('unload', 'talker');
    assert.deepEqual([gone.code, gone.output], [0, 'Unloaded talker\n']);
    if (hasProc && model?.pid) assert.equal(isAlive(model.pid), false);
    assert.match((await run('unload')).output, /^No model is in memory$/m);
    const unknown = await run('unload', 'nobody');
    assert.equal(unknown.code, 1);
    assert.match(unknown.output, /Model not found: nobody/);
  });

  test('is told while the server stops that it is stopping, and works without it', async (t) => {
    const home = await homeWithModels(t);
    const server = await startServer(t, { home, env: { N_CTX: '32768' } });
    const { ended } = await talking(server, 30_000);
    process.kill(server.pid, 'SIGTERM');
    const [ps, load] = await Promise.all([
      hoshikage(t, home, ['ps']),
      hoshikage(t, home, ['load', 'talker']),
    ]);
    assert.equal(ps.code, 0);
    assert.match(ps.output, /is stopping: running answers may take (30|2\d) s more/);
    assert.equal(load.code, 1);
    assert.match(load.output, /is stopping and takes no more requests/);
    assert.equal((await hoshikage(t, home, ['rm', 'talker'])).code, 0);
    // The second signal ends it at once, whatever runs.
    const { code } = await server.stop();
    assert.equal(code, 143);
    await within(
      ended.catch(() => {}),
      5000,
      'end of the stream',
    );
    assert.equal(existsSync(home.runFile), false, 'run.json is gone');
    assert.match((await hoshikage(t, home, ['ps'])).output, /No server is running/);
  });
});
