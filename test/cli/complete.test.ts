/** What TAB offers: words of every kind, as each shell wants them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { completions } from '../../cli/complete.js';
import { splitWords } from '../../cli/shell-words.js';
import { commandUser } from '../helpers/command.js';

describe('a command line', () => {
  it('is split as a shell does, up to a last word that is not finished', () => {
    for (const [line, words, raw, quote] of [
      ['a b', ['a', 'b'], 'b', null],
      ['a  b ', ['a', 'b', ''], '', null],
      ["a 'b c", ['a', 'b c'], "'b c", "'"],
      ['a "b \\" c', ['a', 'b " c'], '"b \\" c', '"'],
      ['a b\\ c', ['a', 'b c'], 'b\\ c', null],
      ['a "x\\y" \'z\\\'', ['a', 'x\\y', 'z\\'], "'z\\'", null],
      ['', [''], '', null],
    ] as const) {
      assert.deepEqual(splitWords(line), { words, raw, quote }, line);
    }
  });
});

const MAP = {
  'qwen2.5:7b': { path: '/x', model: 'a.gguf' },
  '猫/小さい モデル': { path: '/x', model: 'b.gguf' },
};

/** A user with models and a library, whose home is this process's for as long as the test runs. */
function userWithModels(context: TestContext) {
  const user = commandUser(context);
  user.writeFile(user.mapFile, JSON.stringify(MAP));
  user.model('.config/hoshikage/models/found.gguf');
  mkdirSync(join(user.configDir, 'lib', 'cuda-3.22.1'), { recursive: true });
  const before = { ...process.env };
  process.env = { ...before, HOME: user.home, USERPROFILE: user.home };
  delete process.env.XDG_CONFIG_HOME;
  context.after(() => {
    process.env = before;
  });
  return user;
}

const words = (...typed: string[]) => completions(['zsh', 'hoshikage', ...typed]);
const bash = (line: string, current: string) => completions(['bash', line, current]);

describe('TAB', () => {
  it('offers commands, their commands, options, choices, models, settings and libraries', async (context) => {
    userWithModels(context);
    const models = ['qwen2.5:7b', '猫/小さい モデル', 'found'];
    const commands = await words('');
    for (const name of ['serve', 'run', 'chat', 'config', 'lib'])
      assert.ok(commands.includes(name));
    assert.ok(!commands.some((name) => name.includes(' ')));
    assert.deepEqual(await words('lib', ''), ['list', 'install', 'use', 'check', 'rollback', 'rm']);
    assert.deepEqual(await words('lib', 'install', ''), ['cpu', 'cuda', 'vulkan', 'metal']);
    assert.deepEqual(await words('lib', 'use', ''), ['cuda-3.22.1', 'default']);
    assert.ok((await words('pull', '')).includes('lfm2.5-1.2b-jp'));
    assert.deepEqual(await words('run', ''), models);
    assert.deepEqual(await words('--lang', 'ja', 'rm', ''), models);
    assert.deepEqual(await words('run', 'found', ''), [], 'a prompt is nobody’s to guess');
    assert.deepEqual(await words('add', ''), [], 'a file');
    assert.ok((await words('config', 'set', '')).includes('N_CTX'));
    assert.deepEqual(await words('list', '--lang', ''), ['ja', 'en']);
    assert.deepEqual(await words('list', '--lang='), ['--lang=ja', '--lang=en']);
    assert.ok((await words('chat', '--')).includes('--temperature'));
    assert.deepEqual(await words('nonsense', ''), []);
  });

  it('gives bash its words escaped, and only from where bash itself begins', async (context) => {
    userWithModels(context);
    assert.deepEqual(await bash('hoshikage rm qwen', 'qwen'), ['qwen2.5:7b']);
    assert.deepEqual(await bash('hoshikage rm qwen2.5:', ':'), ['7b']);
    assert.deepEqual(await bash('hoshikage rm qwen2.5:7', '7'), ['7b']);
    assert.deepEqual(await bash('hoshikage rm 猫', '猫'), ['猫/小さい\\ モデル']);
    assert.deepEqual(await bash('hoshikage rm "猫', '"猫'), ['猫/小さい モデル']);
    assert.deepEqual(await bash('LANG=ja hoshikage lis', 'lis'), ['list']);
  });

  it('works in bash itself', { skip: process.platform === 'win32' }, async (context) => {
    const user = userWithModels(context);
    const { stdout: script } = await user.run(['completion', 'bash']);
    user.writeFile(
      join(user.home, 'test.sh'),
      `${script}
COMP_LINE='hoshikage rm qwen2.5:7'; COMP_POINT=\${#COMP_LINE}
COMP_WORDS=(hoshikage rm qwen2.5 : 7); COMP_CWORD=4
_hoshikage
printf '<%s>' "\${COMPREPLY[@]}"
complete -p hoshikage
`,
    );
    const env = { PATH: process.env.PATH, HOME: user.home, LANG: 'C.UTF-8' };
    const { stdout } = await promisify(execFile)('bash', ['--norc', join(user.home, 'test.sh')], {
      env,
    });
    assert.match(stdout, /^<7b>complete .*-F _hoshikage hoshikage/);
  });

  it('writes nothing and starts nothing, also where nothing is there', async (context) => {
    const user = commandUser(context);
    const { code, stdout } = await user.run(['__complete', 'zsh', 'hoshikage', 'run', '']);
    assert.deepEqual([code, stdout], [0, 'hoshikage-guide\n']);
    assert.deepEqual(user.files('.'), []);
    user.writeFile(user.mapFile, '{"broken"');
    user.writeFile(`${user.configDir}/.env`, 'N_CTX=many\n');
    const broken = await user.run(['__complete', 'fish', 'hoshikage', 'run', '']);
    assert.deepEqual([broken.code, broken.stderr], [0, '']);
    assert.deepEqual(user.files('.config/hoshikage'), ['.env', 'model_map.json']);
  });

  it('has a script for each shell, and for no other', async (context) => {
    const user = commandUser(context);
    for (const [shell, words] of [
      ['zsh', /^#compdef hoshikage$/m],
      ['fish', /^complete -c hoshikage /m],
    ] as const) {
      const { code, stdout } = await user.run(['completion', shell]);
      assert.equal(code, 0);
      assert.match(stdout, words);
    }
    const other = await user.run(['completion', 'tcsh']);
    assert.equal(other.code, 2);
  });
});
