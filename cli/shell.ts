/**
 * What every command is given: the language, and a way to run its work so that its outcome becomes
 * an exit code. Runs in the CLI process.
 */
import type { Argv } from 'yargs';
import type { Language } from '../src/config.js';
import { type ExitCode, fail } from './fail.js';
import type { Words } from './print.js';

/** Options that every command has. */
export interface Common {
  readonly lang: Language;
}

/** One command: adds itself to the parser. */
export type Command = (parser: Argv<Common>, shell: Shell) => Argv<Common>;

/** The surroundings of one run of the CLI. */
export interface Shell {
  readonly language: Language;
  /** The text in the chosen language. */
  say(words: Words): string;
  /** Runs a command's work; what it throws is shown and becomes the exit code. */
  run(work: () => Promise<ExitCode>): Promise<void>;
  /** Set once the work has ended. */
  exitCode: ExitCode | undefined;
}

/** A shell; `rehearsal`: commands are parsed but not run. */
export function createShell(language: Language, rehearsal = false): Shell {
  const shell: Shell = {
    language,
    exitCode: undefined,
    say: (words) => words[language],
    async run(work) {
      if (rehearsal) return;
      try {
        shell.exitCode = await work();
      } catch (thrown) {
        shell.exitCode = fail(thrown, language);
      }
    },
  };
  return shell;
}
