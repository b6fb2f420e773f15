/**
 * How the CLI fails: one message in the chosen language, then in the other, and an exit code
 * (0 done, 1 failed, 2 usage, 3 could not be found out, that of a signal). Runs in the CLI process. It must never show a stack for something the
 * user can mend.
 */
import type { Language } from '../src/config.js';
import { describe, HoshikageError, toHoshikageError, words } from '../src/errors.js';
import { asStarted, plain, type Words } from './print.js';

/** What a process of ours may end with. */
export type ExitCode = 0 | 1 | 2 | 3 | 129 | 130 | 143;

/** What a process ends with that a signal has ended. */
export const SIGNAL_EXITS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

const NOTHING_DONE: Words = {
  ja: '中断しました。何も変えていません',
  en: 'Interrupted; nothing was changed',
};

/** The work was ended by a signal; as a rule what it had begun has been taken back. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  readonly exitCode: ExitCode;

  /** What became of the work. */
  readonly words: Words;

  constructor(signal: keyof typeof SIGNAL_EXITS, cause: unknown, words: Words = NOTHING_DONE) {
    super(signal, { cause });
    this.exitCode = SIGNAL_EXITS[signal];
    this.words = words;
  }
}

/** A message that is already in words: an answer of the server, with the exit code of its error. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly exitCode: ExitCode;
  /** Null where the languages of the message could not be told apart. */
  readonly words: Words | null;

  constructor(said: string | Words, exitCode: ExitCode) {
    super(typeof said === 'string' ? said : `${said.ja} / ${said.en}`);
    this.words = typeof said === 'string' ? null : said;
    this.exitCode = exitCode;
  }
}

/** Shows why a command failed on standard error, then the lines given, and gives the exit code. */
export function fail(thrown: unknown, language: Language, lines: readonly string[] = []): ExitCode {
  const other = language === 'ja' ? 'en' : 'ja';
  if (thrown instanceof Refusal || thrown instanceof Interrupted) {
    show(thrown.words ? [thrown.words[language], thrown.words[other]] : [thrown.message]);
    return thrown.exitCode;
  }
  const error = toHoshikageError(thrown);
  show([
    words(error.code, language, error.details),
    words(error.code, other, error.details),
    ...lines,
  ]);
  if (error.code === 'internal_error') show([detail(error.cause)]);
  return describe(error.code).exit;
}

/** What an error says in both languages, with the commands as this program was started. */
export function wordsOf({ code, details }: Pick<HoshikageError, 'code' | 'details'>): Words {
  return { ja: asStarted(words(code, 'ja', details)), en: asStarted(words(code, 'en', details)) };
}

/** A usage error with its reason in both languages. */
export function usageError(reason: { ja: string; en: string }): HoshikageError {
  return new HoshikageError('usage', { reason: reason.en, reason_ja: reason.ja });
}

function detail(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}

function show(lines: readonly string[]): void {
  const [first = '', ...rest] = lines.map((line) => plain(asStarted(line)));
  const indent = ' '.repeat('hoshikage: '.length);
  process.stderr.write(
    `${[`hoshikage: ${first}`, ...rest.map((line) => indent + line)].join('\n')}\n`,
  );
}
