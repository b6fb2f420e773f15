/** add, rm and list without a server: the real command as a process, the map as a file. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { commandUser } from '../helpers/command.js';

describe('hoshikage add', { concurrency: 2 }, () => {
  it('writes the entry with an absolute path and the stop words in order', async (context) => {
    const user = commandUser(context);
    const path = user.model('モデル/a b.gguf');
    const added = await user.run([
      'add',
      'モデル/a b.gguf',
      '星/影 7b',
      '<|end|>',
      '終',
      '--',
      '-x',
    ]);
    assert.equal(added.code, 0);
    assert.match(added.stdout, /^Added model: 星\/影 7b\n.*"model": "星\/影 7b" in a request\n$/);
    assert.deepEqual(JSON.parse(readFileSync(user.mapFile, 'utf8')), {
      '星/影 7b': { path: dirname(path), model: basename(path), stop: ['<|end|>', '終', '-x'] },
    });
  });

  it('takes names and stop words as they are, numbers and quotes included', async (context) => {
    const user = commandUser(context);
    user.model('m.gguf');
    await user.run(['add', 'm.gguf', '007', '1e3', 'true', '"q"']);
    await user.run(['add', '--', 'm.gguf', '-dash', '--force']);
    const map = JSON.parse(readFileSync(user.mapFile, 'utf8'));
    assert.deepEqual(map['007'].stop, ['1e3', 'true', '"q"']);
    assert.deepEqual(map['-dash'].stop, ['--force']);
  });

  it('refuses a name that is taken, unless it is the same entry or --force is given', async (context) => {
    const user = commandUser(context);
    user.model('one.gguf');
    user.model('two.gguf');
    const first = await user.run(['add', 'one.gguf', 'm']);
    const again = await user.run(['add', 'one.gguf', 'm']);
    assert.deepEqual([first.code, again.code], [0, 0]);
    assert.match(first.stdout, /^Added model: m\n/);
    assert.match(again.stdout, /nothing changed: m\n.*"model": "m"/);
    const refused = await user.run(['add', 'two.gguf', 'm']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /The name is taken: m/);
    assert.match(refused.stderr, /登録済み/);
    assert.match(readFileSync(user.mapFile, 'utf8'), /one\.gguf/);
    assert.equal((await user.run(['add', '--force', 'two.gguf', 'm'])).code, 0);
    assert.match(readFileSync(user.mapFile, 'utf8'), /two\.gguf/);
  });

  it('refuses a file that is missing or no GGUF, and changes nothing', async (context) => {
    const user = commandUser(context);
    user.writeFile(join(user.home, 'no.gguf'), 'not a model');
    const missing = await user.run(['add', 'nowhere.gguf', 'm']);
    const unsound = await user.run(['add', 'no.gguf', 'm']);
    assert.deepEqual([missing.code, unsound.code], [1, 1]);
    assert.match(missing.stderr, /does not exist: .*nowhere\.gguf/);
    assert.match(unsound.stderr, /Not a sound GGUF file: .*no\.gguf/);
    assert(!existsSync(user.mapFile));
  });

  it('edits the file that MODEL_MAP_FILE names, from .env too', async (context) => {
    const user = commandUser(context);
    user.model('m.gguf');
    user.writeFile(join(user.configDir, '.env'), 'MODEL_MAP_FILE=~/maps/my.json\n');
    assert.equal((await user.run(['add', 'm.gguf', 'm'])).code, 0);
    assert(existsSync(join(user.home, 'maps', 'my.json')));
  });

  it('leaves a broken map untouched and names it', async (context) => {
    const user = commandUser(context);
    user.model('m.gguf');
    user.writeFile(user.mapFile, '{"a": ');
    const { code, stderr } = await user.run(['add', 'm.gguf', 'm']);
    assert.equal(code, 1);
    assert(stderr.includes(user.mapFile));
    assert.equal(readFileSync(user.mapFile, 'utf8'), '{"a": ');
  });
});

describe('hoshikage rm', { concurrency: 2 }, () => {
  it('removes that entry only, by either name of the command', async (context) => {
    const user = commandUser(context);
    user.model('m.gguf');
    for (const name of ['a', 'b/ 星', 'c']) await user.run(['add', 'm.gguf', name]);
    const removed = await user.run(['rm', 'b/ 星']);
    assert.deepEqual([removed.code, removed.stdout], [0, 'Removed model: b/ 星\n']);
    assert.equal((await user.run(['remove', 'a'])).code, 0);
    assert.deepEqual(Object.keys(JSON.parse(readFileSync(user.mapFile, 'utf8'))), ['c']);
    assert(existsSync(join(user.home, 'm.gguf')));
  });

  it('ends with 1 for a name that is not there', async (context) => {
    const { code, stderr } = await commandUser(context).run(['rm', '無い', '--lang', 'ja']);
    assert.equal(code, 1);
    assert.match(stderr, /^hoshikage: モデルが見つかりません: 無い/);
    assert.match(stderr, /Model not found: 無い/);
  });

  it('says why a model of MODEL_DIR cannot be removed', async (context) => {
    const user = commandUser(context);
    const path = user.model('.config/hoshikage/models/found.gguf');
    const { code, stderr } = await user.run(['rm', 'found']);
    assert.equal(code, 1);
    assert(stderr.includes(path));
  });
});

describe('hoshikage list', { concurrency: 2 }, () => {
  it('shows name, size, kind and file, and flags what is missing', async (context) => {
    const user = commandUser(context);
    const kept = user.model('kept.gguf');
    const lost = user.model('lost.gguf');
    await user.run(['add', 'kept.gguf', '星影']);
    await user.run(['add', 'lost.gguf', 'lost']);
    rmSync(lost);
    const { code, stdout } = await user.run(['list']);
    assert.equal(code, 0);
    const [, first, second] = stdout.split('\n');
    assert.match(first ?? '', /^星影 +[\d.]+ KiB +llama F16 +/);
    assert(first?.endsWith(kept.replace(user.home, '~')));
    assert.match(second ?? '', /^lost +- +- +\[file missing\] /);
    assert(second?.endsWith(lost.replace(user.home, '~')));
  });

  it('--json prints the same for programs, and nothing else', async (context) => {
    const user = commandUser(context);
    const path = user.model('m.gguf');
    user.model('.config/hoshikage/models/found.gguf');
    await user.run(['add', 'm.gguf', 'm', 'stop']);
    const { stdout } = await user.run(['ls', '--json']);
    const [mapped, found, ...rest] = JSON.parse(stdout);
    assert.equal(rest.length, 0);
    assert.deepEqual(
      { ...mapped, size_bytes: mapped.size_bytes > 0 },
      {
        name: 'm',
        path,
        stop: ['stop'],
        origin: 'map',
        state: 'ok',
        size_bytes: true,
        architecture: 'llama',
        quantisation: 'F16',
        context_length: 2048,
      },
    );
    assert.deepEqual([found.name, found.origin], ['found', 'scan']);
  });

  it('shows the built-in model and how to add one while there is no other', async (context) => {
    const { code, stdout } = await commandUser(context).run(['list', '--lang', 'ja']);
    assert.equal(code, 0);
    assert.match(stdout, /hoshikage-guide .*\[内蔵\]/);
    assert.match(stdout, /npx hoshikage add/);
  });
});
