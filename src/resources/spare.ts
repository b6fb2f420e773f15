/**
 * Memory that is ours to give: saved conversations in shared memory go before a model is refused for
 * want of memory. Server's main thread. It drops none where that would not be enough.
 */
import { HoshikageError } from '../errors.js';
import { addUses, NO_MEMORY } from './memory.js';
import type { PlanEngine } from './pool-deps.js';

/** Who holds memory that can be had back. */
export interface SpareMemory {
  /** Bytes of main memory that giveBack() could free. */
  readonly spareBytes: number;
  /** Frees that many bytes at least, or all there are. Never rejects. */
  giveBack(bytes: number): Promise<void>;
}

/** The same plan, which counts the spare memory in where nothing else helps. Codes: those of `plan`. */
export function planWithSpare(plan: PlanEngine, spare: SpareMemory): PlanEngine {
  return async (entry, options, freed, only) => {
    if (only === 'ask') return plan(entry, options, freed, only);
    try {
      return await plan(entry, options, freed);
    } catch (error) {
      const short = shortBytes(error);
      const { spareBytes } = spare;
      if (short === null || spareBytes < short) throw error;
      const more = addUses(freed, { ...NO_MEMORY, freedBytes: spareBytes });
      // Throws as before where it is a device that is short.
      const planned = await plan(entry, options, more);
      await spare.giveBack(short);
      return planned;
    }
  };
}

function shortBytes(error: unknown): number | null {
  if (!(error instanceof HoshikageError) || error.code !== 'memory_short') return null;
  const { needed_bytes: needed, free_bytes: free } = error.details;
  return typeof needed === 'number' && typeof free === 'number' ? needed - free : null;
}
