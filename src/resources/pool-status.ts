/**
 * What the pool shows of itself. Types only; times in ms, memory in bytes.
 */
import type { EngineCounters } from '../engine/counters.js';
import type { EngineInfo, SlotState } from '../engine/engine.js';
import type { MemoryUse } from '../memory/use.js';
import type { Priority, WaitState } from './lease.js';

/** What a model is loaded for. */
export type Purpose = 'generate' | 'embed';

/** One model in memory, or on its way in or out. */
export interface ResidentStatus {
  readonly id: string;
  readonly state: 'loading' | 'ready' | 'unloading';
  readonly purpose: Purpose;
  /** 0 to 1 while loading, else null. */
  readonly progress: number | null;
  readonly info: EngineInfo | null;
  readonly slots: readonly SlotState[];
  /** What its engine has done; null while there is none. */
  readonly counters: EngineCounters | null;
  /** Requests that use it now. */
  readonly active: number;
  readonly idleMs: number | null;
  /** Null where it does not go by itself. */
  readonly unloadInMs: number | null;
  readonly pid: number | null;
  /** What its process holds; null where that is unknown. */
  readonly memoryBytes: number | null;
  /** What it was estimated to take; null while nobody has looked. */
  readonly estimate: MemoryUse | null;
  /** The file it is loaded from: the model's own, or a copy of it. */
  readonly loadedFrom: string;
}

/** One request that has no lease yet. */
export interface WaitingStatus extends Omit<WaitState, 'progress'> {
  readonly model: string;
  readonly priority: Priority;
}

/** What /v1/status shows. */
export interface PoolStatus {
  /** The most recently used first. */
  readonly residents: readonly ResidentStatus[];
  readonly queue: {
    /** Requests whose turn has not come; those whose model is being loaded for them do not count. */
    readonly length: number;
    readonly limit: number;
    readonly oldestWaitMs: number;
    /** All that wait, in the order in which they will be served as things are. */
    readonly waiting: readonly WaitingStatus[];
  };
  /** Models that are not started again until somebody asks for it, since they crash. */
  readonly held: readonly { readonly model: string; readonly crashes: number }[];
}
