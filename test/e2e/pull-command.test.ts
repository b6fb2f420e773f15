/** `hoshikage pull` as a user runs it, against a hub on this machine. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { splitWords } from '../../cli/shell-words.js';
import { type CommandUser, commandUser } from '../helpers/command.js';
import { type FakeHub, fakeHub, noisyGguf } from '../helpers/fake-hub.js';
import { until } from '../helpers/waiting.js';

const REPO = 'owner/repo-GGUF';
const SMALL = noisyGguf(40_000);
const LARGE = noisyGguf(80_000, 2);

interface Scene {
  readonly hub: FakeHub;
  readonly user: CommandUser;
  readonly env: NodeJS.ProcessEnv;
  /** Where a model of the repository goes. */
  target(file: string): string;
  map(): Record<string, { path: string; model: string; stop: string[] }>;
}

/** A user whose hub has one repository with two forms of a model. */
async function scene(context: TestContext): Promise<Scene> {
  const hub = await fakeHub(context);
  hub.offer(REPO, 'm-Q4_K_M.gguf', SMALL);
  hub.offer(REPO, 'm-Q8_0.gguf', LARGE);
  const user = commandUser(context);
  return {
    hub,
    user,
    env: { HF_ENDPOINT: hub.url },
    target: (file) => join(user.configDir, 'models', REPO, file),
    map: () => JSON.parse(readFileSync(user.mapFile, 'utf8')),
  };
}

describe('hoshikage pull', { concurrency: 2 }, () => {
  it('without an argument shows the short names there are', async (context) => {
    const user = commandUser(context);
    const { code, stdout } = await user.run(['pull', '--lang', 'ja']);
    assert.equal(code, 0);
    assert.match(stdout, /^名前 +何か +リポジトリ\nlfm2\.5-1\.2b-jp +日本語.* hf:LiquidAI\/LFM2/);
    assert.match(stdout, /pull hf:OWNER\/REPOSITORY:Q4_K_M/);
  });

  it('--list shows forms, sizes and what suits the machine, and downloads nothing', async (context) => {
    const { hub, user, env } = await scene(context);
    hub.offer(REPO, 'm-F16.gguf', SMALL, { size: 10 ** 14 });
    const { code, stdout, stderr } = await user.run(['pull', `hf:${REPO}`, '--list'], env);
    assert.deepEqual([code, stderr], [0, '']);
    const lines = stdout.split('\n');
    assert.match(lines[0] ?? '', /^ +FORM +SIZE +MEMORY +FILE$/);
    assert.match(lines[1] ?? '', /^\* +Q4_K_M +\d+\.\d KiB +fits.* +m-Q4_K_M\.gguf$/);
    assert.match(lines[2] ?? '', /^ +Q8_0 .*m-Q8_0\.gguf$/);
    assert.match(lines[3] ?? '', /^ +F16 +90\.9 TiB +does not fit +m-F16\.gguf$/);
    assert.match(stdout, /Memory: .* in all, .* free now/);
    assert.ok(hub.asked.every(({ path }) => path.startsWith('/api/models/')));
    assert.ok(!existsSync(user.configDir));
  });

  it('takes the form that suits, says so, registers it, and says what comes next', async (context) => {
    const { hub, user, env, target, map } = await scene(context);
    const first = await user.run(['pull', `hf:${REPO}`], env);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stderr, /^Taking Q4_K_M \(.* KiB\) \(fits.*\); there is also Q8_0/);
    assert.match(first.stderr, /m-Q4_K_M\.gguf +\d+\.\d KiB\n {2}100 %/);
    const shown = target('m-Q4_K_M.gguf').replace(user.home, '~');
    assert.equal(
      first.stdout.replace(/\(\d+\.\d KiB\)/, '(SIZE)'),
      `Downloaded ${shown} (SIZE)\nLicence: apache-2.0 (${hub.url}/${REPO})\n` +
        'Added model: m-Q4_K_M\nTo talk with it: npx hoshikage chat m-Q4_K_M\n' +
        'To use it, write "model": "m-Q4_K_M" in a request\n' +
        'To start the server: npx hoshikage serve\n',
    );
    assert.ok(readFileSync(target('m-Q4_K_M.gguf')).equals(SMALL));
    assert.deepEqual(Object.keys(map()), ['m-Q4_K_M']);
    const again = await user.run(['pull', `hf:${REPO}:q4_k_m`, '--lang', 'ja'], env);
    assert.match(again.stdout, /^もうあります: .*\n.*\n登録済みです: m-Q4_K_M\n/);
    const other = ['pull', `hf:${REPO}/m-Q8_0.gguf`, '--alias', '猫/大 1', '--dir', 'here'];
    const third = await user.run(other, env);
    assert.equal(third.code, 0, third.stderr);
    assert.match(third.stdout, /^To talk with it: npx hoshikage chat 猫\/大\\ 1$/m);
    assert.ok(readFileSync(join(user.home, 'here', 'm-Q8_0.gguf')).equals(LARGE));
    assert.deepEqual(map()['猫/大 1'], {
      path: join(user.home, 'here'),
      model: 'm-Q8_0.gguf',
      stop: [],
    });
  });

  it('refuses a name that is taken before it downloads anything', async (context) => {
    const { hub, user, env, map } = await scene(context);
    const mine = { path: user.home, model: 'mine.gguf', stop: [] };
    user.writeFile(user.mapFile, JSON.stringify({ 'm-Q4_K_M': mine }));
    const pulls = ['pull', `hf:${REPO}:Q4_K_M`];
    const taken = await user.run(pulls, env);
    assert.equal(taken.code, 1);
    assert.match(taken.stderr, /The name is taken: m-Q4_K_M/);
    assert.ok(hub.asked.every(({ server }) => server === 'hub'));
    const bad = await user.run([...pulls, '--alias', ' '], env);
    assert.deepEqual([bad.code, bad.stdout], [2, '']);
    const forced = await user.run([...pulls, '--force'], env);
    assert.equal(forced.code, 0, forced.stderr);
    assert.ok(map()['m-Q4_K_M']?.path.endsWith('repo-GGUF'));
  });

  it('asks before it takes what does not fit, which without a terminal is a no', async (context) => {
    const { hub, user, env } = await scene(context);
    hub.offer('owner/huge', 'h-Q2_K.gguf', SMALL, { size: 10 ** 14 });
    const { code, stderr } = await user.run(['pull', 'hf:owner/huge'], env);
    assert.equal(code, 1);
    assert.match(stderr, /owner\/huge \(90\.9 TiB\) does not fit the memory.*--yes/);
    assert.ok(hub.asked.every(({ server }) => server === 'hub'));
    const insisting = await user.run(['pull', 'hf:owner/huge', '-y'], env);
    assert.match(insisting.stderr, /gives it \d+ bytes instead of 100000000000000/);
  });

  it('uses the token of the settings, and shows it nowhere', async (context) => {
    const { hub, user, env } = await scene(context);
    user.writeFile(join(user.configDir, '.env'), 'HF_TOKEN=hf_verysecret\n');
    const { code, stdout, stderr } = await user.run(['pull', `hf:${REPO}`], env);
    assert.equal(code, 0, stderr);
    const keys = hub.asked.map(({ server, authorization }) => `${server} ${authorization}`);
    assert.deepEqual([...new Set(keys)].sort(), ['hub Bearer hf_verysecret', 'storage undefined']);
    for (const text of [stdout, stderr, readFileSync(user.mapFile, 'utf8')]) {
      assert.ok(!text.includes('verysecret'));
    }
  });

  it('goes through the proxy of the environment', async (context) => {
    const { hub, user } = await scene(context);
    const tunnels: string[] = [];
    const proxy = createServer();
    proxy.on('connect', (request, client: Socket) => {
      tunnels.push(request.url ?? '');
      const target = connect(Number(new URL(hub.url).port), '127.0.0.1', () => {
        client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
        target.pipe(client).pipe(target);
      });
      for (const socket of [client, target]) socket.on('error', () => client.destroy());
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    context.after(() => {
      proxy.closeAllConnections();
      proxy.close();
    });
    const address = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const through = { HF_ENDPOINT: 'http://hub.example', HTTP_PROXY: address };
    const listed = await user.run(['pull', `hf:${REPO}`, '--list'], through);
    assert.equal(listed.code, 0, listed.stderr);
    assert.deepEqual(tunnels, ['hub.example:80']);
    hub.meddle = (_, response) =>
      Boolean(response.writeHead(302, { location: 'http://169.254.169.254/x' }).end());
    const led = await user.run(['pull', `hf:${REPO}`, '--lang', 'ja'], through);
    assert.equal(led.code, 1);
    assert.match(led.stderr, /には従いません: .*169\.254\.169\.254.*リダイレクト/);
  });

  it('says in words what was wrong with the command or the server', async (context) => {
    const { hub, user, env } = await scene(context);
    const said = async (args: readonly string[]): Promise<string> => {
      const { code, stderr } = await user.run(['pull', ...args], env);
      return `${code} ${stderr}`;
    };
    const { url } = hub;
    assert.match(await said(['nonsense']), /^2 .*nonsense names no model/);
    assert.match(await said([`hf:${REPO}`, '--sha256', 'f'.repeat(64)]), /^2 .*--sha256/);
    assert.match(await said(['hf:nobody/nothing']), new RegExp(`^1 .*${url}/nobody/nothing`));
    hub.offer('owner/wrong', 'w-Q8_0.gguf', SMALL, { sha256: 'f'.repeat(64) });
    hub.meddle = ({ url: path = '' }, response) => {
      if (!path.includes('/resolve/')) return false;
      const file = hub.put('w.gguf', SMALL);
      return Boolean(response.writeHead(302, { location: file }).end());
    };
    assert.match(
      await said(['hf:owner/wrong']),
      /^1 [\s\S]*SHA-256 is .* instead of f{64}; .*deleted/,
    );
    assert.ok(!existsSync(join(user.configDir, 'models')));
    assert.ok(!existsSync(user.mapFile));
  });

  it('ended by Ctrl-C keeps what has come, says how to go on, and goes on', async (context) => {
    const { hub, user, env, target } = await scene(context);
    hub.offer('owner/slow', 's-Q8_0.gguf', noisyGguf(2_000_000));
    hub.manner = { chunkBytes: 16_384, pauseMs: 20 };
    const running = user.start(['pull', 'hf:owner/slow'], env);
    const part = target('').replace(REPO, 'owner/slow');
    await until('a part that is claimed', () => existsSync(join(part, 's-Q8_0.gguf.part.json')));
    running.child.kill('SIGINT');
    const { code, stdout, stderr } = await running.ended;
    assert.deepEqual([code, stdout], [130, '']);
    assert.match(stderr, /Interrupted; what has come is kept\. To go on: .*pull hf:owner\/slow\n/);
    hub.manner = {};
    const again = await user.run(['pull', 'hf:owner/slow'], env);
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stderr, /Going on from \d+\.\d KiB that are here already/);
    assert.ok(readFileSync(join(part, 's-Q8_0.gguf')).equals(noisyGguf(2_000_000)));
  });

  it('ended by Ctrl-C says how to begin anew, by all that was given, where nothing can be gone on with', async (context) => {
    const { hub, user, env } = await scene(context);
    const url = `${hub.put('s.gguf', noisyGguf(2_000_000))}?a=1&b=(2)`;
    hub.manner = { chunkBytes: 16_384, pauseMs: 20, ranges: false };
    const options = ['--dir', 'my models', '--alias', "it's", '--force'];
    const running = user.start(['pull', url, ...options], env);
    const part = join(user.home, 'my models', 's.gguf.part');
    await until('some of it', () => existsSync(part) && /\d KiB/.test(running.stderr()));
    running.child.kill('SIGINT');
    const { code, stderr } = await running.ended;
    assert.equal(code, 130);
    const [, line = ''] =
      /nothing is left to go on with\. To begin anew: (.*)\n/.exec(stderr) ?? [];
    const { words } = splitWords(line);
    assert.deepEqual(words, [
      ...['npx', 'hoshikage', 'pull', url],
      ...["--alias=it's", '--dir=my models', '--force'],
    ]);
  });
});
