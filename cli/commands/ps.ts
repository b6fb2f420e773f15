/**
 * `hoshikage ps [--json]`: what is in memory, who uses it, who waits, and when it goes. Runs in the CLI
 * process; it only asks the running server, and asking wakes no model.
 */
import type { ExitCode } from '../fail.js';
import {
  barOf,
  formatBytes,
  formatSpan,
  ownCommand,
  plain,
  print,
  printJson,
  table,
} from '../print.js';
import type { ResidentView, ServerView } from '../server-view.js';
import type { Command, Shell } from '../shell.js';

/** Registers the command. */
export const psCommand: Command = (parser, shell) =>
  parser.command(
    'ps',
    shell.say({
      ja: 'メモリにあるモデルと待ち行列',
      en: 'Models in memory, and who waits',
    }),
    (ps) =>
      ps.option('json', {
        type: 'boolean',
        describe: shell.say({ ja: 'JSON で出力する', en: 'Print JSON' }),
      }),
    ({ json = false }) => shell.run(() => show(json, shell)),
  );

async function show(json: boolean, shell: Shell): Promise<ExitCode> {
  const { loadConfig } = await import('../../src/config.js');
  const { findServer, findStopping } = await import('../admin-client.js');
  const { readStatus, viewOf } = await import('../server-view.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const server = findServer(config);
  if (!server) {
    sayNone(findStopping(config), json, shell);
    return 0;
  }
  const status = await readStatus(server, config);
  const { pid, host, port } = server;
  if (json) {
    printJson({ running: true, stopping: false, pid, host, port, ...status });
    return 0;
  }
  const view = viewOf(status);
  const head = [
    `星影 Hoshikage ${view.version}`,
    `${host.includes(':') ? `[${host}]` : host}:${port}`,
    `pid ${pid}`,
    ...(view.rss === null ? [] : [formatBytes(view.rss)]),
    shell.say({
      ja: `起動から ${formatSpan(view.uptimeS * 1000, 'ja')}`,
      en: `up ${formatSpan(view.uptimeS * 1000, 'en')}`,
    }),
  ];
  for (const line of [head.join('  '), ...toText(view, shell)]) print(plain(line));
  return 0;
}

function sayNone(
  stopping: { readonly pid: number; readonly leftMs: number } | null,
  json: boolean,
  { say, language }: Shell,
): void {
  if (json) {
    const left = stopping && { pid: stopping.pid, left_ms: stopping.leftMs };
    printJson({ running: false, stopping: stopping !== null, ...left });
    return;
  }
  if (stopping === null) {
    print(
      say({
        ja: `サーバーは動いていません(${ownCommand()} serve で起動できます)`,
        en: `No server is running (start one with ${ownCommand()} serve)`,
      }),
    );
    return;
  }
  const { pid, leftMs } = stopping;
  const left = formatSpan(leftMs, language);
  print(
    say({
      ja: `サーバー(pid ${pid})は終わるところです: 実行中の応答を、長くてあと ${left}待ちます`,
      en: `The server (pid ${pid}) is stopping: running answers may take ${left} more`,
    }),
  );
}

function toText(view: ServerView, shell: Shell): string[] {
  return [
    ...memoryLine(view, shell),
    '',
    ...residentLines(view, shell),
    ...queueLines(view, shell),
    ...storeLines(view, shell),
  ];
}

/** The whole line within 80 columns. */
const BAR_WIDTH = 20;

/** The machine's memory as a picture: ours, others', free. */
function memoryLine({ residents, rss, free, total }: ServerView, { say }: Shell): string[] {
  if (free === null || total === null || total <= 0) return [];
  const own = residents.reduce((sum, { memory }) => sum + (memory ?? 0), rss ?? 0);
  // What is mapped from a file counts as free as well.
  const left = Math.min(free, Math.max(0, total - own));
  const bar = barOf(
    [
      [own, '#'],
      [Math.max(0, total - own - left), '='],
      [left, '.'],
    ],
    BAR_WIDTH,
  );
  const [ours, rest, all] = [own, left, total].map(formatBytes);
  return [
    say({
      ja: `[${bar}]  星影 ${ours}(#)、空き ${rest}(.)、全体 ${all}`,
      en: `[${bar}]  Hoshikage ${ours} (#), free ${rest} (.), of ${all}`,
    }),
  ];
}

function residentLines({ residents }: ServerView, shell: Shell): string[] {
  const { say } = shell;
  if (residents.length === 0) {
    return [
      say({
        ja: 'メモリにあるモデルはありません(頼まれたときに読み込みます)',
        en: 'No model is in memory (one is loaded when it is asked for)',
      }),
    ];
  }
  const head = say({
    ja: 'モデル\t状態\tメモリ\tスロット\t使われていない時間\t降ろすまで\tpid',
    en: 'MODEL\tSTATE\tMEMORY\tSLOTS\tIDLE\tLEAVES IN\tPID',
  }).split('\t');
  const body = residents.map((one) => [
    one.id,
    stateText(one, shell),
    one.memory === null ? '-' : formatBytes(one.memory),
    slotsText(one),
    one.idleMs === null ? '-' : formatSpan(one.idleMs, shell.language),
    leavesText(one, shell),
    one.pid === null ? '-' : String(one.pid),
  ]);
  return table([head, ...body]);
}

function stateText({ state, progress, purpose, active }: ResidentView, { say }: Shell): string {
  const percent = progress === null ? '' : ` ${Math.floor(progress * 100)} %`;
  const words: Readonly<Record<string, string>> = {
    loading: say({ ja: '読み込み中', en: 'loading' }),
    ready: active > 0 ? say({ ja: '使用中', en: 'busy' }) : say({ ja: '待機', en: 'ready' }),
    unloading: say({ ja: '降ろしています', en: 'unloading' }),
  };
  const use = purpose === 'embed' ? say({ ja: '(埋め込み)', en: ' (embeddings)' }) : '';
  return `${words[state] ?? state}${percent}${use}`;
}

/** Each slot as a dot, filled where it works. */
function slotsText({ slots, busy, isAuto }: ResidentView): string {
  if (slots === 0) return '-';
  const how = isAuto ? ' auto' : '';
  return `${'●'.repeat(busy)}${'○'.repeat(slots - busy)} ${busy}/${slots}${how}`;
}

function leavesText({ state, idleMs, unloadInMs }: ResidentView, { say, language }: Shell): string {
  if (unloadInMs !== null) return formatSpan(unloadInMs, language);
  if (state !== 'ready' || idleMs === null) return '-';
  return say({ ja: '降ろさない', en: 'stays' });
}

function queueLines({ queued, queueLimit, waiting }: ServerView, shell: Shell): string[] {
  const { say, language } = shell;
  if (waiting.length === 0 && queued === 0) return [];
  const most = queueLimit === null ? '' : ` / ${queueLimit}`;
  const title = say({ ja: `待ち行列: ${queued}${most}`, en: `Queue: ${queued}${most}` });
  const head = say({
    ja: '順番\tモデル\t待った時間\t種別',
    en: 'NEXT\tMODEL\tWAITED\tKIND',
  }).split('\t');
  const kinds: Readonly<Record<string, string>> = {
    interactive: say({ ja: '対話', en: 'interactive' }),
    batch: say({ ja: 'まとめて', en: 'batch' }),
  };
  const rows = waiting.map(({ model, position, waitedMs, priority, state }) => [
    state === 'loading' ? say({ ja: '読込', en: 'loads' }) : String(position),
    model,
    formatSpan(waitedMs, language),
    kinds[priority] ?? priority,
  ]);
  return ['', title, ...table([head, ...rows])];
}

function storeLines({ held, copies, copying, states }: ServerView, { say }: Shell): string[] {
  const lines = held.map(({ model, crashes }) =>
    say({
      ja: `止めているモデル: ${model}(${crashes} 回落ちました。${ownCommand()} load ${model} で再開)`,
      en: `Held back: ${model} (crashed ${crashes} times; resume with ${ownCommand()} load ${model})`,
    }),
  );
  if (copies.length > 0) {
    const size = formatBytes(copies.reduce((sum, { bytes }) => sum + bytes, 0));
    const count = copies.length;
    lines.push(
      say({
        ja: `RAM ディスクの写し: ${count} 個、${size}`,
        en: `Copies on the RAM disk: ${count}, ${size}`,
      }),
    );
  }
  if (copying !== null) {
    lines.push(
      say({
        ja: `RAM ディスクへ写しています: ${copying}`,
        en: `Copying to the RAM disk: ${copying}`,
      }),
    );
  }
  if (states !== null && states.count > 0) {
    const [used, limit] = [formatBytes(states.bytes), formatBytes(states.limit)];
    lines.push(
      say({
        ja: `取っておいた会話の状態: ${states.count} 個、${used} / ${limit}`,
        en: `Saved states of conversations: ${states.count}, ${used} of ${limit}`,
      }),
    );
  }
  return lines.length === 0 ? [] : ['', ...lines];
}
