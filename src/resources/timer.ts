/**
 * Timers that may be asked for any time at all.
 * Any thread; pure. They must never keep a process alive.
 */

/** The longest wait a timer can keep, ms. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Calls back after `ms`, or after the longest time there is. */
export function after(ms: number, call: () => void): NodeJS.Timeout {
  return setTimeout(call, Math.min(ms, LONGEST_TIMER_MS)).unref();
}
