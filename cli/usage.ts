/**
 * Wrong usage in words: what the parser found, as a sentence in both languages, then how the command
 * is written and where its help is. Runs in the CLI process. The parser speaks to this file in marks
 * (PARSER_MARKS), so that no sentence of its own is ever shown.
 */
import { ownCommand, type Words } from './print.js';

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

const SYNTAX: Readonly<Record<string, string>> = {
  serve: 'serve [--port <PORT>] [--host <HOST>]',
  add: 'add <PATH> <ALIAS> [STOP…] [--force]',
  pull: 'pull [NAME | hf:OWNER/REPOSITORY[:FORM] | URL] [--list] [--alias <NAME>] [--dir <DIR>] [--yes]',
  rm: 'rm <ALIAS>',
  remove: 'remove <ALIAS>',
  list: 'list [--json]',
  ls: 'ls [--json]',
  show: 'show <ALIAS | FILE> [--json]',
  verify: 'verify <FILE | ALIAS> [--json]',
  ps: 'ps [--json]',
  load: 'load <ALIAS> [--keep-alive <TIME>]',
  unload: 'unload [ALIAS]',
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
  doctor: 'doctor [--json]',
};
const OVERVIEW =
  '[serve | add | pull | rm | list | show | verify | ps | load | unload | lib | service | doctor]';
const WITH_VALUE = [
  '--lang',
  '--port',
  '-p',
  '--host',
  '--version',
  '--keep-alive',
  '--alias',
  '--dir',
  '--sha256',
];

/** Puts what the parser said of these arguments into words. */
export function wrongUsage(args: readonly string[], said: string): WrongUsage {
  const command = commandOf(args);
  const known = command !== undefined && Object.hasOwn(SYNTAX, command);
  const syntax = (known && SYNTAX[command]) || OVERVIEW;
  const help = [ownCommand(), ...(known ? [command] : []), '--help'].join(' ');
  return {
    reason: reasonOf(args, said.replaceAll('\0', ''), known),
    lines: [`使い方 / Usage: hoshikage ${syntax}`, `説明 / Help: ${help}`],
  };
}

/** The first words that are no option nor its value: two where they are a command, else one. */
function commandOf(args: readonly string[]): string | undefined {
  const [first, second] = args.filter(
    (arg, index) => !arg.startsWith('-') && !WITH_VALUE.includes(args[index - 1] ?? ''),
  );
  const both = `${first} ${second}`;
  return Object.hasOwn(SYNTAX, both) ? both : first;
}

function reasonOf(args: readonly string[], said: string, known: boolean): Words {
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
        known,
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

/** Words for what no command takes. */
function unknown(names: readonly string[], known: boolean): Words {
  const options = names.filter((name) => name.startsWith('-'));
  const list = (options.length > 0 ? options : names).join(', ');
  if (options.length > 0)
    return { ja: `知らないオプションです: ${list}`, en: `Unknown option: ${list}` };
  if (known) return { ja: `引数が余分です: ${list}`, en: `Too many arguments: ${list}` };
  return { ja: `知らないコマンドです: ${list}`, en: `Unknown command: ${list}` };
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
