/**
 * The command line: the list of commands, and what they have in common (language, help, version,
 * usage errors). Runs in the CLI process. It imports only what parsing needs; each command imports
 * the rest when it runs.
 */
import yargs, { type Argv } from 'yargs';
import { chooseLanguage, type Language } from '../src/config.js';
import { addCommand } from './commands/add.js';
import { completionCommand } from './commands/completion.js';
import { configCommand } from './commands/config.js';
import { doctorCommand } from './commands/doctor.js';
import { importCommand } from './commands/import.js';
import { libCommand } from './commands/lib.js';
import { listCommand } from './commands/list.js';
import { loadCommand } from './commands/load.js';
import { logsCommand } from './commands/logs.js';
import { psCommand } from './commands/ps.js';
import { pullCommand } from './commands/pull.js';
import { removeCommand } from './commands/remove.js';
import { serveCommand } from './commands/serve.js';
import { serviceCommand } from './commands/service.js';
import { showCommand } from './commands/show.js';
import { talkCommand } from './commands/talk.js';
import { verifyCommand } from './commands/verify.js';
import { type ExitCode, fail, usageError } from './fail.js';
import { type Command, type Common, createShell, markLiterals, type Shell } from './shell.js';
import { HELP_WORDS, PARSER_MARKS, wrongUsage } from './usage.js';
import { packageVersion } from './version.js';

const COMMANDS: readonly Command[] = [
  serveCommand,
  addCommand,
  pullCommand,
  importCommand,
  removeCommand,
  listCommand,
  showCommand,
  verifyCommand,
  psCommand,
  loadCommand,
  talkCommand,
  configCommand,
  logsCommand,
  libCommand,
  serviceCommand,
  doctorCommand,
  completionCommand,
];

/** A usage error in the marks of usage.ts. */
class BadUsage extends Error {}

function createParser(args: readonly string[], shell: Shell): Argv<Common> {
  const { language, say } = shell;
  const base = yargs(markLiterals(args))
    .scriptName('hoshikage')
    .locale(language)
    // The types know only texts; the parser reads plural forms of an entry too.
    .updateStrings({
      ...(PARSER_MARKS as unknown as Record<string, string>),
      ...(language === 'ja' && HELP_WORDS),
    })
    .parserConfiguration({
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'dot-notation': false,
      'boolean-negation': false,
      'duplicate-arguments-array': true,
    })
    .usage(
      say({
        ja: '星影 Hoshikage: 静かなローカル LLM サーバー(OpenAI 互換)\n\n使い方: $0 [コマンド]',
        en: 'Hoshikage: a quiet local LLM server (OpenAI-compatible)\n\nUsage: $0 [command]',
      }),
    )
    .option('lang', {
      choices: ['ja', 'en'] as const,
      default: language,
      defaultDescription: say({ ja: 'ロケールに従う', en: 'by locale' }),
      requiresArg: true,
      describe: say({ ja: '表示の言語', en: 'Language of messages' }),
      global: true,
    });
  return COMMANDS.reduce<Argv<Common>>((parser, command) => command(parser, shell), base)
    .strict()
    .help('help', say({ ja: 'この説明を表示', en: 'Show this help' }))
    .alias('help', 'h')
    .version('version', say({ ja: 'バージョンを表示', en: 'Show the version' }), packageVersion())
    .alias('version', ['V', 'v'])
    .exitProcess(false)
    .wrap(Math.min(process.stdout.columns ?? 100, 100))
    .fail((message: string | null, error?: Error) => {
      // What a command throws never comes here; a YError is the parser's own.
      if (error && error.name !== 'YError') throw error;
      throw new BadUsage(message ?? error?.message);
    });
}

/** The language asked for, before there is a parser whose help could be in it. */
function languageOf(args: readonly string[]): Language {
  const end = args.indexOf('--');
  const options = end < 0 ? args : args.slice(0, end);
  const at = options.findLastIndex((arg) => arg === '--lang' || arg.startsWith('--lang='));
  const lang = at < 0 ? undefined : (options[at]?.split('=')[1] ?? options[at + 1]);
  return chooseLanguage({ flags: { lang } });
}

/** Runs the command that the arguments mean; what is wrong with them is said on standard error. */
export async function runCommand(args: readonly string[]): Promise<ExitCode> {
  const shell = createShell(languageOf(args));
  try {
    await createParser(args, shell).parseAsync();
  } catch (thrown) {
    if (!(thrown instanceof BadUsage)) return fail(thrown, shell.language);
    const { reason, lines } = wrongUsage(args, thrown.message);
    return fail(usageError(reason), shell.language, lines);
  }
  return shell.exitCode ?? 0;
}
