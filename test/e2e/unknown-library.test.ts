/** Libraries of layouts to come, in the place of a real server's own: refused, and nothing falls. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { talker } from '../helpers/models.js';
import {
  makeHome,
  type Owner,
  type ServerStatus,
  startServer,
  type TestServer,
} from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { ask, chat, chatBody } from '../helpers/wire.js';
import { buildFake, buildLookalike, layoutOf, newestBuild, skipReason } from '../native/fake.js';

/** A libggml with this needs no backend beside it. */
const BUILT_IN = 'ggml_backend_cpu_init';

async function serverWith(owner: Owner, path: string): Promise<TestServer> {
  const home = makeHome(owner);
  home.writeMap({ talker: await talker() });
  return startServer(owner, { home, env: { HOSHIKAGE_LIB_PATH: path } });
}

function checked(server: TestServer): Promise<ServerStatus['library']> {
  return until('verdict on the library', async () => {
    const { library } = await server.status();
    return library.state === 'checking' ? null : library;
  });
}

/** A chat is answered with 503 and this code, and the server goes on. */
async function assertRefuses(server: TestServer): Promise<string> {
  const { status, body } = await chat(server, chatBody('talker', 'x'));
  assert.deepEqual([status, body.error?.code], [503, 'library_incompatible']);
  assert.equal((await ask(`${server.url}/health`)).status, 200);
  return body.error?.message ?? '';
}

/** The fake with one text of its source replaced. */
function fakeWith(old: string, put: string): string {
  return buildFake((source) => {
    assert.ok(source.includes(old), `the fake has no ${old}`);
    return `${source.replace(old, put)}\nEXPORT void ${BUILT_IN}() {}\n`;
  });
}

describe('A libllama of a layout to come', { skip: skipReason }, () => {
  test('is refused with what was seen of it', async (t) => {
    const last = layoutOf('C11');
    const fields = [...last.fields, ['of_the_future', last.size, 8, [7]] as const];
    const contextParams = { ...last, size: last.size + 8, fields };
    const path = buildLookalike({
      build: newestBuild,
      modelParams: layoutOf('M10'),
      extra: [BUILT_IN],
      contextParams,
    });
    const server = await serverWith(t, path);
    const { state, error } = await checked(server);
    assert.deepEqual([state, error?.code], ['refused', 'library_incompatible']);
    assert.match(error?.message ?? '', /llama_context_params has an unknown layout \(168 bytes/);
    await assertRefuses(server);
  });

  test('that dies when it is looked at takes only the process that looked', async (t) => {
    const server = await serverWith(t, fakeWith('p.n_ctx = 512,', 'abort();'));
    const { state, error } = await checked(server);
    assert.deepEqual([state, error?.code], ['refused', 'library_incompatible']);
    assert.match(error?.message ?? '', /SIGABRT/);
    await assertRefuses(server);
  });

  test('that passes for a known one is refused by its first load', async (t) => {
    const callback = '  bool (*progress_callback)(float, void*);\n';
    const data = '  void* progress_callback_user_data;\n';
    const server = await serverWith(t, fakeWith(callback + data, data + callback));
    assert.equal((await checked(server)).state, 'ok');
    assert.match(await assertRefuses(server), /progress callback was never called/);
  });
});
