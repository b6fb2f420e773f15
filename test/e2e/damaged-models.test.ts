/**
 * Models with damaged headers, asked for at a real server: what the check refuses gets no engine, what it
 * lets through costs an engine at most, and the server answers as if nothing had been.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, truncateSync, writeSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readModelFiles } from '../../src/models/model-files.js';
import { baseOf, HeaderFuzzer } from '../helpers/gguf-mutations.js';
import { memoryModel } from '../helpers/memory-models.js';
import { TEXT, talker } from '../helpers/models.js';
import { childrenOf, commandOf, hasProc } from '../helpers/proc.js';
import { type Home, makeHome, startServer, type TestServer } from '../helpers/server.js';
import { chat, chatBody } from '../helpers/wire.js';

const SEED = 7;
/** How many of each kind are asked for. */
const REFUSED = 40;
const ACCEPTED = 12;

/** Damaged copies of a model, those that are refused and those that are not. */
async function damaged(home: Home): Promise<{ refused: string[]; accepted: string[] }> {
  const fuzzer = new HeaderFuzzer(SEED, [baseOf('cache', await memoryModel('cache'))]);
  const found: { refused: string[]; accepted: string[] } = { refused: [], accepted: [] };
  for (let count = 0; found.refused.length < REFUSED || found.accepted.length < ACCEPTED; count++) {
    const { header, size } = fuzzer.next();
    const path = join(home.root, `damaged-${count}.gguf`);
    const file = openSync(path, 'w');
    writeSync(file, header);
    ftruncateSync(file, size);
    closeSync(file);
    const isSound = await readModelFiles(path).then(
      () => true,
      () => false,
    );
    const list = isSound ? found.accepted : found.refused;
    if (list.length < (isSound ? ACCEPTED : REFUSED)) list.push(path);
  }
  return found;
}

const named = (prefix: string, paths: readonly string[]) =>
  Object.fromEntries(paths.map((path, index) => [`${prefix}${index}`, path]));

function engines(server: TestServer): readonly number[] {
  return childrenOf(server.pid).filter((pid) => /engine[\\/]host/.test(commandOf(pid)));
}

async function expectTalker(server: TestServer): Promise<void> {
  const { status, body } = await chat(server, chatBody('talker', 'こんにちは', { temperature: 0 }));
  assert.equal(status, 200);
  assert.equal(body.choices[0]?.message.content, TEXT.greeting);
}

describe('a damaged model', { skip: !hasProc && 'needs /proc' }, () => {
  test('that the check refuses reaches no libllama and disturbs nobody', async (t) => {
    const home = makeHome(t);
    const { refused, accepted } = await damaged(home);
    const fifo = join(home.root, 'fifo.gguf');
    execFileSync('mkfifo', [fifo]);
    const others = { fifo, directory: home.root, device: '/dev/zero' };
    home.writeMap({
      ...{ ...named('refused', refused), ...named('accepted', accepted), ...others },
      talker: await talker(),
    });
    const server = await startServer(t, { home });
    const bad = [...Object.keys(named('refused', refused)), ...Object.keys(others)];
    const codes = new Set<string | undefined>();
    for (const id of bad) {
      const { status, body } = await chat(server, chatBody(id, 'x'));
      assert.equal(status, 503, id);
      codes.add(body.error?.code);
      assert.deepEqual(engines(server), [], id);
    }
    assert.deepEqual([...codes], ['model_file_invalid']);
    await expectTalker(server);
    const [engine] = engines(server);
    for (const id of bad) await chat(server, chatBody(id, 'x'));
    assert.deepEqual(engines(server), [engine], 'the one that works has to stay');

    for (const id of Object.keys(named('accepted', accepted))) {
      const { status } = await chat(server, chatBody(id, 'x', { max_tokens: 2 }));
      assert.ok([200, 400, 503].includes(status), `${id}: ${status}`);
    }
    await expectTalker(server);
    assert.equal((await server.stop()).code, 0);
  });

  test('whose file is cut short later is refused then, and served once it is whole again', async (t) => {
    const home = makeHome(t);
    const path = join(home.root, 'model.gguf');
    await copyFile(await talker(), path);
    home.writeMap({ talker: path });
    const server = await startServer(t, { home, env: { IDLE_TIMEOUT: '1' } });
    const ask = () =>
      chat(server, chatBody('talker', 'こんにちは', { temperature: 0, keep_alive: 0 }));
    assert.equal((await ask()).status, 200);
    truncateSync(path, 300_000);
    const { status, body } = await ask();
    assert.deepEqual([status, body.error?.code], [503, 'model_file_invalid']);
    await copyFile(await talker(), path);
    assert.equal((await ask()).status, 200);
    assert.equal((await server.stop()).code, 0);
  });
});
