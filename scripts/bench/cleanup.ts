/**
 * The clean-ups of one measurement, done in reverse order when it ends, however it ends.
 */
import type { Owner } from '../../test/helpers/server.js';

/** Runs `work` with an owner whose clean-ups are done afterwards. */
export async function cleaningUp<T>(work: (owner: Owner) => Promise<T>): Promise<T> {
  const cleanUps: (() => Promise<void> | void)[] = [];
  try {
    return await work({ after: (clean) => void cleanUps.unshift(clean) });
  } finally {
    for (const clean of cleanUps) await clean();
  }
}
