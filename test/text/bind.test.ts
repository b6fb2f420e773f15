import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { grammarOf } from '../../src/text/bind.js';
import { errorOf, fakeApp, renderer } from '../helpers/fake-app.js';

after(() => renderer.close());

describe('a grammar', () => {
  test('becomes a program, the same one for the same text', () => {
    const program = grammarOf('root ::= "a" | "b"');
    assert.ok(program.length > 0);
    assert.equal(grammarOf('root ::= "a" | "b"'), program);
    assert.notDeepEqual(grammarOf('root ::= "a"'), program);
  });

  test('that cannot be read is refused by the name of its field', () => {
    assert.throws(
      () => grammarOf('root ::= nothing'),
      (thrown) => {
        assert.ok(thrown instanceof HoshikageError);
        assert.deepEqual([thrown.code, thrown.details.param], ['grammar_invalid', 'grammar']);
        return true;
      },
    );
  });

  for (const [path, prompt] of [
    ['/v1/completions', { prompt: 'a' }],
    ['/infill', { input_prefix: 'a', input_suffix: 'b' }],
  ] as const) {
    test(`binds what ${path} answers; an empty one asks for nothing`, async () => {
      const { post, engine } = fakeApp();
      Object.assign(engine.info.model, {
        fim: { prefix: 310, suffix: 311, middle: 312, repository: null, separator: null },
      });
      const ask = (grammar: string) => post(path, { model: 'm', ...prompt, grammar });
      assert.equal((await ask('root ::= "a"')).status, 200);
      assert.equal((await ask('')).status, 200);
      const [bound, free] = engine.started.map(({ request }) => request.sampling.grammar);
      assert.deepEqual([bound, free], [grammarOf('root ::= "a"'), undefined]);
      const refused = await ask('root ::= nothing');
      const { code, param } = await errorOf(refused);
      assert.deepEqual([refused.status, code, param], [400, 'grammar_invalid', 'grammar']);
      assert.equal(engine.started.length, 2);
    });
  }
});
