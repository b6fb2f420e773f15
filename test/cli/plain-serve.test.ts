/** Which arguments start a server without the parser, and that it would have read them the same way. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { plainServe } from '../../cli/plain-serve.js';
import { commandUser } from '../helpers/command.js';

describe('a plain serve', { concurrency: 2 }, () => {
  it('is no argument at all, or options with a value each', () => {
    const none = { port: undefined, host: undefined, lang: undefined };
    assert.deepEqual(plainServe([]), none);
    assert.deepEqual(plainServe(['serve']), none);
    assert.deepEqual(plainServe(['serve', '-p', '1', '--host=::1']), {
      port: '1',
      host: '::1',
      lang: undefined,
    });
    assert.deepEqual(plainServe(['--lang', 'ja', '--port=a=b']), {
      port: 'a=b',
      host: undefined,
      lang: 'ja',
    });
  });

  const OTHERS: readonly (readonly string[])[] = [
    ['list'],
    ['serve', 'serve'],
    ['--port', '1', 'serve'],
    ['--help'],
    ['serve', '--version'],
    ['--port'],
    ['--port='],
    ['--port', ''],
    ['--port', '--host', 'x'],
    ['--port', '1', '-p', '2'],
    ['--host', '"::1"'],
    ["--host='::1'"],
    ['-p1'],
    ['-p=1'],
    ['--lang', 'fr'],
    ['--'],
    ['--__proto__', 'x'],
    ['--models', 'x'],
  ];
  for (const args of OTHERS) {
    it(`is not: ${args.join(' ')}`, () => assert.equal(plainServe(args), null));
  }

  // With `serve` at the end the parser reads the same options.
  const SAME: readonly (readonly string[])[] = [
    ['--port', 'abc'],
    ['--port=abc'],
    ['-p', 'abc', '--lang=ja'],
    ['--lang', 'en', '--port', 'a=b'],
    ['--host', '192.0.2.1'],
  ];
  for (const args of SAME) {
    it(`is what the parser makes of it: ${args.join(' ')}`, async (context) => {
      const user = commandUser(context);
      assert.notEqual(plainServe(args), null);
      assert.equal(plainServe([...args, 'serve']), null);
      const plain = await user.run(args, { PORT: '0' });
      const parsed = await user.run([...args, 'serve'], { PORT: '0' });
      assert.notEqual(plain.code, 0);
      assert.deepEqual(plain, parsed);
    });
  }
});
