/** Saved conversations give way to a model that would otherwise be refused, and only then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { planWithSpare } from '../../src/memory/spare.js';
import type { PlanEngine } from '../../src/memory/use.js';
import { NO_MEMORY } from '../../src/memory/use.js';
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
  const giveBack = async (bytes: number): Promise<number> => {
    given.push(bytes);
    return Math.min(bytes, spareBytes);
  };
  const spareFor = (): number => spareBytes;
  return { plan: planWithSpare(plan, [{ spareFor, giveBack }]), given };
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

test('nothing goes yet where others go first: then it is asked again', async () => {
  const { plan, given } = planFor(150);
  const freed = { ...NO_MEMORY, sources: ['/old.gguf'] };
  assert.equal((await plan(entry('m'), options, freed)).gpuLayers, 7);
  assert.deepEqual(given, []);
});

test('who comes first gives first, and who comes later only the rest', async () => {
  const asked: string[] = [];
  const spare = (name: string, bytes: number) => ({
    spareFor: (source: string, leaving: readonly string[]): number => {
      asked.push(`${name} for ${source} after ${leaving}`);
      return bytes;
    },
    giveBack: async (wanted: number, source: string): Promise<number> => {
      asked.push(`${wanted} of ${name} for ${source}`);
      return Math.min(wanted, bytes);
    },
  });
  const needy: PlanEngine = async (_, wanted, { freedBytes }) => {
    if (freedBytes >= 50) return wanted;
    throw new HoshikageError('memory_short', { needed_bytes: 150, free_bytes: 100 });
  };
  const plan = planWithSpare(needy, [spare('copies', 30), spare('states', 80), spare('more', 9)]);
  await plan(entry('m'), options, NO_MEMORY);
  assert.deepEqual(asked, [
    'copies for /m.gguf after ',
    'states for /m.gguf after ',
    'more for /m.gguf after ',
    '50 of copies for /m.gguf',
    '20 of states for /m.gguf',
  ]);
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
  const asked = (): never => {
    throw new Error('asked');
  };
  const spare = { spareFor: () => 1e9, giveBack: asked };
  const plan = planWithSpare(() => Promise.reject(failure), [spare]);
  await assert.rejects(plan(entry('m'), options, NO_MEMORY), failure);
});

test('none goes for a mere question', async () => {
  const { plan, given } = planFor(120);
  await assert.rejects(plan(entry('m'), options, NO_MEMORY, 'ask'), { code: 'memory_short' });
  assert.deepEqual(given, []);
});
