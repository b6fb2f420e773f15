/**
 * Waits with a deadline and a label: no test may hang, and one that would says what it waited for.
 * It must never keep a timer alive after it has settled.
 */

/** Rejects with `label` when `promise` has not settled after `ms`. */
export async function within<T>(promise: Promise<T>, ms: number, label: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${label} within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves after `ms`. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Asks again and again until `look` gives something other than undefined or false, then gives it. */
export async function until<T>(
  label: string,
  look: () => T | Promise<T>,
  { deadlineMs = 10_000, everyMs = 10 }: { deadlineMs?: number; everyMs?: number } = {},
): Promise<Exclude<T, undefined | false | null>> {
  const end = performance.now() + deadlineMs;
  let problem: unknown = null;
  for (;;) {
    try {
      const found = await look();
      // What is left of T is exactly what was not one of these three.
      if (found !== undefined && found !== false && found !== null)
        return found as Exclude<T, undefined | false | null>;
    } catch (error) {
      problem = error;
    }
    if (performance.now() > end) {
      throw new Error(`no ${label} within ${deadlineMs} ms`, { cause: problem });
    }
    await pause(everyMs);
  }
}
