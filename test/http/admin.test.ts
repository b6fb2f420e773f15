import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { ADMIN, errorOf, fakeApp, renderer } from '../helpers/fake-app.js';
import { entryNamed, FakeCatalog } from '../helpers/fake-pool.js';

after(() => renderer.close());

interface Answer {
  readonly success: boolean;
  readonly message: string;
  readonly entry: Record<string, unknown> | null;
  readonly models?: readonly unknown[];
  readonly unloaded?: readonly string[];
}

async function answerOf(response: Response, status = 200): Promise<Answer> {
  assert.equal(response.status, status);
  return (await response.json()) as Answer; // each test says what must be in it
}

describe('admin: models', () => {
  it('are added with their settings, by the names they have in the map', async () => {
    const { post, catalog } = fakeApp();
    const body = {
      name: '星/影',
      path: '/m/a.gguf',
      stop: ['終'],
      n_ctx: 2048,
      top_p: 0.5,
      note: 1,
    };
    const response = await post('/admin/models', body, ADMIN);
    assert.equal(response.headers.get('x-hoshikage-ignored'), 'note');
    const { success, message, entry } = await answerOf(response);
    assert.equal(success, true);
    assert.match(message, /^星\/影 .* \/ Added 星\/影$/);
    assert.deepEqual(entry, {
      id: '星/影',
      path: '/m/a.gguf',
      stop: ['終'],
      origin: 'map',
      n_ctx: 2048,
      top_p: 0.5,
    });
    assert.deepEqual(catalog.get('星/影')?.settings, { nCtx: 2048, topP: 0.5 });
  });

  it('that are there already are 409, unless forced', async () => {
    const { post } = fakeApp();
    const body = { name: 'm', path: '/m/b.gguf' };
    const refused = await post('/admin/models', body, ADMIN);
    assert.equal(refused.status, 409);
    assert.equal((await errorOf(refused)).code, 'model_exists');
    const forced = await post('/admin/models', { ...body, force: true }, ADMIN);
    assert.equal((await answerOf(forced)).entry?.path, '/m/b.gguf');
  });

  it('are checked, each field by its name', async () => {
    const path = '/m/a.gguf';
    const cases: readonly (readonly [object, string, string])[] = [
      [{ path }, 'missing_required_parameter', 'name'],
      [{ name: 'a' }, 'missing_required_parameter', 'path'],
      [{ name: 'a', path: 'a.gguf' }, 'invalid_value', 'path'],
      [{ name: 'a', path, stop: 'x' }, 'invalid_value', 'stop'],
      [{ name: 'a', path, n_ctx: -5 }, 'invalid_value', 'n_ctx'],
      [{ name: 'a', path, keep_alive: '5 years' }, 'invalid_value', 'keep_alive'],
      [{ name: 'a', path, force: 1 }, 'invalid_value', 'force'],
    ];
    for (const [body, code, param] of cases) {
      const response = await fakeApp().post('/admin/models', body, ADMIN);
      assert.equal(response.status, 400);
      const error = await errorOf(response);
      assert.deepEqual([error.code, error.param], [code, param]);
    }
  });

  it('are refused with the reason in both languages', async () => {
    const body = { name: 'a', path: '/m/a.gguf', temperature: 9, stop: [''] };
    const { post } = fakeApp();
    const stop = await errorOf(await post('/admin/models', { ...body, temperature: 1 }, ADMIN));
    assert.equal(stop.param, 'stop[0]');
    assert.match(stop.message, /^stop\[0\] .*空にはできません \/ .*must not be empty$/);
    const unset = { ...body, temperature: null, stop: null };
    assert.equal((await post('/admin/models', unset, ADMIN)).status, 200);
    const hot = await errorOf(await post('/admin/models', { ...body, stop: null }, ADMIN));
    assert.match(hot.message, /2 以下にしてください \/ .*must be at most 2$/);
  });

  it('whose file is missing or unsound are the mistake of who named it: 400, param path', async () => {
    for (const code of ['model_file_missing', 'model_file_invalid'] as const) {
      const { post, catalog } = fakeApp();
      catalog.add = async () => {
        throw new HoshikageError(code, { path: '/m/a.gguf', reason: 'r' });
      };
      const response = await post('/admin/models', { name: 'a', path: '/m/a.gguf' }, ADMIN);
      assert.equal(response.status, 400);
      const error = await errorOf(response);
      assert.deepEqual(
        [error.code, error.param, error.type],
        [code, 'path', 'invalid_request_error'],
      );
    }
  });

  it('are listed as the catalogue has them', async () => {
    const { ask } = fakeApp();
    const { models } = await answerOf(await ask('/admin/models', { headers: ADMIN }));
    assert.deepEqual(models, [{ id: 'm', path: '/models/m.gguf', stop: [], origin: 'map' }]);
  });

  it('are removed by a name that may hold slashes; an unknown one is 404', async () => {
    const { ask, catalog } = fakeApp({ catalog: new FakeCatalog([entryNamed('a/b 星')]) });
    const path = `/admin/models/${encodeURIComponent('a/b 星')}`;
    const remove = () => ask(path, { method: 'DELETE', headers: ADMIN });
    assert.equal((await answerOf(await remove())).entry?.id, 'a/b 星');
    assert.deepEqual(catalog.list(), []);
    assert.equal((await remove()).status, 404);
  });
});

describe('admin: what is resident', () => {
  it('a model can be loaded and taken out of memory, with a body or without', async () => {
    const catalog = new FakeCatalog([entryNamed('a/load'), entryNamed('b')]);
    const { ask, post, pool } = fakeApp({ catalog });
    const bare = (path: string) => ask(path, { method: 'POST', headers: ADMIN });
    await answerOf(await bare('/admin/models/a%2Fload/load'));
    await answerOf(await post('/admin/models/b/load', {}, ADMIN));
    assert.deepEqual(
      pool.residents.map(({ id }) => id),
      ['b', 'a/load'],
    );
    const one = await answerOf(await post('/admin/unload', { model: 'a/load' }, ADMIN));
    assert.deepEqual(one.unloaded, ['a/load']);
    assert.match(one.message, /Unloaded a\/load/);
    assert.deepEqual((await answerOf(await bare('/admin/unload'))).unloaded, ['b']);
    const none = await answerOf(await post('/admin/unload', '', ADMIN));
    assert.deepEqual([none.unloaded, pool.residents], [[], []]);
    assert.match(none.message, /Not loaded/);
  });

  it('a model can be loaded for as long as keep_alive says', async () => {
    const { post, pool } = fakeApp();
    const body = { keep_alive: '2h', note: 1 };
    const loaded = await post('/admin/models/m/load', body, ADMIN);
    assert.equal(loaded.headers.get('x-hoshikage-ignored'), 'note');
    assert.equal(pool.asked[0]?.keepAliveMs, 7_200_000);
    const refused = await post('/admin/models/m/load', { keep_alive: 'x' }, ADMIN);
    assert.deepEqual([refused.status, (await errorOf(refused)).param], [400, 'keep_alive']);
    assert.equal(pool.asked.length, 1);
  });

  it('what is asked for must be known, or be there', async () => {
    const { post, pool } = fakeApp();
    const unknown = await post('/admin/unload', { model: 'x' }, ADMIN);
    assert.deepEqual([unknown.status, (await errorOf(unknown)).code], [404, 'model_not_found']);
    await pool.load(entryNamed('removed'), { signal: new AbortController().signal });
    const removed = await post('/admin/unload', { model: 'removed' }, ADMIN);
    assert.deepEqual((await answerOf(removed)).unloaded, ['removed']);
    for (const model of [7, '', []]) {
      const wrong = await post('/admin/unload', { model }, ADMIN);
      assert.deepEqual([wrong.status, (await errorOf(wrong)).param], [400, 'model']);
    }
    const text = await post('/admin/unload', 'x', { ...ADMIN, 'content-type': 'text/plain' });
    assert.equal(text.status, 415);
  });

  it('an unknown model cannot', async () => {
    const response = await fakeApp().post('/admin/models/x/load', {}, ADMIN);
    assert.equal((await errorOf(response)).code, 'model_not_found');
  });

  it('reload reads the list again', async () => {
    const { post, catalog } = fakeApp();
    assert.match((await answerOf(await post('/admin/reload', {}, ADMIN))).message, /1 model/);
    assert.equal(catalog.reloads, 1);
  });
});

describe('admin: the library', () => {
  it('is shown with the installed ones', async () => {
    const { ask } = fakeApp();
    const response = await ask('/admin/library', { headers: ADMIN });
    const body = (await response.json()) as Record<string, unknown>;
    assert.deepEqual(body.installed, [
      {
        id: 'other',
        path: '/lib/other/libllama.so',
        source: 'npm',
        variant: null,
        version: '1.0',
        size: 5,
      },
    ]);
    const { id, origin, reason } = body.library as Record<string, unknown>;
    assert.deepEqual([id, origin, reason], [null, 'package', 'the package']);
  });

  it('is switched by the id of an installed one, and back by null', async () => {
    const { post, library } = fakeApp();
    const switched = await post('/admin/library', { id: 'other' }, ADMIN);
    const { success, message } = await answerOf(switched);
    assert.deepEqual(
      [success, message],
      [true, '次のエンジンから other を使います / The next engine uses other'],
    );
    assert.equal(library.report.id, 'other');
    await answerOf(await post('/admin/library', { id: null }, ADMIN));
    assert.equal(library.report.id, null);
  });

  it('is never named by a path, and must be installed', async () => {
    const { post, library } = fakeApp();
    for (const id of ['/usr/lib/libllama.so', '../other', 'a/b', '..', '', 'other\n', 7]) {
      const response = await post('/admin/library', { id }, ADMIN);
      assert.equal(response.status, 400);
      assert.deepEqual((await errorOf(response)).param, 'id');
    }
    const missing = await errorOf(await post('/admin/library', {}, ADMIN));
    assert.equal(missing.code, 'missing_required_parameter');
    const unknown = await post('/admin/library', { id: 'cuda-1.2.3' }, ADMIN);
    assert.deepEqual([unknown.status, (await errorOf(unknown)).code], [404, 'library_unknown']);
    assert.equal(library.report.id, null);
  });

  it('is nobody else’s to switch', async () => {
    const { post, ask } = fakeApp();
    assert.equal((await post('/admin/library', { id: 'other' })).status, 403);
    assert.equal((await ask('/admin/library')).status, 403);
  });
});
