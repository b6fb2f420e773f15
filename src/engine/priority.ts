/**
 * The engine's own priority: it steps back behind whatever the user is doing.
 * Main thread of the engine process, before anything else of ours runs there. It must never raise a
 * priority, and never end a process that cannot lower it.
 */
import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** How often at most the list of threads is read again: those that were made meanwhile inherit. */
const MOST_LOOKS = 3;

/**
 * Lowers the priority of this process to `nice` (0 to 19), unless it is as low already. Null, or in
 * English why that could not be done. On Linux niceness belongs to a thread and is inherited by those
 * it makes; Node's own helpers exist before any of our code, so each of them is lowered too.
 */
export function lowerPriority(nice: number): string | null {
  try {
    if (getPriority() >= nice) return null;
    setPriority(nice);
    if (process.platform === 'linux') lowerThreads(nice);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function lowerThreads(nice: number): void {
  const done = new Set<string>();
  for (let look = 0; look < MOST_LOOKS; look += 1) {
    const threads = readdirSync('/proc/self/task').filter((id) => !done.has(id));
    if (threads.length === 0) return;
    for (const id of threads) {
      done.add(id);
      lowerThread(Number(id), nice);
    }
  }
}

function lowerThread(id: number, nice: number): void {
  try {
    // To Linux a thread's id is as good as a process'.
    setPriority(id, nice);
  } catch (error) {
    // One that has ended meanwhile is as quiet as can be.
    if (!readdirSync('/proc/self/task').includes(String(id))) return;
    throw error;
  }
}
