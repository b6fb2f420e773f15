/** The RAM disk with a real server: right text each time, whatever becomes of a copy, and nothing left behind. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, copyFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { scriptedModel } from '../helpers/models.js';
import { hasProc, mappedFiles } from '../helpers/proc.js';
import { copiesBelow, modelsBelow } from '../helpers/ramdisk-files.js';
import {
  type Home,
  makeHome,
  type Owner,
  startServer,
  type TestServer,
} from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { chat, chatBody } from '../helpers/wire.js';

const ISHI = '石は静かに水の底で眠ります。';
const HOSHI = '星は夜のあいだだけ見えています。';

const foreign = 'foreign.gguf';

/** A home with a model of its own to change, and a place for copies that somebody else uses too. */
async function stage(owner: Owner): Promise<{ home: Home; base: string; file: string }> {
  const home = makeHome(owner);
  const base = join(home.root, 'shm');
  const file = join(home.root, 'ishi.gguf');
  mkdirSync(base);
  writeFileSync(join(base, foreign), 'not ours');
  copyFileSync(await scriptedModel({ name: 'ishi', answers: [{ say: ISHI }] }), file);
  home.writeMap({ ishi: file });
  return { home, base, file };
}

const serve = (owner: Owner, home: Home, base: string, env = {}, under: readonly string[] = []) =>
  startServer(owner, {
    home,
    under,
    env: { RAMDISK_PATH: base, RAMDISK_MODE: 'always', IDLE_TIMEOUT: '0.2', ...env },
  });

/** What it says now. */
async function said(server: TestServer): Promise<string | null | undefined> {
  const { body } = await chat(server, chatBody('ishi', '話して', { temperature: 0 }));
  return body.choices[0]?.message.content;
}

const untilUnloaded = (server: TestServer) =>
  until('unload', async () => (await server.status()).model === null);

/** One that stands under its final name. */
const untilCopied = (base: string) =>
  until('copy', () => copiesBelow(base).some((path) => !basename(path).startsWith('.part-')));

/** Where the engine that answers now has its weights from. */
async function weightsOf(server: TestServer): Promise<readonly string[]> {
  const pid = await until('engine', async () => (await server.status()).model?.pid);
  return mappedFiles(pid).filter((path) => path.endsWith('.gguf'));
}

describe('The RAM disk', { skip: !hasProc && 'Linux only' }, () => {
  test('holds a copy from the second load on, until GREAT_TIMEOUT is over', async (t) => {
    const { home, base, file } = await stage(t);
    const server = await serve(t, home, base, { GREAT_TIMEOUT: '0.03', IDLE_TIMEOUT: '0.5' });
    assert.equal(await said(server), ISHI);
    assert.deepEqual(await weightsOf(server), [file]);
    await untilCopied(base);
    await untilUnloaded(server);
    assert.equal(await said(server), ISHI);
    const [weights = ''] = await weightsOf(server);
    assert.equal(dirname(weights), copiesBelow(base)[0]);
    await untilUnloaded(server);
    await until('removal', () => copiesBelow(base).length === 0);
    assert.deepEqual(modelsBelow(base), [foreign]);
    assert.equal(await said(server), ISHI);
  });

  test('leaves nothing behind at the end of the server, and touches nothing of others', async (t) => {
    const { home, base } = await stage(t);
    const server = await serve(t, home, base);
    await said(server);
    await untilCopied(base);
    const { code } = await server.stop();
    assert.equal(code, 0);
    assert.deepEqual(modelsBelow(base), [foreign]);
    assert.deepEqual(copiesBelow(base), []);
  });

  test('gives the text of the file as it is now, not as it was copied', async (t) => {
    const { home, base, file } = await stage(t);
    const server = await serve(t, home, base);
    assert.equal(await said(server), ISHI);
    await untilCopied(base);
    const other = await scriptedModel({ name: 'hoshi', answers: [{ say: HOSHI }] });
    copyFileSync(other, `${file}.new`);
    renameSync(`${file}.new`, file);
    await untilUnloaded(server);
    assert.equal(await said(server), HOSHI);
    await untilUnloaded(server);
    await untilCopied(base);
    assert.equal(await said(server), HOSHI);
  });

  test('that is full costs nothing but the copy', async (t) => {
    const { home, base } = await stage(t);
    const mounted = 'mount -t tmpfs -o size=256k,mode=700 none "$0" && exec "$@"';
    const under = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', mounted, base];
    const server = await serve(t, home, base, {}, under).catch(() => null);
    if (server === null) return t.skip('nothing can be mounted here');
    for (let i = 0; i < 2; i++) {
      assert.equal(await said(server), ISHI);
      await untilUnloaded(server);
    }
    assert.match(server.output(), /no room/);
    assert.deepEqual(modelsBelow(`/proc/${server.pid}/root${base}`), []);
  });

  test('that we may not use is a warning in the log and no more', async (t) => {
    const { home, base } = await stage(t);
    if (process.getuid?.() === 0) chownSync(base, 12_345, 12_345);
    else chmodSync(base, 0o500);
    const server = await serve(t, home, base);
    for (let i = 0; i < 2; i++) {
      assert.equal(await said(server), ISHI);
      await untilUnloaded(server);
    }
    // So that its home can be removed.
    chmodSync(base, 0o700);
    const warnings = server
      .output()
      .split('\n')
      .filter((line) => / WARN .*RAM disk/.test(line) && !line.includes('tmpfs'));
    assert.equal(warnings.length, 1, server.output());
    assert.deepEqual(modelsBelow(base), [foreign]);
  });

  test('is swept by the next server where one was killed while it copied', async (t) => {
    const { home, base, file } = await stage(t);
    const answers = [{ say: ISHI }];
    copyFileSync(await scriptedModel({ name: 'heavy', answers, ballastMiB: 96 }), file);
    const killed = await serve(t, home, base);
    assert.equal(await said(killed), ISHI);
    await until('a copy under way', () => copiesBelow(base).length > 0, { everyMs: 1 });
    await killed.stop('SIGKILL');
    assert.equal(copiesBelow(base).length, 1);
    const server = await serve(t, home, base, { RAMDISK_MODE: 'off' });
    assert.equal(await said(server), ISHI);
    assert.deepEqual([copiesBelow(base), modelsBelow(base)], [[], [foreign]]);
  });

  test('serves two servers that do not know of each other', async (t) => {
    const { home, base } = await stage(t);
    const second = await stage(t);
    const servers = [await serve(t, home, base), await serve(t, second.home, base)];
    for (let round = 0; round < 2; round++) {
      for (const server of servers) {
        assert.equal(await said(server), ISHI);
        await untilUnloaded(server);
      }
      await until('both copies', () => copiesBelow(base).length === 2);
    }
    await servers[0]?.stop();
    assert.equal(copiesBelow(base).length, 1);
    assert.equal(await said(servers[1] ?? assert.fail()), ISHI);
    await servers[1]?.stop();
    assert.deepEqual([copiesBelow(base), modelsBelow(base)], [[], [foreign]]);
  });
});
