/**
 * Gives back what the server itself needs only while a model is in use: the garbage of its requests,
 * and whatever else can be put down until the next one. Server's main thread. It must never do so
 * while anybody has a model or waits for one, for it stops everything for some tens of ms.
 */
import type { EventBus, ResourceEvent } from '../events.js';

/** What rests, and when. */
export interface RestDeps {
  readonly events: Pick<EventBus, 'subscribe'>;
  /** True while a model is in memory or somebody waits for one. */
  readonly busy: () => boolean;
  /** Ends what the next request would start again. Never rejects. */
  readonly putDown: () => Promise<void>;
  /** By default: frees every object that nobody uses, and gives their pages back. */
  readonly collect?: () => Promise<void>;
  /** How long after the last model has gone; 1 s by default. */
  readonly afterMs?: number;
}

const AFTER_MS = 1000;

/** Rests whenever the last model has gone, until the returned function is called. */
export function restAfterUse(deps: RestDeps): () => void {
  const { events, busy, putDown, collect = collectGarbage, afterMs = AFTER_MS } = deps;
  let timer: NodeJS.Timeout | undefined;
  const rest = async (): Promise<void> => {
    if (busy()) return;
    await putDown();
    await collect();
  };
  const unsubscribe = events.subscribe((event) => {
    if (!leavesMemory(event)) return;
    clearTimeout(timer);
    timer = setTimeout(() => void rest(), afterMs).unref();
  });
  return () => {
    clearTimeout(timer);
    unsubscribe();
  };
}

function leavesMemory(event: ResourceEvent): boolean {
  const { type } = event;
  return type === 'unload' || type === 'crash' || (type === 'load' && event.state === 'failed');
}

/**
 * V8 by itself waits for allocations that an idle server does not make, and a plain `gc()` keeps the
 * pages; this is what V8 does when the system is short of memory. A Node without inspector goes without.
 */
async function collectGarbage(): Promise<void> {
  try {
    const { Session } = await import('node:inspector');
    const session = new Session();
    session.connect();
    await new Promise((resolve) => session.post('HeapProfiler.collectGarbage', resolve));
    session.disconnect();
  } catch {
    // The memory stays with us a little longer, that is all.
  }
}
