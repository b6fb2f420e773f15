import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemoryNeed } from '../../src/engine/memory-need.js';
import { HoshikageError } from '../../src/errors.js';
import { AUTO_SLOTS } from '../helpers/fake-engines.js';
import { patient, poolHarness, settle, watch } from '../helpers/pool-harness.js';
import { entry } from '../helpers/pool-settings.js';

const a = entry('a');
const b = entry('b');

test('a crowd that comes at once causes one load', async () => {
  const { pool, engines } = poolHarness({ settings: { nSlots: 4 }, automatic: false });
  const crowd = Array.from({ length: 50 }, () => pool.acquire(a, patient()));
  await settle();
  assert.equal(engines.starts.length, 1);
  assert.equal(pool.status().residents[0]?.state, 'loading');
  assert.equal(pool.status().queue.length, 46);
  engines.last.progress(0.25);
  assert.equal(pool.status().residents[0]?.progress, 0.25);
  engines.last.succeed();
  for (const one of crowd) (await one).release();
  assert.equal(engines.starts.length, 1);
  await pool.stop(0);
});

test('a failed load rejects all who wait for that model, and nobody else', async () => {
  const { pool, engines, log } = poolHarness({ automatic: false });
  const first = watch(pool.acquire(a, patient()));
  const second = watch(pool.acquire(b, patient()));
  const third = watch(pool.acquire(a, patient()));
  await settle();
  engines.last.fail(new Error('bad tensor'));
  await settle();
  assert.deepEqual([first.code(), third.code()], ['model_load_failed', 'model_load_failed']);
  assert.equal(second.code(), null);
  assert.equal(engines.last.path, '/models/b.gguf');
  engines.last.succeed();
  await settle();
  assert.ok(second.lease());
  assert.ok(log.records.some((line) => line.level === 'error'));
  second.lease()?.release();
  await pool.stop(0);
});

test('after a failed load the next request tries again', async () => {
  const { pool, engines } = poolHarness({ automatic: false });
  const first = watch(pool.acquire(a, patient()));
  await settle();
  engines.last.fail(new HoshikageError('model_load_failed', { reason: 'out of memory' }));
  await settle();
  assert.equal(first.code(), 'model_load_failed');
  assert.equal(pool.status().residents[0], undefined);
  engines.automatic = true;
  (await pool.acquire(a, patient())).release();
  await pool.stop(0);
});

test('errors that say more than "could not be loaded" keep their code', async () => {
  for (const code of ['library_incompatible', 'model_file_missing', 'addon_missing'] as const) {
    const { pool, engines } = poolHarness({ automatic: false });
    const waiting = pool.acquire(a, patient());
    await settle();
    engines.last.fail(new HoshikageError(code));
    await assert.rejects(waiting, { code });
  }
});

test('a model_load_failed names the model as it was asked for', async () => {
  const { pool, engines } = poolHarness({ automatic: false });
  const waiting = pool.acquire(a, patient());
  await settle();
  engines.last.fail(new HoshikageError('model_load_failed', { model: '/somewhere/else' }));
  await assert.rejects(waiting, { code: 'model_load_failed', details: { model: 'a' } });
});

test('a load that everybody left is finished for those who come back', async () => {
  const { pool, engines } = poolHarness({ automatic: false });
  const abort = new AbortController();
  const leaving = watch(pool.acquire(a, { signal: abort.signal }));
  await settle();
  abort.abort();
  await settle();
  assert.equal(leaving.code(), 'cancelled');
  assert.equal(engines.last.signal.aborted, false);
  engines.last.succeed();
  await settle();
  const back = await pool.acquire(a, patient());
  assert.equal(engines.starts.length, 1);
  back.release();
  await pool.stop(0);
});

test('load makes a model resident and leaves it idle', async () => {
  const { pool } = poolHarness();
  await pool.load(a, patient());
  assert.deepEqual([pool.status().residents[0]?.id, pool.status().residents[0]?.active], ['a', 0]);
  await pool.stop(0);
});

test('unload while loading gives the load up; who waits for it loads it again', async () => {
  const { pool, engines } = poolHarness({ automatic: false });
  const waiting = watch(pool.acquire(a, patient()));
  await settle();
  assert.deepEqual(await pool.unload(), ['a']);
  await settle();
  assert.equal(engines.starts[0]?.signal.aborted, true);
  assert.equal(engines.starts.length, 2);
  engines.last.succeed();
  await settle();
  assert.ok(waiting.lease());
  waiting.lease()?.release();
  await pool.stop(0);
});

test('an engine that came up after it was given up is closed', async () => {
  const { pool, engines } = poolHarness({ automatic: false });
  const abort = new AbortController();
  watch(pool.acquire(a, { signal: abort.signal }));
  await settle();
  // The engine is ready in the same turn in which nobody wants it any more.
  engines.last.succeed();
  const stopping = pool.stop(0);
  await stopping;
  assert.equal(engines.last.engine.closed, true);
});

test('a draft model that cannot be used is told before anything is started for it', async () => {
  const checked: string[] = [];
  const { pool, engines } = poolHarness({
    settings: { draftModel: 'small' },
    deps: {
      find: (name) => (name === 'small' ? entry('small') : undefined),
      checkDraft: async (path) => {
        checked.push(path);
        if (checked.length > 1) throw new HoshikageError('draft_model_unusable', { draft: path });
      },
    },
  });
  (await pool.acquire(a, patient())).release();
  assert.equal(engines.last.options.speculation?.draftModelPath, '/models/small.gguf');
  await assert.rejects(pool.acquire(b, patient()), { code: 'draft_model_unusable' });
  // The one that works stays; the draft model itself, and one for embeddings, have none.
  assert.equal(pool.status().residents[0]?.id, 'a');
  for (const id of ['small', 'embed-x']) {
    (await pool.acquire(entry(id), patient({ need: 'model' }))).release();
    assert.equal(engines.last.options.speculation, undefined, id);
  }
  assert.equal(checked.length, 2);
  await pool.stop(0);
});

test('a model whose draft model has become another one is another model', async () => {
  let path = '/models/one.gguf';
  const { pool, engines } = poolHarness({
    settings: { draftModel: 'small' },
    deps: { find: () => ({ ...entry('small'), path }) },
  });
  (await pool.acquire(a, patient())).release();
  path = '/models/two.gguf';
  pool.refresh(() => a);
  (await pool.acquire(a, patient())).release();
  assert.equal(engines.starts.length, 2);
  assert.equal(engines.last.options.speculation?.draftModelPath, path);
  await pool.stop(0);
});

test('with slots left open there are as many leases as the engine turned out to have slots', async () => {
  const memory = (bytes: number): MemoryNeed => ({
    ...{ layerBytes: [], expertBytes: [], outputBytes: 0, outputCopyBytes: 0, inputBytes: 0 },
    ...{ kvBytesPerLayer: [bytes], computeBytes: 0, hostBytes: 0, deviceBytes: 0 },
    privateBytes: bytes,
  });
  const { pool, engines } = poolHarness({
    settings: { nSlots: 'auto' },
    automatic: false,
    deps: {
      plan: async (_, options) => ({
        ...options,
        memory: memory(1),
        moreSlots: [{ slots: AUTO_SLOTS, memory: memory(AUTO_SLOTS) }],
      }),
    },
  });
  const crowd = Array.from({ length: 4 }, () => watch(pool.acquire(a, patient())));
  await settle();
  // While it loads, one slot is certain.
  assert.equal(pool.status().queue.length, 3);
  assert.equal(pool.status().residents[0]?.estimate?.kvBytes, 1);
  engines.last.succeed();
  await settle();
  assert.equal(crowd.filter((one) => one.lease() !== null).length, AUTO_SLOTS);
  assert.equal(pool.status().residents[0]?.estimate?.kvBytes, AUTO_SLOTS);
  for (const one of crowd) one.release();
  await settle();
  for (const one of crowd) one.release();
  await pool.stop(0);
  assert.equal(engines.starts.length, 1);
});
