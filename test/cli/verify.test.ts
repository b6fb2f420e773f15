/** `hoshikage verify`: the real command as a process, and what it ends with. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type CommandUser, commandUser } from '../helpers/command.js';
import { whyNoLibrary } from '../helpers/default-library.js';
import { talker } from '../helpers/models.js';
import { until, within } from '../helpers/waiting.js';

const DEADLINE_MS = 60_000;

async function withTalker(user: CommandUser): Promise<string> {
  const path = join(user.home, 'talker.gguf');
  copyFileSync(await talker(), path);
  return path;
}

describe('hoshikage verify', { concurrency: 2 }, () => {
  it('gives a certificate and ends with 0', { skip: whyNoLibrary() }, async (context) => {
    const user = commandUser(context);
    const path = await withTalker(user);
    const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
    const { code, stdout, stderr } = await user.run(['verify', 'talker.gguf']);
    assert.equal(code, 0, stdout + stderr);
    const lines = stdout.trimEnd().split('\n');
    assert.equal(lines.pop(), 'Certificate: the file is sound, and works');
    assert.equal(lines.length, 10);
    for (const line of lines) assert.match(line, /^✓ /);
    assert.match(stdout, new RegExp(`^✓ SHA-256 +${sha256}`, 'm'));
    // How far it is belongs to nobody who reads the outcome.
    assert.match(stderr, /talker\.gguf/);
  });

  it('takes the name of a model as well, and gives JSON', {
    skip: whyNoLibrary(),
  }, async (context) => {
    const user = commandUser(context);
    const path = await withTalker(user);
    await user.run(['add', path, '話す人']);
    const { code, stdout } = await user.run(['verify', '話す人', '--json']);
    assert.equal(code, 0);
    const { stages, ...rest } = JSON.parse(stdout);
    const bytes = readFileSync(path);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    assert.deepEqual(rest, {
      path,
      verdict: 'sound',
      files: [{ path, size_bytes: bytes.length, sha256 }],
    });
    assert.deepEqual(Object.keys(stages[0]), ['name', 'state', 'code', 'seen', 'seen_ja', 'ms']);
    assert.equal(stages.length, 10);
  });

  it('ends with 1 for a file that is at fault, and says where', async (context) => {
    const user = commandUser(context);
    const path = user.model('cut.gguf');
    truncateSync(path, 2000);
    const { code, stdout } = await user.run(['verify', 'cut.gguf', '--lang', 'ja']);
    assert.equal(code, 1);
    assert.match(stdout, /^✗ テンソル +GGUF として読めません: .*ファイルの外に出ます/m);
    assert.match(stdout, /^- 生成 +そこまで進んでいません$/m);
    assert.match(stdout, /^証明できません: ファイルに問題があります$/m);
    const { stages, verdict } = JSON.parse((await user.run(['verify', path, '--json'])).stdout);
    assert.equal(verdict, 'refused');
    assert.equal(stages[3].code, 'model_file_invalid:beyond_end');
  });

  it('ends with 3 where it could not be found out', async (context) => {
    const user = commandUser(context);
    user.model('m.gguf');
    const missing = await user.run(['verify', 'gone.gguf']);
    assert.equal(missing.code, 3);
    assert.match(missing.stdout, /^\? files +The model file does not exist: /m);
    const alone = await user.run(['verify', 'm.gguf'], { HOSHIKAGE_LIB_PATH: '/nowhere' });
    assert.equal(alone.code, 3);
    assert.match(alone.stdout, /^\? libllama +.*\/nowhere/m);
    assert.match(alone.stdout, /^Not everything could be checked/m);
  });

  it('ends with 2 without a file', async (context) => {
    const { code } = await commandUser(context).run(['verify']);
    assert.equal(code, 2);
  });

  it('is ended by Ctrl-C while it reads a large file', async (context) => {
    const user = commandUser(context);
    // A hole of a terabyte, which nobody would read to its end.
    truncateSync(user.model('large.gguf'), 2 ** 40);
    const { child, ended, stdout } = user.start(['verify', 'large.gguf']);
    await until('the header', () => stdout().includes('tensors'), { deadlineMs: DEADLINE_MS });
    child.kill('SIGINT');
    const { code, stderr } = await within(ended, DEADLINE_MS, 'end of verify');
    assert.equal(code, 130);
    assert.match(stderr, /Interrupted; nothing was changed/);
  });
});
