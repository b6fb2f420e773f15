/** The map of models between a running server and command lines, at once. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { hoshikage } from '../helpers/cli.js';
import { rambler, TEXT, talker } from '../helpers/models.js';
import { type Home, makeHome, startServer, type TestServer } from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { chat, chatBody, chunksOf, getJson, openStream } from '../helpers/wire.js';

const COUNT = 100;

/** Aliases as people choose them. */
const aliasOf = (i: number): string => (i % 3 === 0 ? `組/モデル ${i}` : `alias-${i}`);

function admin(server: TestServer, path: string, method: string, json?: object) {
  const headers = { authorization: `Bearer ${server.run.token}` };
  return getJson(`${server.url}/admin/${path}`, { method, headers, ...(json && { json }) });
}

function readMap(home: Home): Record<string, unknown> {
  return JSON.parse(readFileSync(home.mapFile, 'utf8'));
}

describe('The map of models', () => {
  test('holds exactly what was acknowledged when two command lines and a server change it at once', async (t) => {
    const home = makeHome(t);
    const file = await talker();
    const server = await startServer(t, { home });
    // The second command line knows of no server: its run.json is somewhere else.
    const elsewhere = makeHome(t);
    const offline = { ...elsewhere.env, MODEL_MAP_FILE: home.mapFile };
    const expected = new Set<string>();

    type Change = (alias: string) => Promise<boolean>;
    /** Adds its share of the hundred, one after the other, and removes some of them again. */
    const write = async (numbers: readonly number[], add: Change, remove: Change) => {
      for (const i of numbers) {
        const alias = aliasOf(i);
        if (await add(alias)) expected.add(alias);
        if (i % 4 === 0 && (await remove(alias))) expected.delete(alias);
      }
    };
    const command =
      (env: NodeJS.ProcessEnv) =>
      async (args: readonly string[]): Promise<boolean> => {
        const { code, output } = await hoshikage(t, home, args, env);
        assert.equal(code, 0, output);
        return true;
      };
    const [online, direct] = [command({}), command(offline)];
    // A command takes long to start, so the server gets most of the changes.
    const share = (first: number, last: number) =>
      Array.from({ length: last - first }, (_, i) => first + i);
    await Promise.all([
      write(
        share(0, 16),
        (alias) => online(['add', file, alias]),
        (alias) => online(['rm', alias]),
      ),
      write(
        share(16, 32),
        (alias) => direct(['add', file, alias]),
        (alias) => direct(['rm', alias]),
      ),
      write(
        share(32, COUNT),
        (alias) => admin(server, 'models', 'POST', { name: alias, path: file }).then(isDone),
        (alias) => admin(server, `models/${encodeURIComponent(alias)}`, 'DELETE').then(isDone),
      ),
    ]);
    assert.ok(expected.size > COUNT / 2, `${expected.size} entries`);
    assert.deepEqual(Object.keys(readMap(home)).sort(), [...expected].sort());
    // The server follows, also what was changed behind its back.
    await until('all models in the list', async () => {
      const { body } = await getJson(`${server.url}/v1/models`);
      const ids = (body as { data: { id: string }[] }).data.map(({ id }) => id).sort();
      return JSON.stringify(ids) === JSON.stringify([...expected].sort());
    });
  });

  test('takes a new model into the running server, and out again', async (t) => {
    const home = makeHome(t);
    const server = await startServer(t, { home });
    const alias = '私の/モデル 1';
    const added = await hoshikage(t, home, ['add', await talker(), alias, '星影']);
    assert.equal(added.code, 0, added.output);
    const { body } = await chat(server, chatBody(alias, 'こんにちは', { temperature: 0 }));
    assert.equal(
      body.choices[0]?.message.content,
      TEXT.greeting.slice(0, TEXT.greeting.indexOf('星影')),
    );
    // A map with a model offers the built-in one no more.
    assert.equal((await chat(server, chatBody('hoshikage-guide', 'x'))).status, 404);
    const again = await hoshikage(t, home, ['add', await talker(), alias]);
    assert.equal(again.code, 1);
    const listed = await hoshikage(t, home, ['list', '--json']);
    assert.ok(listed.output.includes(alias), listed.output);
    assert.equal((await hoshikage(t, home, ['rm', alias])).code, 0);
    assert.equal((await hoshikage(t, home, ['rm', alias])).code, 1);
    assert.equal((await chat(server, chatBody(alias, 'x'))).status, 404);
  });

  test('lets go of a removed model at once, and of its engine after its last request', async (t) => {
    const home = makeHome(t);
    home.writeMap({ rambler: await rambler(), talker: await talker() });
    const server = await startServer(t, { home });
    const body = chatBody('rambler', '話して', { temperature: 0, max_tokens: 150 });
    const chunks = chunksOf(await openStream(server, body));
    await chunks.next();
    assert.equal((await admin(server, 'models/rambler', 'DELETE')).status, 200);
    assert.equal((await chat(server, chatBody('rambler', 'x'))).status, 404);
    assert.equal((await server.status()).model?.id, 'rambler');
    let finish: string | null = null;
    for await (const chunk of chunks) finish = chunk.choices?.[0]?.finish_reason ?? finish;
    assert.equal(finish, 'length');
    await until('end of its engine', async () => (await server.status()).model === null);
    assert.deepEqual(Object.keys(readMap(home)), ['talker']);
  });

  test('is not written for files found in MODEL_DIR, which are offered under their stem', async (t) => {
    const home = makeHome(t);
    const folder = join(home.configDir, 'models');
    mkdirSync(join(folder, 'deep'), { recursive: true });
    copyFileSync(await talker(), join(folder, '拾った model.gguf'));
    const server = await startServer(t, { home });
    const body = chatBody('拾った model', '設定', { temperature: 0 });
    assert.equal((await chat(server, body)).body.choices[0]?.message.content, TEXT.settings);
    assert.equal(existsSync(home.mapFile), false);
    copyFileSync(await talker(), join(folder, 'late.gguf'));
    assert.equal((await admin(server, 'reload', 'POST', {})).status, 200);
    assert.equal((await chat(server, chatBody('late', 'x', { max_tokens: 1 }))).status, 200);
    assert.equal(existsSync(home.mapFile), false);
  });

  test('that cannot be understood is left untouched', async (t) => {
    const home = makeHome(t);
    home.writeMap({});
    writeFileSync(home.mapFile, '{"a": {"path"');
    const added = await hoshikage(t, home, ['add', await talker(), 'b']);
    assert.equal(added.code, 1);
    assert.ok(added.output.includes(home.mapFile), added.output);
    assert.equal(readFileSync(home.mapFile, 'utf8'), '{"a": {"path"');
  });

  test('takes no file that is missing or no model', async (t) => {
    const home = makeHome(t);
    const text = join(home.root, 'text.gguf');
    writeFileSync(text, 'this is not a model');
    for (const file of [text, join(home.root, 'nothing.gguf')]) {
      assert.equal((await hoshikage(t, home, ['add', file, 'x'])).code, 1);
    }
    assert.throws(() => readMap(home));
  });
});

function isDone({ status, body }: { status: number; body: unknown }): boolean {
  assert.ok(status >= 200 && status < 300, JSON.stringify(body));
  assert.equal((body as { success: boolean }).success, true);
  return true;
}
