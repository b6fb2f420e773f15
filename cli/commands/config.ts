/**
 * `hoshikage config …`: every setting with its value and where that comes from, and one of them changed in
 * the .env file. Runs in the CLI process. A secret is never shown; a file with one is readable for this user
 * only.
 */
import type { ExaminedConfig, Origin } from '../../src/config.js';
import type { HoshikageError } from '../../src/errors.js';
import type { Setting } from '../../src/settings/row.js';
import type { SettingKey } from '../../src/settings.js';
import { type ExitCode, usageError, wordsOf } from '../fail.js';
import {
  ownCommand,
  plain,
  print,
  printJson,
  remark,
  shortPath,
  table,
  type Words,
} from '../print.js';
import { type Command, literal, type Shell } from '../shell.js';

/** Registers the command with its own commands. */
export const configCommand: Command = (parser, shell) => {
  const { say } = shell;
  const key = {
    type: 'string',
    demandOption: true,
    describe: say({ ja: '設定の名前(PORT など)', en: 'Name of the setting (PORT …)' }),
  } as const;
  return parser.command(
    'config',
    say({
      ja: '設定の値と出どころ、設定ファイルの書き換え',
      en: 'Show the settings, change the file',
    }),
    (config) =>
      config
        .option('json', {
          type: 'boolean',
          global: false,
          describe: say({ ja: 'JSON で出力する', en: 'Print JSON' }),
        })
        .command(
          'get <key>',
          say({ ja: '1 つの値を出す', en: 'Print one value' }),
          (get) => get.positional('key', key),
          (given) => shell.run(() => get(literal(given.key), shell)),
        )
        .command(
          'set <key> <value>',
          say({ ja: '設定ファイルに書く', en: 'Write one into the file' }),
          (set) =>
            set.positional('key', key).positional('value', {
              type: 'string',
              demandOption: true,
              describe: say({
                ja: '値(- なら標準入力から)',
                en: 'Its value (-: from standard input)',
              }),
            }),
          (given) =>
            shell.run(async () =>
              change(literal(given.key), await valueGiven(literal(given.value), shell), shell),
            ),
        )
        .command(
          'unset <key>',
          say({ ja: '設定ファイルから消す', en: 'Take one out of the file' }),
          (unset) => unset.positional('key', key),
          (given) => shell.run(() => change(literal(given.key), null, shell)),
        ),
    ({ json = false }) => shell.run(() => show(json, shell)),
  );
};

const ORIGINS: Readonly<Record<Origin, Words>> = {
  flag: { ja: 'フラグ', en: 'flag' },
  environment: { ja: '環境変数', en: 'environment' },
  file: { ja: 'ファイル', en: 'file' },
  default: { ja: '既定値', en: 'default' },
};

async function show(json: boolean, shell: Shell): Promise<ExitCode> {
  const { examineConfig, SETTINGS } = await import('../../src/config.js');
  const { paintOf } = await import('../paint.js');
  const { say, language } = shell;
  const examined = examineConfig({ flags: { lang: language } });
  const { config, texts, problems } = examined;
  if (json) {
    const rows = (SETTINGS as readonly Setting[]).map((setting) => toJson(setting, examined));
    printJson({ file: config.envFile, settings: rows });
    return 0;
  }
  const paint = paintOf(process.stdout);
  const head = say({ ja: '名前\t値\t出どころ', en: 'NAME\tVALUE\tFROM' }).split('\t');
  const rows = SETTINGS.map(({ key }) => [
    key,
    texts[key] === '' ? say({ ja: '(空)', en: '(empty)' }) : texts[key],
    ORIGINS[config.origins[key]][language],
  ]);
  const [first = '', ...lines] = table([head, ...rows]);
  print(first);
  for (const [at, line] of lines.entries()) {
    const key = SETTINGS[at]?.key;
    const isUsual = key !== undefined && config.origins[key] === 'default';
    print(isUsual ? paint.dim(line) : line);
  }
  const file = shortPath(config.envFile);
  print('');
  print(plain(say({ ja: `設定ファイル: ${file}`, en: `The file: ${file}` })));
  sayProblems(problems, shell);
  for (const hint of config.hints) remark({ ja: hint, en: hint }, language);
  return 0;
}

function sayProblems(problems: readonly HoshikageError[], shell: Shell): void {
  for (const problem of problems) remark(wordsOf(problem), shell.language);
}

function toJson(
  { key, default: usual, secret, ja, en }: Setting,
  { config, texts, problems }: ExaminedConfig,
): object {
  const name = key as SettingKey; // a row of SETTINGS
  return {
    key,
    value: texts[name],
    origin: config.origins[name],
    default: usual,
    secret: secret === true,
    problem: problems.find(({ details }) => details.key === key)?.message ?? null,
    description: { ja, en },
  };
}

/** The key as the table writes it. Code: setting_unknown. */
async function keyOf(text: string): Promise<SettingKey> {
  const { SETTINGS } = await import('../../src/config.js');
  const { FORMER_NAMES } = await import('../../src/settings.js');
  const { HoshikageError } = await import('../../src/errors.js');
  const wanted = text.toUpperCase();
  const found = SETTINGS.find(({ key }) => key === wanted);
  if (found) return found.key;
  const successor = Object.hasOwn(FORMER_NAMES, wanted) ? FORMER_NAMES[wanted] : undefined;
  if (!successor) throw new HoshikageError('setting_unknown', { key: text });
  throw usageError({
    ja: `${wanted} は使いません。${successor} を使ってください`,
    en: `${wanted} has no effect; use ${successor}`,
  });
}

async function get(text: string, { language }: Shell): Promise<ExitCode> {
  const { examineConfig } = await import('../../src/config.js');
  const key = await keyOf(text);
  const { texts, problems } = examineConfig({ flags: { lang: language } });
  const problem = problems.find(({ details }) => details.key === key);
  if (problem) throw problem;
  print(plain(texts[key]));
  return 0;
}

/** Bytes of a value. */
const MAX_VALUE_BYTES = 64 * 1024;

/** What was given; what comes by standard input leaves no trace in the history of a shell. */
async function valueGiven(given: string, { language }: Shell): Promise<string> {
  if (given !== '-') return given;
  const { readAll } = await import('../standard-input.js');
  const { signal } = new AbortController();
  const waiting = {
    ja: '値を標準入力から待っています(終わりは Ctrl-D)',
    en: 'Waiting for the value by standard input (Ctrl-D ends it)',
  };
  const onSilence = (): void => remark(waiting, language);
  if (process.stdin.isTTY) onSilence();
  const text = await readAll({
    ...{ limit: MAX_VALUE_BYTES, signal },
    ...(!process.stdin.isTTY && { onSilence }),
  });
  return text.replace(/\r?\n$/, '');
}

/** Sets it, or takes it out where `value` is null. */
async function change(text: string, value: string | null, shell: Shell): Promise<ExitCode> {
  const { examineConfig, valueInFile } = await import('../../src/config.js');
  const { changeEnvFile } = await import('../env-file.js');
  const { say, language } = shell;
  const key = await keyOf(text);
  if (value !== null) {
    checkEmpty(key, value, await settingOf(key));
    valueInFile(key, value);
  }
  const before = examineConfig({ flags: { lang: language } }).config;
  const isChanged = await changeEnvFile(before.envFile, key, value);
  const { config, texts, problems } = examineConfig({ flags: { lang: language } });
  const file = shortPath(config.envFile);
  const now = `${key}=${texts[key]} (${ORIGINS[config.origins[key]][language]})`;
  if (isChanged) print(plain(say({ ja: `書き換えました: ${file}`, en: `Changed ${file}` })));
  else print(plain(say({ ja: `何も変えていません: ${file}`, en: `Nothing to change in ${file}` })));
  print(plain(say({ ja: `今の値: ${now}`, en: `Now: ${now}` })));
  if (config.origins[key] === 'environment') {
    remark(
      {
        ja: `環境変数 ${key} があるあいだは、そちらが使われます`,
        en: `The environment variable ${key} counts as long as it is set`,
      },
      language,
    );
  }
  const others = problems.filter(({ details }) => details.key !== key);
  sayProblems(others, shell);
  const { findServer } = await import('../admin-client.js');
  if (isChanged && findServer(config)) {
    print(
      say({
        ja: '動いているサーバーには、再起動すると効きます',
        en: 'The running server takes it when it is started again',
      }),
    );
  }
  return 0;
}

async function settingOf(key: SettingKey): Promise<Setting | undefined> {
  const { SETTINGS } = await import('../../src/config.js');
  return (SETTINGS as readonly Setting[]).find((one) => one.key === key);
}

/** An empty value means "not set", unless the setting says otherwise. Code: usage. */
function checkEmpty(key: string, value: string, setting: Setting | undefined): void {
  if (value.trim() !== '' || setting?.emptyCounts) return;
  const unset = `${ownCommand()} config unset ${key}`;
  throw usageError({
    ja: `空の値は「書いていない」と同じです。消すには ${unset} です`,
    en: `An empty value is the same as none; to remove it: ${unset}`,
  });
}
