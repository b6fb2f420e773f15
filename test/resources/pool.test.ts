import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import type { ModelEntry } from '../../src/models/registry.js';
import { EventBus } from '../../src/resources/events.js';
import type { Lease } from '../../src/resources/lease.js';
import { ModelPool } from '../../src/resources/pool.js';
import type { PoolSettings } from '../../src/resources/pool-deps.js';
import { FakeEngines } from '../helpers/fake-engines.js';
import { entry, poolSettings } from '../helpers/pool-settings.js';
import { recordingLog } from '../helpers/recording-log.js';

const a = entry('a');
const b = entry('b');

/** A request that never gives up. */
function patient(): { signal: AbortSignal } {
  return { signal: new AbortController().signal };
}

function setUp(
  changes: Partial<PoolSettings> = {},
  automatic = true,
  locate = async (model: ModelEntry) => model.path,
) {
  const engines = new FakeEngines(automatic);
  const log = recordingLog();
  const pool = new ModelPool({
    settings: { ...poolSettings, ...changes },
    log,
    startEngine: engines.start,
    locate,
    stage: async (source) => source,
    purposeOf: async () => 'generate',
    plan: null,
    states: null,
    events: new EventBus(),
    onActivity: () => {},
  });
  return { engines, pool, log };
}

/** Lets everything that can happen without a timer happen. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
}

/** What became of a promise so far. */
function watch(promise: Promise<Lease>) {
  let lease: Lease | null = null;
  let code: string | null = null;
  promise.then(
    (granted) => {
      lease = granted;
    },
    (error: HoshikageError) => {
      code = error.code;
    },
  );
  return { lease: (): Lease | null => lease, code: (): string | null => code };
}

function mockTimers(t: TestContext): void {
  t.mock.timers.enable({ apis: ['setTimeout'] });
}

test('nothing is in memory until the first request', async () => {
  const { pool, engines } = setUp();
  assert.equal(pool.status().residents[0], undefined);
  const lease = await pool.acquire(a, patient());
  assert.deepEqual(engines.paths, ['/models/a.gguf']);
  assert.equal(pool.status().residents[0]?.state, 'ready');
  assert.equal(pool.status().residents[0]?.active, 1);
  assert.equal(pool.status().residents[0]?.pid, 1000);
  lease.release();
  await pool.stop(0);
});

test('a model whose file is broken does not cost the one that works', async () => {
  const { pool, engines } = setUp({}, true, async (model) => {
    if (model.id === 'b') throw new HoshikageError('model_file_missing', { path: model.path });
    return model.path;
  });
  (await pool.acquire(a, patient())).release();
  await assert.rejects(pool.acquire(b, patient()), { code: 'model_file_missing' });
  assert.equal(pool.status().residents[0]?.id, 'a');
  (await pool.acquire(a, patient())).release();
  assert.deepEqual(engines.paths, ['/models/a.gguf']);
  await pool.stop(0);
});

test('a resident model is used again without a load', async () => {
  const { pool, engines } = setUp();
  const first = await pool.acquire(a, patient());
  first.release();
  const second = await pool.acquire(a, patient());
  assert.equal(second.engine, first.engine);
  assert.equal(second.loadMs, 0);
  second.release();
  assert.equal(engines.starts.length, 1);
  await pool.stop(0);
});

test('requests beyond the slots wait and are served in the order they came', async () => {
  const { pool } = setUp();
  const running = await pool.acquire(a, patient());
  const order: number[] = [];
  const waiting = [1, 2, 3].map(async (number) => {
    const lease = await pool.acquire(a, patient());
    order.push(number);
    lease.release();
  });
  await settle();
  assert.deepEqual(order, []);
  assert.equal(pool.status().queue.length, 3);
  running.release();
  await Promise.all(waiting);
  assert.deepEqual(order, [1, 2, 3]);
  assert.equal(pool.status().queue.length, 0);
  await pool.stop(0);
});

test('as many requests run at once as there are slots', async () => {
  const { pool } = setUp({ nSlots: 2 });
  const first = await pool.acquire(a, patient());
  const second = await pool.acquire(a, patient());
  const third = watch(pool.acquire(a, patient()));
  await settle();
  assert.equal(third.lease(), null);
  second.release();
  await settle();
  assert.ok(third.lease());
  third.lease()?.release();
  first.release();
  await pool.stop(0);
});

test('releasing twice frees one slot only', async () => {
  const { pool } = setUp();
  const first = await pool.acquire(a, patient());
  const second = watch(pool.acquire(a, patient()));
  const third = watch(pool.acquire(a, patient()));
  first.release();
  first.release();
  await settle();
  assert.ok(second.lease());
  assert.equal(third.lease(), null);
  second.lease()?.release();
  await settle();
  third.lease()?.release();
  await pool.stop(0);
});

test('a request for another model waits for the running ones; the old engine ends before the new loads', async () => {
  const { pool, engines } = setUp({ nSlots: 2 });
  const one = await pool.acquire(a, patient());
  const two = await pool.acquire(a, patient());
  const other = watch(pool.acquire(b, patient()));
  one.release();
  await settle();
  assert.equal(other.lease(), null);
  two.release();
  await settle();
  assert.equal(other.lease()?.entry.id, 'b');
  assert.equal(engines.starts[0]?.engine.closed, true);
  assert.equal(engines.mostAlive, 1);
  other.lease()?.release();
  await pool.stop(0);
});

test('with MAX_SKIPS of 0 nobody overtakes a request for another model', async () => {
  const { pool } = setUp({ nSlots: 2, maxSkips: 0 });
  const running = await pool.acquire(a, patient());
  const other = watch(pool.acquire(b, patient()));
  const later = watch(pool.acquire(a, patient()));
  await settle();
  assert.equal(later.lease(), null);
  running.release();
  await settle();
  assert.ok(other.lease());
  assert.equal(later.lease(), null);
  other.lease()?.release();
  await settle();
  assert.ok(later.lease());
  later.lease()?.release();
  await pool.stop(0);
});

test('and in any order of models all are served in the order they came, one model alive at a time', async () => {
  const { pool, engines } = setUp({ nSlots: 2, maxSkips: 0 });
  const models = ['a', 'b', 'c'].map((id) => entry(id));
  // A fixed shuffle: the same order in every run.
  const order = Array.from(
    { length: 40 },
    (_, index) => models[(index * index * 7 + index) % 3] ?? a,
  );
  const served: string[] = [];
  await Promise.all(
    order.map(async (model) => {
      const lease = await pool.acquire(model, patient());
      served.push(lease.entry.id);
      await new Promise(setImmediate);
      lease.release();
    }),
  );
  assert.deepEqual(
    served,
    order.map((model) => model.id),
  );
  const switches = order.filter((model, index) => model !== order[index - 1]).length;
  assert.equal(engines.starts.length, switches);
  assert.equal(engines.mostAlive, 1);
  await pool.stop(0);
});

test('two entries whose engines would be equal share one', async () => {
  const { pool, engines } = setUp();
  const twin = { ...entry('twin', { temperature: 1 }), path: a.path };
  (await pool.acquire(a, patient())).release();
  const lease = await pool.acquire(twin, patient());
  assert.equal(lease.entry.id, 'twin');
  lease.release();
  assert.equal(engines.starts.length, 1);
  await pool.stop(0);
});

test('an entry that now names another file or other settings is loaded anew', async () => {
  const { pool, engines } = setUp();
  (await pool.acquire(a, patient())).release();
  (await pool.acquire({ ...a, path: '/models/new.gguf' }, patient())).release();
  (
    await pool.acquire({ ...a, path: '/models/new.gguf', settings: { nCtx: 32 } }, patient())
  ).release();
  assert.deepEqual(engines.paths, ['/models/a.gguf', '/models/new.gguf', '/models/new.gguf']);
  await pool.stop(0);
});

test('a crowd that comes at once causes one load', async () => {
  const { pool, engines } = setUp({ nSlots: 4 }, false);
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

test('a crowd that comes during an unload waits and causes one reload', async () => {
  const { pool, engines } = setUp();
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

test('a failed load rejects all who wait for that model, and nobody else', async () => {
  const { pool, engines, log } = setUp({}, false);
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
  const { pool, engines } = setUp({}, false);
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
    const { pool, engines } = setUp({}, false);
    const waiting = pool.acquire(a, patient());
    await settle();
    engines.last.fail(new HoshikageError(code));
    await assert.rejects(waiting, { code });
  }
});

test('a model_load_failed names the model as it was asked for', async () => {
  const { pool, engines } = setUp({}, false);
  const waiting = pool.acquire(a, patient());
  await settle();
  engines.last.fail(new HoshikageError('model_load_failed', { model: '/somewhere/else' }));
  await assert.rejects(waiting, { code: 'model_load_failed', details: { model: 'a' } });
});

test('an engine that crashes is forgotten, and the next request gets a new one', async () => {
  const { pool, engines } = setUp();
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

test('the queue has a limit; one who comes later is told at once', async () => {
  const { pool } = setUp({ queueSize: 2 });
  const running = await pool.acquire(a, patient());
  const waiting = [watch(pool.acquire(a, patient())), watch(pool.acquire(b, patient()))];
  await assert.rejects(pool.acquire(a, patient()), { code: 'queue_full', details: { limit: 2 } });
  assert.equal(pool.status().queue.length, 2);
  await pool.stop(0);
  running.release();
  await settle();
  assert.deepEqual(
    waiting.map((one) => one.code()),
    ['shutting_down', 'shutting_down'],
  );
});

test('a queue of zero still lets in who waits for nothing but his own model', async () => {
  const { pool, engines } = setUp({ queueSize: 0 }, false);
  const first = watch(pool.acquire(a, patient()));
  await assert.rejects(pool.acquire(a, patient()), { code: 'queue_full' });
  await settle();
  engines.last.succeed();
  await settle();
  assert.ok(first.lease());
  await assert.rejects(pool.acquire(b, patient()), { code: 'queue_full' });
  first.lease()?.release();
  engines.automatic = true;
  (await pool.acquire(b, patient())).release();
  await pool.stop(0);
});

test('who waits longer than the limit is told so, and leaves the queue', async (t) => {
  mockTimers(t);
  const { pool } = setUp({ queueTimeoutMs: 5000 });
  const running = await pool.acquire(a, patient());
  const waiting = watch(pool.acquire(b, patient()));
  t.mock.timers.tick(4999);
  await settle();
  assert.equal(waiting.code(), null);
  t.mock.timers.tick(1);
  await settle();
  assert.equal(waiting.code(), 'queue_timeout');
  assert.equal(pool.status().queue.length, 0);
  running.release();
  const next = await pool.acquire(a, patient());
  next.release();
  await pool.stop(0);
});

test('a load longer than the limit is no waiting in the queue; behind it, it is', async (t) => {
  mockTimers(t);
  const { pool, engines } = setUp({ queueTimeoutMs: 5000 }, false);
  const first = watch(pool.acquire(a, patient()));
  const second = watch(pool.acquire(a, patient()));
  await settle();
  t.mock.timers.tick(60_000);
  await settle();
  assert.equal(first.code(), null);
  assert.equal(second.code(), 'queue_timeout');
  engines.last.succeed();
  await settle();
  assert.ok(first.lease());
  first.lease()?.release();
  await pool.stop(0);
});

test('an aborted request leaves the queue and frees nothing it did not have', async () => {
  const { pool } = setUp();
  const running = await pool.acquire(a, patient());
  const abort = new AbortController();
  const leaving = watch(pool.acquire(a, { signal: abort.signal }));
  const staying = watch(pool.acquire(a, patient()));
  abort.abort();
  await settle();
  assert.equal(leaving.code(), 'cancelled');
  assert.equal(staying.lease(), null);
  assert.equal(pool.status().residents[0]?.active, 1);
  running.release();
  await settle();
  assert.ok(staying.lease());
  staying.lease()?.release();
  await pool.stop(0);
});

test('when the one for another model leaves, those behind it go on at once', async () => {
  const { pool } = setUp({ nSlots: 2 });
  const running = await pool.acquire(a, patient());
  const abort = new AbortController();
  const other = watch(pool.acquire(b, { signal: abort.signal }));
  const behind = watch(pool.acquire(a, patient()));
  abort.abort();
  await settle();
  assert.equal(other.code(), 'cancelled');
  assert.ok(behind.lease());
  behind.lease()?.release();
  running.release();
  await pool.stop(0);
});

test('a request that is aborted already is refused without a load', async () => {
  const { pool, engines } = setUp();
  await assert.rejects(pool.acquire(a, { signal: AbortSignal.abort() }), { code: 'cancelled' });
  assert.equal(engines.starts.length, 0);
});

test('an abort after the lease changes nothing: the holder releases', async () => {
  const { pool } = setUp();
  const abort = new AbortController();
  const lease = await pool.acquire(a, { signal: abort.signal });
  abort.abort();
  await settle();
  assert.equal(pool.status().residents[0]?.active, 1);
  lease.release();
  assert.equal(pool.status().residents[0]?.active, 0);
  await pool.stop(0);
});

test('a load that everybody left is finished for those who come back', async () => {
  const { pool, engines } = setUp({}, false);
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

test('a load that everybody left and that never ends is given up after the idle time', async (t) => {
  mockTimers(t);
  const { pool, engines } = setUp({ idleTimeoutMs: 1000 }, false);
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
  const { pool, engines } = setUp({ idleTimeoutMs: 1000 }, false);
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

test('a load that everybody left is given up when another model is wanted', async () => {
  const { pool, engines } = setUp({}, false);
  const abort = new AbortController();
  watch(pool.acquire(a, { signal: abort.signal }));
  await settle();
  abort.abort();
  const other = watch(pool.acquire(b, patient()));
  await settle();
  assert.equal(engines.starts[0]?.signal.aborted, true);
  assert.equal(engines.last.path, '/models/b.gguf');
  engines.last.succeed();
  await settle();
  assert.ok(other.lease());
  assert.equal(engines.mostAlive, 1);
  other.lease()?.release();
  await pool.stop(0);
});

test('a model without work is unloaded after the idle time, counted from the last release', async (t) => {
  mockTimers(t);
  const { pool, engines } = setUp({ idleTimeoutMs: 1000 });
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
  const { pool, engines } = setUp({ idleTimeoutMs: 0 });
  (await pool.acquire(a, patient())).release();
  t.mock.timers.tick(2 ** 31 - 1);
  await settle();
  assert.equal(engines.last.engine.closed, false);
  assert.equal(pool.status().residents[0]?.unloadInMs, null);
  await pool.stop(0);
});

test('the status tells how long a model has been idle and when it goes', async () => {
  const { pool } = setUp({ idleTimeoutMs: 60_000 });
  const lease = await pool.acquire(a, patient());
  assert.equal(pool.status().residents[0]?.idleMs, null);
  lease.release();
  const idle = pool.status().residents[0];
  assert.ok(idle?.idleMs !== null && idle?.idleMs !== undefined && idle.idleMs >= 0);
  assert.ok(idle.unloadInMs !== null && idle.unloadInMs <= 60_000);
  await pool.stop(0);
});

test('load makes a model resident and leaves it idle', async () => {
  const { pool } = setUp();
  await pool.load(a, patient());
  assert.deepEqual([pool.status().residents[0]?.id, pool.status().residents[0]?.active], ['a', 0]);
  await pool.stop(0);
});

test('unload waits for the running request, and later ones get a new engine', async () => {
  const { pool, engines } = setUp({ nSlots: 2 });
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
  const { pool } = setUp();
  assert.deepEqual(await pool.unload(), []);
  (await pool.acquire(a, patient())).release();
  assert.deepEqual(await pool.unload('b'), []);
  assert.equal(pool.status().residents[0]?.state, 'ready');
  await pool.stop(0);
});

test('unload while loading gives the load up; who waits for it loads it again', async () => {
  const { pool, engines } = setUp({}, false);
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

test('when its entry is removed, a model goes after its last request', async () => {
  const { pool, engines } = setUp();
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
  const { pool, engines } = setUp();
  (await pool.acquire(a, patient())).release();
  pool.refresh((id) => ({ ...entry(id), stop: ['STOP'] }));
  await settle();
  assert.equal(engines.last.engine.closed, false);
  pool.refresh((id) => entry(id, { nCtx: 16 }));
  await settle();
  assert.equal(engines.last.engine.closed, true);
});

test('stop lets the running request end within the grace', async () => {
  const { pool, engines } = setUp();
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
  const { pool, engines } = setUp();
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
  const { pool, engines } = setUp();
  const running = await pool.acquire(a, patient());
  const first = pool.stop(60_000);
  await pool.stop(0);
  await first;
  assert.equal(engines.last.engine.closed, true);
  running.release();
});

test('stop gives up a load', async () => {
  const { pool, engines } = setUp({}, false);
  const waiting = watch(pool.acquire(a, patient()));
  await settle();
  await pool.stop(60_000);
  await settle();
  assert.equal(waiting.code(), 'shutting_down');
  assert.equal(engines.last.signal.aborted, true);
  assert.equal(pool.status().residents[0], undefined);
});

test('stop during an unload waits for its end; with nothing resident it is done at once', async () => {
  const { pool, engines } = setUp();
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

test('an engine that came up after it was given up is closed', async () => {
  const { pool, engines } = setUp({}, false);
  const abort = new AbortController();
  watch(pool.acquire(a, { signal: abort.signal }));
  await settle();
  // The engine is ready in the same turn in which nobody wants it any more.
  engines.last.succeed();
  const stopping = pool.stop(0);
  await stopping;
  assert.equal(engines.last.engine.closed, true);
});

test('renew lets running requests finish on the old engine; the next one gets a new engine', async () => {
  const { pool, engines } = setUp({ nSlots: 2 });
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
  const idle = setUp();
  (await idle.pool.acquire(a, patient())).release();
  idle.pool.renew();
  await settle();
  assert.equal(idle.pool.status().residents[0], undefined);
  const { pool, engines } = setUp({}, false);
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
