import assert from 'node:assert/strict';
import { test } from 'node:test';
import { patient, poolHarness } from '../helpers/pool-harness.js';
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
