/**
 * A lease from its begin to its end, and what both do to the resident it is of. Server's main thread.
 */
import type { ModelEntry } from '../models/registry.js';
import type { Lease } from './lease.js';
import type { PoolSettings } from './pool-deps.js';
import type { Resident } from './resident.js';
import type { Waiter } from './waiter.js';
import type { WatchedEngine } from './watched-engine.js';

/** How long a model stays after a request, ms: as asked, else its entry's, else IDLE_TIMEOUT. */
export function keepAliveOf(
  { idleTimeoutMs }: Pick<PoolSettings, 'idleTimeoutMs'>,
  { settings }: ModelEntry,
  askedMs?: number,
): number {
  const usual = idleTimeoutMs === 0 ? Number.POSITIVE_INFINITY : idleTimeoutMs;
  return askedMs ?? settings.keepAliveMs ?? usual;
}

/** A lease of a resident that has one to give. `onReleased` is called once, when it is over. */
export function grant(
  { waiter, resident, engine }: { waiter: Waiter; resident: Resident; engine: WatchedEngine },
  keepAliveMs: number,
  onReleased: () => void,
): Lease {
  const now = performance.now();
  const takesSlot = waiter.need === 'slot';
  resident.begin(takesSlot, waiter.entry.id);
  const loadEnded = resident.loadEndedAt ?? now;
  const loadStarted = Math.max(resident.loadStartedAt ?? now, waiter.since);
  const loadMs = Math.max(0, loadEnded - loadStarted);
  let held = true;
  return {
    engine,
    entry: waiter.entry,
    priority: waiter.priority,
    queuedMs: Math.max(0, now - waiter.since - loadMs),
    loadMs,
    recall: async (prompt, signal) => (held && takesSlot ? resident.recall(prompt, signal) : 0),
    release: () => {
      if (!held) return;
      held = false;
      resident.keepAliveMs = keepAliveMs;
      resident.finish(takesSlot);
      onReleased();
    },
  };
}
