/** With how many slots a model is fastest: remembered by the files of model and library. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { EngineOptions } from '../../src/engine/engine.js';
import type { SlotChoice } from '../../src/engine/slot-count.js';
import { SlotCounts } from '../../src/library/slot-counts.js';
import { engineOptions } from '../helpers/engine-options.js';
import { recordingLog } from '../helpers/recording-log.js';

const CONDITIONS = '{"gpuLayers":0}';
let root = '';
let modelPath = '';
let libraryPath = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'hoshikage-counts-'));
  modelPath = join(root, 'model.gguf');
  libraryPath = join(root, 'lib', 'libllama.so');
  mkdirSync(join(root, 'lib'));
  for (const file of [modelPath, libraryPath]) writeFileSync(file, file);
});
afterEach(() => rmSync(root, { recursive: true }));

/** Starts an engine that measures `best` where it is told nothing; gives what it was told. */
async function start(
  changes: Partial<EngineOptions> = {},
  best = 4,
  cacheDir = join(root, 'cache'),
) {
  const log = recordingLog();
  const counts = new SlotCounts({ cacheDir, env: {}, log });
  const given: EngineOptions[] = [];
  const options = engineOptions({ modelPath, slots: 'auto', ...changes });
  const engine = await counts.start(libraryPath, options, async (told) => {
    given.push(told);
    const { knownSlots } = told;
    const slotChoice: SlotChoice = knownSlots
      ? { how: 'remembered', known: knownSlots }
      : { how: 'measured', known: { best, conditions: CONDITIONS } };
    return { info: { slotChoice } };
  });
  assert.equal(given.length, 1);
  return { told: given[0]?.knownSlots, engine, log };
}

test('what one engine has measured, the next is told', async () => {
  assert.equal((await start()).told, undefined);
  assert.deepEqual((await start()).told, { best: 4, conditions: CONDITIONS });
});

test('another model, another library or another cache is measured anew', async () => {
  await start();
  assert.equal((await start({ cacheTypeK: 'q8_0' })).told, undefined);
  assert.equal((await start({ flashAttention: 'off' })).told, undefined);
  utimesSync(modelPath, 1, 1);
  assert.equal((await start()).told, undefined);
  assert.ok((await start()).told);
  utimesSync(libraryPath, 1, 1);
  assert.equal((await start()).told, undefined);
});

test('a longer context or a copy on another disk is still the same model', async () => {
  await start();
  assert.ok((await start({ contextTokens: 1024 })).told);
  const copy = join(root, 'copy.gguf');
  writeFileSync(copy, 'a copy');
  assert.ok((await start({ modelPath: copy, sourcePath: modelPath })).told);
});

test('a number of slots that is given, and a model for embeddings, are only started', async () => {
  await start();
  assert.equal((await start({ slots: 2 })).told, undefined);
  assert.equal((await start({ purpose: 'embed' })).told, undefined);
});

test('a cache that cannot be written costs a warning, not the engine', async () => {
  const { engine, log } = await start({}, 4, join(modelPath, 'cache'));
  assert.equal(engine.info.slotChoice.how, 'measured');
  assert.match(log.records[0]?.message ?? '', /cannot be remembered/);
});
