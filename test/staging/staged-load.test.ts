import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { EngineOptions } from '../../src/engine/engine.js';
import { HoshikageError } from '../../src/errors.js';
import type { LoadFacts } from '../../src/staging/ramdisk-types.js';
import { loadStaged, type Stage, type Start } from '../../src/staging/staged-load.js';
import { engineOptions } from '../helpers/engine-options.js';
import { FakeEngine } from '../helpers/fake-engines.js';
import { MIB, writeModel } from '../helpers/ramdisk-files.js';
import { until } from '../helpers/waiting.js';

const root = mkdtempSync(join(tmpdir(), 'hoshikage-staged-'));
after(() => rmSync(root, { recursive: true }));
const source = writeModel(join(root, 'm.gguf'), MIB);
const copy = '/dev/shm/copy/m.gguf';
const options = engineOptions({ modelPath: source });

/** A RAM disk that says what was asked of it. */
function fakeStage(path: string) {
  const calls: string[] = [];
  const loads: LoadFacts[] = [];
  const stage: Stage = {
    measures: true,
    pathFor: async () => path,
    begin: (of) => void calls.push(`begin ${of}`),
    done: (of) => void calls.push(`done ${of}`),
    drop: async (of) => void calls.push(`drop ${of}`),
    loaded: (_, facts) => void loads.push(facts),
  };
  return { stage, calls, loads };
}

/** Engines by the file they are started with; what is an error is thrown. */
function starts(outcomes: Readonly<Record<string, HoshikageError>> = {}) {
  const started: EngineOptions[] = [];
  const engines: FakeEngine[] = [];
  const start: Start = async (given, onSpawn) => {
    started.push(given);
    onSpawn(process.pid);
    const failure = outcomes[given.modelPath];
    if (failure) throw failure;
    const engine = new FakeEngine(given, process.pid);
    engines.push(engine);
    return engine;
  };
  return { start, started, engines };
}

const signal = new AbortController().signal;
const broken = new HoshikageError('model_load_failed', { model: 'm' });

describe('a load by way of the RAM disk', () => {
  test('takes the file itself where there is no copy, and tells how it was read', async () => {
    const { stage, loads } = fakeStage(source);
    const { start, started } = starts();
    await loadStaged(stage, options, start, signal);
    assert.deepEqual(started, [options]);
    const [facts] = await until('the report', () => loads.length > 0 && loads);
    assert.equal(facts?.bytes, MIB);
    assert.equal(facts?.readBytes === null, process.platform !== 'linux');
  });

  test('takes the copy, and says which file it is of', async () => {
    const { stage, loads } = fakeStage(copy);
    const { start, started } = starts();
    await loadStaged(stage, options, start, signal);
    assert.deepEqual(started, [{ ...options, modelPath: copy, sourcePath: source }]);
    // Nothing was learnt about the file, and it needs no further copy.
    assert.deepEqual(loads, []);
  });

  test('takes a copy that was found before', async () => {
    const { stage } = fakeStage('not asked for');
    const { start, started } = starts();
    const staged = { ...options, modelPath: copy, sourcePath: source };
    await loadStaged(stage, staged, start, signal);
    assert.deepEqual(started, [staged]);
  });

  test('holds the copy until the engine has ended', async () => {
    const { stage, calls } = fakeStage(copy);
    const { start, engines } = starts();
    await loadStaged(stage, options, start, signal);
    assert.deepEqual(calls, [`begin ${source}`]);
    await engines[0]?.close();
    await until('the end', () => calls.length > 1);
    assert.deepEqual(calls, [`begin ${source}`, `done ${source}`]);
  });

  test('falls back to the file where the copy cannot be loaded, and drops it', async () => {
    const { stage, calls } = fakeStage(copy);
    const { start, started } = starts({ [copy]: broken });
    await loadStaged(stage, options, start, signal);
    assert.deepEqual(
      started.map(({ modelPath }) => modelPath),
      [copy, source],
    );
    assert.equal(started[1]?.sourcePath ?? source, source);
    assert.deepEqual(calls, [`begin ${source}`, `drop ${source}`]);
  });

  test('falls back to the file as well where the copy is no sound model any more', async () => {
    const { stage, calls } = fakeStage(copy);
    const unsound = new HoshikageError('model_file_invalid', { path: copy, reason: 'cut off' });
    const { start, started } = starts({ [copy]: unsound });
    await loadStaged(stage, options, start, signal);
    assert.deepEqual(
      started.map(({ modelPath }) => modelPath),
      [copy, source],
    );
    assert.deepEqual(calls, [`begin ${source}`, `drop ${source}`]);
  });

  test('does not try again what is not the fault of a file, or was given up', async () => {
    for (const [failure, given] of [
      [new HoshikageError('library_not_found', {}), signal],
      [broken, AbortSignal.abort()],
    ] as const) {
      const { stage, calls } = fakeStage(copy);
      const { start, started } = starts({ [copy]: failure });
      await assert.rejects(loadStaged(stage, options, start, given), failure);
      assert.equal(started.length, 1);
      assert.deepEqual(calls, [`begin ${source}`, `done ${source}`]);
    }
  });

  test('fails as the file does, and holds nothing then', async () => {
    const { stage, calls, loads } = fakeStage(source);
    const { start } = starts({ [source]: broken });
    await assert.rejects(loadStaged(stage, options, start, signal), broken);
    assert.deepEqual(calls, [`begin ${source}`, `done ${source}`]);
    assert.deepEqual(loads, []);
  });
});
