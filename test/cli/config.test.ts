/** `hoshikage config`: what it shows of the settings, and what it does to the file. */
import assert from 'node:assert/strict';
import { lstatSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { SETTINGS } from '../../src/settings.js';
import { commandUser } from '../helpers/command.js';
import { fakeServer, writeRunFile } from '../helpers/fake-admin.js';

const mode = (path: string): number => statSync(path).mode & 0o777;

describe('hoshikage config', { concurrency: 2 }, () => {
  it('shows every setting with its value and where it comes from, and no secret', async (context) => {
    const user = commandUser(context);
    user.writeFile(`${user.configDir}/.env`, 'API_KEY=do-not-show\nN_CTX=many\n');
    const env = { PORT: '4000' };
    const [text, json] = [
      await user.run(['config'], env),
      await user.run(['config', '--json'], env),
    ];
    assert.deepEqual([text.code, json.code], [0, 0], text.stderr);
    for (const { key } of SETTINGS) assert.match(text.stdout, new RegExp(`^${key} `, 'm'));
    assert.match(text.stdout, /^PORT +4000 +environment$/m);
    assert.match(text.stdout, /^API_KEY +\*\*\* +file$/m);
    assert.match(text.stdout, /^LOG_FILE_PATH +\(empty\) +default$/m);
    assert.match(text.stderr, /Invalid value "many" for the setting N_CTX/);
    const all = text.stdout + text.stderr + json.stdout;
    assert.deepEqual([all.includes('do-not-show'), all.includes('\u001b')], [false, false]);
    const { file, settings } = JSON.parse(json.stdout);
    assert.equal(file, join(user.configDir, '.env'));
    const rows = new Map<string, { value: string; origin: string; problem: string | null }>(
      settings.map((one: { key: string }) => [one.key, one]),
    );
    assert.equal(rows.size, SETTINGS.length);
    assert.deepEqual(
      [rows.get('PORT')?.value, rows.get('API_KEY')?.value, rows.get('HOST')?.origin],
      ['4000', '***', 'default'],
    );
    assert.match(rows.get('N_CTX')?.problem ?? '', /many/);
  });

  it('set writes one into the file and keeps the rest; unset takes it out', async (context) => {
    const user = commandUser(context);
    const file = join(user.configDir, '.env');
    user.writeFile(file, '# my settings\n#N_CTX=4096\nHOST=::1\n');
    const set = await user.run(['config', 'set', 'n_ctx', '8192']);
    assert.equal(set.code, 0, set.stderr);
    assert.match(set.stdout, /^Now: N_CTX=8192 \(file\)$/m);
    assert.equal(readFileSync(file, 'utf8'), '# my settings\n#N_CTX=4096\nN_CTX=8192\nHOST=::1\n');
    const got = await user.run(['config', 'get', 'N_CTX']);
    assert.deepEqual([got.code, got.stdout], [0, '8192\n']);
    const again = await user.run(['config', 'set', 'N_CTX', '8192']);
    assert.match(again.stdout, /^Nothing to change/);
    assert.equal((await user.run(['config', 'unset', 'N_CTX'])).code, 0);
    assert.equal(readFileSync(file, 'utf8'), '# my settings\n#N_CTX=4096\nHOST=::1\n');
  });

  it('set KEY - takes the value from standard input, so that no history of a shell has it', async (context) => {
    const user = commandUser(context);
    const file = join(user.configDir, '.env');
    const { code, stderr } = await user.run(['config', 'set', 'HF_TOKEN', '-'], {}, 'hf_secret\n');
    assert.deepEqual([code, stderr], [0, '']);
    assert.equal(readFileSync(file, 'utf8'), 'HF_TOKEN=hf_secret\n');
    const empty = await user.run(['config', 'set', 'HF_TOKEN', '-'], {}, '\n');
    assert.equal(empty.code, 2);
    assert.match(empty.stderr, /hoshikage config unset HF_TOKEN/);
    const long = await user.run(['config', 'set', 'HF_TOKEN', '-'], {}, 'x'.repeat(70_000));
    assert.notEqual(long.code, 0);
    assert.equal(readFileSync(file, 'utf8'), 'HF_TOKEN=hf_secret\n');
  });

  it('makes a file with a key readable for its owner only, before the key is in it', async (context) => {
    const user = commandUser(context);
    const file = join(user.configDir, '.env');
    assert.equal((await user.run(['config', 'set', 'PORT', '4000'])).code, 0);
    assert.equal(mode(file), 0o600, 'a new file');
    user.writeFile(join(user.home, 'dotfiles/env'), 'PORT=1\n');
    const { chmodSync, rmSync } = await import('node:fs');
    chmodSync(join(user.home, 'dotfiles/env'), 0o644);
    rmSync(file);
    symlinkSync(join(user.home, 'dotfiles/env'), file);
    const { code, stdout } = await user.run(['config', 'set', 'API_KEY', 'open-sesame']);
    assert.deepEqual([code, /open-sesame/.test(stdout)], [0, false]);
    assert.equal(lstatSync(file).isSymbolicLink(), true, 'the link stays');
    assert.equal(readFileSync(file, 'utf8'), 'PORT=1\nAPI_KEY=open-sesame\n');
    assert.equal(mode(file), 0o600);
    const got = await user.run(['config', 'get', 'API_KEY']);
    assert.deepEqual([got.code, got.stdout], [0, '***\n']);
  });

  it('refuses a value that does not fit, a name that is none, and an empty value', async (context) => {
    const user = commandUser(context);
    user.writeFile(`${user.configDir}/.env`, 'HOST=::1\n');
    const bad = await user.run(['config', 'set', 'IDLE_TIMEOUT', '-3']);
    const unknown = await user.run(['config', 'get', 'IDLE_TIMOUT']);
    const former = await user.run(['config', 'set', 'IDLE_TIMEOUT_SECONDS', '3']);
    const empty = await user.run(['config', 'set', 'HOST', '']);
    assert.deepEqual([bad.code, unknown.code, former.code, empty.code], [2, 2, 2, 2]);
    assert.match(bad.stderr, /Invalid value "-3" for the setting IDLE_TIMEOUT/);
    assert.match(
      unknown.stderr,
      /There is no setting IDLE_TIMOUT.*\n.*\n +もしかして \/ Did you mean: IDLE_TIMEOUT\n$/,
    );
    assert.match(former.stderr, /IDLE_TIMEOUT_SECONDS has no effect; use IDLE_TIMEOUT/);
    assert.match(empty.stderr, /config unset HOST/);
    assert.equal(readFileSync(`${user.configDir}/.env`, 'utf8'), 'HOST=::1\n');
  });

  it('mends a file that stops the server, and says what else counts', async (context) => {
    const user = commandUser(context);
    user.writeFile(`${user.configDir}/.env`, 'N_CTX=many\nN_SLOTS=lots\n');
    writeRunFile(user, await fakeServer(context, () => {}));
    const { code, stdout, stderr } = await user.run(['config', 'set', 'N_CTX', '4096'], {
      N_CTX: '512',
    });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^Now: N_CTX=512 \(environment\)$/m);
    assert.match(stdout, /running server takes it when it is started again/);
    assert.match(stderr, /The environment variable N_CTX counts/);
    assert.match(stderr, /for the setting N_SLOTS/);
    assert.equal(readFileSync(`${user.configDir}/.env`, 'utf8'), 'N_CTX=4096\nN_SLOTS=lots\n');
  });

  it('names the command that was meant', async (context) => {
    const user = commandUser(context);
    const { code, stderr } = await user.run(['config', 'sett', 'PORT', '1']);
    assert.equal(code, 2);
    assert.match(stderr, /Unknown command: config sett \(did you mean config set\?\)/);
  });
});
