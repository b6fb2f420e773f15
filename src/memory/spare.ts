/**
 * Memory that is ours to give: copies of models on the RAM disk, then saved conversations, go before a
 * model is refused for want of memory. Server's main thread. Nothing goes where all of it would not be
 * enough.
 */
import { HoshikageError } from '../errors.js';
import type { PlanEngine } from './use.js';
import { addUses, NO_MEMORY } from './use.js';

/** Who holds memory that can be had back. */
export interface SpareMemory {
  /**
   * Bytes of main memory that could be freed for the model of this file once no engine has a copy of
   * the `leaving` files open any more.
   */
  spareFor(source: string, leaving: readonly string[]): number;
  /** Frees that many bytes at least, or all that can be freed now; gives how many. Never rejects. */
  giveBack(bytes: number, source: string): Promise<number>;
}

/** The same plan, which counts the spare memory in where nothing else helps. Codes: those of `plan`. */
export function planWithSpare(plan: PlanEngine, spares: readonly SpareMemory[]): PlanEngine {
  return async (entry, options, freed, only) => {
    if (only === 'ask') return plan(entry, options, freed, only);
    try {
      return await plan(entry, options, freed);
    } catch (error) {
      const short = shortBytes(error);
      const { modelPath: source } = options;
      const { sources: leaving = [] } = freed;
      const spareBytes = spares.reduce((sum, spare) => sum + spare.spareFor(source, leaving), 0);
      if (short === null || spareBytes < short) throw error;
      const more = addUses(freed, { ...NO_MEMORY, freedBytes: spareBytes });
      // Throws as before where it is a device that is short.
      const planned = await plan(entry, options, more);
      // Where others go first, it is asked again when they have gone.
      let left = leaving.length > 0 ? 0 : short;
      for (const spare of spares) if (left > 0) left -= await spare.giveBack(left, source);
      return planned;
    }
  };
}

function shortBytes(error: unknown): number | null {
  if (!(error instanceof HoshikageError) || error.code !== 'memory_short') return null;
  const { needed_bytes: needed, free_bytes: free } = error.details;
  return typeof needed === 'number' && typeof free === 'number' ? needed - free : null;
}
