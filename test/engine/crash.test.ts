/** An engine process whose libllama gives up: told once, with its words, and never used again. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Engine, EngineOptions } from '../../src/engine/engine.js';
import { startEngineProcess } from '../../src/engine/process.js';
import { silentLog } from '../../src/log.js';
import { engineOptions, request } from '../helpers/engine-options.js';
import { until, within } from '../helpers/waiting.js';
import { ASSERT, buildFake, type Cell, FakeControl, skipReason } from '../native/fake.js';
import { modelFile } from '../native/rig.js';

/** An engine process over the fake library. */
async function open(
  t: TestContext,
  changes: Partial<EngineOptions> = {},
  path = buildFake(),
  cells: Partial<Record<Cell, number>> = {},
): Promise<{ engine: Engine; control: FakeControl }> {
  const control = new FakeControl();
  t.after(() => control.close());
  for (const [cell, value] of Object.entries(cells)) control.set(cell as Cell, value); // its keys
  const engine = await startEngineProcess({
    library: { path, preload: [], unknownSymbols: [], allowUnknown: false },
    options: engineOptions({ modelPath: modelFile(control), contextTokens: 256, ...changes }),
    env: { ...process.env, HK_FAKE_CONTROL: control.path },
    log: silentLog,
    signal: AbortSignal.timeout(120_000),
  });
  t.after(() => engine.close());
  return { engine, control };
}

/** The error is of the crash and has the library's words. */
function crashed(error: unknown): boolean {
  assert.ok(error instanceof Error && 'code' in error);
  assert.equal(error.code, 'engine_crashed');
  assert.match(String(error.cause), /gave up: .*GGML_ASSERT/);
  return true;
}

const endOf = (engine: Engine) => within(engine.exited, 60_000, 'end of the engine');

describe('an engine process whose libllama gives up', { skip: skipReason }, () => {
  it('while an embedding context is made ends, and tells its words', async (t) => {
    const { engine, control } = await open(t);
    control.set('contextFail', ASSERT);
    await assert.rejects(engine.embed([Int32Array.of(3, 5)]), crashed);
    assert.deepEqual(await endOf(engine), {
      expected: false,
      cause: 'crash',
      detail: 'ended with exit code 70',
    });
    await assert.rejects(engine.embed([Int32Array.of(3, 5)]), crashed);
  });

  it('while a model is loaded fails the load with its words', async (t) => {
    const opening = open(t, {}, undefined, { loadFail: ASSERT });
    await assert.rejects(opening, (error: Error) => {
      assert.ok('code' in error && error.code === 'model_load_failed');
      const lost = error.cause;
      assert.ok(lost instanceof Error && 'code' in lost && lost.code === 'engine_crashed');
      return /gave up: .*GGML_ASSERT/.test(String(lost.cause));
    });
  });

  it('while a cache is shortened ends too', async (t) => {
    const { engine, control } = await open(t);
    await engine.start(request('hello w')).result;
    control.set('trimFail', ASSERT);
    await assert.rejects(engine.start(request('hello x')).result, crashed);
    assert.equal((await endOf(engine)).detail, 'ended with exit code 70');
  });

  it('while a cancelled answer is taken back out of its cache ends all the same', async (t) => {
    const { engine, control } = await open(t);
    control.set('tokenSleepUs', 2000);
    const completion = engine.start(request('0'));
    for await (const { tokens } of completion) {
      if (tokens.length === 0) continue;
      control.set('trimFail', ASSERT);
      completion.cancel(0);
    }
    assert.equal((await completion.result).reason, 'cancelled');
    assert.equal((await endOf(engine)).detail, 'ended with exit code 70');
  });

  it('is known to be gone before any request that it fails ends', async (t) => {
    const { engine, control } = await open(t);
    control.set('failCode', ASSERT);
    control.set('failAt', 2);
    const order: string[] = [];
    const exited = engine.exited.then(() => order.push('exited'));
    const result = engine.start(request('0')).result.catch(() => order.push('failed'));
    await within(Promise.all([exited, result]), 60_000, 'the end');
    assert.deepEqual(order, ['exited', 'failed']);
  });
});

describe('an engine process that is closed', { skip: skipReason }, () => {
  it('in the middle of saving a state leaves no half-written file', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'hoshikage-closing-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const bytes = '(512u << 20)';
    const path = buildFake((source) => {
      const size =
        'return StateSize(context->sequences.at(static_cast<size_t>(id)).entries.size());';
      const data = /(EXPORT size_t llama_state_seq_get_data\([^{]*\{\s*context->CheckThread\(\);)/;
      assert.ok(source.includes(size) && data.test(source), 'the fake has these places');
      return source
        .replace(size, `return ${bytes};`)
        .replace(data, `$1 if (size == ${bytes}) return size;`);
    });
    const { engine } = await open(t, {}, path);
    await engine.start(request('abc')).result;
    const saving = engine.saveState(0, join(folder, 'state'));
    const refused = assert.rejects(saving, { code: 'closed' });
    await until('the file', async () => (await readdir(folder)).length > 0);
    await engine.close();
    await refused;
    assert.deepEqual(await readdir(folder), []);
  });
});
