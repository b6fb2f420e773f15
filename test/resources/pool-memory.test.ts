import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineOptions } from '../../src/engine/engine.js';
import type { MemoryNeed } from '../../src/engine/memory-need.js';
import { HoshikageError } from '../../src/errors.js';
import type { PlanEngine } from '../../src/memory/use.js';
import type { PoolSettings } from '../../src/resources/pool-deps.js';
import { mockTime, patient, poolHarness, settle, watch } from '../helpers/pool-harness.js';
import { entry } from '../helpers/pool-settings.js';

/** A model that takes so many bytes, told by its name: `b-60`. */
const sized = (name: string, bytes: number) => entry(`${name}-${bytes}`);
const sizeOf = (path: string): number => Number(/-(\d+)\./.exec(path)?.[1]);

function need(privateBytes: number): MemoryNeed {
  const none = {
    outputBytes: 0,
    outputCopyBytes: 0,
    inputBytes: 0,
    computeBytes: 0,
    hostBytes: 0,
    deviceBytes: 0,
  };
  return { ...none, layerBytes: [], expertBytes: [], kvBytesPerLayer: [], privateBytes };
}

/** A machine of 100 bytes, of which engines take what their models' names say. */
function machine(settings: Partial<PoolSettings> = {}, busyBytes = 0) {
  const asked: { readonly id: string; readonly freed: number; readonly only?: 'ask' }[] = [];
  const plan: PlanEngine = async (
    model,
    options,
    { freedBytes: freed },
    only,
  ): Promise<EngineOptions> => {
    asked.push({ id: model.id, freed, ...(only && { only }) });
    const bytes = sizeOf(options.modelPath);
    const alive = set.engines.starts.filter(({ engine }) => !set.gone.has(engine.pid));
    const taken = alive.reduce((sum, { path }) => sum + sizeOf(path), busyBytes);
    if (taken + bytes - freed > 100) throw new HoshikageError('memory_short', { model: model.id });
    return { ...options, memory: need(bytes) };
  };
  const gone = new Set<number>();
  const harness = poolHarness({ settings, deps: { plan } });
  const start = harness.engines.start;
  const set = { ...harness, gone, asked, start };
  return set;
}

/** Keeps `gone` true: an engine's memory is free when it has ended. */
function endWith(set: ReturnType<typeof machine>): { finish(): void } {
  const { engine } = set.engines.last;
  let finish = (): void => {};
  engine.closing = new Promise((resolve) => {
    finish = resolve;
  });
  void engine.exited.then(() => set.gone.add(engine.pid));
  return { finish };
}

test('where both fit, the new model loads while the old one ends', async () => {
  const set = machine();
  (await set.pool.acquire(sized('a', 40), patient())).release();
  const old = endWith(set);
  const lease = await set.pool.acquire(sized('b', 50), patient());
  assert.equal(set.engines.mostAlive, 2);
  assert.deepEqual(
    set.pool.status().residents.map(({ id, state }) => [id, state]),
    [
      ['b-50', 'ready'],
      ['a-40', 'unloading'],
    ],
  );
  old.finish();
  await settle();
  lease.release();
  assert.equal(set.pool.status().residents.length, 1);
  endWith(set).finish();
  await set.pool.stop(0);
});

test('where they do not, the old one is gone before the new one loads', async () => {
  const set = machine();
  (await set.pool.acquire(sized('a', 60), patient())).release();
  const old = endWith(set);
  const waiting = watch(set.pool.acquire(sized('b', 50), patient()));
  await settle();
  assert.equal(set.engines.starts.length, 1);
  assert.equal(set.pool.waitOf(patient().signal), null);
  old.finish();
  await settle();
  assert.ok(waiting.lease());
  assert.equal(set.engines.mostAlive, 1);
  // Before the old one went, whether that would help; and right before the load, what there really is.
  assert.deepEqual(
    set.asked.filter(({ id }) => id === 'b-50').map(({ freed, only }) => [freed, only]),
    [
      [60, undefined],
      [0, 'ask'],
      [0, undefined],
    ],
  );
  waiting.release();
  endWith(set).finish();
  await set.pool.stop(0);
});

test('whose copies are of no use any more is said by the files of those that go', async () => {
  const told: (readonly string[] | undefined)[] = [];
  const plan: PlanEngine = async (_, options, { sources }) => {
    told.push(sources);
    return options;
  };
  const stage = async (source: string) => `/copy${source}`;
  const { pool } = poolHarness({ deps: { plan, stage } });
  (await pool.acquire(entry('a'), patient())).release();
  (await pool.acquire(entry('b'), patient())).release();
  assert.deepEqual(told.slice(0, 2), [[], [entry('a').path]]);
  await pool.stop(0);
});

test('a model that cannot fit at all is refused, and costs no other its place', async () => {
  const set = machine();
  (await set.pool.acquire(sized('a', 60), patient())).release();
  await assert.rejects(set.pool.acquire(sized('b', 500), patient()), { code: 'memory_short' });
  assert.equal(set.pool.status().residents[0]?.state, 'ready');
  assert.equal(set.engines.starts.length, 1);
  endWith(set).finish();
  await set.pool.stop(0);
});

test('besides its own place, others go for a model that needs their memory, idle ones first', async () => {
  const set = machine({ maxLoadedModels: 3 });
  const used = await set.pool.acquire(sized('a', 30), patient());
  endWith(set).finish();
  (await set.pool.acquire(sized('b', 30), patient())).release();
  endWith(set).finish();
  (await set.pool.acquire(sized('c', 30), patient())).release();
  endWith(set).finish();
  const lease = await set.pool.acquire(sized('d', 40), patient());
  assert.deepEqual(
    set.pool
      .status()
      .residents.map(({ id }) => id)
      .sort(),
    ['a-30', 'c-30', 'd-40'],
  );
  const large = watch(set.pool.acquire(sized('e', 90), patient()));
  await settle();
  assert.equal(large.code(), null);
  lease.release();
  endWith(set).finish();
  await settle();
  assert.equal(large.lease(), null);
  used.release();
  await settle();
  assert.deepEqual(
    set.pool.status().residents.map(({ id }) => id),
    ['e-90'],
  );
  endWith(set).finish();
  large.release();
  await set.pool.stop(0);
});

test('memory that somebody else took meanwhile fails the load in its own words', async () => {
  let free = true;
  const plan: PlanEngine = async (model, options) => {
    if (!free) throw new HoshikageError('memory_short', { model: model.id });
    return options;
  };
  const { pool, engines } = poolHarness({ deps: { plan } });
  (await pool.acquire(sized('a', 1), patient())).release();
  let finish = (): void => {};
  engines.last.engine.closing = new Promise((resolve) => {
    finish = resolve;
  });
  const unloading = pool.unload();
  const waiting = watch(pool.acquire(sized('a', 1), patient()));
  await settle();
  free = false;
  finish();
  await unloading;
  await settle();
  assert.equal(waiting.code(), 'memory_short');
  assert.deepEqual(pool.status().residents, []);
});

test('a file that never answers fails its own requests after a minute, and holds up no others for longer', async (t) => {
  const time = mockTime(t);
  const { pool } = poolHarness({
    deps: {
      locate: (model) => (model.id === 'stuck' ? new Promise(() => {}) : Promise.resolve('/m')),
    },
  });
  (await pool.acquire(entry('a'), patient())).release();
  const stuck = watch(pool.acquire(entry('stuck'), patient()));
  await settle();
  await time.pass(59_999);
  assert.equal(stuck.code(), null);
  await time.pass(1);
  assert.equal(stuck.code(), 'model_load_failed');
  const lease = await pool.acquire(entry('a'), patient());
  assert.equal(lease.loadMs, 0);
  lease.release();
  await pool.stop(0);
});

test('others that are used and left all the time keep no model from being looked at', async () => {
  const asked: (() => void)[] = [];
  const plan: PlanEngine = async (model, options) => {
    if (model.id === 'b') await new Promise<void>((resolve) => asked.push(resolve));
    return options;
  };
  const { pool } = poolHarness({ settings: { maxLoadedModels: 2 }, deps: { plan } });
  const short = () => pool.acquire(entry('embed'), patient({ need: 'model' }));
  (await short()).release();
  (await pool.acquire(entry('a'), patient())).release();
  const waiting = watch(pool.acquire(entry('b'), patient()));
  await settle();
  // While its memory is looked at, a short request of another model begins, and one has ended.
  const during = await short();
  asked.shift()?.();
  await settle();
  assert.ok(waiting.lease());
  assert.equal(asked.length, 0);
  during.release();
  waiting.release();
  await pool.stop(0);
});

test('one that was to go and is in use meanwhile is not waited for where another may go', async () => {
  const asked: (() => void)[] = [];
  const plan: PlanEngine = async (model, options) => {
    if (model.id === 'c') await new Promise<void>((resolve) => asked.push(resolve));
    return options;
  };
  const { pool } = poolHarness({ settings: { maxLoadedModels: 2 }, deps: { plan } });
  for (const id of ['a', 'b']) (await pool.acquire(entry(id), patient())).release();
  const waiting = watch(pool.acquire(entry('c'), patient()));
  await settle();
  const used = await pool.acquire(entry('a'), patient());
  for (let round = 0; round < 4; round += 1) {
    asked.shift()?.();
    await settle();
  }
  assert.ok(waiting.lease());
  assert.deepEqual(
    pool
      .status()
      .residents.map(({ id }) => id)
      .sort(),
    ['a', 'c'],
  );
  for (const one of [used, waiting]) one.release();
  await pool.stop(0);
});

test('neither an unload nor the end of the server waits for a file that stops answering', async (t) => {
  const time = mockTime(t);
  let isStuck = false;
  const stage = (source: string): Promise<string> =>
    isStuck ? new Promise(() => {}) : Promise.resolve(source);
  const { pool } = poolHarness({ deps: { stage } });
  (await pool.acquire(entry('a'), patient())).release();
  isStuck = true;
  const stuck = watch(pool.acquire(entry('stuck'), patient()));
  await settle();
  const unloading = pool.unload();
  await settle();
  assert.deepEqual(await unloading, ['stuck']);
  await time.pass(60_000);
  assert.equal(stuck.code(), 'model_load_failed');
  void watch(pool.acquire(entry('stuck'), patient()));
  await settle();
  assert.equal(pool.status().residents[0]?.state, 'loading');
  await pool.stop(0);
  assert.deepEqual(pool.status().residents, []);
});
