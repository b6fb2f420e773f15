/** How long a proxy waits for its engine: by what was asked of it. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { countersOf } from '../../src/engine/counters.js';
import type { CompletionResult, EngineInfo } from '../../src/engine/engine.js';
import { HangWatch } from '../../src/engine/hang.js';
import type { Command } from '../../src/engine/protocol.js';
import { EngineProxy } from '../../src/engine/proxy.js';
import { HoshikageError } from '../../src/errors.js';
import { request } from '../helpers/engine-options.js';
import { FakeEngine } from '../helpers/fake-engine.js';

const finished: CompletionResult = {
  reason: 'eog',
  promptTokens: 1,
  cachedTokens: 0,
  generatedTokens: 1,
  prefillMs: 1,
  generationMs: 1,
  slot: 0,
  draftedTokens: 0,
  acceptedTokens: 0,
};

/** A proxy over an engine that answers nothing by itself; ten seconds are the limit of its silence. */
function silent() {
  const info: EngineInfo = new FakeEngine().info;
  const posted: Command[] = [];
  let abandoned = 0;
  const hung: string[] = [];
  const proxy = new EngineProxy(
    {
      pid: null,
      post: (command) => posted.push(command),
      close: async () => {},
      abandon: () => {
        abandoned += 1;
      },
      watch: new HangWatch({ limitMs: 10_000, onHang: (what) => hung.push(what) }),
    },
    { info, picture: { slots: [], counters: countersOf() }, rssBytes: 4 },
  );
  return { proxy, posted, hung, abandoned: () => abandoned };
}

/** Lets mocked seconds pass one by one. */
function pass(t: TestContext, seconds: number): void {
  for (let second = 0; second < seconds; second += 1) {
    now += 1000;
    t.mock.timers.tick(1000);
  }
}

/** What the mocked clock shows. */
let now = 0;
function mockClock(t: TestContext): void {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  t.mock.method(performance, 'now', () => now);
}

const pulse = (progress: number, steps = 0, embeds = 0) =>
  ({ type: 'pulse', progress, steps, embeds, rssBytes: 5 }) as const;

test('an engine that leaves a call unanswered, and shows no progress, counts as hung after the limit', (t) => {
  mockClock(t);
  const { proxy, hung } = silent();
  pass(t, 100);
  proxy.slots().catch(() => {});
  pass(t, 9);
  assert.deepEqual(hung, []);
  pass(t, 1);
  assert.deepEqual(hung, ['calls']);
});

test('a slow engine is left alone as long as its pulses show that something gets done', (t) => {
  mockClock(t);
  const { proxy, hung } = silent();
  const completion = proxy.start(request('a'));
  const embedding = proxy.embed([Int32Array.of(1)]);
  for (const one of [completion.result, embedding]) one.catch(() => {});
  for (let step = 1; step <= 20; step += 1) {
    pass(t, 9);
    proxy.receive(pulse(2 * step, step, step));
  }
  assert.deepEqual(hung, []);
  assert.equal(proxy.memoryBytes, 5);
  // Embeddings still get on; that says nothing about the completion.
  pass(t, 9);
  proxy.receive(pulse(41, 20, 21));
  pass(t, 1);
  assert.deepEqual(hung, ['completions']);
});

test('tokens are progress, and an engine without work may be silent', (t) => {
  mockClock(t);
  const { proxy, hung } = silent();
  proxy.start(request('a'));
  pass(t, 9);
  proxy.receive({ type: 'ring', news: [{ id: 1, batch: null, end: null }], picture: null });
  pass(t, 9);
  const end = { result: finished };
  proxy.receive({ type: 'ring', news: [{ id: 1, batch: null, end }], picture: null });
  pass(t, 1000);
  assert.deepEqual(hung, []);
});

test('a call may last ten limits at most, however busy the engine is otherwise', (t) => {
  mockClock(t);
  const { proxy, hung } = silent();
  proxy.tokenize([], false).catch(() => {});
  for (let step = 1; step < 100; step += 1) {
    pass(t, 1);
    proxy.receive(pulse(step, step));
  }
  assert.deepEqual(hung, []);
  pass(t, 1);
  assert.deepEqual(hung, ['calls']);
});

test('time in which the server itself did not run is not held against the engine', (t) => {
  mockClock(t);
  const { proxy, hung } = silent();
  proxy.slots().catch(() => {});
  pass(t, 1);
  now += 3_600_000;
  pass(t, 6);
  assert.deepEqual(hung, []);
});

test('an embedding that nobody waits for any more is given up in the engine', async () => {
  const { proxy, posted } = silent();
  const abort = new AbortController();
  const embedding = proxy.embed([Int32Array.of(1)], { signal: abort.signal });
  abort.abort();
  const [asked, given] = posted;
  assert.ok(asked?.type === 'embed' && given?.type === 'cancelCall');
  assert.equal(given.id, asked.id);
  const error = { code: 'cancelled', details: {}, reason: 'given up' } as const;
  proxy.receive({ type: 'refusal', id: asked.id, error });
  await assert.rejects(embedding, { code: 'cancelled' });
  const { signal } = abort;
  await assert.rejects(proxy.embed([Int32Array.of(1)], { signal }), { code: 'cancelled' });
  assert.equal(posted.length, 2);
});

for (const [cause, code] of [
  ['crash', 'engine_crashed'],
  ['hang', 'engine_hung'],
  ['memory', 'engine_out_of_memory'],
] as const) {
  test(`what an engine's end by ${cause} cuts off ends with ${code}`, async () => {
    const { proxy } = silent();
    const completion = proxy.start(request('a'));
    const call = proxy.slots();
    proxy.ended({ expected: false, cause, detail: 'ended by SIGKILL' });
    const named = (thrown: unknown): boolean =>
      thrown instanceof HoshikageError && thrown.code === code && !thrown.message.includes('?');
    for (const one of [completion.result, call, proxy.tokenize([], false)]) {
      await assert.rejects(one, named);
    }
  });
}

test('a crashed engine settles nothing before its end, takes nothing more and is ended if it stays', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { proxy, posted, abandoned } = silent();
  const done = proxy.start(request('a'));
  const failed = proxy.start(request('b'));
  const call = proxy.slots();
  const settled: string[] = [];
  done.result.then(() => settled.push('done'));
  failed.result.catch(() => settled.push('failed'));
  call.catch(() => settled.push('call'));
  proxy.receive({ type: 'crashed', reason: 'GGML_ASSERT(x) failed' });
  const error = { code: 'engine_crashed', details: {}, reason: 'of one call' } as const;
  const news = [
    { id: 1, batch: null, end: { result: finished } },
    { id: 2, batch: null, end: { error } },
  ];
  proxy.receive({ type: 'ring', news, picture: null });
  proxy.receive({ type: 'refusal', id: 3, error });
  const crashed = (thrown: unknown): boolean =>
    thrown instanceof HoshikageError &&
    thrown.code === 'engine_crashed' &&
    thrown.details.detail === 'GGML_ASSERT(x) failed';
  await assert.rejects(proxy.tokenize([], false), crashed);
  await assert.rejects(proxy.start(request('c')).result, crashed);
  assert.deepEqual([settled, posted.length], [[], 3]);
  t.mock.timers.tick(4999);
  const before = abandoned();
  t.mock.timers.tick(1);
  assert.equal(abandoned(), before + 1);
  proxy.ended({
    expected: false,
    cause: 'crash',
    detail: 'ended by SIGKILL',
  });
  assert.deepEqual(await done.result, finished);
  await assert.rejects(failed.result, crashed);
  await assert.rejects(call, crashed);
});

test('an answer of another shape than was asked for is an error, not a value', async () => {
  const { proxy, posted } = silent();
  const calls = [
    proxy.embed([Int32Array.of(1)]),
    proxy.embed([Int32Array.of(1)]),
    proxy.saveState(0, '/tmp/never'),
    proxy.restoreState('/tmp/never'),
    proxy.slots(),
  ];
  const values = [
    [],
    [{ id: 0, state: 'idle', cachedTokens: 0, promptTokens: 0, generatedTokens: 0 }],
    { slot: 1, tokens: new Int32Array() },
    { bytes: 1, tokens: new Int32Array() },
    [new Float32Array(8)],
  ] as const;
  for (const [index, command] of posted.entries()) {
    assert.ok('id' in command);
    proxy.receive({ type: 'reply', id: command.id, value: values[index] ?? null });
  }
  for (const call of calls) await assert.rejects(call, { code: 'internal_error' });
});
