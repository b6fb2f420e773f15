/** Help, version and usage errors as a user reads them; the real command as a process. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { inProject } from '../../scripts/root.js';
import { commandUser } from '../helpers/command.js';

describe('hoshikage', { concurrency: 2 }, () => {
  it('--version prints the version of the package', async (context) => {
    const { code, stdout } = await commandUser(context).run(['--version']);
    const text = readFileSync(inProject('package.json'), 'utf8');
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
    assert.match(ja.stdout, /引数:\n[\s\S]*GGUF ファイル[\s\S]*選べるもの: "ja", "en"/);
    assert.match(en.stdout, /The GGUF file/);
  });

  it('--version has short names in both cases', async (context) => {
    const user = commandUser(context);
    const [long, upper, lower] = [
      await user.run(['--version']),
      await user.run(['-V']),
      await user.run(['-v']),
    ];
    assert.deepEqual([upper.stdout, lower.stdout], [long.stdout, long.stdout]);
  });

  /** Arguments; what is said of them in both languages; the command whose usage is shown. */
  const WRONG: readonly (readonly [
    args: readonly string[],
    en: string,
    ja: string,
    of?: string,
  ])[] = [
    [['nonsense'], 'Unknown command: nonsense', '知らないコマンドです: nonsense'],
    [['add', 'x'], 'Too few arguments: 2 needed, 1 given', '引数が足りません', 'add'],
    [['--lang', 'en', 'rm'], 'Too few arguments: 1 needed, 0 given', '引数が足りません', 'rm'],
    [['rm', 'one', 'two'], 'Too many arguments: two', '引数が余分です: two', 'rm'],
    [['list', '--yaml'], 'Unknown option: --yaml', '知らないオプションです: --yaml', 'list'],
    [['list', '-y'], 'Unknown option: -y', '知らないオプションです: -y', 'list'],
    [
      ['list', '--lang', 'fr'],
      '--lang fr is not possible; choose from ja, en',
      '--lang fr は使えません(使えるのは ja, en)',
      'list',
    ],
    [['serve', '--port'], '--port needs a value', '--port に値がありません', 'serve'],
  ];
  for (const [args, en, ja, of] of WRONG) {
    it(`ends with 2 for wrong usage, and says what is right: ${args.join(' ')}`, async (context) => {
      const { code, stdout, stderr } = await commandUser(context).run(args);
      assert.deepEqual([code, stdout], [2, ''], stderr);
      const [first = '', second = '', usage = '', help = '', ...more] = stderr
        .trimEnd()
        .split('\n');
      assert.equal(first, `hoshikage: Usage error: ${en}`);
      assert(second.includes(ja), stderr);
      assert(usage.includes(`Usage: hoshikage ${of ?? '['}`), stderr);
      assert(help.endsWith(`npx hoshikage ${of ? `${of} ` : ''}--help`), stderr);
      assert.deepEqual(more, []);
    });
  }

  it('shows the arguments of a command that lacks some', async (context) => {
    const { stderr } = await commandUser(context).run(['add']);
    assert(stderr.includes('hoshikage add <PATH> <ALIAS> [STOP…]'), stderr);
  });

  it('ends with 2 for a port that is none, in one message', async (context) => {
    const { code, stderr } = await commandUser(context).run(['--port', 'abc']);
    assert.equal(code, 2);
    assert.equal(stderr.trimEnd().split('\n').length, 2, stderr);
  });

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
