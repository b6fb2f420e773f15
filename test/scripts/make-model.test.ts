/** `npm run make-model` as a command. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ROOT } from '../../scripts/root.js';
import { readGguf } from '../../src/models/gguf.js';
import { scriptArguments } from '../helpers/script.js';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hoshikage-make-'));
});
after(() => rm(folder, { recursive: true, force: true }));

function makeModel(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const command = scriptArguments('make-model', args);
    const child = execFile(
      process.execPath,
      command,
      { cwd: ROOT, timeout: 60_000 },
      (_, out, err) => {
        resolve({ code: child.exitCode ?? -1, out, err });
      },
    );
  });
}

describe('make-model', () => {
  it('makes a random model of the given sizes', async () => {
    const path = join(folder, 'random.gguf');
    const sizes = [
      '--embd',
      '64',
      '--layers',
      '1',
      '--heads',
      '2',
      '--kv-heads',
      '1',
      '--ff',
      '64',
    ];
    const { code, out } = await makeModel('random', path, '--context', '128', ...sizes);
    assert.deepEqual([code, out], [0, `${path}\n`]);
    assert.equal((await readGguf(path)).contextLength, 128);
  });

  it('makes a scripted model from options and from a file', async () => {
    const path = join(folder, 'scripted.gguf');
    const file = join(folder, 'answers.json');
    await writeFile(file, JSON.stringify([{ say: 'はい' }, { when: '鍵', say: 'いいえ' }]));
    const made = await makeModel('scripted', path, '--file', file, '--answer', 'key=yes=no');
    assert.deepEqual([made.code, made.err], [0, '']);
    assert.equal((await readGguf(path)).architecture, 'llama');
  });

  it('says how it is used when it is not understood, and makes nothing', async () => {
    const path = join(folder, 'nothing.gguf');
    for (const args of [
      [],
      ['random'],
      ['other', path],
      ['random', path, '--layers', 'x'],
      ['random', path, '--no'],
    ]) {
      const { code, err } = await makeModel(...args);
      assert.equal(code, 2, args.join(' '));
      assert.match(err, /usage: npm run make-model/);
    }
    assert.ok(!existsSync(path));
  });

  it('fails plainly when a script cannot be said', async () => {
    const { code, err } = await makeModel('scripted', join(folder, 'no.gguf'), '--answer', 'a=b');
    assert.equal(code, 1);
    assert.match(err, /exactly one answer without/);
  });
});
