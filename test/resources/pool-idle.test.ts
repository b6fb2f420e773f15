import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mockTimers, patient, poolHarness, settle, watch } from '../helpers/pool-harness.js';
import { entry } from '../helpers/pool-settings.js';

const a = entry('a');

test('a load that everybody left and that never ends is given up after the idle time', async (t) => {
  mockTimers(t);
  const { pool, engines } = poolHarness({ settings: { idleTimeoutMs: 1000 }, automatic: false });
  const abort = new AbortController();
  watch(pool.acquire(a, { signal: abort.signal }));
  await settle();
  abort.abort();
  t.mock.timers.tick(999);
  await settle();
  assert.equal(engines.last.signal.aborted, false);
  t.mock.timers.tick(1);
  await settle();
  assert.equal(engines.last.signal.aborted, true);
  assert.equal(pool.status().residents[0], undefined);
});

test('a load that somebody came back for is not given up', async (t) => {
  mockTimers(t);
  const { pool, engines } = poolHarness({ settings: { idleTimeoutMs: 1000 }, automatic: false });
  const abort = new AbortController();
  watch(pool.acquire(a, { signal: abort.signal }));
  await settle();
  abort.abort();
  const back = watch(pool.acquire(a, patient()));
  t.mock.timers.tick(1000);
  await settle();
  engines.last.succeed();
  await settle();
  assert.ok(back.lease());
  back.lease()?.release();
  await pool.stop(0);
});

test('a model without work is unloaded after the idle time, counted from the last release', async (t) => {
  mockTimers(t);
  const { pool, engines } = poolHarness({ settings: { idleTimeoutMs: 1000 } });
  const lease = await pool.acquire(a, patient());
  t.mock.timers.tick(10_000);
  await settle();
  assert.equal(engines.last.engine.closed, false);
  lease.release();
  t.mock.timers.tick(900);
  (await pool.acquire(a, patient())).release();
  t.mock.timers.tick(999);
  await settle();
  assert.equal(engines.last.engine.closed, false);
  t.mock.timers.tick(1);
  await settle();
  assert.equal(engines.last.engine.closed, true);
  assert.equal(pool.status().residents[0], undefined);
});

test('an idle time of zero never unloads', async (t) => {
  mockTimers(t);
  const { pool, engines } = poolHarness({ settings: { idleTimeoutMs: 0 } });
  (await pool.acquire(a, patient())).release();
  t.mock.timers.tick(2 ** 31 - 1);
  await settle();
  assert.equal(engines.last.engine.closed, false);
  assert.equal(pool.status().residents[0]?.unloadInMs, null);
  await pool.stop(0);
});

test('the status tells how long a model has been idle and when it goes', async () => {
  const { pool } = poolHarness({ settings: { idleTimeoutMs: 60_000 } });
  const lease = await pool.acquire(a, patient());
  assert.equal(pool.status().residents[0]?.idleMs, null);
  lease.release();
  const idle = pool.status().residents[0];
  assert.ok(idle?.idleMs !== null && idle?.idleMs !== undefined && idle.idleMs >= 0);
  assert.ok(idle.unloadInMs !== null && idle.unloadInMs <= 60_000);
  await pool.stop(0);
});
