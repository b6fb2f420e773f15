import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Lease } from '../../src/resources/lease.js';
import { patient, poolHarness, settle, watch } from '../helpers/pool-harness.js';
import { entry } from '../helpers/pool-settings.js';

const a = entry('a');

test('nothing is in memory until the first request', async () => {
  const { pool, engines } = poolHarness();
  assert.equal(pool.status().residents[0], undefined);
  const lease = await pool.acquire(a, patient());
  assert.deepEqual(engines.paths, ['/models/a.gguf']);
  assert.equal(pool.status().residents[0]?.state, 'ready');
  assert.equal(pool.status().residents[0]?.active, 1);
  assert.equal(pool.status().residents[0]?.pid, 1000);
  lease.release();
  await pool.stop(0);
});

test('a resident model is used again without a load', async () => {
  const { pool, engines } = poolHarness();
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
  const { pool } = poolHarness();
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
  const { pool } = poolHarness({ settings: { nSlots: 2 } });
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
  const { pool } = poolHarness();
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

test('two entries whose engines would be equal share one', async () => {
  const { pool, engines } = poolHarness();
  const twin = { ...entry('twin', { temperature: 1 }), path: a.path };
  (await pool.acquire(a, patient())).release();
  const lease = await pool.acquire(twin, patient());
  assert.equal(lease.entry.id, 'twin');
  lease.release();
  assert.equal(engines.starts.length, 1);
  await pool.stop(0);
});

test('a request that is aborted already is refused without a load', async () => {
  const { pool, engines } = poolHarness();
  await assert.rejects(pool.acquire(a, { signal: AbortSignal.abort() }), { code: 'cancelled' });
  assert.equal(engines.starts.length, 0);
});

test('an abort after the lease changes nothing: the holder releases', async () => {
  const { pool } = poolHarness();
  const abort = new AbortController();
  const lease = await pool.acquire(a, { signal: abort.signal });
  abort.abort();
  await settle();
  assert.equal(pool.status().residents[0]?.active, 1);
  lease.release();
  assert.equal(pool.status().residents[0]?.active, 0);
  await pool.stop(0);
});

test('a request that only needs the model takes no slot and waits for none, but holds the model', async () => {
  const { pool } = poolHarness();
  const running = await pool.acquire(a, patient());
  const reading = await pool.acquire(a, patient({ need: 'model' }));
  assert.equal(pool.status().residents[0]?.active, 2);
  running.release();
  const next = await pool.acquire(a, patient());
  next.release();
  const other = watch(pool.acquire(entry('b'), patient()));
  await settle();
  assert.equal(other.lease(), null);
  reading.release();
  await settle();
  assert.ok(other.lease());
  other.release();
  await pool.stop(0);
});

test('a model that only makes embeddings is not loaded to generate', async () => {
  const { pool, engines } = poolHarness();
  const embed = entry('embed');
  await assert.rejects(pool.acquire(embed, patient()), { code: 'model_not_generative' });
  assert.equal(engines.starts.length, 0);
  (await pool.acquire(embed, patient({ need: 'model' }))).release();
  await assert.rejects(pool.acquire(embed, patient()), { code: 'model_not_generative' });
  await pool.stop(0);
});

test('whether a model is used is told when that changes, also by the loss of its engine', async () => {
  const told: string[] = [];
  const onActivity = ({ id }: { id: string }, active: boolean) => told.push(`${id} ${active}`);
  const { pool, engines } = poolHarness({ settings: { nSlots: 2 }, deps: { onActivity } });
  const leases: Lease[] = [];
  for (let count = 0; count < 2; count += 1) leases.push(await pool.acquire(a, patient()));
  for (const lease of leases) lease.release();
  assert.deepEqual(told, ['a true', 'a false']);
  const lost = await pool.acquire(a, patient());
  engines.last.engine.crash();
  await settle();
  lost.release();
  assert.deepEqual(told, ['a true', 'a false', 'a true', 'a false']);
  await pool.stop(0);
});

test('a lease gets further slots as far as they are free, and they are free again afterwards', async () => {
  const { pool } = poolHarness({ settings: { nSlots: 4 } });
  const lease = await pool.acquire(a, patient());
  const other = await pool.acquire(a, patient());
  const extra = lease.more(7);
  assert.equal(extra.length, 2);
  assert.equal(other.more(1).length, 0);
  assert.equal(pool.status().residents[0]?.active, 2, 'requests, not slots');
  assert.equal(extra[0]?.isWanted(), false);
  const third = watch(pool.acquire(a, patient()));
  await settle();
  assert.equal(third.lease(), null);
  assert.equal(extra[0]?.isWanted(), true);
  extra[0]?.release();
  extra[0]?.release();
  await settle();
  assert.notEqual(third.lease(), null);
  const fourth = watch(pool.acquire(a, patient()));
  await settle();
  assert.equal(fourth.lease(), null, 'released twice, it is free once');
  for (const one of [...extra, lease, other]) one.release();
  await settle();
  for (const one of [third, fourth]) one.release();
  const next = await pool.acquire(a, patient());
  assert.equal(next.more(7).length, 3);
  await pool.stop(0);
});

test('a lease gets no further slot while somebody waits, for whatever', async () => {
  const { pool } = poolHarness({ settings: { nSlots: 2, maxLoadedModels: 1 } });
  const lease = await pool.acquire(a, patient());
  const waiting = watch(pool.acquire(entry('b'), patient()));
  await settle();
  assert.deepEqual([lease.more(1).length, waiting.lease()], [0, null]);
  lease.release();
  await settle();
  waiting.release();
  await pool.stop(0);
});

test('nor does one that has no slot itself, or is over', async () => {
  const { pool } = poolHarness({ settings: { nSlots: 2 } });
  const reader = await pool.acquire(a, patient({ need: 'model' }));
  assert.equal(reader.more(1).length, 0);
  reader.release();
  const lease = await pool.acquire(a, patient());
  lease.release();
  assert.equal(lease.more(1).length, 0);
  await pool.stop(0);
});
