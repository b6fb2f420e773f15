/**
 * Asks a process of its own what a library is.
 * Server's main thread. It owns the probe from fork to exit; it must never open a library itself, and
 * never wait without a deadline.
 */

import { endOf, entryBeside, forkNode, Tail } from '../engine/fork.js';
import { type LibraryFiles, toWire } from '../engine/protocol.js';
import { HoshikageError } from '../errors.js';
import { withJapanese } from './addon-reasons.js';
import type { Verdict } from './verdict.js';

/** A probe that says nothing for this long never will, ms. */
const PROBE_DEADLINE_MS = 20_000;

/** What asking takes. */
export interface IdentifyInput {
  readonly files: LibraryFiles;
  /** The probe's whole environment: the same as the engine's. */
  readonly env: NodeJS.ProcessEnv;
  /** Another entry than probe.ts. */
  readonly entry?: URL;
  readonly deadlineMs?: number;
  readonly signal: AbortSignal;
}

/** A verdict, and whether it will be the same next time. */
export interface Identification {
  readonly verdict: Verdict;
  /** False where the probe died or was late: it may have been the machine's doing. */
  readonly certain: boolean;
}

/** Identifies a library. Rejects only with `cancelled`; a probe that dies is a verdict too. */
export async function identifyLibrary(input: IdentifyInput): Promise<Identification> {
  const { signal } = input;
  if (signal.aborted) throw new HoshikageError('cancelled');
  const child = forkNode(input.entry ?? entryBeside(import.meta.url, 'probe'), input.env);
  const tail = new Tail(child);
  const kill = (): void => void child.kill('SIGKILL');
  let late = false;
  const deadline = setTimeout(() => {
    late = true;
    kill();
  }, input.deadlineMs ?? PROBE_DEADLINE_MS);
  signal.addEventListener('abort', kill, { once: true });
  try {
    let answer: Verdict | null = null;
    child.on('message', (message) => {
      // Only probe.ts holds the other end.
      answer = message as Verdict;
    });
    const ended = new Promise<string>((resolve) => {
      child.once('close', (code, death) => resolve(endOf(code, death)));
      // For good: without a listener a failed start, kill or send would end the server.
      child.on('error', (error) => {
        if (child.pid === undefined) resolve(`could not be started: ${error.message}`);
      });
    });
    // Without descriptors left there is not even a channel.
    if (child.connected) child.send(input.files, () => {});
    const end = await ended;
    if (signal.aborted) throw new HoshikageError('cancelled');
    if (answer) return { verdict: bilingual(answer), certain: isCertain(answer) };
    const what = late ? 'did not answer in time' : end;
    return { verdict: bilingual(refusal(what, tail.lines)), certain: false };
  } finally {
    clearTimeout(deadline);
    signal.removeEventListener('abort', kill);
  }
}

function bilingual(verdict: Verdict): Verdict {
  return verdict.error ? { ...verdict, error: withJapanese(verdict.error) } : verdict;
}

/** What could not be opened today may be openable once its own dependencies are there. */
function isCertain({ error }: Verdict): boolean {
  return error === null || error.code === 'library_incompatible';
}

function refusal(what: string, lines: readonly string[]): Verdict {
  const last = lines.slice(-3).join(' / ');
  const reason = `the process that opened it ${what}${last ? `: ${last}` : ''}`;
  const error = toWire(new HoshikageError('library_incompatible', { reason }), 'internal_error');
  return { identity: null, error };
}
