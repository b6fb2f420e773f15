/**
 * A pool over fake engines with everything at its plainest, and ways to look at what became of its
 * requests. For tests of src/resources/pool.ts and what it is made of.
 */
import type { TestContext } from 'node:test';
import type { HoshikageError } from '../../src/errors.js';
import { EventBus, type ResourceEvent } from '../../src/events.js';
import type { AcquireOptions, Lease } from '../../src/resources/lease.js';
import { ModelPool } from '../../src/resources/pool.js';
import type { PoolDeps, PoolSettings } from '../../src/resources/pool-deps.js';
import { FakeEngines } from './fake-engines.js';
import { poolSettings } from './pool-settings.js';
import { recordingLog } from './recording-log.js';

/** What a test may set. */
export interface HarnessOptions {
  readonly settings?: Partial<PoolSettings>;
  /** False: the test lets each start succeed or fail. */
  readonly automatic?: boolean;
  readonly deps?: Partial<
    Pick<
      PoolDeps,
      'locate' | 'find' | 'checkDraft' | 'stage' | 'purposeOf' | 'plan' | 'states' | 'onActivity'
    >
  >;
}

/** A pool, its engines, and what it told. */
export function poolHarness({ settings, automatic = true, deps }: HarnessOptions = {}) {
  const engines = new FakeEngines(automatic);
  const log = recordingLog();
  const events = new EventBus();
  const told: ResourceEvent[] = [];
  events.subscribe((event) => told.push(event));
  const pool = new ModelPool({
    settings: { ...poolSettings, ...settings },
    log,
    startEngine: engines.start,
    locate: async (model) => model.path,
    find: () => undefined,
    checkDraft: async () => {},
    stage: async (source) => source,
    purposeOf: async (model) => (model.id.startsWith('embed') ? 'embed' : 'generate'),
    plan: null,
    states: null,
    events,
    onActivity: () => {},
    ...deps,
  });
  return { engines, pool, log, told };
}

/** A request that never gives up. */
export function patient(more: Omit<AcquireOptions, 'signal'> = {}): AcquireOptions {
  return { signal: new AbortController().signal, ...more };
}

/** Lets everything that can happen without a timer happen. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 6; turn += 1) await new Promise(setImmediate);
}

/** What became of a request so far. */
export function watch(promise: Promise<Lease>) {
  let lease: Lease | null = null;
  let code: string | null = null;
  promise.then(
    (granted) => {
      lease = granted;
    },
    (error: HoshikageError) => {
      code = error.code;
    },
  );
  return {
    lease: (): Lease | null => lease,
    code: (): string | null => code,
    release: (): void => lease?.release(),
  };
}

/** Timers that the test moves. */
export function mockTimers(t: TestContext): void {
  t.mock.timers.enable({ apis: ['setTimeout'] });
}

/** The same, with a clock that goes only when the test lets time pass. */
export function mockTime(t: TestContext): { pass(ms: number): Promise<void> } {
  mockTimers(t);
  // Whole, so that sums and differences of milliseconds are exact.
  let now = Math.ceil(performance.now());
  t.mock.method(performance, 'now', () => now);
  return {
    pass: async (ms) => {
      now += ms;
      t.mock.timers.tick(ms);
      await settle();
    },
  };
}
