import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { errorOf, fakeApp, renderer } from '../helpers/fake-app.js';
import { entryNamed, FakeCatalog } from '../helpers/fake-pool.js';

after(() => renderer.close());

async function bodyOf(response: Response): Promise<Record<string, unknown>> {
  assert.equal(response.status, 200);
  return (await response.json()) as Record<string, unknown>; // each test says what must be in it
}

describe('tokenize', () => {
  it('parses control texts unless told not to, and adds nothing unless told to', async () => {
    const { post, engine, pool } = fakeApp();
    const ask = (more: object) =>
      post('/tokenize', { model: 'm', content: 'a<|im_end|>', ...more });
    assert.deepEqual(await bodyOf(await ask({})), { tokens: [97, 301] });
    const { tokens } = await bodyOf(await ask({ parse_special: false, add_special: true }));
    assert.equal((tokens as number[]).length, 11);
    assert.equal(engine.tokenized[1]?.addSpecial, true);
    assert.deepEqual([pool.asked[0]?.need, pool.released], ['model', 2]);
    assert.deepEqual(await bodyOf(await ask({ content: '' })), { tokens: [] });
  });

  it('shows pieces, as bytes where one is only part of a character', async () => {
    const { post } = fakeApp();
    const body = { model: 'm', content: 'aé', with_pieces: true };
    assert.deepEqual(await bodyOf(await post('/tokenize', body)), {
      tokens: [
        { id: 97, piece: 'a' },
        { id: 0xc3, piece: [0xc3] },
        { id: 0xa9, piece: [0xa9] },
      ],
    });
  });

  it('shows the pieces of a long text a part per turn of the event loop', async () => {
    const { post } = fakeApp();
    const content = 'aé'.repeat(3000);
    const response = await post('/tokenize', { model: 'm', content, with_pieces: true });
    const parts: Uint8Array[] = [];
    for await (const part of response.body ?? []) parts.push(part);
    const { tokens } = JSON.parse(Buffer.concat(parts).toString());
    assert.deepEqual([tokens.length, tokens[8999]], [9000, { id: 0xa9, piece: [0xa9] }]);
    assert.ok(parts.length > 8, `${parts.length} part(s)`);
  });

  it('means the model in memory where none is named, or the only one there is', async () => {
    const catalog = new FakeCatalog([entryNamed('a'), entryNamed('b')]);
    const { post, pool } = fakeApp({ catalog });
    const unclear = await errorOf(await post('/tokenize', { content: 'x' }));
    assert.deepEqual([unclear.code, unclear.param], ['missing_required_parameter', 'model']);
    await pool.load(entryNamed('b'), { signal: new AbortController().signal });
    assert.equal((await post('/tokenize', { content: 'x' })).status, 200);
    assert.equal((await fakeApp().post('/detokenize', { tokens: [97] })).status, 200);
  });

  it('refuses by name what is wrong, and names what has no effect', async () => {
    const { post } = fakeApp();
    const cases: readonly (readonly [object, string])[] = [
      [{}, 'content'],
      [{ content: 7 }, 'content'],
      [{ content: 'x'.repeat(2 ** 20 + 1) }, 'content'],
      [{ content: 'a', add_special: 1 }, 'add_special'],
      [{ content: 'a', keep_alive: 'x' }, 'keep_alive'],
    ];
    for (const [body, param] of cases) {
      assert.equal((await errorOf(await post('/tokenize', body))).param, param);
    }
    const response = await post('/tokenize', { content: 'a', other: 1 });
    assert.equal(response.headers.get('x-hoshikage-ignored'), 'other');
  });
});

describe('detokenize', () => {
  it('gives the text, with U+FFFD for what is no character', async () => {
    const { post } = fakeApp();
    const ask = async (tokens: readonly number[]) =>
      bodyOf(await post('/detokenize', { model: 'm', tokens }));
    assert.deepEqual(await ask([97, 301, 0xc3, 0xa9]), { content: 'a<|im_end|>é' });
    assert.deepEqual(await ask([0xef, 0xbb, 0xbf, 97, 0xc3]), { content: '\ufeffa\ufffd' });
    assert.deepEqual(await ask([]), { content: '' });
  });

  it('refuses a token by its place', async () => {
    const { post } = fakeApp();
    for (const [tokens, param] of [
      [[1, 'a'], 'tokens[1]'] as const,
      [[1, 400], 'tokens[1]'] as const,
      ['a', 'tokens'] as const,
      [undefined, 'tokens'] as const,
    ]) {
      const response = await post('/detokenize', { model: 'm', tokens });
      assert.deepEqual([response.status, (await errorOf(response)).param], [400, param]);
    }
  });
});
