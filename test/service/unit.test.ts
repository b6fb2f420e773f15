/** The systemd unit: what it says, and that systemd reads it as it is meant. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { isOurs, isPassing, nodeOf, unitPath, unitText } from '../../src/service/unit.js';

const USUAL = {
  configDir: join(homedir(), '.config', 'hoshikage'),
  cacheDir: join(homedir(), '.cache', 'hoshikage'),
  envFile: join(homedir(), '.config', 'hoshikage', '.env'),
  shutdownGraceMs: 30_000,
};
const PROGRAM = { node: '/usr/bin/node', entry: '/opt/hoshikage/dist/cli/main.js' };

/** Characters that mean something to systemd, to a shell, or to nobody. */
const ODD_NAMES = ['two words', '100%h', 'a"b\'c', 'back\\slash', '星影', '$HOME', 'tab\there'];

const hasVerify = spawnSync('systemd-analyze', ['--version']).status === 0;

/** What `systemd-analyze verify` says of a text as a user unit; empty = nothing. */
function verify(directory: string, text: string): string {
  const path = join(directory, 'hoshikage.service');
  writeFileSync(path, text);
  const { stdout, stderr, status } = spawnSync(
    'systemd-analyze',
    ['--user', '--man=no', 'verify', path],
    { encoding: 'utf8', env: { ...process.env, XDG_RUNTIME_DIR: directory } },
  );
  // Other units of the machine are none of ours.
  const lines = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('hoshikage'));
  return status === 0 ? lines.join('\n') : `exit ${status}\n${lines.join('\n')}`;
}

describe('The unit', () => {
  it('lies beside the configuration, where systemd looks for units of this user', () => {
    assert.equal(unitPath(USUAL), join(homedir(), '.config/systemd/user/hoshikage.service'));
  });

  it('restarts a server that failed, but not one whose settings are wrong', () => {
    const lines = unitText(USUAL, PROGRAM).split('\n');
    for (const line of [
      'ExecStart="/usr/bin/node" "/opt/hoshikage/dist/cli/main.js" serve',
      'Restart=on-failure',
      'RestartSec=10',
      'RestartPreventExitStatus=2',
      'KillMode=mixed',
      'WantedBy=default.target',
    ]) {
      assert.ok(lines.includes(line), line);
    }
    assert.ok(!lines.some((line) => line.startsWith('Environment=')));
  });

  it('gives running answers SHUTDOWN_GRACE before systemd kills', () => {
    assert.match(unitText(USUAL, PROGRAM), /^TimeoutStopSec=45$/m);
    assert.match(unitText({ ...USUAL, shutdownGraceMs: 90_500 }, PROGRAM), /^TimeoutStopSec=106$/m);
  });

  it('writes down the places that variables decide, for a start without a shell', () => {
    const places = {
      ...USUAL,
      configDir: '/data/conf/hoshikage',
      cacheDir: '/data/100% cache/hoshikage',
      envFile: '/etc/hoshikage.env',
    };
    const found = unitText(places, PROGRAM).match(/^Environment=.*$/gm);
    assert.deepEqual(found, [
      'Environment="XDG_CONFIG_HOME=/data/conf"',
      'Environment="XDG_CACHE_HOME=/data/100%% cache"',
      'Environment="HOSHIKAGE_CONFIG_PATH=/etc/hoshikage.env"',
    ]);
  });

  it('is known as ours, and tells which Node.js it starts', () => {
    for (const name of ODD_NAMES.filter((one) => !one.includes('\t'))) {
      const node = `/opt/${name}/node`;
      const text = unitText(USUAL, { ...PROGRAM, node });
      assert.ok(isOurs(text));
      assert.equal(nodeOf(text), node);
    }
    assert.ok(!isOurs('[Service]\nExecStart=/usr/bin/node\n'));
    assert.equal(nodeOf('[Service]\nExecStart=/usr/bin/node\n'), null);
  });

  it('is what systemd wants, wherever Node.js and Hoshikage lie', {
    skip: !hasVerify,
  }, (context) => {
    const root = mkdtempSync(join(tmpdir(), 'hoshikage-unit-'));
    context.after(() => rmSync(root, { recursive: true }));
    // It does tell what is wrong.
    assert.match(verify(root, unitText(USUAL, { ...PROGRAM, node: '/nowhere/node' })), /nowhere/);
    for (const name of ODD_NAMES) {
      const directory = join(root, name);
      mkdirSync(directory, { recursive: true });
      const [node, entry] = [join(directory, 'node'), join(directory, 'main.js')];
      writeFileSync(node, '#!/bin/sh\n');
      chmodSync(node, 0o755);
      const places = { ...USUAL, configDir: join(directory, 'hoshikage') };
      assert.equal(verify(root, unitText(places, { node, entry })), '', name);
    }
  });
});

describe("Hoshikage's directory", () => {
  it('is not one to rely on where npx and its like keep copies', () => {
    for (const root of [
      '/home/u/.npm/_npx/0a1b/node_modules/hoshikage/',
      'C:\\npm-cache\\_npx\\0a1b\\node_modules\\hoshikage\\',
      '/home/u/.cache/pnpm/dlx/0a1b/node_modules/hoshikage/',
      '/home/u/.cache/pnpm/dlx-123/node_modules/hoshikage/',
      '/tmp/bunx-1000-hoshikage@latest/node_modules/hoshikage/',
    ]) {
      assert.ok(isPassing(root), root);
    }
    for (const root of ['/usr/lib/node_modules/hoshikage/', '/home/u/npx/hoshikage/']) {
      assert.ok(!isPassing(root), root);
    }
  });
});
