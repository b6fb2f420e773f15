/**
 * `hoshikage logs [-f] [-n N]`: the last lines of the log file, and those that follow. Runs in the CLI
 * process; it only reads. Where the server writes no file, it says where its lines go instead.
 */
import type { Config } from '../../src/config.js';
import { type ExitCode, usageError } from '../fail.js';
import { ownCommand, remark } from '../print.js';
import type { Command, Shell } from '../shell.js';

/** Registers the command. */
export const logsCommand: Command = (parser, shell) => {
  const { say } = shell;
  return parser.command(
    'logs',
    say({ ja: 'ログを見る', en: 'Show the log' }),
    (logs) =>
      logs
        .option('follow', {
          alias: 'f',
          type: 'boolean',
          describe: say({ ja: '続きを待って出し続ける', en: 'Go on with what follows' }),
        })
        .option('lines', {
          alias: 'n',
          type: 'string',
          default: '100',
          requiresArg: true,
          describe: say({ ja: '初めに出す行の数', en: 'How many lines to begin with' }),
        }),
    ({ follow = false, lines }) => shell.run(() => logs({ follow, lines: countOf(lines) }, shell)),
  );
};

const MOST_LINES = 1_000_000;

/** Code: usage. */
function countOf(text: string): number {
  const count = /^\d{1,7}$/.test(text) ? Number(text) : Number.NaN;
  if (count <= MOST_LINES) return count;
  throw usageError({
    ja: `-n ${text}: 0 から ${MOST_LINES} の整数を指定してください`,
    en: `-n ${text}: expected a whole number (0 - ${MOST_LINES})`,
  });
}

interface Wanted {
  readonly follow: boolean;
  readonly lines: number;
}

async function logs({ follow, lines }: Wanted, shell: Shell): Promise<ExitCode> {
  const { loadConfig } = await import('../../src/config.js');
  const { lastLines, LogFollower } = await import('../log-files.js');
  const { untilInterrupted } = await import('../local-library.js');
  const { Output } = await import('../talk/output.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const { logFilePath } = config;
  if (logFilePath === null) throw await nowhere(config, follow);
  const { text, end } = await lastLines(logFilePath, lines);
  if (end === null && !follow) throw await notYet(logFilePath);
  if (end === null) {
    remark(
      {
        ja: `まだありません。できるのを待ちます: ${logFilePath}.*`,
        en: `Not there yet; waiting for ${logFilePath}.*`,
      },
      shell.language,
    );
  }
  const output = new Output(process.stdout);
  try {
    await output.write(text);
    if (!follow) return 0;
    await untilInterrupted(async (signal) => {
      const leaving = AbortSignal.any([signal, output.gone]);
      const follower = new LogFollower(logFilePath, end);
      for await (const more of follower.follow(leaving)) await output.write(more);
    });
    // Ctrl-C is how one leaves it.
    return 0;
  } finally {
    output.close();
  }
}

/** Where the lines go that no file keeps. */
async function nowhere(config: Config, follow: boolean): Promise<Error> {
  const { HoshikageError } = await import('../../src/errors.js');
  const { unitPath, UNIT_NAME } = await import('../../src/service/unit.js');
  const { lstat } = await import('node:fs/promises');
  const hasUnit = (await lstat(unitPath(config)).catch(() => null)) !== null;
  const journal = `journalctl --user -u ${UNIT_NAME}${follow ? ' -f' : ''}`;
  const set = `${ownCommand()} config set LOG_FILE_PATH ~/.config/hoshikage/logs/hoshikage.log`;
  const reason = hasUnit
    ? {
        ja: `サービスのログは ${journal} で読めます`,
        en: `the service's log is read with ${journal}`,
      }
    : {
        ja: `LOG_FILE_PATH が空なので、サーバーの標準出力に出ています。ファイルに残すには ${set} として、再起動してください`,
        en: `LOG_FILE_PATH is empty, so the server writes to its standard output; for a file: ${set}, then restart it`,
      };
  return new HoshikageError('log_nowhere', { reason: reason.en, reason_ja: reason.ja });
}

async function notYet(path: string): Promise<Error> {
  const { HoshikageError } = await import('../../src/errors.js');
  return new HoshikageError('log_nowhere', {
    reason: `${path}.YYYY-MM-DD; the server has written nothing yet`,
    reason_ja: `${path}.YYYY-MM-DD。サーバーがまだ何も書いていません`,
  });
}
