import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import type { Lease } from '../../src/resources/lease.js';
import { mockTime, patient, poolHarness, settle, watch } from '../helpers/pool-harness.js';
import { entry } from '../helpers/pool-settings.js';

const a = entry('a');

test('an engine that crashes is forgotten, and the next request gets a new one', async () => {
  const { pool, engines } = poolHarness();
  const lease = await pool.acquire(a, patient());
  const waiting = pool.acquire(a, patient());
  engines.last.engine.crash();
  const next = await waiting;
  assert.notEqual(next.engine, lease.engine);
  lease.release();
  assert.equal(pool.status().residents[0]?.active, 1);
  next.release();
  await pool.stop(0);
});

/** Crashes the engine under a request. */
async function crashOnce({ pool, engines }: ReturnType<typeof poolHarness>): Promise<void> {
  const lease = await pool.acquire(a, patient());
  engines.last.engine.crash();
  await settle();
  lease.release();
}

test('a model whose engine crashes three times in a row is held back until somebody asks for it', async (t) => {
  const time = mockTime(t);
  const harness = poolHarness();
  const { pool, engines, told } = harness;
  await crashOnce(harness);
  await crashOnce(harness);
  const third = watch(pool.acquire(a, patient()));
  await settle();
  assert.equal(engines.starts.length, 2);
  assert.deepEqual(pool.status().queue.waiting[0]?.state, 'loading');
  await time.pass(1000);
  assert.equal(engines.starts.length, 3);
  engines.last.engine.crash('memory');
  await settle();
  third.release();
  await assert.rejects(pool.acquire(a, patient()), {
    code: 'model_held',
    details: { model: 'a', crashes: 3 },
  });
  assert.deepEqual(pool.status().held, [{ model: 'a', crashes: 3 }]);
  (await pool.acquire(entry('b'), patient())).release();
  await pool.load(a, patient());
  assert.deepEqual(pool.status().held, []);
  const crashes = told.flatMap((event) =>
    event.type === 'crash' ? [[event.code, event.restartInMs, event.held]] : [],
  );
  assert.deepEqual(crashes, [
    ['engine_crashed', 0, false],
    ['engine_crashed', 1000, false],
    ['engine_out_of_memory', null, true],
  ]);
  await pool.stop(0);
});

test('one request that is finished makes the crashes forgotten', async () => {
  const harness = poolHarness();
  for (let round = 0; round < 5; round += 1) {
    const lease = await harness.pool.acquire(a, patient());
    await lease.engine.embed([Int32Array.of(1)]);
    lease.release();
    await crashOnce(harness);
  }
  assert.equal(harness.engines.starts.length, 5);
  await harness.pool.stop(0);
});

test('crashes while loading count too, and fail those who wait for that model', async (t) => {
  const time = mockTime(t);
  const { pool, engines } = poolHarness({ automatic: false });
  const crash = new HoshikageError('engine_crashed', { detail: 'ended by SIGSEGV' });
  for (const ms of [0, 1000]) {
    const waiting = watch(pool.acquire(a, patient()));
    await settle();
    await time.pass(ms);
    engines.last.fail(new HoshikageError('model_load_failed', {}, { cause: crash }));
    await settle();
    assert.equal(waiting.code(), 'model_load_failed');
  }
  assert.equal(engines.starts.length, 2);
  const waiting = watch(pool.acquire(a, patient()));
  await time.pass(1000);
  engines.last.fail(crash);
  await settle();
  assert.equal(waiting.code(), 'engine_crashed');
  await assert.rejects(pool.acquire(a, patient()), { code: 'model_held' });
});

test('a load that fails in words is no crash: the next request tries again at once', async () => {
  const { pool, engines, told } = poolHarness({ automatic: false });
  for (let round = 0; round < 5; round += 1) {
    const waiting = watch(pool.acquire(a, patient()));
    await settle();
    engines.last.fail(new HoshikageError('model_load_failed', { reason: 'bad tensor' }));
    await settle();
    assert.equal(waiting.code(), 'model_load_failed');
  }
  assert.equal(engines.starts.length, 5);
  assert.deepEqual(
    told.map((event) => event.type === 'load' && event.state),
    Array(5).fill(['started', 'failed']).flat(),
  );
});

test('nobody gets an engine that has given up and is about to end', async () => {
  const { pool, engines } = poolHarness({ settings: { nSlots: 2 } });
  const running = await pool.acquire(a, patient());
  engines.last.engine.ending = true;
  const next = watch(pool.acquire(a, patient()));
  const reader = watch(pool.acquire(a, patient({ need: 'model' })));
  await settle();
  assert.deepEqual([next.lease(), reader.lease()], [null, null]);
  engines.last.engine.crash();
  await settle();
  const fresh: (Lease | null)[] = [next.lease(), reader.lease()];
  assert.ok(fresh.every((lease) => lease && lease.engine !== running.engine));
  for (const lease of fresh) lease?.release();
  running.release();
  await pool.stop(0);
});

test('another library does not inherit how often a model has crashed', async () => {
  const harness = poolHarness();
  await crashOnce(harness);
  await crashOnce(harness);
  harness.pool.renew();
  await crashOnce(harness);
  await crashOnce(harness);
  assert.equal(harness.engines.starts.length, 4);
  await harness.pool.stop(0);
});

test('two models that wait for their restart are each started when their own time has come', async (t) => {
  const time = mockTime(t);
  const { pool, engines } = poolHarness({ settings: { maxLoadedModels: 2 } });
  const b = entry('b');
  const crash = async (model: typeof a): Promise<void> => {
    const lease = await pool.acquire(model, patient());
    engines.last.engine.crash();
    await settle();
    lease.release();
  };
  for (const model of [a, a, b]) await crash(model);
  await time.pass(600);
  await crash(b);
  const waiting = [a, b].map((model) => watch(pool.acquire(model, patient())));
  await settle();
  assert.equal(engines.starts.length, 4);
  await time.pass(400);
  assert.deepEqual(
    waiting.map((one) => one.lease() !== null),
    [true, false],
  );
  await time.pass(600);
  assert.ok(waiting[1]?.lease());
  for (const one of waiting) one.release();
  await pool.stop(0);
});

test('a model that is held back is not shown any more once its entry is gone', async (t) => {
  const time = mockTime(t);
  const harness = poolHarness();
  for (const ms of [0, 0, 1000]) {
    const crashing = crashOnce(harness);
    await time.pass(ms);
    await crashing;
  }
  const { pool } = harness;
  pool.refresh((id) => entry(id));
  assert.deepEqual(pool.status().held, [{ model: 'a', crashes: 3 }]);
  pool.refresh(() => undefined);
  assert.deepEqual(pool.status().held, []);
  (await pool.acquire(a, patient())).release();
  await pool.stop(0);
});
