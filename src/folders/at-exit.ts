/**
 * What must not outlive this process, removed when it ends in a hurry (a second Ctrl-C, process.exit)
 * and nothing can be awaited any more. Any process, main thread. A kill leaves it to the next sweep.
 */
import { rmdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';

const paths = new Set<string>();

/** Has a folder removed at a hurried end, and its parent where that is empty; gives the way to forget it. */
export function removeAtExit(path: string): () => void {
  if (paths.size === 0) process.once('exit', removeAll);
  paths.add(path);
  return () => {
    paths.delete(path);
    if (paths.size === 0) process.removeListener('exit', removeAll);
  };
}

function removeAll(): void {
  for (const path of paths) {
    try {
      rmSync(path, { recursive: true, force: true });
      rmdirSync(dirname(path));
    } catch {
      // Somebody is still writing there, or it is not empty: the next start sweeps it.
    }
  }
}
