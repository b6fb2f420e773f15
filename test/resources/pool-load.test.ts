import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
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
