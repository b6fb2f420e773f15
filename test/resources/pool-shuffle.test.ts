/**
 * The pool under requests, crashes, unloads and changes in random order: what must hold whatever
 * happens. Each order comes from a seed, so that one that fails can be run again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { randomBits } from '../../src/models/prng.js';
import type { ModelEntry } from '../../src/models/registry.js';
import type { Lease, Priority } from '../../src/resources/lease.js';
import type { PoolSettings } from '../../src/resources/pool-deps.js';
import { poolHarness, settle } from '../helpers/pool-harness.js';
import { entry } from '../helpers/pool-settings.js';

const models = ['a', 'b', 'c', 'd', 'embed-1', 'embed-2'].map((id) => entry(id));
const isEmbedding = ({ id }: ModelEntry): boolean => id.startsWith('embed');

interface Request {
  readonly model: ModelEntry;
  readonly priority: Priority;
  readonly need: 'slot' | 'model';
  readonly abort: AbortController;
  lease: Lease | null;
  code: string | null;
  settled: number;
  /** Served later ones for other models of the same kind and class while its own was not there. */
  overtaken: number;
}

class Shuffle {
  readonly requests: Request[] = [];
  readonly settings: Partial<PoolSettings>;
  readonly set: ReturnType<typeof poolHarness>;
  /** Engines are lost, or models taken away. */
  disturbed = false;
  readonly #bits: () => number;
  /** Models in memory before the step that is being taken. */
  #there: ReadonlySet<string> = new Set();

  constructor(seed: number, settings: Partial<PoolSettings>) {
    this.#bits = randomBits(seed);
    this.settings = settings;
    this.set = poolHarness({ settings, automatic: this.chance(2) });
  }

  chance(oneIn: number): boolean {
    return this.#bits() % oneIn === 0;
  }

  pick<T>(from: readonly T[]): T | undefined {
    return from[this.#bits() % Math.max(1, from.length)];
  }

  arrive(): void {
    const model = this.pick(models) ?? entry('a');
    const need = isEmbedding(model) || this.chance(5) ? 'model' : 'slot';
    const priority = this.chance(4) ? 'batch' : 'interactive';
    const abort = new AbortController();
    const request: Request = {
      ...{ model, need, priority, abort, lease: null, code: null },
      ...{ settled: 0, overtaken: 0 },
    };
    this.requests.push(request);
    const asked = { signal: abort.signal, need, priority } as const;
    this.set.pool.acquire(model, asked).then(
      (lease) => {
        request.settled += 1;
        request.lease = lease;
        this.#countOvertaken(request);
      },
      (error: HoshikageError) => {
        request.settled += 1;
        request.code = error.code;
      },
    );
  }

  #countOvertaken(served: Request): void {
    const earlier = this.requests.slice(0, this.requests.indexOf(served));
    for (const other of earlier) {
      const waits = other.settled === 0 && !this.#there.has(other.model.id);
      const competes = isEmbedding(other.model) === isEmbedding(served.model);
      if (waits && competes && other.priority === served.priority) other.overtaken += 1;
    }
  }

  leave(): void {
    this.pick(this.requests.filter(({ settled }) => settled === 0))?.abort.abort();
  }

  release(): void {
    const holder = this.pick(this.requests.filter(({ lease }) => lease !== null));
    holder?.lease?.release();
    if (holder) holder.lease = null;
  }

  load(): void {
    const start = this.pick(this.set.engines.starts);
    if (!start) return;
    if (this.chance(6)) start.fail(new HoshikageError('model_load_failed'));
    else start.succeed();
  }

  crash(): void {
    this.pick(this.set.engines.starts)?.engine.crash();
  }

  async step(actions: readonly (() => void)[]): Promise<void> {
    const { residents } = this.set.pool.status();
    this.#there = new Set(
      residents.filter(({ state }) => state !== 'unloading').map(({ id }) => id),
    );
    this.pick(actions)?.();
    await settle();
    this.check();
  }

  check(): void {
    const {
      maxLoadedModels = 1,
      maxLoadedEmbedding = 1,
      nSlots = 1,
      queueSize = 64,
    } = this.settings;
    const { residents, queue } = this.set.pool.status();
    const staying = residents.filter(({ state }) => state !== 'unloading');
    const of = (purpose: string) => staying.filter((one) => one.purpose === purpose).length;
    assert.ok(of('generate') <= maxLoadedModels, 'generating models');
    assert.ok(of('embed') <= maxLoadedEmbedding, 'embedding models');
    assert.ok(this.set.engines.mostAlive <= maxLoadedModels + maxLoadedEmbedding, 'engines');
    const onSlot = this.requests.filter(({ lease, need }) => lease !== null && need === 'slot');
    const perEngine = new Map<unknown, number>();
    for (const { lease } of onSlot) {
      perEngine.set(lease?.engine, (perEngine.get(lease?.engine) ?? 0) + 1);
    }
    assert.ok(Math.max(0, ...perEngine.values()) <= Number(nSlots), 'leases of an engine');
    // Who was let in is not thrown out again because an engine is lost.
    if (!this.disturbed) assert.ok(queue.length <= queueSize, 'queue');
    const waiting = this.requests.filter(({ settled }) => settled === 0).length;
    assert.equal(queue.waiting.length, waiting, 'waiting');
    const positions = queue.waiting.map(({ position }) => position).filter((place) => place > 0);
    assert.deepEqual(
      positions,
      positions.map((_, index) => index + 1),
    );
  }

  /** Everybody gives back what he has, again and again, until nobody waits. */
  async finish(): Promise<void> {
    this.set.engines.automatic = true;
    for (const start of this.set.engines.starts) start.succeed();
    for (let round = 0; round < 500; round += 1) {
      await settle();
      const holders = this.requests.filter(({ lease }) => lease !== null);
      if (holders.length === 0 && this.requests.every(({ settled }) => settled > 0)) break;
      await this.step([() => this.release()]);
    }
    assert.deepEqual(
      this.requests.filter(({ settled }) => settled !== 1),
      [],
    );
    assert.equal(this.set.pool.status().queue.waiting.length, 0);
    await this.set.pool.stop(0);
    assert.deepEqual(this.set.pool.status().residents, []);
  }
}

test('in any order of arriving, leaving and finishing, everybody is served or told, within all limits', async () => {
  let overtakings = 0;
  for (let seed = 1; seed <= 20; seed += 1) {
    const limits = { nSlots: 1 + (seed % 3), maxSkips: seed % 4, queueSize: 10 };
    const shuffle = new Shuffle(seed, limits);
    const { maxSkips = 0 } = shuffle.settings;
    shuffle.set.engines.automatic = true;
    const actions = [
      () => shuffle.arrive(),
      () => shuffle.arrive(),
      () => shuffle.release(),
      () => shuffle.leave(),
    ];
    for (let count = 0; count < 60; count += 1) await shuffle.step(actions);
    await shuffle.finish();
    const most = Math.max(...shuffle.requests.map(({ overtaken }) => overtaken));
    assert.ok(most <= maxSkips, `seed ${seed}: overtaken ${most} times`);
    const codes = new Set(shuffle.requests.map(({ code }) => code));
    codes.delete(null);
    for (const code of codes) {
      assert.ok(code === 'cancelled' || code === 'queue_full', `seed ${seed}: ${code}`);
    }
    overtakings += shuffle.requests.reduce((sum, { overtaken }) => sum + overtaken, 0);
  }
  assert.ok(overtakings > 0);
});

test('the same with crashes, failed loads, unloads and changes of the list and the library', async (t) => {
  // Nobody is held up by the back-off of a crash.
  let now = 0;
  t.mock.method(performance, 'now', () => {
    now += 10_000;
    return now;
  });
  for (let seed = 100; seed < 120; seed += 1) {
    const shuffle = new Shuffle(seed, {
      nSlots: 1 + (seed % 2),
      maxLoadedModels: 1 + (seed % 3),
      maxLoadedEmbedding: 1 + (seed % 2),
      queueSize: 8,
    });
    shuffle.disturbed = true;
    const { pool } = shuffle.set;
    const actions = [
      ...Array(6).fill(() => shuffle.arrive()),
      ...Array(4).fill(() => shuffle.release()),
      ...Array(3).fill(() => shuffle.load()),
      () => shuffle.leave(),
      () => shuffle.crash(),
      () => void pool.unload(),
      () => void pool.unload('a'),
      () => pool.renew(),
      () => pool.refresh((id) => (shuffle.chance(2) ? entry(id) : undefined)),
    ];
    for (let count = 0; count < 80; count += 1) await shuffle.step(actions);
    await shuffle.finish();
  }
});
