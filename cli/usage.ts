/**
 * Wrong usage in words: what the parser found, as a sentence in both languages, then how the command
 * is written and where its help is. Runs in the CLI process. The parser speaks to this file in marks
 * (PARSER_MARKS), so that no sentence of its own is ever shown.
 */
import { nearest } from '../src/near.js';
import { ownCommand, type Words } from './print.js';
import { REQUEST_SYNTAX } from './talk/request-flags.js';

/** What was wrong, and the lines that follow it. */
export interface WrongUsage {
  readonly reason: Words;
  readonly lines: readonly string[];
}

const one = (text: string) => ({ one: text, other: text });

/** The parser's own sentences as `mark: values`. */
export const PARSER_MARKS = {
  'Not enough non-option arguments: got %s, need at least %s': one('few: %s %s'),
  'Too many non-option arguments: got %s, maximum of %s': one('many: %s %s'),
  'Unknown argument: %s': one('unknown: %s'),
  'Unknown command: %s': one('unknown: %s'),
  'Not enough arguments following: %s': 'valueless: %s',
  'Invalid values:': 'invalid:',
  'Argument: %s, Given: %s, Choices: %s': '%s %s %s',
};

/** The parser's words in a Japanese help, where its own are not what one would say. */
export const HELP_WORDS = {
  'Positionals:': '引数:',
  boolean: 'フラグ',
  default: '既定',
  'default:': '既定:',
  'choices:': '選べるもの:',
  'aliases:': '別名:',
} as const;

const SYNTAX: Readonly<Record<string, string>> = {
  serve: 'serve [--port <PORT>] [--host <HOST>]',
  add: 'add <PATH> <ALIAS> [STOP…] [--force]',
  pull: 'pull [SHORT-NAME | hf:OWNER/REPOSITORY[:FORM] | URL] [--list] [--alias <NAME>] [--dir <DIR>] [--sha256 <HASH>] [--force] [--yes]',
  import: 'import [--from <ollama | lmstudio | llama.cpp | huggingface>] [--yes] [--json]',
  rm: 'rm <ALIAS>',
  remove: 'remove <ALIAS>',
  list: 'list [--json]',
  ls: 'ls [--json]',
  show: 'show <ALIAS | FILE> [--json]',
  verify: 'verify <FILE | ALIAS> [--json]',
  ps: 'ps [--json]',
  load: 'load <ALIAS> [--keep-alive <TIME>]',
  unload: 'unload [ALIAS]',
  chat: 'chat [ALIAS]',
  run: 'run <ALIAS> [PROMPT…] [--json]',
  lib: 'lib <list | install | use | check | rollback | rm>',
  'lib list': 'lib list [--json]',
  'lib ls': 'lib ls [--json]',
  'lib install': 'lib install [cpu | cuda | vulkan | metal] [--version <VERSION>]',
  'lib use': 'lib use <ID | PATH | default> [--minimal]',
  'lib check': 'lib check <ID | PATH | default> [--canary]',
  'lib rollback': 'lib rollback',
  'lib rm': 'lib rm <ID>',
  service: 'service <install | uninstall | status>',
  'service install': 'service install [--force]',
  'service uninstall': 'service uninstall [--force]',
  'service status': 'service status',
  config: 'config [get | set | unset] [--json]',
  'config get': 'config get <KEY>',
  'config set': 'config set <KEY> <VALUE | ->',
  'config unset': 'config unset <KEY>',
  logs: 'logs [-f | --follow] [-n | --lines <NUMBER>]',
  doctor: 'doctor [--json]',
  completion: 'completion <bash | zsh | fish>',
};
const OVERVIEW =
  '[serve | add | pull | import | rm | list | show | verify | ps | load | unload | chat | run | config | logs | lib | service | doctor | completion]';
/** Options of every command. */
const COMMON_OPTIONS = '[--lang <ja | en>] [--help] [--version]';
/** Commands that take what a request may hold; their usage would not fit on a line. */
const ASKING: ReadonlySet<string> = new Set(['chat', 'run']);

/** How a command is written, with every option it takes; of none, what all commands have in common. */
export function syntaxOf(command: string | undefined): string {
  const own = command !== undefined && Object.hasOwn(SYNTAX, command) ? SYNTAX[command] : '';
  const request = ASKING.has(command ?? '') ? REQUEST_SYNTAX : '';
  return [own, request, COMMON_OPTIONS].join(' ');
}

/** The names of all commands, those of a group behind its own. */
export function commandNames(): readonly string[] {
  return Object.keys(SYNTAX);
}

/** The options that such a text speaks of. */
export function optionsIn(syntax: string): readonly string[] {
  return [...syntax.matchAll(/(?<![\w-])--?[a-z][a-z0-9-]*/g)].map(([option]) => option);
}

/** Whether the word after this option is its value. */
export function takesValue(option: string): boolean {
  return VALUED.has(option);
}

/** The short ones are those of --port and --lines. */
const VALUED: ReadonlySet<string> = new Set([
  ...['-p', '-n'],
  ...[...commandNames().map(syntaxOf), syntaxOf(undefined)].flatMap((syntax) =>
    [...syntax.matchAll(/(--[a-z0-9-]+) </g)].map(([, option = '']) => option),
  ),
]);

/** Puts what the parser said of these arguments into words. */
export function wrongUsage(args: readonly string[], said: string): WrongUsage {
  const command = commandOf(args);
  const known = command !== undefined && Object.hasOwn(SYNTAX, command);
  const syntax = (known && SYNTAX[command]) || OVERVIEW;
  const help = [ownCommand(), ...(known ? [command] : []), '--help'].join(' ');
  return {
    reason: reasonOf(args, said.replaceAll('\0', ''), known ? command : undefined),
    lines: [`使い方 / Usage: hoshikage ${syntax}`, `説明 / Help: ${help}`],
  };
}

/** The first words that are no option nor its value: two where they are a command, else one. */
export function commandOf(args: readonly string[]): string | undefined {
  const [first, second] = args.filter(
    (arg, index) => !arg.startsWith('-') && !takesValue(args[index - 1] ?? ''),
  );
  const both = `${first} ${second}`;
  return Object.hasOwn(SYNTAX, both) ? both : first;
}

/** `command`: undefined where there is none of that name. */
function reasonOf(args: readonly string[], said: string, command: string | undefined): Words {
  const [, mark, rest = ''] = /^(\w+):\s*([\s\S]*)$/.exec(said) ?? [];
  const [first = '', second = '', third = ''] = rest.split(' ');
  switch (mark) {
    case 'few':
      return {
        ja: `引数が足りません(${second} 個要りますが、${first} 個しかありません)`,
        en: `Too few arguments: ${second} needed, ${first} given`,
      };
    case 'many':
      return {
        ja: `引数が多すぎます(${second} 個までですが、${first} 個あります)`,
        en: `Too many arguments: ${second} at most, ${first} given`,
      };
    case 'unknown':
      return unknown(
        rest.split(', ').map((name) => asWritten(args, name)),
        command,
      );
    case 'valueless':
      return {
        ja: `${asWritten(args, first)} に値がありません`,
        en: `${asWritten(args, first)} needs a value`,
      };
    case 'invalid': {
      const given = `${asWritten(args, first)} ${second.replace(/^"|",?$/g, '')}`;
      const choices = [third, ...rest.split(' ').slice(3)].join(' ').replaceAll('"', '');
      return {
        ja: `${given} は使えません(使えるのは ${choices})`,
        en: `${given} is not possible; choose from ${choices}`,
      };
    }
    default:
      return { ja: said, en: said };
  }
}

/** Words for what no command takes, with what was probably meant. */
function unknown(names: readonly string[], command: string | undefined): Words {
  const options = names.filter((name) => name.startsWith('-'));
  const list = (options.length > 0 ? options : names).join(', ');
  const group = commandNames().filter((name) => name.startsWith(`${command} `));
  if (options.length > 0) {
    const near = nearWords(options, optionsIn(syntaxOf(command)));
    return {
      ja: `知らないオプションです: ${list}${near.ja}`,
      en: `Unknown option: ${list}${near.en}`,
    };
  }
  if (command !== undefined && group.length === 0) {
    return { ja: `引数が余分です: ${list}`, en: `Too many arguments: ${list}` };
  }
  const written = command === undefined ? names : names.map((name) => `${command} ${name}`);
  const near = nearWords(written, group.length > 0 ? group : commandNames());
  const [first = list] = written;
  return {
    ja: `知らないコマンドです: ${first}${near.ja}`,
    en: `Unknown command: ${first}${near.en}`,
  };
}

function nearWords([name = '']: readonly string[], known: readonly string[]): Words {
  const near = nearest(name, known);
  if (near === null) return { ja: '', en: '' };
  return { ja: `(${near} のことですか?)`, en: ` (did you mean ${near}?)` };
}

/** A name of the parser as the user wrote it: with its dashes where it is an option. */
function asWritten(args: readonly string[], name: string): string {
  const end = args.indexOf('--');
  const options = (end < 0 ? args : args.slice(0, end)).filter((arg) => /^-./.test(arg));
  const exact = options
    .map((arg) => arg.split('=')[0] ?? '')
    .find((arg) => arg.replace(/^--?/, '') === name);
  if (exact) return exact;
  // Short options may stand together: -xy.
  const together = options.some((arg) => /^-[^-]/.test(arg) && arg.includes(name));
  return name.length === 1 && together ? `-${name}` : name;
}
