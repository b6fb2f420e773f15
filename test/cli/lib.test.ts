/** The commands on libraries as a user runs them, without a server. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { bestBuild, findAccelerators, readDriverFacts } from '../../src/library/drivers.js';
import { findLibrary } from '../../src/library/find.js';
import { type CommandUser, commandUser } from '../helpers/command.js';
import { elfImage, llamaFunctions } from '../helpers/elf-file.js';
import { fakeRegistry, libraryPackage } from '../helpers/fake-registry.js';

const { platform, arch } = process;
/** Where the packaged one is found. */
const NO_CHOICE = { libPath: null, libDir: '', platform, arch, searchPath: '' };
/** The packages that these tests offer are Linux's. */
const skip = platform === 'linux' && arch === 'x64' ? false : 'needs Linux on x64';

const NAME = '@node-llama-cpp/linux-x64';

/** A user whose npm asks a registry with one package. */
async function userWithRegistry(context: TestContext, version = '1.2.3'): Promise<CommandUser> {
  const registry = await fakeRegistry(context);
  const parts = { 'libggml-cpu-x64.so': elfImage({ soname: 'libggml-cpu-x64.so' }) };
  const offer = (version: string, exports: readonly string[]): void => {
    const file = { 'libllama.linux-x64.so': elfImage({ soname: 'libllama.so', exports }) };
    registry.offer(NAME, version, libraryPackage('linux-x64', { ...parts, ...file }));
  };
  // As b3889 was: without what came later.
  offer(
    '0.1.0',
    llamaFunctions().filter((name) => !/memory|adapter|vocab_/.test(name)),
  );
  offer(version, llamaFunctions());
  const user = commandUser(context);
  user.writeFile(join(user.home, '.npmrc'), `registry=${registry.url}\n`);
  return user;
}

const isInstalled = (name: string): boolean => !name.startsWith('active.json');

describe('hoshikage lib', { concurrency: 2, skip }, () => {
  it('install takes the package from the registry of npm, and rm removes it', async (context) => {
    const user = await userWithRegistry(context);
    const installed = await user.run(['lib', 'install', 'cpu']);
    assert.equal(installed.code, 0, installed.stderr);
    assert.match(installed.stdout, /Installed cpu-1\.2\.3 .*\nTo use it: .*lib use cpu-1\.2\.3/);
    assert.match(installed.stderr, /@node-llama-cpp\/linux-x64@1\.2\.3/);
    const dir = join(user.configDir, 'lib', 'cpu-1.2.3');
    assert.ok(existsSync(join(dir, 'libllama.linux-x64.so')));
    const again = await user.run(['lib', 'install', 'cpu', '--version', '1.2.3', '--lang', 'ja']);
    assert.match(again.stdout, /もう入っています: cpu-1\.2\.3/);
    const removed = await user.run(['lib', 'rm', 'cpu-1.2.3']);
    assert.deepEqual(
      [removed.code, removed.stdout, existsSync(dir)],
      [0, 'Removed cpu-1.2.3\n', false],
    );
  });

  it('install says in words what is not there, and what is wrong', async (context) => {
    const user = await userWithRegistry(context);
    const [version, build, word] = [
      await user.run(['lib', 'install', 'cpu', '--version', '9.9.9']),
      await user.run(['lib', 'install', 'metal']),
      await user.run(['lib', 'install', 'cpu', '--version', '../../x']),
    ];
    assert.deepEqual([version.code, build.code, word.code], [1, 2, 2]);
    assert.match(version.stderr, /@node-llama-cpp\/linux-x64@9\.9\.9.*; the newest is 1\.2\.3/);
    assert.match(build.stderr, /no metal for this machine .*cpu, cuda, vulkan/);
    assert.match(word.stderr, /Not a version/);
  });

  it('install refuses a build that is too old, before anything is there to be used', async (context) => {
    const user = await userWithRegistry(context);
    const { code, stdout, stderr } = await user.run([
      'lib',
      'install',
      'cpu',
      '--version',
      '0.1.0',
    ]);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /linux-x64@0\.1\.0 cannot be accepted: .*nothing was installed/);
    assert.deepEqual(user.files(join('.config', 'hoshikage', 'lib')).filter(isInstalled), []);
  });

  it('install downloads nothing where the packaged one is the very same', async (context) => {
    const accelerators = findAccelerators(await readDriverFacts({ platform, arch, env: {} }));
    if (bestBuild(accelerators) !== null) return context.skip('this machine has a GPU');
    const { path } = await findLibrary(NO_CHOICE, null);
    const manifest = readFileSync(join(dirname(path), '..', '..', 'package.json'), 'utf8');
    const { version } = JSON.parse(manifest);
    const same = await userWithRegistry(context, version);
    const { code, stdout, stderr } = await same.run(['lib', 'install']);
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^No driver of a GPU was found, so it is the cpu build\n/);
    assert.match(stdout, /The same version .* came with Hoshikage.*lib install cpu\n$/);
    const other = await (await userWithRegistry(context)).run(['lib', 'install', '--lang', 'ja']);
    assert.match(other.stdout, /^GPU のドライバーが見つからない.*\n入れました: cpu-1\.2\.3/);
  });

  it('list shows what is used and why, and what cannot be used', async (context) => {
    const user = commandUser(context);
    const path = join(user.configDir, 'lib', 'mine', 'libllama.so');
    user.writeFile(path, 'this is no library\n');
    const text = await user.run(['lib', 'list']);
    assert.equal(text.code, 0, text.stderr);
    assert.match(text.stdout, /^ {4}mine {2,}unusable .*put there by hand$/m);
    assert.match(text.stdout, /^\* {3}default {2,}\S+ .*the packaged one$/m);
    assert.match(
      text.stdout,
      /^In use \(\*\): \/.*libllama.* \(the packaged one; nothing is chosen\)$/m,
    );
    assert.match(text.stdout, /^mine: This libllama cannot be used: libllama\.so is a text/m);
    const japanese = await user.run(['lib', 'list', '--lang', 'ja']);
    assert.match(
      japanese.stdout,
      /^使用中\(\*\): \/.*libllama.* \(付属のもの。何も選ばれていない\)$/m,
    );
    const json = JSON.parse((await user.run(['lib', 'ls', '--json'])).stdout);
    assert.equal(json.used.origin, 'package');
    const [mine, packaged] = json.libraries;
    assert.deepEqual([mine.id, mine.used, mine.source], ['mine', false, 'user']);
    assert.deepEqual([packaged.id, packaged.used, packaged.layout.model], [null, true, 'M10']);
  });

  it('list marks a build whose accelerator is not on this machine, and says what is missing', async (context) => {
    const user = commandUser(context);
    const { path } = await findLibrary(NO_CHOICE, null);
    const lib = join(user.configDir, 'lib', 'gpu');
    cpSync(dirname(path), lib, { recursive: true });
    const needed = ['libvulkan_of_nobody.so.1'];
    writeFileSync(join(lib, 'libggml-vulkan.so'), elfImage({ needed }));
    const { stdout } = await user.run(['lib', 'list']);
    assert.match(stdout, /^ ! {2}gpu {2,}/m);
    assert.match(stdout, /^! gpu: libggml-vulkan\.so needs libvulkan_of_nobody\.so\.1, .*install/m);
  });

  it('check looks stage by stage and changes nothing; exit code 1 for what cannot be used', async (context) => {
    const user = commandUser(context);
    const good = await user.run(['lib', 'check', 'default']);
    assert.equal(good.code, 0, good.stderr);
    for (const word of ['Format', 'Layouts', 'Device', 'It can be used']) {
      assert.ok(good.stdout.includes(word), word);
    }
    const path = join(user.home, 'libllama.so');
    user.writeFile(path, '');
    const bad = await user.run(['lib', 'check', path]);
    assert.equal(bad.code, 1);
    assert.match(bad.stdout, /✗ This libllama cannot be used: .*empty/);
    assert.equal(existsSync(join(user.configDir, 'lib', 'active.json')), false);
  });

  it('use of a broken library changes nothing and says what is wrong', async (context) => {
    const user = commandUser(context);
    const lib = join(user.configDir, 'lib');
    user.writeFile(join(lib, 'mine', 'libllama.so'), 'this is no library\n');
    const outside = join(user.home, 'build', 'libllama.so');
    user.writeFile(outside, '\x7fELF');
    for (const name of ['mine', outside]) {
      const { code, stderr } = await user.run(['lib', 'use', name]);
      assert.equal(code, 1);
      assert.match(stderr, /This libllama cannot be used/);
    }
    assert.equal(existsSync(join(lib, 'active.json')), false);
    assert.deepEqual(user.files(join('.config', 'hoshikage', 'lib')), ['mine']);
  });

  it('names that are none, and paths that lead nowhere, are told apart', async (context) => {
    const user = commandUser(context);
    const [id, path] = [
      await user.run(['lib', 'use', 'cuda-9.9.9']),
      await user.run(['lib', 'use', './cuda-9.9.9']),
    ];
    assert.deepEqual([id.code, path.code], [1, 1]);
    assert.match(
      id.stderr,
      /cuda-9\.9\.9 is not installed yet; .*lib install cuda --version 9\.9\.9/,
    );
    const place = join(realpathSync(user.home), 'cuda-9.9.9');
    assert.ok(path.stderr.includes(`there is no ${place}`), path.stderr);
    assert.ok(!path.stderr.includes('HOSHIKAGE_LIB_PATH'), path.stderr);
    user.model('models/a.gguf');
    const models = await user.run(['lib', 'check', './models']);
    assert.match(models.stderr, /holds models \(\.gguf\), no libllama; .* hoshikage add/);
  });

  it('a bare name is an id, and never what lies in this directory', async (context) => {
    const user = commandUser(context);
    user.writeFile(join(user.home, 'near', 'libllama.so'), 'x');
    for (const command of ['use', 'check']) {
      const { code, stderr } = await user.run(['lib', command, 'near']);
      assert.equal(code, 2);
      assert.match(stderr, /no libllama named near is installed.*write \.\/near/);
    }
    const path = await user.run(['lib', 'check', './near']);
    assert.match(path.stdout, /libllama\.so is a text/);
  });

  it('rollback goes back to what is installed, never to a path', async (context) => {
    const user = commandUser(context);
    const lib = join(user.configDir, 'lib');
    user.writeFile(join(user.home, 'cpu-1.2.3', 'libllama.so'), 'not the one that was used');
    const choice = { format: 1, active: null, previous: { id: 'cpu-1.2.3', minimal: false } };
    user.writeFile(join(lib, 'active.json'), JSON.stringify(choice));
    const { code, stderr } = await user.run(['lib', 'rollback']);
    assert.equal(code, 1);
    assert.match(stderr, /cpu-1\.2\.3 is not installed yet/);
    assert.deepEqual(JSON.parse(readFileSync(join(lib, 'active.json'), 'utf8')), choice);
  });

  it('rm leaves what HOSHIKAGE_LIB_PATH or the search order uses', async (context) => {
    const user = await userWithRegistry(context);
    assert.equal((await user.run(['lib', 'install', 'cpu'])).code, 0);
    const dir = join(user.configDir, 'lib', 'cpu-1.2.3');
    const file = join(dir, 'libllama.linux-x64.so');
    for (const path of [dir, file]) {
      const { code, stderr } = await user.run(['lib', 'rm', 'cpu-1.2.3'], {
        HOSHIKAGE_LIB_PATH: path,
      });
      assert.equal(code, 1);
      assert.match(stderr, /cpu-1\.2\.3 is in use/);
    }
    assert.ok(existsSync(file));
    assert.equal((await user.run(['lib', 'rm', 'cpu-1.2.3'])).code, 0);
  });

  it('rm removes nothing while a server does not say what it uses', async (context) => {
    const user = await userWithRegistry(context);
    assert.equal((await user.run(['lib', 'install', 'cpu'])).code, 0);
    const server = { pid: process.pid, host: '127.0.0.1', port: 1, token: 't' };
    user.writeFile(user.runFile, JSON.stringify(server));
    const { code, stderr } = await user.run(['lib', 'rm', 'cpu-1.2.3']);
    assert.equal(code, 1);
    assert.match(stderr, /The server \(pid \d+\) does not answer, .*run\.json/);
    assert.ok(existsSync(join(user.configDir, 'lib', 'cpu-1.2.3', 'libllama.linux-x64.so')));
  });

  it('use and rollback refuse where HOSHIKAGE_LIB_PATH decides', async (context) => {
    const user = commandUser(context);
    const env = { HOSHIKAGE_LIB_PATH: '/opt/llama' };
    for (const args of [['use', 'default'], ['rollback']]) {
      const { code, stderr } = await user.run(['lib', ...args], env);
      assert.equal(code, 1);
      assert.match(stderr, /HOSHIKAGE_LIB_PATH=\/opt\/llama decides/);
    }
  });

  it('rollback without a switch before it has nothing to go back to', async (context) => {
    const { code, stderr } = await commandUser(context).run(['lib', 'rollback']);
    assert.equal(code, 1);
    assert.match(stderr, /nothing to go back to/);
  });

  it('use of what is in use already proves nothing again, and default cannot be removed', async (context) => {
    const user = commandUser(context);
    const used = await user.run(['lib', 'use', 'default', '--lang', 'ja']);
    assert.deepEqual([used.code, used.stdout], [0, 'もう使っています: default\n']);
    const removed = await user.run(['lib', 'rm', 'default']);
    assert.equal(removed.code, 2);
    assert.match(removed.stderr, /default .* cannot be removed/);
  });

  it('rm of the one before says that rollback has nowhere to go, and rollback says why', async (context) => {
    const user = await userWithRegistry(context);
    await user.run(['lib', 'install', 'cpu']);
    const lib = join(user.configDir, 'lib');
    user.writeFile(join(lib, 'mine', 'libllama.so'), 'mine');
    const choice = (id: string) => ({ id, minimal: false });
    const file = { format: 1, active: choice('mine'), previous: choice('cpu-1.2.3') };
    user.writeFile(join(lib, 'active.json'), JSON.stringify(file));
    const inUse = await user.run(['lib', 'rm', 'mine']);
    assert.match(inUse.stderr, /mine is in use .*lib use default/);
    const removed = await user.run(['lib', 'rm', 'cpu-1.2.3']);
    assert.match(
      removed.stdout,
      /Removed cpu-1\.2\.3\n.*until the next switch it has nowhere to go/,
    );
    const { code, stderr } = await user.run(['lib', 'rollback']);
    assert.equal(code, 1);
    assert.match(stderr, /nothing to go back to \(the one before was removed\)/);
  });

  it('rm leaves what was put there by hand', async (context) => {
    const user = commandUser(context);
    const path = join(user.configDir, 'lib', 'mine', 'libllama.so');
    user.writeFile(path, 'mine');
    const { code, stderr } = await user.run(['lib', 'rm', 'mine']);
    assert.equal(code, 1);
    assert.match(stderr, /put there by hand/);
    assert.equal(readFileSync(path, 'utf8'), 'mine');
    assert.equal((await user.run(['lib', 'rm', '../mine'])).code, 1);
  });
});
