import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mockTimers, patient, poolHarness, settle, watch } from '../helpers/pool-harness.js';
import { entry } from '../helpers/pool-settings.js';

const a = entry('a');

test('a crowd that comes during an unload waits and causes one reload', async () => {
  const { pool, engines } = poolHarness();
  (await pool.acquire(a, patient())).release();
  let finish = (): void => {};
  engines.last.engine.closing = new Promise((resolve) => {
    finish = resolve;
  });
  const unloading = pool.unload();
  await settle();
  assert.equal(pool.status().residents[0]?.state, 'unloading');
  const crowd = Array.from({ length: 10 }, () => pool.acquire(a, patient()));
  await settle();
  assert.equal(engines.starts.length, 1);
  finish();
  assert.deepEqual(await unloading, ['a']);
  for (const one of crowd) (await one).release();
  assert.equal(engines.starts.length, 2);
  await pool.stop(0);
});

test('unload waits for the running request, and later ones get a new engine', async () => {
  const { pool, engines } = poolHarness({ settings: { nSlots: 2 } });
  const running = await pool.acquire(a, patient());
  const unloading = pool.unload('a');
  const later = watch(pool.acquire(a, patient()));
  await settle();
  assert.equal(engines.last.engine.closed, false);
  assert.equal(later.lease(), null);
  running.release();
  assert.deepEqual(await unloading, ['a']);
  await settle();
  assert.equal(engines.starts.length, 2);
  later.lease()?.release();
  await pool.stop(0);
});

test('unload of what is not resident names nothing', async () => {
  const { pool } = poolHarness();
  assert.deepEqual(await pool.unload(), []);
  (await pool.acquire(a, patient())).release();
  assert.deepEqual(await pool.unload('b'), []);
  assert.equal(pool.status().residents[0]?.state, 'ready');
  await pool.stop(0);
});

test('when its entry is removed, a model goes after its last request', async () => {
  const { pool, engines } = poolHarness();
  const running = await pool.acquire(a, patient());
  pool.refresh(() => undefined);
  await settle();
  assert.equal(engines.last.engine.closed, false);
  running.release();
  await settle();
  assert.equal(engines.last.engine.closed, true);
  assert.equal(pool.status().residents[0], undefined);
});

test('a registry change that does not touch the resident model leaves it alone', async () => {
  const { pool, engines } = poolHarness();
  (await pool.acquire(a, patient())).release();
  pool.refresh((id) => ({ ...entry(id), stop: ['STOP'] }));
  await settle();
  assert.equal(engines.last.engine.closed, false);
  pool.refresh((id) => entry(id, { nCtx: 16 }));
  await settle();
  assert.equal(engines.last.engine.closed, true);
});

test('stop lets the running request end within the grace', async () => {
  const { pool, engines } = poolHarness();
  const running = await pool.acquire(a, patient());
  const waiting = watch(pool.acquire(a, patient()));
  const stopping = pool.stop(60_000);
  await settle();
  assert.equal(waiting.code(), 'shutting_down');
  await assert.rejects(pool.acquire(a, patient()), { code: 'shutting_down' });
  assert.equal(engines.last.engine.closed, false);
  running.release();
  await stopping;
  assert.equal(engines.last.engine.closed, true);
});

test('after the grace stop closes the engine under the running request', async (t) => {
  mockTimers(t);
  const { pool, engines } = poolHarness();
  const running = await pool.acquire(a, patient());
  const stopping = pool.stop(1000);
  t.mock.timers.tick(999);
  await settle();
  assert.equal(engines.last.engine.closed, false);
  t.mock.timers.tick(1);
  await stopping;
  assert.equal(engines.last.engine.closed, true);
  running.release();
});

test('a second stop may shorten the grace', async () => {
  const { pool, engines } = poolHarness();
  const running = await pool.acquire(a, patient());
  const first = pool.stop(60_000);
  await pool.stop(0);
  await first;
  assert.equal(engines.last.engine.closed, true);
  running.release();
});

test('stop gives up a load', async () => {
  const { pool, engines } = poolHarness({ automatic: false });
  const waiting = watch(pool.acquire(a, patient()));
  await settle();
  await pool.stop(60_000);
  await settle();
  assert.equal(waiting.code(), 'shutting_down');
  assert.equal(engines.last.signal.aborted, true);
  assert.equal(pool.status().residents[0], undefined);
});

test('stop during an unload waits for its end; with nothing resident it is done at once', async () => {
  const { pool, engines } = poolHarness();
  await pool.load(a, patient());
  let finish = (): void => {};
  engines.last.engine.closing = new Promise((resolve) => {
    finish = resolve;
  });
  const unloading = pool.unload();
  let stopped = false;
  const stopping = pool.stop(0).then(() => {
    stopped = true;
  });
  await settle();
  assert.equal(stopped, false);
  finish();
  await Promise.all([unloading, stopping]);
  await pool.stop(0);
});

test('renew lets running requests finish on the old engine; the next one gets a new engine', async () => {
  const { pool, engines } = poolHarness({ settings: { nSlots: 2 } });
  const running = await pool.acquire(a, patient());
  pool.renew();
  const next = watch(pool.acquire(a, patient()));
  await settle();
  assert.equal(next.lease(), null);
  assert.equal(engines.starts.length, 1);
  running.release();
  await settle();
  assert.equal(engines.starts.length, 2);
  assert.notEqual(next.lease()?.engine, running.engine);
  await pool.stop(0);
});

test('renew ends an engine that nobody uses, and loads anew what was being loaded', async () => {
  const idle = poolHarness();
  (await idle.pool.acquire(a, patient())).release();
  idle.pool.renew();
  await settle();
  assert.equal(idle.pool.status().residents[0], undefined);
  const { pool, engines } = poolHarness({ automatic: false });
  const waiting = watch(pool.acquire(a, patient()));
  await settle();
  assert.equal(engines.starts.length, 1);
  pool.renew();
  await settle();
  assert.equal(engines.starts.length, 2);
  engines.last.succeed();
  await settle();
  assert.ok(waiting.lease());
  pool.renew();
  await pool.stop(0);
});

test('a model that serves two entries goes by either name', async () => {
  const { pool } = poolHarness();
  const twin = { ...entry('twin'), path: a.path };
  (await pool.acquire(a, patient())).release();
  assert.deepEqual(await pool.unload('twin'), []);
  (await pool.acquire(twin, patient())).release();
  assert.deepEqual(await pool.unload('twin'), ['a']);
  assert.deepEqual(pool.status().residents, []);
});

test('a model that serves two entries stays while one of them does, and goes by that name', async () => {
  const { pool, engines } = poolHarness();
  const twin = { ...entry('twin'), path: a.path };
  (await pool.acquire(a, patient())).release();
  (await pool.acquire(twin, patient())).release();
  pool.refresh((id) => (id === 'twin' ? twin : undefined));
  await settle();
  assert.equal(engines.last.engine.closed, false);
  assert.equal(pool.status().residents[0]?.id, 'twin');
  assert.deepEqual(await pool.unload('a'), []);
  pool.refresh(() => undefined);
  await settle();
  assert.equal(engines.last.engine.closed, true);
});
