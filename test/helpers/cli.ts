/**
 * The command line as a user runs it: a process from dist with a home of its own, ended by a deadline.
 */
import { type Home, type Owner, startProcess } from './server.js';
import { within } from './waiting.js';

const DEADLINE_MS = 20_000;

/** What a command did. */
export interface CommandResult {
  readonly code: number | null;
  /** stdout and stderr in the order they came. */
  readonly output: string;
}

/** Runs one command to its end. */
export async function hoshikage(
  owner: Owner,
  home: Home,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<CommandResult> {
  const { exited, output } = startProcess(owner, home, args, { env });
  const { code } = await within(exited, DEADLINE_MS, `end of hoshikage ${args.join(' ')}`);
  return { code, output: output() };
}
