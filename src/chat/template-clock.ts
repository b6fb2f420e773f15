/**
 * How long a process has computed besides its main thread: what a worker thread has used, near enough,
 * where nobody can ask the thread itself (Node 20 cannot). Main thread. It must never tell more than
 * was used.
 */
import { performance } from 'node:perf_hooks';

/** Runs from when it is made. */
export class BesidesClock {
  readonly #processor = process.cpuUsage();
  readonly #loop = performance.eventLoopUtilization();

  /**
   * Processor time of all threads, less the time in which the main thread did anything at all: a lower
   * bound, ms. It stands still while the process is stopped or gets no turn.
   */
  elapsedMs(): number {
    const { user, system } = process.cpuUsage(this.#processor);
    const { active } = performance.eventLoopUtilization(this.#loop);
    return Math.max(0, (user + system) / 1000 - active);
  }
}
