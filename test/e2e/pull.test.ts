/** Models that are pulled by the built command: killed on the way, several at once, beside a server. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { randomBits } from '../../src/models/prng.js';
import { hoshikage } from '../helpers/cli.js';
import { fakeHub, noisyGguf } from '../helpers/fake-hub.js';
import { TEXT, talker } from '../helpers/models.js';
import { makeHome, startProcess, startServer } from '../helpers/server.js';
import { pause, until } from '../helpers/waiting.js';
import { chat, chatBody } from '../helpers/wire.js';

const REPO = 'owner/repo';
const KILLS = 10;

describe('A pull', () => {
  test('that is killed ten times at any moment ends with the right file, and never claims a byte it lacks', async (t) => {
    const hub = await fakeHub(t);
    const model = noisyGguf(3 * 2 ** 20);
    hub.offer(REPO, 'm-Q8_0.gguf', model);
    const home = makeHome(t);
    const env = { HF_ENDPOINT: hub.url };
    const folder = join(home.configDir, 'models', REPO);
    const file = join(folder, 'm-Q8_0.gguf');
    const random = randomBits(7);
    let claimed = 0;
    for (let kill = 0; kill < KILLS; kill += 1) {
      hub.manner = { chunkBytes: 4096, pauseMs: 18 };
      const asked = hub.asked.length;
      const { child, exited, output } = startProcess(t, home, ['pull', `hf:${REPO}`], { env });
      // One is killed before it has asked for anything, the others while bytes come.
      const isFirst = kill === 0;
      await until('something asked', () => isFirst || hub.asked.length > asked + 3);
      await pause(isFirst ? 20 : 120 + (random() % 330));
      child.kill('SIGKILL');
      const { signal } = await exited;
      assert.equal(signal, 'SIGKILL', output());
      const now = assertClaims(file, model);
      assert.ok(now >= claimed, `${now} bytes after ${claimed}`);
      claimed = now;
    }
    assert.ok(claimed > 0 && claimed < model.length, `${claimed} bytes were kept`);
    hub.manner = {};
    const before = hub.asked.length;
    const last = await hoshikage(t, home, ['pull', `hf:${REPO}`], env);
    assert.equal(last.code, 0, last.output);
    assert.match(last.output, /Going on from /);
    assert.ok(readFileSync(file).equals(model));
    assert.deepEqual(readdirSync(folder), ['m-Q8_0.gguf']);
    assert.deepEqual(Object.keys(JSON.parse(readFileSync(home.mapFile, 'utf8'))), ['m-Q8_0']);
    const again = hub.asked.slice(before).flatMap(({ server, range }) => {
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
      return server === 'storage' && to !== '23' ? [Number(to) + 1 - Number(from)] : [];
    });
    const asked = again.reduce((sum, bytes) => sum + bytes, 0);
    assert.ok(asked <= model.length - claimed, `${asked} bytes were asked for again`);
  });

  test('beside another one of the same file waits for nobody: one brings it, the other says so', async (t) => {
    const hub = await fakeHub(t);
    const model = noisyGguf(2 ** 20);
    hub.offer(REPO, 'm-Q8_0.gguf', model);
    hub.manner = { chunkBytes: 8192, pauseMs: 10 };
    const home = makeHome(t);
    const env = { HF_ENDPOINT: hub.url };
    const ends = await Promise.all(
      [1, 2].map(() => hoshikage(t, home, ['pull', `hf:${REPO}`], env)),
    );
    const [good, other] = ends.sort((a, b) => (a.code ?? 9) - (b.code ?? 9));
    assert.equal(good?.code, 0, good?.output);
    // A slow machine may start the second one after the first has ended.
    assert.match(other?.output ?? '', /Another pull is downloading|Already here/);
    const path = join(home.configDir, 'models', REPO, 'm-Q8_0.gguf');
    assert.ok(readFileSync(path).equals(model));
  });

  test('reaches a running server, which answers with the new model at once', async (t) => {
    const hub = await fakeHub(t);
    hub.offer(REPO, 'talker-F16.gguf', readFileSync(await talker()));
    const server = await startServer(t);
    const env = { HF_ENDPOINT: hub.url };
    const args = ['pull', `hf:${REPO}`, '--alias', 'talk'];
    const { code, output } = await hoshikage(t, server.home, args, env);
    assert.equal(code, 0, output);
    assert.match(output, /Added model: talk/);
    assert.match(output, /hoshikage chat talk\n/);
    assert.doesNotMatch(output, /To start the server/);
    const { status, body } = await chat(server, chatBody('talk', 'こんにちは'));
    assert.equal(status, 200, JSON.stringify(body));
    assert.ok(JSON.stringify(body).includes(TEXT.greeting.slice(0, 5)));
  });
});

/** Every byte that the state claims is the model's; gives how many. */
function assertClaims(file: string, model: Buffer): number {
  let text: string;
  try {
    text = readFileSync(`${file}.part.json`, 'utf8');
  } catch {
    return 0;
  }
  const { done }: { done: [number, number][] } = JSON.parse(text);
  const part = readFileSync(`${file}.part`);
  for (const [from, to] of done) {
    assert.ok(part.subarray(from, to).equals(model.subarray(from, to)), `${from} to ${to}`);
  }
  return done.reduce((sum, [from, to]) => sum + to - from, 0);
}
