import assert from 'node:assert/strict';
import { ChildProcess } from 'node:child_process';
import { test } from 'node:test';
import type { Engine, EngineCompletion } from '../../src/engine/engine.js';
import { entryBeside } from '../../src/engine/fork.js';
import { startEngineProcess } from '../../src/engine/process.js';
import { engineOptions, request } from '../helpers/engine-options.js';
import { recordingLog } from '../helpers/recording-log.js';

const entry = entryBeside(import.meta.url, '../helpers/fake-host');
const library = { path: '/lib/libllama.so', preload: [], unknownSymbols: [], allowUnknown: false };

function start(modelPath: string, changes: Partial<Parameters<typeof startEngineProcess>[0]> = {}) {
  const log = recordingLog();
  const engine = startEngineProcess({
    library,
    options: engineOptions({ modelPath, slots: 2 }),
    env: process.env,
    log,
    entry,
    // Both far beyond what a busy machine takes.
    closeGraceMs: 60_000,
    signal: AbortSignal.timeout(120_000),
    ...changes,
  });
  return { engine, log };
}

/** Whether a process is still there (a zombie is not). */
function alive(pid: number | null): boolean {
  try {
    return pid !== null && process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function textOf(completion: EngineCompletion): Promise<string> {
  const bytes: number[] = [];
  for await (const batch of completion) bytes.push(...batch.bytes);
  return Buffer.from(bytes).toString();
}

test('an engine process works like an engine in this process, and is gone after close', async () => {
  const progress: number[] = [];
  const { engine: starting, log } = start('good', { onProgress: (part) => progress.push(part) });
  const engine = await starting;
  assert.deepEqual(progress, [0.5]);
  assert.ok(engine.pid !== null && engine.pid !== process.pid);
  const answers = await Promise.all([
    textOf(engine.start(request('星影'))),
    textOf(engine.start(request('hello'))),
  ]);
  assert.deepEqual(answers, ['星影', 'hello']);
  const tokens = await engine.tokenize([{ text: 'ab', special: true }], false);
  assert.deepEqual([...tokens], [97, 98]);
  assert.deepEqual([...(await engine.detokenize(tokens))], [97, 98]);
  await assert.rejects(engine.detokenize(Int32Array.of(-1)), { code: 'invalid_argument' });
  assert.equal((await engine.slots()).length, 2);
  assert.ok(log.records.some((line) => line.message === 'loading good'));
  await engine.close();
  assert.deepEqual(await engine.exited, {
    expected: true,
    cause: 'closed',
    detail: 'ended with exit code 0',
  });
  assert.equal(alive(engine.pid), false);
  assert.ok(!log.records.some((line) => line.level === 'error'));
});

test('the engine survives the signals that Ctrl-C, a closed terminal and a service manager send to the group', async () => {
  const engine = await start('good').engine;
  assert.ok(engine.pid !== null);
  process.kill(engine.pid, 'SIGINT');
  process.kill(engine.pid, 'SIGTERM');
  process.kill(engine.pid, 'SIGHUP');
  assert.equal(await textOf(engine.start(request('still here'))), 'still here');
  await engine.close();
});

test('kill -9 gives running completions and waiting calls engine_crashed', async () => {
  const { engine: starting, log } = start('stalled');
  const engine = await starting;
  const running = engine.start(request('abc'));
  assert.ok(engine.pid !== null);
  process.kill(engine.pid, 'SIGSTOP');
  const call = engine.slots();
  process.kill(engine.pid, 'SIGKILL');
  await assert.rejects(running.result, { code: 'engine_crashed' });
  await assert.rejects(call, { code: 'engine_crashed' });
  assert.deepEqual(await engine.exited, {
    expected: false,
    cause: 'crash',
    detail: 'ended by SIGKILL',
  });
  await assert.rejects(engine.start(request('a')).result, { code: 'engine_crashed' });
  await assert.rejects(engine.tokenize([], false), { code: 'engine_crashed' });
  await engine.close();
  assert.ok(log.records.some((line) => line.level === 'error' && line.message.includes('SIGKILL')));
});

test('tokens that were sent before a crash are still read', async () => {
  const engine = await start('crash-on-step').engine;
  const completion = engine.start(request('abcdef'));
  const seen: number[] = [];
  await assert.rejects(
    async () => {
      for await (const batch of completion) seen.push(...batch.bytes);
    },
    { code: 'engine_crashed' },
  );
  assert.ok(Buffer.from(seen).toString().startsWith('abc'));
});

test('a crash while loading rejects with model_load_failed and logs the last lines', async () => {
  const { engine, log } = start('crash-on-load');
  await assert.rejects(engine, { code: 'model_load_failed' });
  const crash = log.records.find((line) => line.level === 'error');
  assert.match(crash?.message ?? '', /SIGABRT/);
  assert.match(JSON.stringify(crash?.fields), /GGML_ASSERT\(scripted\)/);
});

test('what the library refuses to load rejects with its code, and the process is gone', async () => {
  const { engine, log } = start('fail-on-load');
  await assert.rejects(engine, { code: 'model_load_failed' });
  assert.ok(!log.records.some((line) => line.level === 'error'));
});

test('a load that hangs is ended by its signal', async () => {
  const abort = new AbortController();
  const { engine } = start('hang-on-load', {
    signal: abort.signal,
    onProgress: () => abort.abort(),
  });
  await assert.rejects(engine, { code: 'cancelled' });
});

test('an engine that does not end in time is killed', async () => {
  const { engine: starting, log } = start('stalled', { closeGraceMs: 50 });
  const engine = await starting;
  assert.ok(engine.pid !== null);
  process.kill(engine.pid, 'SIGSTOP');
  await engine.close();
  assert.equal((await engine.exited).detail, 'ended by SIGKILL');
  assert.ok(log.records.some((line) => line.level === 'warn'));
});

/** Long enough for an engine to start in, on a machine as busy as it is now: its start is watched too. */
async function hangLimit(): Promise<{ readonly hangLimitMs: number }> {
  const begun = performance.now();
  const engine = await start('good').engine;
  const took = performance.now() - begun;
  await engine.close();
  return { hangLimitMs: Math.max(3000, Math.ceil(took * 6)) };
}

const nowhere = '/nonexistent/state';

/** What an engine can be in the middle of when it stops, by what is watched for itself. */
const phases: readonly ((engine: Engine) => readonly Promise<unknown>[])[] = [
  (engine) => {
    const cancelled = engine.start(request('abc'));
    cancelled.cancel();
    return [engine.start(request('abc')).result, cancelled.result];
  },
  (engine) => [
    engine.tokenize([{ text: 'a', special: false }], false),
    engine.saveState(0, nowhere),
    engine.restoreState(nowhere),
  ],
  (engine) => [engine.embed([Int32Array.of(1)])],
];

test('an engine that is stopped in whatever it does is killed, and its work ends with engine_hung', async () => {
  const engines: Engine[] = [];
  const limits = await hangLimit();
  // One after the other: starting takes all of a small machine.
  for (const _ of phases) engines.push(await start('good', limits).engine);
  await Promise.all(
    phases.map(async (begin, index) => {
      const engine = engines[index];
      assert.ok(engine && 'pid' in engine);
      process.kill(Number(engine.pid), 'SIGSTOP');
      const hung = begin(engine).map((work) => assert.rejects(work, { code: 'engine_hung' }));
      await Promise.all(hung);
      assert.deepEqual(await engine.exited, {
        expected: false,
        cause: 'hang',
        detail: 'ended by SIGKILL',
      });
    }),
  );
});

test('so is one that does nothing though it could, in a load or in a completion', async () => {
  const limits = await hangLimit();
  const stalled = await start('stalled', limits).engine;
  const { engine: loading, log } = start('hang-on-load', limits);
  await Promise.all([
    assert.rejects(loading, { code: 'engine_hung' }),
    assert.rejects(stalled.start(request('abc')).result, { code: 'engine_hung' }),
  ]);
  assert.ok(log.records.some((line) => line.level === 'error' && /progress/.test(line.message)));
});

test('an engine that gets on, however slowly, is left alone', async () => {
  const engine = await start('slow', await hangLimit()).engine;
  // It makes no token for longer than the limit.
  assert.equal(await textOf(engine.start(request('late'))), 'late');
  assert.ok(engine.memoryBytes !== null && engine.memoryBytes > 2 ** 20);
  await engine.close();
});

test('an engine says with its readiness how much memory its process holds', async () => {
  const engine = await start('fine').engine;
  assert.ok(engine.memoryBytes !== null && engine.memoryBytes > 2 ** 20);
  await engine.close();
});

test('what fails for want of memory says so: in a load, by a crash, by its last words', async () => {
  await assert.rejects(start('no-memory-on-load').engine, { code: 'engine_out_of_memory' });
  const engine = await start('no-memory-on-step').engine;
  await assert.rejects(engine.start(request('abcdef')).result, { code: 'engine_out_of_memory' });
  assert.equal((await engine.exited).cause, 'memory');
});

test('nobody waits for ever for an engine that the kernel does not let go', async (t) => {
  const pids: number[] = [];
  t.after(() => {
    for (const pid of pids.filter(alive)) process.kill(pid, 'SIGKILL');
  });
  const shared = { killGraceMs: 100, closeGraceMs: 100, onSpawn: (pid: number) => pids.push(pid) };
  const engine = await start('stalled', shared).engine;
  const running = engine.start(request('abc'));
  // As for a process within a driver that does not come back.
  t.mock.method(ChildProcess.prototype, 'kill', () => true);
  process.kill(Number(engine.pid), 'SIGSTOP');
  await engine.close();
  await assert.rejects(running.result, { code: 'shutting_down' });
  const abort = new AbortController();
  const { engine: loading, log } = start('hang-on-load', {
    ...shared,
    signal: abort.signal,
    onProgress: () => abort.abort(),
  });
  await assert.rejects(loading, { code: 'cancelled' });
  assert.ok(log.records.some((line) => /left behind/.test(line.message)));
});

test('cancel reaches the engine process', async () => {
  const engine = await start('stalled').engine;
  const completion = engine.start(request('abc'));
  completion.cancel();
  assert.equal((await completion.result).reason, 'cancelled');
  await engine.close();
});
