import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { errorOf, fakeApp, renderer } from '../helpers/fake-app.js';
import { entryNamed, FakeCatalog } from '../helpers/fake-pool.js';

after(() => renderer.close());

describe('models', () => {
  it("are listed in OpenAI's shape, with our own facts beside", async () => {
    const { ask, pool } = fakeApp();
    await pool.load(entryNamed('m'), { signal: new AbortController().signal });
    assert.deepEqual(await (await ask('/v1/models')).json(), {
      object: 'list',
      data: [
        {
          id: 'm',
          object: 'model',
          created: 1686935002,
          owned_by: 'tane',
          hoshikage: {
            path: '/models/m.gguf',
            origin: 'map',
            size: null,
            architecture: null,
            context_length: null,
            quantisation: null,
            loaded: true,
          },
        },
      ],
    });
  });

  it('an empty list is a list', async () => {
    const { ask } = fakeApp({ catalog: new FakeCatalog([]) });
    assert.deepEqual(await (await ask('/v1/models')).json(), { object: 'list', data: [] });
  });

  const names = ['a/b', 'with space', '星影 7B', '100%', 'a%2Fb', 'q?x#y', 'c+d'];
  for (const name of names) {
    it(`one is found by its name: ${name}`, async () => {
      const { ask } = fakeApp({ catalog: new FakeCatalog(names.map((id) => entryNamed(id))) });
      const response = await ask(`/v1/models/${encodeURIComponent(name)}`);
      assert.equal(response.status, 200);
      const { id } = (await response.json()) as { id: string }; // a model
      assert.equal(id, name);
    });
  }

  it('a slash in a name need not be encoded', async () => {
    const { ask } = fakeApp({ catalog: new FakeCatalog([entryNamed('a/b')]) });
    assert.equal((await ask('/v1/models/a/b')).status, 200);
  });

  it('an unknown or unreadable name is 404', async () => {
    for (const path of ['/v1/models/x', '/v1/models/%E6%98']) {
      const response = await fakeApp().ask(path);
      assert.equal(response.status, 404);
      assert.equal((await errorOf(response)).code, 'model_not_found');
    }
  });

  it('the built-in guide, where it rests, is 404 with how to keep it', async () => {
    const response = await fakeApp().ask('/v1/models/hoshikage-guide');
    assert.equal(response.status, 404);
    const { code, message } = await errorOf(response);
    assert.equal(code, 'model_not_found');
    assert.match(message, /npx hoshikage add models\/hoshikage-guide\.gguf hoshikage-guide/);
  });
});
