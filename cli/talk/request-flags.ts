/**
 * Flags of `run` and `chat` that become fields of the request. Runs in the CLI process. They only look like
 * what they are to be (a number, a text); what is possible is the server's to say.
 */
import type { Argv } from 'yargs';
import { usageError } from '../fail.js';
import type { Words } from '../print.js';
import type { Shell } from '../shell.js';

interface Flag extends Words {
  /** As it is typed, without the dashes. */
  readonly name: string;
  readonly field: string;
  readonly kind: 'number' | 'text';
}

const FLAGS: readonly Flag[] = [
  { name: 'temperature', field: 'temperature', kind: 'number', ja: '温度', en: 'Temperature' },
  { name: 'top-p', field: 'top_p', kind: 'number', ja: 'top-p', en: 'Top-p' },
  { name: 'top-k', field: 'top_k', kind: 'number', ja: 'top-k', en: 'Top-k' },
  { name: 'min-p', field: 'min_p', kind: 'number', ja: 'min-p', en: 'Min-p' },
  {
    ...{ name: 'repeat-penalty', field: 'repeat_penalty', kind: 'number' },
    ...{ ja: '繰り返しのペナルティ', en: 'Penalty for repetition' },
  },
  { name: 'seed', field: 'seed', kind: 'number', ja: '乱数の種', en: 'Seed' },
  {
    ...{ name: 'max-tokens', field: 'max_tokens', kind: 'number' },
    ...{ ja: '答えの長さの上限(トークン)', en: 'Most tokens of an answer' },
  },
  {
    ...{ name: 'reasoning-effort', field: 'reasoning_effort', kind: 'text' },
    ...{ ja: '考える深さ(none は考えさせない)', en: 'How hard to think (none = not at all)' },
  },
  {
    ...{ name: 'keep-alive', field: 'keep_alive', kind: 'text' },
    ...{ ja: '答えたあとモデルを残しておく時間', en: 'How long the model stays afterwards' },
  },
];

/** The flags as a usage writes them. */
export const REQUEST_SYNTAX = [
  ...FLAGS.map(({ name, kind }) => `[--${name} <${kind === 'number' ? 'NUMBER' : 'TEXT'}>]`),
  '[--system <TEXT>] [--stop <TEXT>] [--field <NAME=VALUE>]',
].join(' ');

/** What the command itself decides. */
const OWN_FIELDS: ReadonlySet<string> = new Set([
  ...['model', 'messages', 'stream', 'stream_options', 'n'],
  ...['tools', 'tool_choice', 'parallel_tool_calls'],
]);

/** Adds the flags to a command. */
export function withRequestFlags<T>(parser: Argv<T>, { say }: Shell): Argv<T> {
  let result = parser;
  for (const { name, ja, en } of FLAGS) {
    result = result.option(name, { type: 'string', requiresArg: true, describe: say({ ja, en }) });
  }
  return result
    .option('system', {
      type: 'string',
      requiresArg: true,
      describe: say({ ja: 'システムメッセージ', en: 'System message' }),
    })
    .option('stop', {
      type: 'string',
      requiresArg: true,
      describe: say({
        ja: '答えを止める文字列(何度でも書ける)',
        en: 'A string that ends the answer (may be given several times)',
      }),
    })
    .option('field', {
      type: 'string',
      requiresArg: true,
      describe: say({
        ja: 'リクエストのほかの項目 NAME=VALUE(値は JSON か文字列。何度でも書ける)',
        en: 'Any other field of the request, NAME=VALUE (JSON or a text; may be given several times)',
      }),
    });
}

/** What the flags ask for. */
export interface Wishes {
  /** Null where there is none. */
  readonly system: string | null;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** The arguments as the parser gives them: a list where one was given several times. */
type Arguments = Readonly<Record<string, unknown>>;

/** Code: usage. */
export function wishesOf(given: Arguments): Wishes {
  const fields: [string, unknown][] = FLAGS.flatMap(({ name, field, kind }) => {
    const text = oneOf(given, name);
    if (text === null) return [];
    return [[field, kind === 'number' ? numberOf(name, text) : text]];
  });
  const stops = listOf(given, 'stop');
  if (stops.length > 0) fields.push(['stop', stops]);
  fields.push(...listOf(given, 'field').map(fieldOf));
  return { system: oneOf(given, 'system'), fields: Object.fromEntries(fields) };
}

function listOf(given: Arguments, name: string): readonly string[] {
  const value = given[name];
  if (value === undefined) return [];
  return (Array.isArray(value) ? value : [value]).map(String);
}

function oneOf(given: Arguments, name: string): string | null {
  const [value, ...more] = listOf(given, name);
  if (more.length === 0) return value ?? null;
  throw usageError({ ja: `--${name} が 2 つあります`, en: `--${name} was given twice` });
}

function numberOf(name: string, text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (Number.isFinite(value)) return value;
  throw usageError({
    ja: `--${name} ${text}: 数を指定してください`,
    en: `--${name} ${text}: expected a number`,
  });
}

function fieldOf(text: string): [string, unknown] {
  const [, name = '', value = ''] = /^([A-Za-z_]\w*)=(.*)$/s.exec(text) ?? [];
  if (name === '') {
    throw usageError({
      ja: `--field ${text}: 名前=値 の形で書いてください`,
      en: `--field ${text}: write NAME=VALUE`,
    });
  }
  if (OWN_FIELDS.has(name)) {
    throw usageError({
      ja: `--field ${name}: このコマンドが決める項目です`,
      en: `--field ${name}: the command itself decides that one`,
    });
  }
  return [name, jsonOrText(value)];
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
