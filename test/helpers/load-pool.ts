/**
 * Files handed to a real libllama in processes of their own, and what became of each. Test code only.
 */
import type { ChildProcess } from 'node:child_process';
import { endOf, entryBeside, forkNode } from '../../src/engine/fork.js';
import type { LoadOrder, LoadOutcome } from './load-worker.js';

const WORKER = entryBeside(import.meta.url, 'load-worker');
const LIMIT_MS = 30_000;

/** One process at a time, another one after each that died. */
export class Loader {
  #child: ChildProcess | null = null;
  /** How many processes it took. */
  processes = 0;

  /** `used`, the code of an error, or how the process ended. */
  load(order: LoadOrder): Promise<string> {
    const child = this.#running();
    return new Promise((resolve) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
      const done = (outcome: string): void => {
        clearTimeout(timer);
        child.off('message', heard);
        child.off('exit', ended);
        resolve(outcome);
      };
      const heard = (message: unknown): void => {
        const { outcome } = message as LoadOutcome;
        if (outcome.startsWith('gave up')) this.#child = null;
        done(outcome);
      };
      const ended = (code: number | null, signal: NodeJS.Signals | null): void => {
        this.#child = null;
        done(endOf(code, signal));
      };
      child.once('message', heard);
      child.once('exit', ended);
      child.send(order, () => {});
    });
  }

  close(): void {
    this.#child?.kill('SIGKILL');
    this.#child = null;
  }

  #running(): ChildProcess {
    if (this.#child) return this.#child;
    const child = forkNode(WORKER, { PATH: process.env.PATH });
    child.stdout?.resume();
    child.stderr?.resume();
    child.on('error', () => {});
    this.#child = child;
    this.processes += 1;
    return child;
  }
}
