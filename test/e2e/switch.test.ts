/**
 * `hoshikage lib use` and `lib rollback` against a server that is talking: the stream finishes on the
 * library it began with, the next request runs on the other one.
 */
import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { before, describe, test } from 'node:test';
import { rambler } from '../helpers/models.js';
import { copyLibrary, packagedLibrary } from '../helpers/packaged.js';
import { hasProc, isAlive, mappedFiles } from '../helpers/proc.js';
import {
  type Home,
  makeHome,
  type Owner,
  startProcess,
  startServer,
  type TestServer,
} from '../helpers/server.js';
import { until, within } from '../helpers/waiting.js';
import { chat, chatBody, chunksOf, openStream, streamChat } from '../helpers/wire.js';

/** The canary computes a reference; on a busy machine that takes its time. */
const SWITCH_MS = 90_000;

let packaged: string;

before(async () => {
  packaged = await packagedLibrary();
});

/** A home whose `lib/other` holds another libllama: the packaged one at another place. */
async function homeWithOther(
  owner: Owner,
  place = join('config', 'hoshikage', 'lib', 'other'),
): Promise<{ home: Home; other: string }> {
  const home = makeHome(owner);
  home.writeMap({ rambler: await rambler() });
  const to = join(home.root, place);
  return { home, other: await copyLibrary(to) };
}

/** Runs a command beside whatever else runs. */
async function lib(owner: Owner, home: Home, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const { exited, output } = startProcess(owner, home, ['lib', ...args, '--lang', 'en'], { env });
  const { code } = await within(exited, SWITCH_MS, `end of lib ${args.join(' ')}`);
  return { code, output: output() };
}

/** A stream of so many tokens that has begun. */
async function talking(server: TestServer, tokens: number) {
  const body = chatBody('rambler', '話して', { temperature: 0, max_tokens: tokens });
  const chunks = chunksOf(await openStream(server, body));
  await chunks.next();
  await chunks.next();
  let ended = false;
  const finish = (async () => {
    let reason: string | null = null;
    let error: string | null = null;
    for await (const chunk of chunks) {
      reason = chunk.choices?.[0]?.finish_reason ?? reason;
      error = chunk.error?.code ?? error;
    }
    ended = true;
    return { reason, error };
  })();
  finish.catch(() => {});
  return { finish, hasEnded: () => ended };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

function llamaOf(pid: number): string | undefined {
  return mappedFiles(pid).find((file) => /libllama[^-]*$/.test(file));
}

async function engineOf(server: TestServer): Promise<number> {
  return until('engine', async () => (await server.status()).model?.pid);
}

interface Expected {
  readonly args: readonly string[];
  readonly from: string;
  readonly to: string;
  readonly tokens: number;
}

/** Switches while a stream runs; one that ended too early proves nothing and is tried again, longer. */
async function switchWhileTalking(owner: Owner, server: TestServer, all: Expected): Promise<void> {
  for (let { tokens } = all; ; tokens *= 2) {
    assert.ok(tokens <= 32_000, 'a stream that outlasts the switch');
    if (await tryToSwitch(owner, server, { ...all, tokens })) return;
    assert.equal((await lib(owner, server.home, ['rollback'])).code, 0);
  }
}

/** Switches by `args`, and looks which library is used before and after; false = the stream had ended. */
async function tryToSwitch(
  owner: Owner,
  server: TestServer,
  { args, from, to, tokens }: Expected,
): Promise<boolean> {
  const stream = await talking(server, tokens);
  const old = await engineOf(server);
  if (hasProc) assert.equal(llamaOf(old), from);
  const switched = await lib(owner, server.home, args);
  assert.equal(switched.code, 0, switched.output);
  const { library, model } = await server.status();
  if (stream.hasEnded()) return false;
  // The stream goes on, in the engine in which it began.
  assert.equal(library.path, to);
  assert.equal(model?.pid, old);
  // Streamed, since it may wait for long and a stream says so.
  const next = streamChat(server, chatBody('rambler', '短く', { temperature: 0 }));
  assert.deepEqual(await stream.finish, { reason: 'length', error: null });
  assert.equal((await next).text, 'はい、短く答えます。');
  const engine = await engineOf(server);
  assert.notEqual(engine, old);
  if (hasProc) {
    assert.equal(isAlive(old), false);
    assert.equal(llamaOf(engine), to);
  }
  return true;
}

describe('A switch of the library', () => {
  test('lets a stream finish on the old one, and so does the way back', async (t) => {
    const { home, other } = await homeWithOther(t);
    const server = await startServer(t, { home, env: { QUEUE_TIMEOUT: '170', N_CTX: '32768' } });
    const msPerToken = (await timed(async () => (await talking(server, 300)).finish)) / 300;
    const proveMs = await timed(async () => {
      assert.equal((await lib(t, home, ['use', 'other'])).code, 0);
    });
    // From here on the packaged one is proved too, and going back to it is quick.
    assert.equal((await lib(t, home, ['rollback'])).code, 0);
    // Streams that outlast a switch on this machine, and not by much.
    const tokens = Math.min(16_000, Math.ceil((2 * proveMs + 2000) / msPerToken));
    const [from, to] = [packaged, other];
    await switchWhileTalking(t, server, { args: ['use', 'other'], from, to, tokens });
    const back = { args: ['rollback'], from: to, to: from, tokens: Math.ceil(tokens / 3) };
    await switchWhileTalking(t, server, back);
    const used = await lib(t, home, ['rm', 'other']);
    assert.match(used.output, /put there by hand/);
  });

  test('to a path needs no server, stays over a restart, and can be taken back', async (t) => {
    const { home, other } = await homeWithOther(t, join('build', 'bin'));
    const switched = await lib(t, home, ['use', join(home.root, 'build')]);
    assert.equal(switched.code, 0, switched.output);
    assert.match(switched.output, /✓ text/);
    const id = /Switched to (bin-[0-9a-f]{8}) /.exec(switched.output)?.[1] ?? '';
    const server = await startServer(t, { home });
    const status = await until('verdict', async () => {
      const { library } = await server.status();
      return library.state === 'checking' ? null : library;
    });
    assert.deepEqual([status.state, status.origin, status.path], ['ok', 'active', other]);
    const list = await lib(t, home, ['list']);
    assert.match(list.output, new RegExp(`^\\* +${id} .*lib use <PATH>$`, 'm'));
    assert.match(list.output, new RegExp(`chosen with lib use ${id}`));
    const kept = await lib(t, home, ['rm', id]);
    assert.match(kept.output, /is in use/);
    assert.equal((await lib(t, home, ['use', 'default'])).code, 0);
    assert.equal((await lib(t, home, ['rm', id])).code, 0);
    // The files were only linked.
    assert.ok(existsSync(other));
  });

  test('is not made where the files change while they are proved', async (t) => {
    const { home, other } = await homeWithOther(t);
    const args = ['lib', 'use', 'other', '--lang', 'en'];
    const { exited, output } = startProcess(t, home, args);
    await until('a check that passed', async () => (/✓/.test(output()) ? true : null));
    utimesSync(other, 1, 1);
    const { code } = await within(exited, SWITCH_MS, 'end of lib use');
    assert.equal(code, 1, output());
    assert.match(output(), /files of other changed while they were being proved/);
    assert.equal(existsSync(join(home.configDir, 'lib', 'active.json')), false);
    assert.equal(existsSync(join(home.cacheDir, 'hoshikage', 'library-proofs.json')), false);
  });

  test('is not made after Ctrl-C, which ends the command at once', async (t) => {
    const { home, other } = await homeWithOther(t, join('build', 'bin'));
    const { child, exited, output } = startProcess(t, home, ['lib', 'use', dirname(other)]);
    await until('a check that passed', async () => (/✓/.test(output()) ? true : null));
    child.kill('SIGINT');
    const { code } = await within(exited, SWITCH_MS, 'end of lib use');
    assert.equal(code, 130, output());
    assert.match(output(), /中断しました|Interrupted/);
    // Not even the link was made.
    const lib = join(home.configDir, 'lib');
    assert.deepEqual(existsSync(lib) ? readdirSync(lib) : [], []);
  });

  test('to a library that fails changes nothing, with a server and without', async (t) => {
    const home = makeHome(t);
    home.writeMap({ rambler: await rambler() });
    const broken = join(home.configDir, 'lib', 'broken');
    mkdirSync(broken, { recursive: true });
    // Its libggml is missing.
    cpSync(packaged, join(broken, basename(packaged)));
    const active = join(home.configDir, 'lib', 'active.json');
    const server = await startServer(t, { home });
    const first = await lib(t, home, ['use', 'broken']);
    assert.equal(first.code, 1, first.output);
    assert.match(first.output, /libggml/);
    assert.equal(existsSync(active), false);
    assert.equal((await server.status()).library.path, packaged);
    const pinned = await lib(t, home, ['use', 'default'], { HOSHIKAGE_LIB_PATH: packaged });
    assert.equal(pinned.code, 1);
    assert.match(pinned.output, /HOSHIKAGE_LIB_PATH=.* decides/);
    const answer = await chat(server, chatBody('rambler', '短く', { temperature: 0 }));
    assert.equal(answer.status, 200);
  });

  test('is refused by a server whose HOSHIKAGE_LIB_PATH decides, and nothing is written', async (t) => {
    const { home } = await homeWithOther(t);
    const server = await startServer(t, { home, env: { HOSHIKAGE_LIB_PATH: packaged } });
    const { code, output } = await lib(t, home, ['use', 'other']);
    assert.equal(code, 1, output);
    assert.match(output, /HOSHIKAGE_LIB_PATH=.* decides/);
    assert.equal(existsSync(join(home.configDir, 'lib', 'active.json')), false);
    await server.stop();
  });

  test('of which the choice is broken is told, and no other library takes its place', async (t) => {
    const { home } = await homeWithOther(t);
    const active = join(home.configDir, 'lib', 'active.json');
    writeFileSync(active, '{"format":1,"active":{"id":"gone","minimal":false}}');
    const server = await startServer(t, { home });
    const { status, body } = await chat(server, chatBody('rambler', 'x'));
    assert.deepEqual([status, body.error?.code], [503, 'library_not_found']);
    assert.match(body.error?.message ?? '', /gone.*lib use/);
    const switched = await lib(t, home, ['use', 'other']);
    assert.equal(switched.code, 0, switched.output);
    assert.match(readFileSync(active, 'utf8'), /"other"/);
    const after = await chat(server, chatBody('rambler', '短く', { temperature: 0 }));
    assert.equal(after.body.choices[0]?.message.content, 'はい、短く答えます。');
  });
});
