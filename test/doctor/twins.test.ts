/** What the doctor does the same way as another room that it may not import. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { formatBytes } from '../../cli/print.js';
import { inProject } from '../../scripts/root.js';
import { sourceDigest } from '../../src/doctor/addon.js';
import { addonPath } from '../../src/engine/addon.js';
import { sizeText } from '../../src/models/size-text.js';

test('the digest of the sources is the one that the install script writes and looks for', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'hoshikage-digest-'));
  t.after(() => rmSync(root, { recursive: true }));
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  };
  write('native/src/b/one.cc', 'int one();\r\n');
  write('native/src/b-two.h', 'int two();\n');
  write('native/src/A.cc', 'int three();\n');
  write('native/CMakeLists.txt', 'project(x)\n');
  write('binding.gyp', '{}\n');
  write('package.json', '{}');
  const script = join(root, 'scripts/install.mjs');
  mkdirSync(dirname(script));
  copyFileSync(inProject('scripts/install.mjs'), script);
  const addon = 'build/Release/hoshikage_native.node';
  write(addon, '');
  copyFileSync(addonPath(), join(root, addon));
  // Without any compiler it can only take what is there, or say that it cannot build.
  const install = () => {
    const env = { PATH: '', HOME: root };
    const { status, stderr } = spawnSync(process.execPath, [script], { env, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return stderr;
  };
  write(`${addon}.sha256`, `${await sourceDigest(root)}\n`);
  assert.equal(install(), '');
  write('native/src/A.cc', 'int four();\n');
  assert.match(install(), /could not be built/);
});

test('sizes read like those of the commands', () => {
  const edges = [1, 2, 3, 4].flatMap((power) => [-1, 0, 1].map((more) => 1024 ** power + more));
  for (const bytes of [0, 1, 512, 1536, 4.2 * 1024 ** 3, 5000 * 1024 ** 4, ...edges]) {
    assert.equal(sizeText(bytes), formatBytes(bytes));
  }
});
