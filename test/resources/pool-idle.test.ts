import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SavedModel, StateKeeper } from '../../src/states/saved-model.js';
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

test('keep_alive of the last request decides how long a model stays, else its entry does', async (t) => {
  mockTimers(t);
  const own = entry('own', { keepAliveMs: 5000 });
  const { pool, told } = poolHarness({ settings: { idleTimeoutMs: 1000 } });
  const stays = async (ms: number): Promise<boolean> => {
    t.mock.timers.tick(ms);
    await settle();
    return pool.status().residents.length > 0;
  };
  (await pool.acquire(own, patient())).release();
  assert.deepEqual([await stays(4999), await stays(1)], [true, false]);
  (await pool.acquire(own, patient({ keepAliveMs: 20_000 }))).release();
  (await pool.acquire(own, patient({ keepAliveMs: 300 }))).release();
  assert.deepEqual([await stays(299), await stays(1)], [true, false]);
  (await pool.acquire(a, patient())).release();
  assert.deepEqual([await stays(999), await stays(1)], [true, false]);
  const reasons = told.flatMap((event) => (event.type === 'unload' ? [event.reason] : []));
  assert.deepEqual(reasons, ['keep_alive', 'keep_alive', 'idle']);
});

test('a keep_alive without end keeps the model until somebody says otherwise', async (t) => {
  mockTimers(t);
  const { pool } = poolHarness({ settings: { idleTimeoutMs: 1000 } });
  (await pool.acquire(a, patient({ keepAliveMs: Number.POSITIVE_INFINITY }))).release();
  assert.equal(pool.status().residents[0]?.unloadInMs, null);
  t.mock.timers.tick(2 ** 31 - 1);
  await settle();
  assert.equal(pool.status().residents[0]?.state, 'ready');
  (await pool.acquire(a, patient())).release();
  t.mock.timers.tick(1000);
  await settle();
  assert.deepEqual(pool.status().residents, []);
});

test('a keep_alive of zero lets the model go at once, but not from under those who wait for it', async () => {
  const { pool, engines, told } = poolHarness();
  const first = await pool.acquire(a, patient({ keepAliveMs: 0 }));
  const second = watch(pool.acquire(a, patient({ keepAliveMs: 0 })));
  first.release();
  await settle();
  assert.ok(second.lease());
  second.release();
  await settle();
  assert.deepEqual(pool.status().residents, []);
  assert.equal(engines.starts.length, 1);
  const gone = told.find((event) => event.type === 'unload');
  assert.ok(gone?.type === 'unload' && gone.reason === 'keep_alive');
});

test('who asks for a model by name gets it to stay, also one that usually goes at once', async (t) => {
  mockTimers(t);
  const { pool } = poolHarness({ settings: { idleTimeoutMs: 1000 } });
  await pool.load(entry('brief', { keepAliveMs: 0 }), patient());
  t.mock.timers.tick(999);
  await settle();
  assert.equal(pool.status().residents[0]?.state, 'ready');
  t.mock.timers.tick(1);
  await settle();
  assert.deepEqual(pool.status().residents, []);
});

/** A cache of states whose saving the test ends. */
function keeper() {
  const saved: SavedModel[] = [];
  const dropped: string[] = [];
  let finish = (): void => {};
  const states: StateKeeper = {
    save: (model) => {
      saved.push(model);
      return new Promise((resolve) => {
        finish = resolve;
      });
    },
    recall: async (_, prompt) => prompt.length,
    drop: (key) => dropped.push(key),
  };
  return { states, saved, dropped, finish: () => finish() };
}

test('what the slots hold is saved before the engine ends; who comes meanwhile waits, and it is loaded once', async (t) => {
  mockTimers(t);
  const { states, saved, finish } = keeper();
  const { pool, engines } = poolHarness({ settings: { idleTimeoutMs: 1000 }, deps: { states } });
  (await pool.acquire(a, patient())).release();
  const old = engines.last.engine;
  t.mock.timers.tick(1000);
  await settle();
  assert.deepEqual(
    saved.map(({ id, caches }) => [id, caches.length]),
    [['a', 1]],
  );
  assert.equal(old.closed, false);
  assert.equal(pool.status().residents[0]?.state, 'unloading');
  const crowd = Array.from({ length: 5 }, () => pool.acquire(a, patient()));
  await settle();
  assert.equal(engines.starts.length, 1);
  finish();
  for (const one of crowd) (await one).release();
  assert.equal(old.closed, true);
  assert.equal(engines.starts.length, 2);
  assert.equal(engines.mostAlive, 1);
  finish();
  const stopping = pool.stop(0);
  finish();
  await stopping;
});

test('nothing is saved of a model whose entry is gone, of another library, or at the end', async () => {
  const { states, saved, dropped } = keeper();
  const { pool } = poolHarness({ deps: { states } });
  (await pool.acquire(a, patient())).release();
  pool.refresh(() => undefined);
  await settle();
  assert.equal(dropped.length, 1);
  (await pool.acquire(a, patient())).release();
  pool.renew();
  await settle();
  (await pool.acquire(a, patient())).release();
  await pool.stop(0);
  assert.deepEqual(saved, []);
});

test('nothing is saved of a model whose entry went while it was used, whoever makes it go', async () => {
  const { states, saved } = keeper();
  const { pool, engines } = poolHarness({ deps: { states } });
  const running = await pool.acquire(a, patient());
  const other = pool.acquire(entry('b'), patient());
  await settle();
  pool.refresh((id) => (id === 'b' ? entry('b') : undefined));
  running.release();
  (await other).release();
  assert.equal(engines.starts.length, 2);
  assert.deepEqual(saved, []);
  await pool.stop(0);
});

test('the end of the server waits for no saving', async () => {
  const { states, saved } = keeper();
  const { pool, engines } = poolHarness({ deps: { states } });
  (await pool.acquire(a, patient())).release();
  const unloading = pool.unload();
  await settle();
  assert.equal(saved.length, 1);
  await pool.stop(60_000);
  assert.equal(engines.last.engine.closed, true);
  assert.deepEqual(await unloading, ['a']);
});

test('an engine that dies while it is saved from holds up nothing', async () => {
  const { states } = keeper();
  const { pool, engines, told } = poolHarness({ deps: { states } });
  (await pool.acquire(a, patient())).release();
  const unloading = pool.unload();
  await settle();
  engines.last.engine.crash();
  assert.deepEqual(await unloading, ['a']);
  assert.ok(!told.some(({ type }) => type === 'crash'));
});

test('a lease brings back what is saved, until it is given back', async () => {
  const { states } = keeper();
  const { pool } = poolHarness({ deps: { states } });
  const lease = await pool.acquire(a, patient());
  const prompt = Int32Array.of(1, 2, 3);
  const { signal } = patient();
  assert.equal(await lease.recall(prompt, signal), 3);
  assert.equal(await lease.recall(prompt, AbortSignal.abort()), 0);
  const reading = await pool.acquire(a, patient({ need: 'model' }));
  assert.equal(await reading.recall(prompt, signal), 0);
  reading.release();
  lease.release();
  assert.equal(await lease.recall(prompt, signal), 0);
  await pool.stop(0);
});

test('a failure of the cache of states is not one of the request', async () => {
  const states: StateKeeper = {
    save: () => Promise.reject(new Error('save')),
    recall: () => Promise.reject(new Error('recall')),
    drop: () => {},
  };
  const { pool } = poolHarness({ deps: { states } });
  const lease = await pool.acquire(a, patient());
  assert.equal(await lease.recall(Int32Array.of(1), patient().signal), 0);
  lease.release();
  assert.deepEqual(await pool.unload(), ['a']);
});
