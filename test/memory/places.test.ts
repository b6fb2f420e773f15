import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EngineOptions } from '../../src/engine/engine.js';
import type { MemoryNeed } from '../../src/engine/memory-need.js';
import { HoshikageError } from '../../src/errors.js';
import { EventBus } from '../../src/events.js';
import type { PlanEngine } from '../../src/memory/use.js';
import { ModelPool } from '../../src/resources/pool.js';
import { FakeEngines } from '../helpers/fake-engines.js';
import { entry, poolSettings } from '../helpers/pool-settings.js';
import { recordingLog } from '../helpers/recording-log.js';

const patient = () => ({ signal: new AbortController().signal });

/** A need of one gigabyte of cache, of which devices hold `deviceBytes`. */
const needing = (deviceBytes: number): MemoryNeed => ({
  layerBytes: [0],
  expertBytes: [0],
  outputBytes: 0,
  outputCopyBytes: 0,
  inputBytes: 0,
  kvBytesPerLayer: [2 ** 30],
  computeBytes: 0,
  hostBytes: 0,
  privateBytes: 2 ** 30,
  deviceBytes,
});

function poolWith(plan: PlanEngine) {
  const engines = new FakeEngines();
  const pool = new ModelPool({
    settings: poolSettings,
    log: recordingLog(),
    startEngine: engines.start,
    locate: async ({ path }) => path,
    find: () => undefined,
    checkDraft: async () => {},
    stage: async (source) => source,
    purposeOf: async () => 'generate',
    plan,
    states: null,
    events: new EventBus(),
    onActivity: () => {},
  });
  return { pool, engines };
}

/** Loads `a`, then asks for `b` while the end of `a` takes its time; gives the starts until then. */
async function startsBesideTheEnd(
  memory: (options: EngineOptions) => MemoryNeed,
): Promise<string[]> {
  const { pool, engines } = poolWith(async (_, options) => ({
    ...options,
    memory: memory(options),
  }));
  (await pool.acquire(entry('a'), patient())).release();
  let end = (): void => {};
  const first = engines.starts[0]?.engine;
  assert.ok(first);
  first.closing = new Promise((resolve) => {
    end = resolve;
  });
  const second = pool.acquire(entry('b'), patient());
  for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
  const starts = [...engines.paths];
  assert.ok(first.closed);
  end();
  (await second).release();
  assert.deepEqual(engines.paths, ['/models/a.gguf', '/models/b.gguf']);
  await pool.stop(0);
  return starts;
}

describe('a model that takes the place of another', () => {
  test('is loaded while that one ends, where main memory has room for both', async () => {
    const starts = await startsBesideTheEnd(() => needing(0));
    assert.deepEqual(starts, ['/models/a.gguf', '/models/b.gguf']);
  });

  test('waits for its end where it needs a device, whose free memory nobody knows', async () => {
    const starts = await startsBesideTheEnd(() => needing(2 ** 30));
    assert.deepEqual(starts, ['/models/a.gguf']);
  });

  test('is told how much that one gives back', async () => {
    const freed: number[] = [];
    const { pool } = poolWith(async (_, options, { freedBytes }) => {
      freed.push(freedBytes);
      return { ...options, memory: needing(1) };
    });
    (await pool.acquire(entry('a'), patient())).release();
    (await pool.acquire(entry('b'), patient())).release();
    assert.ok(freed.includes(2 ** 30), String(freed));
    await pool.stop(0);
  });

  test('and that cannot fit even then costs it nothing', async () => {
    const { pool, engines } = poolWith(async ({ id }, options) => {
      if (id === 'b') throw new HoshikageError('memory_short', { model: id });
      return { ...options, memory: needing(0) };
    });
    (await pool.acquire(entry('a'), patient())).release();
    for (let round = 0; round < 4; round += 1) {
      await assert.rejects(pool.acquire(entry('b'), patient()), { code: 'memory_short' });
    }
    assert.equal(pool.status().residents[0]?.id, 'a');
    assert.deepEqual(pool.status().held, []);
    assert.equal(pool.status().residents[0]?.estimate?.kvBytes, 2 ** 30);
    assert.deepEqual(engines.paths, ['/models/a.gguf']);
    await pool.stop(0);
  });
});
