/** How to run one of the project's scripts, or a few lines, in a process of its own. Test code only. */
import { fileURLToPath } from 'node:url';
import { entryBeside, inheritedArguments } from '../../src/engine/fork.js';

/** Node's arguments for `scripts/<name>`: compiled where the test is, else through the test's loader. */
export function scriptArguments(name: string, args: readonly string[] = []): string[] {
  const entry = fileURLToPath(entryBeside(import.meta.url, `../../scripts/${name}`));
  return [...inheritedArguments(process.execArgv), entry, ...args];
}

/** Node's arguments for a module's text, which may import what `entryBeside` names. */
export function codeArguments(code: string): string[] {
  return [...inheritedArguments(process.execArgv), '--input-type=module', '-e', code];
}
