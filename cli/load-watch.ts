/**
 * Shows what the server does for one model while a command waits: its turn, a load with its progress, the
 * prompt. Runs in the CLI process. It only looks, and never fails: without a picture the answer still comes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../src/config.js';
import type { RunningServer } from './admin-client.js';
import { LoadProgress } from './progress.js';
import { readStatus, type ServerView, viewOf } from './server-view.js';
import type { Shell } from './shell.js';

/** How often is looked. */
const LOOK_MS = 200;

/** What goes on, in words, and how much of it is done (0 to 1; null where that is not known). */
export interface Picture {
  readonly what: string;
  readonly done: number | null;
}

/** Whom to ask, and what to make of the answer; null = there is nothing to show. */
export interface Watched {
  readonly server: RunningServer;
  readonly config: Pick<Config, 'runFile' | 'apiKey'>;
  readonly picture: (view: ServerView) => Picture | null;
  /** How long nothing is shown, ms; 0 by default. */
  readonly patienceMs?: number;
}

/** Shows it until `signal` aborts, and takes it away. */
export async function watchServer(
  { server, config, picture, patienceMs = 0 }: Watched,
  signal: AbortSignal,
): Promise<void> {
  const progress = new LoadProgress();
  const clear = (): void => progress.clear();
  // At once: whoever ends the watch is going to write.
  signal.addEventListener('abort', clear, { once: true });
  try {
    await sleep(patienceMs, undefined, { signal });
    while (!signal.aborted) {
      await sleep(LOOK_MS, undefined, { signal });
      const shown = picture(viewOf(await readStatus(server, config, signal)));
      if (signal.aborted) return;
      if (shown) progress.update(shown.what, shown.done);
    }
  } catch {
    // Ended, or nothing to be seen.
  } finally {
    signal.removeEventListener('abort', clear);
    clear();
  }
}

/** A model that is to be loaded: waits for its turn, or comes into memory. */
export function loadPicture(view: ServerView, model: string, { say }: Shell): Picture {
  const one = view.residents.find(({ id }) => id === model);
  const done = one?.state === 'loading' ? one.progress : null;
  if (done === null && view.residents.some(({ active }) => active > 0)) {
    return {
      what: say({ ja: `順番を待っています: ${model}`, en: `Waiting its turn: ${model}` }),
      done,
    };
  }
  return { what: say({ ja: `読み込んでいます: ${model}`, en: `Loading ${model}` }), done };
}
