import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mockTimers, patient, poolHarness, settle, watch } from '../helpers/pool-harness.js';
import { entry } from '../helpers/pool-settings.js';

const a = entry('a');
const b = entry('b');

test('the queue has a limit; one who comes later is told at once', async () => {
  const { pool } = poolHarness({ settings: { queueSize: 2 } });
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

test('a request that comes again is never refused, and keeps its place', async () => {
  const { pool, engines } = poolHarness({ settings: { queueSize: 2 } });
  const request = patient();
  const lost = await pool.acquire(a, request);
  const order: string[] = [];
  const take = async (name: string, asked: typeof request): Promise<void> => {
    const lease = await pool.acquire(a, asked);
    order.push(name);
    lease.release();
  };
  const all = [take('second', patient()), take('third', patient())];
  engines.last.engine.ending = true;
  all.push(take('first', { ...request, again: true }));
  assert.equal(pool.status().queue.length, 3);
  await assert.rejects(pool.acquire(a, patient()), { code: 'queue_full' });
  engines.last.engine.crash();
  lost.release();
  await Promise.all(all);
  assert.deepEqual(order, ['first', 'second', 'third']);
  await pool.stop(0);
});

test('a queue of zero still lets in who waits for nothing but his own model', async () => {
  const { pool, engines } = poolHarness({ settings: { queueSize: 0 }, automatic: false });
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
  const { pool } = poolHarness({ settings: { queueTimeoutMs: 5000 } });
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
  const { pool, engines } = poolHarness({ settings: { queueTimeoutMs: 5000 }, automatic: false });
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
  const { pool } = poolHarness();
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

test('interactive requests go before batch ones, also for another model', async () => {
  const { pool } = poolHarness();
  const running = await pool.acquire(a, patient());
  const order: string[] = [];
  const ask = async (model: typeof a, priority: 'interactive' | 'batch', name: string) => {
    const lease = await pool.acquire(model, patient({ priority }));
    assert.equal(lease.priority, priority);
    order.push(name);
    lease.release();
  };
  const all = [
    ask(a, 'batch', 'batch 1'),
    ask(a, 'batch', 'batch 2'),
    ask(b, 'interactive', 'other'),
    ask(a, 'interactive', 'mine'),
  ];
  await settle();
  running.release();
  await Promise.all(all);
  assert.deepEqual(order, ['mine', 'other', 'batch 1', 'batch 2']);
  await pool.stop(0);
});

test('fifty requests of one class on one slot are served in the order they came, each told its place', async () => {
  const { pool } = poolHarness({ settings: { queueSize: 50 } });
  const running = await pool.acquire(a, patient());
  const requests = Array.from({ length: 50 }, () => patient());
  const order: number[] = [];
  const all = requests.map(async (request, index) => {
    const lease = await pool.acquire(a, request);
    order.push(index);
    lease.release();
  });
  await assert.rejects(pool.acquire(a, patient()), { code: 'queue_full', details: { limit: 50 } });
  const places = requests.map(({ signal }) => pool.waitOf(signal));
  assert.deepEqual(
    places.map((place) => [place?.position, place?.state, place?.progress]),
    requests.map((_, index) => [index + 1, 'queued', null]),
  );
  assert.deepEqual(
    pool.status().queue.waiting.map(({ position, model }) => [position, model]),
    requests.map((_, index) => [index + 1, 'a']),
  );
  running.release();
  await Promise.all(all);
  assert.deepEqual(
    order,
    requests.map((_, index) => index),
  );
  assert.deepEqual(
    requests.map(({ signal }) => pool.waitOf(signal)).filter((place) => place !== null),
    [],
  );
  await pool.stop(0);
});

test('who waits only for his model is told how far its load is', async () => {
  const { pool, engines } = poolHarness({ automatic: false });
  const [first, second] = [patient(), patient()];
  const waiting = [watch(pool.acquire(a, first)), watch(pool.acquire(a, second))];
  await settle();
  engines.last.progress(0.5);
  const [one, other] = [pool.waitOf(first.signal), pool.waitOf(second.signal)];
  assert.deepEqual([one?.position, one?.state, one?.progress], [0, 'loading', 0.5]);
  assert.deepEqual([other?.position, other?.state, other?.progress], [1, 'queued', null]);
  assert.equal(pool.waitOf(patient().signal), null);
  engines.last.succeed();
  await settle();
  waiting[0]?.release();
  await settle();
  waiting[1]?.release();
  await pool.stop(0);
});

test('an embedding model whose place is free is no matter of a full queue', async () => {
  const { pool } = poolHarness({ settings: { queueSize: 0 } });
  const running = await pool.acquire(a, patient());
  (await pool.acquire(entry('embed'), patient({ need: 'model' }))).release();
  await assert.rejects(pool.acquire(b, patient()), { code: 'queue_full' });
  running.release();
  await pool.stop(0);
});

test('who waits only for a model to read with is limited too, by as many again', async () => {
  const { pool, engines } = poolHarness({ settings: { queueSize: 3 }, automatic: false });
  const reader = () => watch(pool.acquire(entry('embed'), patient({ need: 'model' })));
  const readers = Array.from({ length: 4 }, reader);
  // Told at once: neither the load nor the look at the model's file has come to an end.
  await Promise.resolve();
  assert.equal(readers[3]?.code(), 'queue_full');
  await settle();
  assert.deepEqual(
    readers.map((one) => one.code()),
    [null, null, null, 'queue_full'],
  );
  await assert.rejects(pool.acquire(entry('embed'), patient({ need: 'model' })), {
    code: 'queue_full',
    details: { limit: 3 },
  });
  // Nobody who waits for a turn is in their way, nor they in his.
  assert.equal(pool.status().queue.length, 0);
  engines.last.succeed();
  await settle();
  for (const one of readers.slice(0, 3)) assert.ok(one.lease());
  // It is there now: nobody waits any more.
  const more = Array.from({ length: 5 }, reader);
  await settle();
  for (const one of more) assert.ok(one.lease());
  for (const one of [...readers.slice(0, 3), ...more]) one.release();
  await pool.stop(0);
});

test('a queue of zero lets in one who reads', async () => {
  const { pool, engines } = poolHarness({ settings: { queueSize: 0 }, automatic: false });
  const [first, second] = [1, 2].map(() => watch(pool.acquire(a, patient({ need: 'model' }))));
  await settle();
  assert.deepEqual([first?.code(), second?.code()], [null, 'queue_full']);
  engines.last.succeed();
  await settle();
  assert.ok(first?.lease());
  first?.release();
  await pool.stop(0);
});
