import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { fakeApp, renderer } from '../helpers/fake-app.js';
import { FakeEngine } from '../helpers/fake-engine.js';
import { entryNamed } from '../helpers/fake-pool.js';
import { until } from '../helpers/waiting.js';

after(() => renderer.close());

interface Status {
  readonly status: string;
  readonly version: string;
  readonly uptime_s: number;
  readonly library: Record<string, unknown>;
  readonly model: Record<string, unknown> | null;
  readonly residents: readonly Record<string, unknown>[];
  readonly queue: unknown;
  readonly held: unknown;
  readonly ramdisk: unknown;
  readonly states: unknown;
  readonly problem: { code: string } | null;
  readonly memory: { rss: number };
  readonly figures: {
    readonly requests: Record<string, number>;
    readonly streams: Record<string, number>;
    readonly tokens: Record<string, number>;
    readonly queue_wait: Counted;
    readonly first_token: Counted;
    readonly per_token: Counted;
  };
}

interface Counted {
  readonly count: number;
  readonly sum_ms: number;
  readonly max_ms: number;
  readonly le_ms: readonly number[];
  readonly counts: readonly number[];
}

async function statusOf(app: ReturnType<typeof fakeApp>): Promise<Status> {
  const response = await app.ask('/v1/status');
  assert.equal(response.status, 200);
  return (await response.json()) as Status; // each test says what must be in it
}

/** Running, with an open stream, cancelled. */
async function requestsOf(app: ReturnType<typeof fakeApp>): Promise<number[]> {
  const { requests, streams } = (await statusOf(app)).figures;
  return [requests.running ?? 0, streams.open ?? 0, requests.cancelled ?? 0];
}

describe('status', () => {
  it('says that all is well while no model is loaded', async () => {
    const status = await statusOf(fakeApp());
    assert.equal(status.status, 'ok');
    assert.equal(status.version, '1.2.3');
    assert.equal(status.model, null);
    assert.deepEqual(status.queue, { length: 0, limit: 64, oldest_wait_ms: 0, waiting: [] });
    assert.deepEqual([status.residents, status.held], [[], []]);
    assert.deepEqual([status.ramdisk, status.states], [null, null]);
    assert.equal(status.problem, null);
    assert.ok(status.uptime_s >= 0 && status.memory.rss > 0);
  });

  it('shows the resident model, its slots and its idle timer', async () => {
    const app = fakeApp();
    await app.pool.load(entryNamed('m'), { signal: new AbortController().signal });
    const { model } = await statusOf(app);
    assert.deepEqual(model, {
      id: 'm',
      state: 'ready',
      purpose: 'generate',
      progress: null,
      pid: 42,
      active: 0,
      idle_ms: 5,
      unload_in_ms: 1000,
      memory: 5000,
      memory_estimate: { weights: 600, kv: 200, compute: 100 },
      loaded_from: '/models/m.gguf',
      description: 'fake',
      library: new FakeEngine().info.library.path,
      size: 1000,
      context_length: 4096,
      slot_choice: null,
      slots: [{ id: 0, state: 'idle', cached_tokens: 0, prompt_tokens: 0, generated_tokens: 0 }],
      counters: {
        ...{ steps: 12, prompt_tokens: 0, cached_tokens: 0, shared_tokens: 0, generated_tokens: 9 },
        ...{
          stored_tokens: 0,
          drafted_tokens: 0,
          accepted_tokens: 0,
          rings: 0,
          longest_step_ms: 7,
        },
      },
    });
  });

  it('shows every model in memory, and as `model` the newest of those that generate', async () => {
    const app = fakeApp();
    const { signal } = new AbortController();
    await app.pool.load(entryNamed('old'), { signal });
    await app.pool.load(entryNamed('new'), { signal });
    await app.pool.load(entryNamed('vectors'), { signal });
    app.pool.residents = app.pool.residents.map((one) =>
      one.id === 'vectors' ? { ...one, purpose: 'embed' } : one,
    );
    const { model, residents } = await statusOf(app);
    assert.deepEqual(
      residents.map(({ id, purpose }) => [id, purpose]),
      [
        ['vectors', 'embed'],
        ['new', 'generate'],
        ['old', 'generate'],
      ],
    );
    assert.deepEqual(model, residents[1]);
  });

  it('shows who waits, in order, and what is held back', async () => {
    const app = fakeApp();
    const { pool } = app;
    const status = pool.status();
    const waiting = [
      { model: 'm', position: 0, waitedMs: 7.6, priority: 'interactive', state: 'loading' },
      { model: 'x', position: 1, waitedMs: 2, priority: 'batch', state: 'queued' },
    ] as const;
    const queue = { ...status.queue, length: 1, oldestWaitMs: 2, waiting };
    pool.status = () => ({ ...status, queue, held: [{ model: 'y', crashes: 3 }] });
    const shown = await statusOf(app);
    assert.deepEqual(shown.queue, {
      length: 1,
      limit: 64,
      oldest_wait_ms: 2,
      waiting: [
        { model: 'm', position: 0, waited_ms: 8, priority: 'interactive', state: 'loading' },
        { model: 'x', position: 1, waited_ms: 2, priority: 'batch', state: 'queued' },
      ],
    });
    assert.deepEqual(shown.held, [{ model: 'y', crashes: 3 }]);
  });

  it('shows the copies in memory and the saved states', async () => {
    const copies = [{ source: '/m.gguf', bytes: 5, idleMs: 1.2 }];
    const ramdisk = { status: () => ({ mode: 'auto', path: '/dev/shm/x', copies }) };
    const states = { status: () => ({ bytes: 9, limitBytes: 10, states: 1 }) };
    const status = await statusOf(fakeApp({ reports: { ramdisk, states } }));
    assert.deepEqual(status.ramdisk, {
      mode: 'auto',
      path: '/dev/shm/x',
      copies: [{ source: '/m.gguf', bytes: 5, idle_ms: 1 }],
    });
    assert.deepEqual(status.states, { bytes: 9, limit_bytes: 10, states: 1 });
  });

  it('shows the library that was found, or why there is none', async () => {
    const app = fakeApp();
    const { library: identity } = new FakeEngine().info;
    const scan = { bracket: [8238, 8517] as const, unknownSymbols: ['llama_x', 'llama_y'] };
    app.library.report = { ...app.library.report, identity, scan };
    assert.deepEqual((await statusOf(app)).library, {
      state: 'ok',
      path: '/lib/libllama.so',
      origin: 'package',
      version: 'b1',
      ggml_version: null,
      ggml_commit: null,
      layout: { model: 'M1', context: 'C1' },
      minimal: false,
      bracket: [8238, 8517],
      newer: 2,
      devices: [],
      error: null,
    });
    const error = { code: 'library_incompatible', details: { reason: 'too old' } } as const;
    app.library.report = { ...app.library.report, state: 'refused', identity: null, error };
    const { library } = await statusOf(app);
    assert.equal(library.state, 'refused');
    assert.match(JSON.stringify(library.error), /library_incompatible.*too old/);
  });

  it('counts requests by how they ended, and what the finished ones took', async () => {
    const app = fakeApp();
    assert.equal((await app.chat()).status, 200);
    assert.equal((await app.chat({ temperature: 'hot' })).status, 400);
    const stream = await app.chat({ stream: true });
    const text = await stream.text();
    app.pool.refusal = new HoshikageError('engine_crashed', { detail: 'x' });
    assert.equal((await app.chat()).status, 503);
    const { figures } = await statusOf(app);
    const { requests, streams, tokens, per_token: perToken, first_token: firstToken } = figures;
    assert.deepEqual(requests, { running: 0, done: 2, refused: 1, failed: 1, cancelled: 0 });
    assert.deepEqual(streams, { open: 0, bytes: Buffer.byteLength(text), joined: 0 });
    assert.deepEqual([tokens.completion, tokens.cached], [6, 0]);
    // 20 ms for three tokens, as the engine says.
    assert.deepEqual([perToken.count, perToken.sum_ms, perToken.max_ms], [2, 13.333, 6.667]);
    assert.deepEqual(
      [firstToken.count, firstToken.counts.length],
      [2, firstToken.le_ms.length + 1],
    );
    assert.equal(figures.queue_wait.sum_ms, 2);
  });

  it('counts a client that left as one, and nobody who only looks', async () => {
    const engine = new FakeEngine({ script: ['a', { waitMs: 60_000 }] });
    const app = fakeApp({ engine });
    const stream = await app.chat({ stream: true });
    assert.deepEqual(await requestsOf(app), [1, 1, 0]);
    await stream.body?.cancel();
    await until('end of the request', async () => (await requestsOf(app))[0] === 0);
    assert.deepEqual(await requestsOf(app), [0, 0, 1]);
  });

  it('shows that the model map is broken', async () => {
    const app = fakeApp();
    app.catalog.problem = new HoshikageError('map_broken', { path: '/map', reason: 'x' });
    assert.equal((await statusOf(app)).problem?.code, 'map_broken');
  });
});
