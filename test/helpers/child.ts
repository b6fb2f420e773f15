/**
 * Starts a helper as a process of its own and reads its lines, for tests that kill.
 * Test code only; every wait has a deadline.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { inProject } from '../../scripts/root.js';
import { entryBeside, inheritedArguments } from '../../src/engine/fork.js';

/** A running helper process. */
export interface Child {
  readonly process: ChildProcess;
  /** All lines of its standard output so far. */
  readonly lines: readonly string[];
  /** Resolves when it has said `count` lines. */
  saidLines(count: number): Promise<void>;
  /** How it ended; its standard error is in the failure where it failed. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;
}

const DEADLINE_MS = 60_000;

/**
 * Starts the helper `name`; `preload`: a CommonJS helper loaded before it; `under`: the command line
 * that runs it.
 */
export function startChild(
  name: string,
  args: readonly string[],
  preload?: string,
  under: readonly string[] = [],
): Child {
  const before = preload ? ['--require', inProject(`test/helpers/${preload}`)] : [];
  const flags = [...inheritedArguments(process.execArgv), ...before];
  const entry = fileURLToPath(entryBeside(import.meta.url, name));
  const [command = '', ...rest] = [...under, process.execPath, ...flags, entry, ...args];
  const child = spawn(command, rest, {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => {
    lines.push(line);
    for (const check of [...waiting]) check();
  });
  const ended = Promise.all([once(child, 'exit'), once(reader, 'close')]).then(
    ([[code, signal]]) => {
      for (const check of [...waiting]) check();
      return { code, signal };
    },
  );
  return { process: child, lines, ended, saidLines: (count) => saidLines(count) };

  function saidLines(count: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const isOver = child.exitCode !== null || child.signalCode !== null;
        if (lines.length < count && !isOver) return;
        waiting.delete(check);
        if (lines.length >= count) resolve();
        else reject(new Error(`${name} ended after ${lines.length} of ${count} lines`));
      };
      waiting.add(check);
      check();
    });
  }
}
