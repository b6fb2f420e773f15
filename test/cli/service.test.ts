/**
 * `hoshikage service …` against stand-ins of systemctl and loginctl that record how they are called: a
 * test machine has no systemd of a user.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type CommandUser, commandUser } from '../helpers/command.js';
import { answer, fakeServer } from '../helpers/fake-admin.js';

/** It starts "the server" by putting its run.json in place. */
const SYSTEMCTL = `#!/bin/sh
echo "systemctl $*" >> "$HOME/calls"
run="$HOME/.config/hoshikage/run.json"
case "$*" in
  *--property=Version)
    if [ -e "$HOME/no-bus" ]; then echo 'Failed to connect to bus: No medium found' >&2; exit 1; fi
    echo Version=252 ;;
  *--property=Active*) cat "$HOME/state" ;;
  *" enable "*)
    if [ -e "$HOME/no-enable" ]; then echo 'Failed to enable unit: refused' >&2; exit 1; fi ;;
  *" start "*|*" restart "*)
    cp "$HOME/run-of-service" "$run"
    printf 'ActiveState=active\\nSubState=running\\nUnitFileState=enabled\\nMainPID=77\\n' > "$HOME/state" ;;
  *" stop "*)
    rm -f "$run"
    printf 'ActiveState=inactive\\nSubState=dead\\nUnitFileState=\\nMainPID=0\\n' > "$HOME/state" ;;
esac
`;
const LOGINCTL = `#!/bin/sh
echo "loginctl $*" >> "$HOME/calls"
cat "$HOME/linger"
`;

interface ServiceUser extends CommandUser {
  readonly unit: string;
  /** What was called so far, without the questions that change nothing. */
  changes(): readonly string[];
  service(...args: string[]): ReturnType<CommandUser['run']>;
}

async function serviceUser(context: TestContext): Promise<ServiceUser> {
  const user = commandUser(context);
  const bin = join(user.home, 'bin');
  mkdirSync(bin);
  const options = { mode: 0o755 };
  writeFileSync(join(bin, 'systemctl'), SYSTEMCTL, options);
  writeFileSync(join(bin, 'loginctl'), LOGINCTL, options);
  const { pid, host, port, token } = await fakeServer(context, (_, response) =>
    answer(response, 200, { status: 'ok' }),
  );
  mkdirSync(user.configDir, { recursive: true });
  const write = (name: string, text: string) => user.writeFile(join(user.home, name), text);
  write('run-of-service', JSON.stringify({ pid, host, port, token }));
  write('state', 'ActiveState=inactive\nSubState=dead\nUnitFileState=\nMainPID=0\n');
  write('linger', 'Linger=no\n');
  const calls = join(user.home, 'calls');
  return {
    ...user,
    unit: join(user.home, '.config', 'systemd', 'user', 'hoshikage.service'),
    changes() {
      const lines = existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : [];
      return lines.filter((line) => !/ show|show-user/.test(line));
    },
    service: (...args) =>
      user.run(['service', ...args], { PATH: `${bin}:${process.env.PATH}`, LANG: 'C.UTF-8' }),
  };
}

const CHANGES = ['daemon-reload', 'enable hoshikage.service'].map(
  (one) => `systemctl --user ${one}`,
);
const START = 'systemctl --user start hoshikage.service';

describe('hoshikage service', { concurrency: 2, skip: process.platform !== 'linux' }, () => {
  it('install writes the unit, enables and starts it, and says where the server answers', async (context) => {
    const user = await serviceUser(context);
    const { code, stdout, stderr } = await user.service('install');
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(user.changes(), [...CHANGES, START]);
    const text = readFileSync(user.unit, 'utf8');
    assert.match(text, /^ExecStart="\/.*node" "\/.*\/dist\/cli\/main\.js" serve$/m);
    assert.equal(statSync(user.unit).mode & 0o777, 0o644);
    assert.match(stdout, /^Wrote the unit: ~?.*hoshikage\.service$/m);
    assert.match(stdout, /^It is running: http:\/\/127\.0\.0\.1:\d+$/m);
    assert.match(stdout, /loginctl enable-linger$/m);
  });

  it('install says nothing of the logout where services linger', async (context) => {
    const user = await serviceUser(context);
    user.writeFile(join(user.home, 'linger'), 'Linger=yes\n');
    assert.doesNotMatch((await user.service('install')).stdout, /linger/);
  });

  it('install a second time changes nothing and restarts nothing', async (context) => {
    const user = await serviceUser(context);
    await user.service('install');
    const before = readFileSync(user.unit, 'utf8');
    const { code, stdout } = await user.service('install');
    assert.equal(code, 0);
    assert.match(stdout, /^The unit is there already/m);
    assert.equal(readFileSync(user.unit, 'utf8'), before);
    assert.equal(user.changes().filter((line) => /start/.test(line)).length, 1);
  });

  it('install renews a unit of an older installation and restarts it', async (context) => {
    const user = await serviceUser(context);
    await user.service('install');
    const wanted = readFileSync(user.unit, 'utf8');
    user.writeFile(user.unit, wanted.replace(/^TimeoutStopSec=.*$/m, 'TimeoutStopSec=1'));
    const { code } = await user.service('install');
    assert.equal(code, 0);
    assert.equal(readFileSync(user.unit, 'utf8'), wanted);
    assert.equal(user.changes().at(-1), 'systemctl --user restart hoshikage.service');
  });

  it("leaves somebody's own unit alone, on install and uninstall, unless told to", async (context) => {
    const user = await serviceUser(context);
    const own = '[Service]\nExecStart=/usr/bin/node /opt/own.js\n';
    user.writeFile(user.unit, own);
    for (const command of ['install', 'uninstall']) {
      const { code, stderr } = await user.service(command);
      assert.equal(code, 1);
      assert.match(stderr, /was not written by Hoshikage.*--force/);
      assert.equal(readFileSync(user.unit, 'utf8'), own);
    }
    assert.deepEqual(user.changes(), []);
    assert.equal((await user.service('install', '--force')).code, 0);
    assert.match(readFileSync(user.unit, 'utf8'), /dist\/cli\/main\.js/);
  });

  it("install takes a masked unit for somebody's own", async (context) => {
    const user = await serviceUser(context);
    mkdirSync(join(user.unit, '..'), { recursive: true });
    symlinkSync('/dev/null', user.unit);
    assert.match((await user.service('install')).stderr, /was not written by Hoshikage/);
    // What it points to may be written by everybody; the unit may not.
    assert.equal((await user.service('install', '--force')).code, 0);
    assert.equal(statSync(user.unit).mode & 0o777, 0o644);
  });

  it('install says where the unit cannot be written', async (context) => {
    const user = await serviceUser(context);
    user.writeFile(join(user.home, '.config', 'systemd'), 'in the way');
    const { code, stderr } = await user.service('install');
    assert.equal(code, 1);
    assert.match(stderr, /write .*hoshikage\.service failed: .*(ENOTDIR|EEXIST)/);
    assert.deepEqual(user.changes(), []);
  });

  it('install starts though a dead server left its run.json, and its number is in use again', async (context) => {
    const user = await serviceUser(context);
    const left = { pid: process.pid, host: '127.0.0.1', port: 9, token: 't' };
    user.writeFile(user.runFile, JSON.stringify(left));
    const { code } = await user.service('install');
    assert.equal(code, 0);
    assert.equal(user.changes().at(-1), START);
  });

  it('install does not start beside a server that was started by hand', async (context) => {
    const user = await serviceUser(context);
    user.writeFile(user.runFile, readFileSync(join(user.home, 'run-of-service'), 'utf8'));
    const { code, stdout } = await user.service('install');
    assert.equal(code, 0);
    assert.match(stdout, /started by hand .*systemctl --user start hoshikage/);
    assert.deepEqual(user.changes(), CHANGES);
  });

  it('install names the settings that only this shell has', async (context) => {
    const user = await serviceUser(context);
    const PATH = `${join(user.home, 'bin')}:${process.env.PATH}`;
    const env = { PATH, N_SLOTS: '2', LD_LIBRARY_PATH: '/opt/cuda/lib' };
    const { stdout } = await user.run(['service', 'install'], env);
    assert.match(stdout, /in this shell only.*: N_SLOTS, LD_LIBRARY_PATH\. Write .*\.env$/m);
  });

  it('says what failed, and a second try goes on from there', async (context) => {
    const user = await serviceUser(context);
    user.writeFile(join(user.home, 'no-enable'), '');
    const first = await user.service('install');
    assert.equal(first.code, 1);
    assert.match(first.stderr, /systemctl --user enable hoshikage\.service failed: .*refused/);
    user.writeFile(join(user.home, 'no-enable.'), '');
    const { rmSync } = await import('node:fs');
    rmSync(join(user.home, 'no-enable'));
    assert.equal((await user.service('install')).code, 0);
    assert.equal(user.changes().at(-1), START);
  });

  it('uninstall stops, disables and removes, once', async (context) => {
    const user = await serviceUser(context);
    await user.service('install');
    const { code, stdout } = await user.service('uninstall');
    assert.equal(code, 0);
    assert.match(stdout, /^Stopped the service and removed its unit/);
    assert.deepEqual(
      user.changes().slice(-3),
      ['stop hoshikage.service', 'disable hoshikage.service', 'daemon-reload'].map(
        (one) => `systemctl --user ${one}`,
      ),
    );
    assert.ok(!existsSync(user.unit));
    const again = await user.service('uninstall');
    assert.deepEqual([again.code, again.stdout], [0, 'It is not installed as a service\n']);
  });

  it('status shows the unit, what systemd says, and whether the server answers', async (context) => {
    const user = await serviceUser(context);
    const none = await user.service('status');
    assert.equal(none.code, 1);
    assert.match(none.stdout, /^It is not installed as a service \(.*service install/);
    await user.service('install');
    const { code, stdout } = await user.service('status');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^State +active \(running, pid 77\)$/m);
    assert.match(stdout, /^Start by itself +enabled \(stops at the logout; .*enable-linger\)$/m);
    assert.match(stdout, /^Server +answers \(127\.0\.0\.1:\d+, pid \d+\)$/m);
    user.writeFile(user.runFile, '{}');
    const silent = await user.service('status');
    assert.equal(silent.code, 1);
    assert.match(silent.stdout, /^Server +is not running$/m);
  });

  it('says what to do where there is no systemd, or none for this user', async (context) => {
    const user = await serviceUser(context);
    user.writeFile(join(user.home, 'no-bus'), '');
    for (const command of ['install', 'uninstall', 'status']) {
      const { code, stderr } = await user.service(command);
      assert.equal(code, 1);
      assert.match(stderr, /No medium found\); log in as that user directly/);
    }
    const { code, stderr } = await user.run(['service', 'install'], { PATH: '/nowhere' });
    assert.equal(code, 1);
    assert.match(stderr, /there is no systemd; register this command .* serve$/m);
    assert.ok(!existsSync(user.unit));
  });
});
