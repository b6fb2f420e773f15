/**
 * The defaults of a library whose layouts are known from its header, read in a process of its own.
 * Owns that process from start to end; it must never open a library itself.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { realpath } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { AbiLayout } from '../../src/engine/addon.js';
import { entryBeside, inheritedArguments } from '../../src/engine/fork.js';
import type { LibraryFiles } from '../../src/engine/protocol.js';
import { withSiblings } from '../../src/library/find.js';

const DEADLINE_MS = 30_000;

/** What the process is asked: layouts whose value lists may be too short. */
export interface Question {
  readonly files: LibraryFiles;
  readonly modelParams: AbiLayout;
  readonly contextParams: AbiLayout;
}

/** The same layouts with the library's own values added, or why it does not have them. */
export interface Answer {
  readonly modelParams: AbiLayout;
  readonly contextParams: AbiLayout;
  readonly problem: string | null;
}

/** Asks the library at `path`. Throws where it cannot be opened or is not of these layouts. */
export async function askLibrary(path: string, layouts: Omit<Question, 'files'>): Promise<Answer> {
  const files = await withSiblings(await realpath(path));
  const child = fork(fileURLToPath(entryBeside(import.meta.url, 'ask')), [], {
    execArgv: inheritedArguments(process.execArgv),
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  });
  let answer: Answer | null = null;
  child.on('message', (message) => {
    answer = message as Answer; // only ask.ts holds the other end
  });
  child.send({ files, ...layouts } satisfies Question);
  const [code, signal]: unknown[] = await once(child, 'close');
  if (answer === null)
    throw new Error(`${path}: the process that opened it ended: ${signal ?? code}`);
  const { problem }: Answer = answer;
  if (problem) throw new Error(`${path}: ${problem}`);
  return answer;
}
