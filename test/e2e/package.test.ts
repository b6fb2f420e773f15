/**
 * The tarball as a user meets it: installed into an empty home on a machine that has Node, npm and
 * nothing to build with. `HOSHIKAGE_TARBALL` names one that was made elsewhere; without it the files of
 * this checkout are packed, with dist as it is.
 */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve, sep } from 'node:path';
import { before, describe, it } from 'node:test';
import { ROOT } from '../../scripts/root.js';
import type { CommandResult } from '../helpers/cli.js';
import { ggufBytes, smallGguf } from '../helpers/gguf-bytes.js';
import { moduleRegistry } from '../helpers/module-registry.js';
import { npmCli } from '../helpers/npm.js';
import { suiteOwner } from '../helpers/owner.js';
import { type Home, makeHome, readRunFile, startProcess, startServer } from '../helpers/server.js';
import { until, within } from '../helpers/waiting.js';
import { chat, chatBody, getJson } from '../helpers/wire.js';

const ON_WINDOWS = process.platform === 'win32';
const DEADLINE_MS = 120_000;
const MANIFEST: { version: string } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

describe('On a machine without a compiler, in an empty home', () => {
  const owner = suiteOwner();
  let home: Home;
  /** Of somebody with that home: what builds is on no PATH of theirs. */
  let env: NodeJS.ProcessEnv;
  let tarball: string;
  let installation: CommandResult;
  /** Where `npm i -g` puts packages, and the command. */
  let prefix: string;
  let installed: string;
  let command: string;

  const run = async (main: string, args: readonly string[]): Promise<CommandResult> => {
    const { exited, output } = startProcess(owner, home, args, { main, env });
    const { code } = await within(exited, DEADLINE_MS, `end of ${main} ${args.join(' ')}`);
    return { code, output: output() };
  };

  before(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hoshikage-package-'));
    owner.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
    home = makeHome(owner);
    prefix = join(folder, 'global');
    mkdirSync(prefix);
    env = {
      PATH: toolsOnly(join(folder, 'tools')),
      npm_config_registry: await moduleRegistry(owner),
      npm_config_prefix: prefix,
      npm_config_update_notifier: 'false',
      ...(ON_WINDOWS && { SystemRoot: process.env.SystemRoot, USERPROFILE: home.root }),
    };
    tarball = resolve(process.env.HOSHIKAGE_TARBALL ?? (await pack(folder)));
    installation = await run(npmCli(), ['install', '--global', tarball]);
    installed = join(prefix, ON_WINDOWS ? '' : 'lib', 'node_modules', 'hoshikage');
    command = ON_WINDOWS ? join(installed, 'dist/cli/main.js') : join(prefix, 'bin/hoshikage');
  });

  async function pack(folder: string): Promise<string> {
    const args = ['pack', ROOT, '--ignore-scripts', '--pack-destination', folder];
    const { code, output } = await run(npmCli(), args);
    assert.equal(code, 0, output);
    return join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '');
  }

  it('npm i -g succeeds, and has nothing to complain about', () => {
    assert.equal(installation.code, 0, installation.output);
    assert.doesNotMatch(installation.output, /ERR!|gyp|deprecated|C\+\+/);
    assert.match(installation.output, /added \d+ packages/);
  });

  it('hoshikage --version says which it is', async () => {
    const { code, output } = await run(command, ['--version']);
    assert.deepEqual({ code, output: output.trim() }, { code: 0, output: MANIFEST.version });
  });

  it('the addon is the one that came along, and locks files where fs-ext cannot be built', async () => {
    assert.ok(!existsSync(join(installed, 'build')));
    assert.ok(!existsSync(join(installed, 'node_modules', 'fs-ext')));
    const model = join(home.root, 'small.gguf');
    writeFileSync(model, ggufBytes(smallGguf()).file);
    const added = await run(command, ['add', model, 'small', '--lang', 'en']);
    assert.equal(added.code, 0, added.output);
    assert.match(added.output, /Added model: small/);
    // What is said where only a lock file with a pid is left.
    assert.doesNotMatch(added.output, /flock/);
    const removed = await run(command, ['rm', 'small']);
    assert.equal(removed.code, 0, removed.output);
  });

  it('hoshikage serve answers /health, and the built-in model answers a question', async () => {
    const server = await startServer(owner, { home, env, main: command });
    await assertAnswers(server.url);
    const exit = await server.stop();
    if (!ON_WINDOWS) assert.deepEqual(exit, { code: 0, signal: null });
  });

  it('npx hoshikage serve does the same, straight from the tarball', async () => {
    const main = join(dirname(npmCli()), 'npx-cli.js');
    const other = makeHome(owner);
    const args = ['--yes', `--package=${tarball}`, 'hoshikage', 'serve', '--port', '0'];
    const { exited, output } = startProcess(owner, other, args, { main, env });
    let ended = false;
    void exited.then(() => {
      ended = true;
    });
    const found = await until(
      'run.json of the server that npx starts',
      async () => (ended ? 'ended' : readRunFile(other)),
      { deadlineMs: DEADLINE_MS },
    );
    if (found === 'ended') assert.fail(output());
    await assertAnswers(`http://127.0.0.1:${found.port}`);
    process.kill(found.pid, 'SIGTERM');
    await within(exited, DEADLINE_MS, 'end of npx');
  });

  it('nothing in it tells where it was made', () => {
    const places = [ROOT, homedir()].filter((place) => place.length > 3).map((one) => one + sep);
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' })
      .filter((name) => !name.startsWith('node_modules'))
      .filter((name) => statSync(join(installed, name)).isFile());
    const telling = files.filter((name) => {
      const bytes = readFileSync(join(installed, name));
      return places.some((place) => bytes.includes(place));
    });
    assert.ok(files.length > 100);
    assert.deepEqual(telling, []);
  });
});

async function assertAnswers(url: string): Promise<void> {
  const health = await until('answer of /health', async () => {
    const { status } = await getJson(`${url}/health`);
    return status === 200 ? status : null;
  });
  assert.equal(health, 200);
  const question = chatBody('hoshikage-guide', '星影とは何ですか？', { temperature: 0 });
  const { status, body } = await chat({ url }, question);
  assert.equal(status, 200, JSON.stringify(body));
  assert.match(body.choices[0]?.message.content ?? '', /星影/);
  assert.equal(body.choices[0]?.finish_reason, 'stop');
}

/** A PATH with Node, npm and what their own scripts begin with; nothing that compiles. */
function toolsOnly(folder: string): string {
  const beside = dirname(process.execPath);
  if (ON_WINDOWS) return [beside, join(process.env.SystemRoot ?? '', 'System32')].join(delimiter);
  mkdirSync(folder);
  symlinkSync(process.execPath, join(folder, 'node'));
  for (const name of ['sh', 'env', 'dirname', 'uname']) {
    const from = ['/bin', '/usr/bin'].map((place) => join(place, name)).find(existsSync);
    if (from) symlinkSync(from, join(folder, name));
  }
  for (const name of ['npm', 'npx']) {
    symlinkSync(join(dirname(npmCli()), `${name}-cli.js`), join(folder, name));
  }
  return folder;
}
