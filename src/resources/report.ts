/**
 * What the pool shows of itself, made from what it holds. Pure; it must never ask an engine.
 */

import { memoryUse } from '../memory/use.js';
import type { WaitState } from './lease.js';
import type { PoolStatus, ResidentStatus } from './pool-status.js';
import type { Resident } from './resident.js';
import type { Waiter } from './waiter.js';

/** One model. `now`: performance.now(). */
export function residentStatus(resident: Resident, now: number): ResidentStatus {
  const { entry, engine, state, leases, idleSince, keepAliveMs, purpose } = resident;
  const idleMs = state === 'ready' && idleSince !== null ? now - idleSince : null;
  const goes = idleMs !== null && Number.isFinite(keepAliveMs);
  return {
    id: entry.id,
    state: state === 'loading' || state === 'ready' ? state : 'unloading',
    purpose,
    progress: state === 'loading' ? resident.progress : null,
    info: engine?.info ?? null,
    slots: engine?.slotStates ?? [],
    counters: engine?.counters ?? null,
    active: leases,
    idleMs,
    unloadInMs: goes ? Math.max(0, keepAliveMs - idleMs) : null,
    pid: engine?.pid ?? null,
    memoryBytes: engine?.memoryBytes ?? null,
    estimate: resident.options.memory ? memoryUse(resident.options) : null,
    loadedFrom: resident.options.modelPath,
  };
}

/** The queue. `ordered`: all that wait, in the order of their turns. */
export function queueStatus(
  ordered: readonly Waiter[],
  limit: number,
  now: number,
): PoolStatus['queue'] {
  const queued = ordered.filter(({ placed }) => !placed);
  const oldest = queued.reduce((since, waiter) => Math.min(since, waiter.since), now);
  const waiting = ordered.map((waiter) => {
    const { position, waitedMs, state } = waitState(waiter, ordered, null, now);
    return { model: waiter.entry.id, position, waitedMs, priority: waiter.priority, state };
  });
  return { length: queued.length, limit, oldestWaitMs: now - oldest, waiting };
}

/** Where one of them stands. `resident`: its model, where it is in memory or on its way. */
export function waitState(
  waiter: Waiter,
  ordered: readonly Waiter[],
  resident: Resident | null,
  now: number,
): WaitState {
  const before = ordered.slice(0, ordered.indexOf(waiter));
  const { placed, since } = waiter;
  return {
    position: placed ? 0 : before.filter((other) => !other.placed).length + 1,
    waitedMs: now - since,
    state: placed ? 'loading' : 'queued',
    progress: placed && resident?.state === 'loading' ? resident.progress : null,
  };
}
