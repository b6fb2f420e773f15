/**
 * A lease from its begin to its end, and what both do to the resident it is of. Server's main thread.
 */
import type { ModelEntry } from '../models/registry.js';
import type { ExtraSlot, Lease } from './lease.js';
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

/** What a lease tells the pool, and asks of it. */
export interface Grantor {
  readonly keepAliveMs: number;
  /** A slot is free, or a lease is over. */
  readonly onReleased: () => void;
  /** Whether somebody waits for a turn. */
  readonly isAwaited: () => boolean;
}

/** A lease of a resident that has one to give. */
export function grant(
  { waiter, resident, engine }: { waiter: Waiter; resident: Resident; engine: WatchedEngine },
  { keepAliveMs, onReleased, isAwaited }: Grantor,
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
    more: (most) => {
      const isOffered = held && takesSlot && resident.stays && !engine.ending && !isAwaited();
      const free = isOffered ? engine.info.slots - resident.slotLeases : 0;
      const count = Math.max(0, Math.min(most, free));
      return Array.from({ length: count }, () => extraSlot(resident, { onReleased, isAwaited }));
    },
    release: () => {
      if (!held) return;
      held = false;
      resident.keepAliveMs = keepAliveMs;
      resident.finish(takesSlot);
      onReleased();
    },
  };
}

/** A slot beside that of a lease; the lease keeps the model where it is. */
function extraSlot(
  resident: Resident,
  { onReleased, isAwaited }: Pick<Grantor, 'onReleased' | 'isAwaited'>,
): ExtraSlot {
  resident.slotLeases += 1;
  let held = true;
  return {
    isWanted: isAwaited,
    release: () => {
      if (!held) return;
      held = false;
      resident.slotLeases -= 1;
      onReleased();
    },
  };
}
