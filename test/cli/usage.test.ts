/** Help, version and usage errors as a user reads them; the real command as a process. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { commandUser } from '../helpers/command.js';

describe('hoshikage', { concurrency: 2 }, () => {
  it('--version prints the version of the package', async (context) => {
    const { code, stdout } = await commandUser(context).run(['--version']);
    const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
    assert.deepEqual([code, stdout.trim()], [0, JSON.parse(text).version]);
  });

  it('--help names every command, in the language of the locale', async (context) => {
    const user = commandUser(context);
    const ja = await user.run(['--help'], { LANG: 'ja_JP.UTF-8' });
    const en = await user.run(['--help'], { LANG: 'de_DE.UTF-8' });
    for (const { code, stdout } of [ja, en]) {
      assert.equal(code, 0);
      for (const name of [
        'serve',
        'add',
        'rm',
        'remove',
        'list',
        'ls',
        '--port',
        '--host',
        '--lang',
      ]) {
        assert(stdout.includes(name), name);
      }
    }
    assert.match(ja.stdout, /モデルを登録する/);
    assert.match(en.stdout, /Add a model/);
  });

  it('--lang chooses the language, before or after the command', async (context) => {
    const user = commandUser(context);
    const ja = await user.run(['add', '--help', '--lang', 'ja']);
    const en = await user.run(['--lang=en', 'add', '--help'], { LANG: 'ja_JP.UTF-8' });
    assert.match(ja.stdout, /GGUF ファイル/);
    assert.match(en.stdout, /The GGUF file/);
  });

  const WRONG: readonly (readonly string[])[] = [
    ['nonsense'],
    ['add', 'only-a-path'],
    ['rm'],
    ['rm', 'one', 'two'],
    ['list', '--yaml'],
    ['list', '--lang', 'fr'],
    ['serve', '--port'],
    ['--port', 'abc'],
  ];
  for (const args of WRONG) {
    it(`ends with 2 for wrong usage: ${args.join(' ')}`, async (context) => {
      const { code, stdout, stderr } = await commandUser(context).run(args);
      assert.equal(code, 2, stderr);
      assert.equal(stdout, '');
      const lines = stderr.trimEnd().split('\n');
      assert.equal(lines.length, 2, stderr);
      assert.match(lines[0] ?? '', /^hoshikage: [A-Z]/);
      assert.match(lines[1] ?? '', /[ぁ-ん]/);
    });
  }

  it('says a usage error in the chosen language first', async (context) => {
    const { stderr } = await commandUser(context).run(['rm', '--lang', 'ja']);
    const [first, second] = stderr.split('\n');
    assert.match(first ?? '', /使い方が正しくありません/);
    assert.match(second ?? '', /Usage error/);
  });

  it('ends with 2 and names the setting when a setting is bad', async (context) => {
    const user = commandUser(context);
    user.writeFile(`${user.configDir}/.env`, 'N_CTX=lots\n');
    for (const args of [['list'], ['serve', '--port', '0']]) {
      const { code, stderr } = await user.run(args);
      assert.equal(code, 2);
      assert.match(stderr, /"lots".*N_CTX.*\.env/);
    }
  });
});
