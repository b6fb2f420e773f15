/**
 * What becomes of a request's work when its client goes. Pure; any thread. It must never leave a
 * listener on a signal that outlives what was waited for.
 */
import { HoshikageError } from '../errors.js';

/** What `work` gives; when the client goes first, `cancelled`, and nobody waits for the rest. */
export async function unlessGone<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let leave = () => {};
  const gone = new Promise<never>((_, reject) => {
    leave = () => reject(new HoshikageError('cancelled'));
  });
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  try {
    return await Promise.race([work, gone]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

/** Code: cancelled. */
export function throwIfGone(signal: AbortSignal): void {
  if (signal.aborted) throw new HoshikageError('cancelled');
}
