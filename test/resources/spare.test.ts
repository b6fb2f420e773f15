/** Saved conversations give way to a model that would otherwise be refused, and only then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { NO_MEMORY } from '../../src/resources/memory.js';
import type { PlanEngine } from '../../src/resources/pool-deps.js';
import { planWithSpare } from '../../src/resources/spare.js';
import { engineOptions } from '../helpers/engine-options.js';
import { entry } from '../helpers/pool-settings.js';

const FREE = 100;
const options = engineOptions({ modelPath: '/m.gguf' });

/** A plan for a model that needs so much, and what was given back for it. */
function planFor(needed: number, { spareBytes = 50, counts = true } = {}) {
  const given: number[] = [];
  const plan: PlanEngine = async (model, wanted, freed) => {
    const free = FREE + (counts ? freed.freedBytes : 0);
    if (needed <= free) return { ...wanted, gpuLayers: 7 };
    const details = { model: model.id, needed_bytes: needed, free_bytes: free };
    throw new HoshikageError('memory_short', details);
  };
  const giveBack = async (bytes: number): Promise<void> => void given.push(bytes);
  return { plan: planWithSpare(plan, { spareBytes, giveBack }), given };
}

test('a model that fits costs no saved conversation', async () => {
  const { plan, given } = planFor(100);
  assert.equal((await plan(entry('m'), options, NO_MEMORY)).gpuLayers, 7);
  assert.deepEqual(given, []);
});

test('one that fits without them gets what it lacks, beside what a leaving model gives', async () => {
  const { plan, given } = planFor(150);
  const freed = { ...NO_MEMORY, freedBytes: 20 };
  assert.equal((await plan(entry('m'), options, freed)).gpuLayers, 7);
  assert.deepEqual(given, [30]);
});

test('none goes where that would not be enough, or where it is not main memory that is short', async () => {
  for (const one of [
    planFor(151),
    planFor(120, { counts: false }),
    planFor(101, { spareBytes: 0 }),
  ]) {
    await assert.rejects(one.plan(entry('m'), options, NO_MEMORY), { code: 'memory_short' });
    assert.deepEqual(one.given, []);
  }
});

test('another failure stays what it is', async () => {
  const failure = new HoshikageError('model_file_missing', { path: '/m.gguf' });
  const plan = planWithSpare(() => Promise.reject(failure), {
    spareBytes: 1e9,
    giveBack: () => Promise.reject(new Error('asked')),
  });
  await assert.rejects(plan(entry('m'), options, NO_MEMORY), failure);
});

test('none goes for a mere question', async () => {
  const { plan, given } = planFor(120);
  await assert.rejects(plan(entry('m'), options, NO_MEMORY, 'ask'), { code: 'memory_short' });
  assert.deepEqual(given, []);
});
