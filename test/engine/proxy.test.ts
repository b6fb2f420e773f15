/** How long a proxy waits for its engine: by what was asked of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CompletionResult, EngineInfo } from '../../src/engine/engine.js';
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
};

/** A proxy over an engine that answers nothing by itself; an answer limit of one second. */
function silent() {
  const info: EngineInfo = new FakeEngine().info;
  const posted: Command[] = [];
  let abandoned = 0;
  const proxy = new EngineProxy(
    {
      pid: null,
      post: (command) => posted.push(command),
      close: async () => {},
      abandon: () => {
        abandoned += 1;
      },
      hangLimitMs: 1000,
    },
    info,
    [],
  );
  return { proxy, posted, abandoned: () => abandoned };
}

test('an engine that does not answer a plain call counts as hung after the limit', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { proxy, abandoned } = silent();
  proxy.slots().catch(() => {});
  t.mock.timers.tick(999);
  assert.equal(abandoned(), 0);
  t.mock.timers.tick(1);
  assert.equal(abandoned(), 1);
});

test('embeddings get longer by their tokens, those that wait before them included', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { proxy, posted, abandoned } = silent();
  proxy.embed([new Int32Array(40)]).catch(() => {});
  proxy.embed([new Int32Array(10), new Int32Array(10)]).catch(() => {});
  t.mock.timers.tick(1000 + 40 * 250 - 1);
  assert.equal(abandoned(), 0);
  const first = posted[0];
  assert.ok(first?.type === 'embed');
  proxy.receive({ type: 'reply', id: first.id, value: [new Float32Array(8)] });
  t.mock.timers.tick(1 + 20 * 250 - 1);
  assert.equal(abandoned(), 0);
  t.mock.timers.tick(1);
  assert.equal(abandoned(), 1);
});

test('a state may take ten times as long as other calls', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { proxy, abandoned } = silent();
  proxy.saveState(0, '/tmp/never').catch(() => {});
  t.mock.timers.tick(9999);
  assert.equal(abandoned(), 0);
  t.mock.timers.tick(1);
  assert.equal(abandoned(), 1);
});

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
  proxy.receive({ type: 'ring', news, slots: null });
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
