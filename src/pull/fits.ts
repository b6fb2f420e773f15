/**
 * Whether a model of so many bytes suits this machine, before anything of it is here: a rough rule by
 * main memory alone, since its header cannot be read yet. Pure; any process. What a GPU has besides is
 * not counted; the exact look is taken when the model is loaded.
 */
import { type MachineMemory, systemKeeps } from '../memory/machine.js';

/** `tight`: only once other programs have given their memory back. */
export type Fit = 'fits' | 'tight' | 'short' | 'unknown';

const LEAST_EXTRA = 256 * 2 ** 20;
/** What a cache and the buffers of a step take beside the weights, by experience. */
const EXTRA_SHARE = 1 / 8;

/** Whether weights of so many bytes, with what goes with them, have room. */
export function fitOf(bytes: number | null, machine: MachineMemory): Fit {
  if (bytes === null) return 'unknown';
  const { totalBytes, availableBytes } = machine;
  const needed = bytes + Math.max(LEAST_EXTRA, bytes * EXTRA_SHARE) + systemKeeps(totalBytes);
  if (needed > totalBytes) return 'short';
  return needed > availableBytes ? 'tight' : 'fits';
}
