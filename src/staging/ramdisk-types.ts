/**
 * What the RAM disk is told and what it tells. Types only; server's main thread.
 */
import type { ResourceFact } from '../events.js';

/** The settings it goes by; a Config has them all. */
export interface RamDiskSettings {
  readonly ramdiskPath: string | null;
  readonly ramdiskMode: 'auto' | 'always' | 'off';
  /** MB/s (10^6 bytes). */
  readonly ramdiskMinMbps: number;
  /** Null: half of what is free. */
  readonly ramdiskMaxBytes: number | null;
  readonly ramdiskKeep: boolean;
  /** 0 = never. */
  readonly greatTimeoutMs: number;
}

/** What happened to a copy, for the bus of events. */
export type CopyEvent = Extract<ResourceFact, { readonly type: 'copy' }>;

/** How a model was read while it was loaded from its own file. */
export interface LoadFacts {
  /** Of the model, all parts. */
  readonly bytes: number;
  /** How long there was reading, ms. */
  readonly ms: number;
  /** What came from storage, not from the page cache; null where this system does not tell. */
  readonly readBytes: number | null;
}

/** What the status route shows. */
export interface RamDiskStatus {
  /** `off` also where it was switched on and cannot be had. */
  readonly mode: RamDiskSettings['ramdiskMode'];
  readonly path: string | null;
  readonly copies: readonly {
    readonly source: string;
    readonly bytes: number;
    readonly idleMs: number;
    /** Its model is loaded from it, or being loaded. */
    readonly inUse: boolean;
  }[];
  readonly copying: {
    readonly source: string;
    readonly bytes: number;
    readonly copied: number;
  } | null;
}
