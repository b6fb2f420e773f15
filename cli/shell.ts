/**
 * What every command is given: the language, and a way to run its work so that its outcome becomes
 * an exit code. Runs in the CLI process.
 */
import type { Argv } from 'yargs';
import type { Language } from '../src/config.js';
import { HoshikageError } from '../src/errors.js';
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

/** No argument of a process can hold it. */
const LITERAL = '\0';

/**
 * Arguments with those after `--` marked as literal, and a dash that is no option's value. The parser
 * would drop the ones that begin with a dash, since it reads the values of positionals a second time.
 */
export function markLiterals(args: readonly string[]): string[] {
  const end = args.indexOf('--');
  const before = (end < 0 ? args : args.slice(0, end)).map((arg, at) =>
    arg === '-' && !args[at - 1]?.startsWith('-') ? LITERAL + arg : arg,
  );
  return end < 0 ? before : [...before, ...args.slice(end + 1).map((arg) => LITERAL + arg)];
}

/** The text of a positional as the user wrote it. */
export function literal(text: string): string {
  return text.startsWith(LITERAL) ? text.slice(1) : text;
}

/** What was probably meant, as lines behind an error that names something unknown. */
export async function suggestions(thrown: unknown): Promise<readonly string[]> {
  if (!(thrown instanceof HoshikageError)) return [];
  const { code, details } = thrown;
  if (code !== 'model_not_found' && code !== 'setting_unknown') return [];
  const { nearest } = await import('../src/near.js');
  const { modelNames, settingNames } = await import('./names.js');
  const near =
    code === 'model_not_found'
      ? nearest(String(details.model ?? ''), await modelNames())
      : nearest(String(details.key ?? ''), settingNames());
  return near === null ? [] : [`もしかして / Did you mean: ${near}`];
}

/** A shell in which no command has run. */
export function createShell(language: Language): Shell {
  const shell: Shell = {
    language,
    exitCode: undefined,
    say: (words) => words[language],
    async run(work) {
      try {
        shell.exitCode = await work();
      } catch (thrown) {
        shell.exitCode = fail(thrown, language, await suggestions(thrown));
      }
    },
  };
  return shell;
}
