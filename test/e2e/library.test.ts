/** Which libllama is used: a directory dropped in, a path in a setting, and files that are none. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, describe, test } from 'node:test';
import { TEXT, talker } from '../helpers/models.js';
import { copyLibrary, packagedLibrary } from '../helpers/packaged.js';
import { hasProc, mappedFiles } from '../helpers/proc.js';
import {
  type Home,
  makeHome,
  type Owner,
  type ServerStatus,
  startServer,
  type TestServer,
} from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { ask, chat, chatBody, streamChat } from '../helpers/wire.js';

/** The packaged libllama, the one a fresh clone has. */
let packaged: string;

before(async () => {
  packaged = await packagedLibrary();
});

async function homeWithTalker(owner: Owner): Promise<Home> {
  const home = makeHome(owner);
  home.writeMap({ talker: await talker() });
  return home;
}

function checked(server: TestServer): Promise<ServerStatus['library']> {
  return until('verdict on the library', async () => {
    const { library } = await server.status();
    return library.state === 'checking' ? null : library;
  });
}

async function assertTalks(server: TestServer): Promise<void> {
  const { body } = await chat(server, chatBody('talker', '設定', { temperature: 0 }));
  assert.equal(body.choices[0]?.message.content, TEXT.settings);
}

describe('The libllama in use', () => {
  test('is the packaged one, until another is dropped into lib and the server restarted', async (t) => {
    const home = await homeWithTalker(t);
    const first = await startServer(t, { home });
    const before = await checked(first);
    assert.deepEqual([before.state, before.origin, before.path], ['ok', 'package', packaged]);
    const dropped = await copyLibrary(join(home.configDir, 'lib'));
    await assertTalks(first);
    await first.stop();

    const second = await startServer(t, { home });
    const after = await checked(second);
    assert.deepEqual([after.state, after.origin, after.path], ['ok', 'config', dropped]);
    await assertTalks(second);
    assert.ok(second.output().includes(dropped), second.output());
    if (!hasProc) return;
    // Not one of its parts comes from the packaged build.
    const { model } = await second.status();
    const loaded = mappedFiles(model?.pid ?? 0).filter((file) => /lib(llama|ggml)/.test(file));
    assert.ok(loaded.length >= 3, loaded.join());
    for (const file of loaded) assert.equal(dirname(file), dirname(dropped));
    // The server itself opened none at all.
    assert.deepEqual(
      mappedFiles(second.pid).filter((file) => /lib(llama|ggml)/.test(file)),
      [],
    );
  });

  test('is what HOSHIKAGE_LIB_PATH names, a file or a directory', async (t) => {
    const home = await homeWithTalker(t);
    const copy = await copyLibrary(join(home.root, '別の libllama'));
    for (const path of [copy, dirname(copy)]) {
      const server = await startServer(t, { home, env: { HOSHIKAGE_LIB_PATH: path } });
      const library = await checked(server);
      assert.deepEqual(
        [library.state, library.origin, library.path],
        ['ok', 'HOSHIKAGE_LIB_PATH', copy],
      );
      await assertTalks(server);
      await server.stop();
    }
  });

  test('is refused with a reason where the file is no library; the server stays up', async (t) => {
    const home = await homeWithTalker(t);
    const libDir = join(home.configDir, 'lib');
    mkdirSync(libDir, { recursive: true });
    writeFileSync(join(libDir, 'libllama.so'), 'this is no library\n');
    const server = await startServer(t, { home });
    const library = await checked(server);
    assert.equal(library.state, 'refused');
    assert.equal(library.error?.code, 'library_incompatible');
    const body = chatBody('talker', 'x');
    const [whole, streamed] = [await chat(server, body), await streamChat(server, body)];
    assert.deepEqual([whole.status, streamed.status], [503, 503]);
    assert.equal(whole.body.error?.code, 'library_incompatible');
    assert.equal(streamed.error?.code, 'library_incompatible');
    assert.equal((await ask(`${server.url}/health`)).status, 200);
  });

  test('is missing where HOSHIKAGE_LIB_PATH names nothing, and no other takes its place', async (t) => {
    const home = await homeWithTalker(t);
    const env = { HOSHIKAGE_LIB_PATH: join(home.root, 'nowhere') };
    const server = await startServer(t, { home, env });
    assert.equal((await checked(server)).state, 'missing');
    const { status, body } = await chat(server, chatBody('talker', 'x'));
    assert.equal(status, 503);
    assert.equal(body.error?.code, 'library_not_found');
  });
});
