/**
 * Commands of a conversation: lines such as `/model NAME`. Runs in the CLI process; pure. A line that only
 * begins with a slash (a path, say) is a message.
 */
import type { Completer } from 'node:readline';
import { nearest } from '../../src/near.js';
import type { Words } from '../print.js';

/** Every command: what stands behind it, and what it does. */
export const SLASH_COMMANDS = {
  help: { argument: '', ja: 'この説明', en: 'This help' },
  model: {
    argument: '[NAME]',
    ja: 'モデルの一覧。名前を書くと切り替える',
    en: 'List the models; with a name, switch to it',
  },
  system: {
    argument: '[TEXT]',
    ja: 'システムメッセージを見る。文章を書くと決める(- で消す)',
    en: 'Show the system message; with a text, set it (- removes it)',
  },
  reset: { argument: '', ja: 'これまでの会話を忘れる', en: 'Forget the conversation' },
  save: {
    argument: 'FILE',
    ja: '会話をファイルに書く(.json なら JSON、ほかは Markdown)',
    en: 'Write the conversation (.json: JSON, else Markdown)',
  },
  stats: {
    argument: '',
    ja: 'トークンの数、速さ、最初の言葉までの時間',
    en: 'Tokens, speed, time to the first word',
  },
  quit: { argument: '', ja: '終わる(Ctrl-D でも)', en: 'Leave (or Ctrl-D)' },
} as const satisfies Readonly<Record<string, Words & { readonly argument: string }>>;

/** The name of one, without the slash. */
export type SlashName = keyof typeof SLASH_COMMANDS;

/** What a line asks for. */
export type Slash =
  | { readonly name: SlashName; readonly argument: string }
  | { readonly name: null; readonly written: string; readonly near: string | null };

/** The command in a line; null where it is a message. */
export function readSlash(line: string): Slash | null {
  const [, written, argument = ''] = /^\/([a-z]+)(?:\s+(.*))?\s*$/is.exec(line) ?? [];
  if (written === undefined) return null;
  const name = written.toLowerCase();
  if (isSlashName(name)) return { name, argument: argument.trim() };
  const near = nearest(name, Object.keys(SLASH_COMMANDS));
  return { name: null, written: `/${written}`, near: near === null ? null : `/${near}` };
}

function isSlashName(name: string): name is SlashName {
  return Object.hasOwn(SLASH_COMMANDS, name);
}

/** Completes commands, and the names of models behind `/model`. */
export function slashCompleter(models: () => readonly string[]): Completer {
  return (line) => {
    const named = /^\/model\s+(.*)$/is.exec(line);
    const known = named
      ? models().map((id) => `/model ${id}`)
      : Object.keys(SLASH_COMMANDS).map((name) => `/${name}`);
    return [line.startsWith('/') ? known.filter((one) => one.startsWith(line)) : [], line];
  };
}
