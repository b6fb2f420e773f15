/**
 * `hoshikage load ALIAS` and `hoshikage unload [ALIAS]`: a model into memory before it is needed, and out
 * of it before its time. Runs in the CLI process; the running server does the work. Ctrl-C ends only the
 * waiting of this command.
 */
import type { Config } from '../../src/config.js';
import type { RunningServer } from '../admin-client.js';
import { type ExitCode, usageError } from '../fail.js';
import { formatBytes, formatSpan, plain, print } from '../print.js';
import type { ServerView } from '../server-view.js';
import { type Command, literal, type Shell } from '../shell.js';

/** Registers both commands. */
export const loadCommand: Command = (parser, shell) => {
  const { say } = shell;
  return parser
    .command(
      'load <alias>',
      say({ ja: 'モデルを先に読み込んでおく', en: 'Load a model before it is needed' }),
      (load) =>
        load
          .positional('alias', {
            type: 'string',
            demandOption: true,
            describe: say({ ja: 'モデルの名前', en: 'Name of the model' }),
          })
          .option('keep-alive', {
            type: 'string',
            requiresArg: true,
            describe: say({
              ja: '使われないときに残しておく時間(10m、1h30m、秒数、-1 で降ろさない)',
              en: 'How long it stays unused (10m, 1h30m, seconds, -1 = for ever)',
            }),
          }),
      ({ alias, keepAlive }) => shell.run(() => load(literal(alias), keepAlive, shell)),
    )
    .command(
      'unload [alias]',
      say({
        ja: 'モデルをメモリから降ろす(名前がなければ全部)',
        en: 'Take a model out of memory (all of them without a name)',
      }),
      (unload) =>
        unload.positional('alias', {
          type: 'string',
          describe: say({ ja: 'モデルの名前', en: 'Name of the model' }),
        }),
      ({ alias }) =>
        shell.run(() => unload(alias === undefined ? undefined : literal(alias), shell)),
    );
};

async function load(id: string, keepAlive: string | undefined, shell: Shell): Promise<ExitCode> {
  const given = keepAlive === undefined ? undefined : await readKeepAlive(keepAlive);
  const asking = await openServer(shell);
  const { config, server } = asking;
  const { untilInterrupted } = await import('../local-library.js');
  const path = `/admin/models/${encodeURIComponent(id)}/load`;
  const body = keepAlive === undefined ? {} : { keep_alive: keepAlive };
  await untilInterrupted(
    (signal) => answered({ ...asking, path, body, model: id, signal, shell }),
    LEFT_LOADING,
  );
  const { readStatus, viewOf } = await import('../server-view.js');
  const view = await readStatus(server, config).then(viewOf, () => null);
  const resident = view?.residents.find((one) => one.id === id);
  const size = resident?.memory == null ? '' : ` (${formatBytes(resident.memory)})`;
  print(plain(shell.say({ ja: `読み込みました: ${id}${size}`, en: `Loaded ${id}${size}` })));
  if (given !== undefined) sayStay(given, shell);
  return 0;
}

/** Ctrl-C ends no load: others may wait for the model too. */
const LEFT_LOADING = {
  ja: '待つのをやめました。読み込みの様子は ps で分かります',
  en: 'No longer waiting; ps shows how far the load is',
};

const LEFT_UNLOADING = {
  ja: '待つのをやめました。実行中の応答が終わると、モデルは降ります',
  en: 'No longer waiting; the model goes once its running answers have ended',
};

function sayStay(ms: number, { say, language }: Shell): void {
  if (ms === 0) {
    print(
      say({ ja: '使う人がいなければ、すぐに降ります', en: 'It goes as soon as nobody uses it' }),
    );
    return;
  }
  const span = formatSpan(ms, language);
  print(
    Number.isFinite(ms)
      ? say({ ja: `使われないまま ${span}たつと降ります`, en: `It goes after ${span} without use` })
      : say({ ja: '使われなくても降りません', en: 'It stays, used or not' }),
  );
}

/** Code: usage. */
async function readKeepAlive(text: string): Promise<number> {
  const { KEEP_ALIVE_REASON, keepAliveMs } = await import('../../src/models/keep-alive.js');
  const ms = keepAliveMs(text);
  if (ms !== null) return ms;
  const { ja, en } = KEEP_ALIVE_REASON;
  throw usageError({ ja: `--keep-alive ${text}: ${ja}`, en: `--keep-alive ${text}: ${en}` });
}

async function unload(id: string | undefined, shell: Shell): Promise<ExitCode> {
  const asking = await openServer(shell);
  const { untilInterrupted } = await import('../local-library.js');
  const body = id === undefined ? {} : { model: id };
  const answer = await untilInterrupted(
    (signal) =>
      answered({ ...asking, path: '/admin/unload', body, model: id ?? '', signal, shell }),
    LEFT_UNLOADING,
  );
  const { unloaded } = answer;
  const names = Array.isArray(unloaded) ? unloaded.filter((one) => typeof one === 'string') : [];
  const list = names.join(', ');
  const none =
    id === undefined
      ? { ja: 'メモリにあるモデルはありません', en: 'No model is in memory' }
      : { ja: `${id} はメモリにありません`, en: `${id} is not in memory` };
  const done = { ja: `降ろしました: ${list}`, en: `Unloaded ${list}` };
  print(plain(shell.say(names.length > 0 ? done : none)));
  return 0;
}

interface Asking {
  readonly config: Config;
  readonly server: RunningServer;
}

/** Codes: server_missing, server_stopping and those of loadConfig. */
async function openServer(shell: Shell): Promise<Asking> {
  const { loadConfig } = await import('../../src/config.js');
  const { runningServer } = await import('../server-view.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  return { config, server: runningServer(config) };
}

interface Question extends Asking {
  readonly path: string;
  readonly body: object;
  /** The model it is about; empty = all. */
  readonly model: string;
  readonly signal: AbortSignal;
  readonly shell: Shell;
}

/**
 * Asks once and waits as long as it takes, showing what goes on meanwhile. Throws what the server
 * refuses with, server_silent and cancelled.
 */
async function answered(question: Question): Promise<Readonly<Record<string, unknown>>> {
  const { ask } = await import('../admin-client.js');
  const { silent } = await import('../server-view.js');
  const { loadPicture, watchServer } = await import('../load-watch.js');
  const { config, server, path, body, model, signal, shell } = question;
  const picture = (view: ServerView) =>
    path.endsWith('/load')
      ? loadPicture(view, model, shell)
      : { what: unloadingWords(shell), done: null };
  const ended = new AbortController();
  const watching = watchServer(
    { server, config, picture },
    AbortSignal.any([signal, ended.signal]),
  );
  try {
    const limitMs = Number.POSITIVE_INFINITY;
    const answer = await ask(server, 'POST', path, { body, details: { model }, limitMs, signal });
    if (answer) return answer.body;
    throw silent(server, config, {
      ja: 'どうなったか分かりません',
      en: 'nobody knows what became of it',
    });
  } finally {
    ended.abort();
    await watching;
  }
}

function unloadingWords({ say }: Shell): string {
  return say({
    ja: '実行中の応答が終わるのを待っています',
    en: 'Waiting for running answers to end',
  });
}
