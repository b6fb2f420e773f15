import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { patient, poolHarness, settle, watch } from '../helpers/pool-harness.js';
import { entry } from '../helpers/pool-settings.js';

const a = entry('a');
const b = entry('b');
const c = entry('c');

test('a model whose file is broken does not cost the one that works', async () => {
  const { pool, engines } = poolHarness({
    deps: {
      locate: async (model) => {
        if (model.id === 'b') throw new HoshikageError('model_file_missing', { path: model.path });
        return model.path;
      },
    },
  });
  (await pool.acquire(a, patient())).release();
  await assert.rejects(pool.acquire(b, patient()), { code: 'model_file_missing' });
  assert.equal(pool.status().residents[0]?.id, 'a');
  (await pool.acquire(a, patient())).release();
  assert.deepEqual(engines.paths, ['/models/a.gguf']);
  await pool.stop(0);
});

test('a request for another model waits for the running ones; the old engine ends before the new loads', async () => {
  const { pool, engines } = poolHarness({ settings: { nSlots: 2 } });
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
  const { pool } = poolHarness({ settings: { nSlots: 2, maxSkips: 0 } });
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
  const { pool, engines } = poolHarness({ settings: { nSlots: 2, maxSkips: 0 } });
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

test('an entry that now names another file or other settings is loaded anew', async () => {
  const { pool, engines } = poolHarness();
  (await pool.acquire(a, patient())).release();
  (await pool.acquire({ ...a, path: '/models/new.gguf' }, patient())).release();
  (
    await pool.acquire({ ...a, path: '/models/new.gguf', settings: { nCtx: 32 } }, patient())
  ).release();
  assert.deepEqual(engines.paths, ['/models/a.gguf', '/models/new.gguf', '/models/new.gguf']);
  await pool.stop(0);
});

test('when the one for another model leaves, those behind it go on at once', async () => {
  const { pool } = poolHarness({ settings: { nSlots: 2 } });
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

test('a load that everybody left is given up when another model is wanted', async () => {
  const { pool, engines } = poolHarness({ automatic: false });
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

test('requests for two models that come in turn cost one switch each way, not one each', async () => {
  const { pool, engines } = poolHarness();
  const served: string[] = [];
  await Promise.all(
    [a, b, a, b, a, b, a, b].map(async (model) => {
      const lease = await pool.acquire(model, patient());
      served.push(lease.entry.id);
      await settle();
      lease.release();
    }),
  );
  assert.equal(served.join(''), 'aaaabbbb');
  assert.deepEqual(engines.paths, [a.path, b.path]);
  await pool.stop(0);
});

test('but a request is overtaken MAX_SKIPS times at most', async () => {
  const { pool, engines } = poolHarness({ settings: { maxSkips: 2, nSlots: 2 } });
  const first = await pool.acquire(a, patient());
  const other = watch(pool.acquire(b, patient()));
  const later = [1, 2, 3].map(() => watch(pool.acquire(a, patient())));
  await settle();
  assert.deepEqual(
    later.map((one) => one.lease() !== null),
    [true, false, false],
  );
  later[0]?.release();
  await settle();
  later[1]?.release();
  await settle();
  // Twice is enough: the slot that is free now stays free.
  assert.equal(later[2]?.lease(), null);
  assert.equal(pool.status().residents[0]?.active, 1);
  first.release();
  await settle();
  assert.ok(other.lease());
  other.release();
  await settle();
  assert.ok(later[2]?.lease());
  assert.deepEqual(engines.paths, [a.path, b.path, a.path]);
  later[2]?.release();
  await pool.stop(0);
});

test('as many models stay as may; the one unused for longest goes for another', async () => {
  const { pool, engines, told } = poolHarness({ settings: { maxLoadedModels: 2 } });
  for (const model of [a, b, a, c]) (await pool.acquire(model, patient())).release();
  assert.deepEqual(
    pool.status().residents.map(({ id }) => id),
    ['c', 'a'],
  );
  const gone = told.find((event) => event.type === 'unload');
  assert.ok(gone?.type === 'unload');
  assert.deepEqual([gone.model, gone.reason], ['b', 'switch']);
  assert.equal(engines.mostAlive, 2);
  await pool.stop(0);
});

test('a model that is used does not go while another can', async () => {
  const { pool } = poolHarness({ settings: { maxLoadedModels: 2 } });
  const used = await pool.acquire(a, patient());
  (await pool.acquire(b, patient())).release();
  (await pool.acquire(c, patient())).release();
  assert.deepEqual(
    pool.status().residents.map(({ id }) => id),
    ['c', 'a'],
  );
  used.release();
  await pool.stop(0);
});

test('where all are used, the first that is free goes', async () => {
  const { pool } = poolHarness({ settings: { maxLoadedModels: 2 } });
  const first = await pool.acquire(a, patient());
  const second = await pool.acquire(b, patient());
  const third = watch(pool.acquire(c, patient()));
  await settle();
  assert.equal(third.lease(), null);
  second.release();
  await settle();
  assert.ok(third.lease());
  assert.deepEqual(
    pool
      .status()
      .residents.map(({ id }) => id)
      .sort(),
    ['a', 'c'],
  );
  third.release();
  first.release();
  await pool.stop(0);
});

test('embedding models have places of their own, and neither kind makes the other go', async () => {
  const { pool, engines } = poolHarness();
  const chat = await pool.acquire(a, patient());
  const embed = entry('embed');
  (await pool.acquire(embed, patient({ need: 'model' }))).release();
  assert.equal(engines.last.options.purpose, 'embed');
  const purposes = pool.status().residents.map(({ id, purpose }) => [id, purpose]);
  assert.deepEqual(purposes.sort(), [
    ['a', 'generate'],
    ['embed', 'embed'],
  ]);
  (await pool.acquire(entry('embed-2'), patient({ need: 'model' }))).release();
  chat.release();
  (await pool.acquire(b, patient())).release();
  assert.deepEqual(
    pool
      .status()
      .residents.map(({ id }) => id)
      .sort(),
    ['b', 'embed-2'],
  );
  await pool.stop(0);
});

test('embeddings go on while a switch of the chat model is waited for, however many', async () => {
  const { pool } = poolHarness({ settings: { maxSkips: 1 } });
  const chat = await pool.acquire(a, patient());
  const waiting = watch(pool.acquire(b, patient()));
  for (let round = 0; round < 5; round += 1) {
    (await pool.acquire(entry('embed'), patient({ need: 'model' }))).release();
  }
  assert.equal(waiting.lease(), null);
  chat.release();
  await settle();
  assert.ok(waiting.lease());
  waiting.release();
  await pool.stop(0);
});
