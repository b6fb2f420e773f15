/**
 * `hoshikage` and `hoshikage serve`: runs the server until a signal ends it. Runs in the server
 * process. The first SIGINT or SIGTERM lets running requests finish, the second ends at once.
 */
import type { Config } from '../../src/config.js';
import type { Log } from '../../src/log.js';
import type { RunningServer } from '../../src/start.js';
import { type ExitCode, SIGNAL_EXITS } from '../fail.js';
import { greet, sayStopping } from '../greeting.js';
import { gpuOffer } from '../offer.js';
import type { Command } from '../shell.js';
import { packageVersion } from '../version.js';

/** Registers the command. */
export const serveCommand: Command = (parser, shell) =>
  parser.command(
    ['serve', '$0'],
    shell.say({ ja: 'サーバーを動かす(既定)', en: 'Run the server (the default)' }),
    (serve) =>
      serve
        .option('port', {
          alias: 'p',
          type: 'string',
          requiresArg: true,
          describe: shell.say({ ja: '待ち受けるポート', en: 'Port to listen on' }),
        })
        .option('host', {
          type: 'string',
          requiresArg: true,
          describe: shell.say({ ja: '待ち受けるアドレス', en: 'Address to listen on' }),
        }),
    ({ port, host }) => shell.run(() => serve({ port, host, lang: shell.language })),
  );

interface Flags {
  readonly port: string | undefined;
  readonly host: string | undefined;
  readonly lang: string;
}

/** How long the greeting waits to hear whether libllama can be used; the server answers meanwhile. */
const VERDICT_MS = 3000;
/** How long it waits to hear whether another server of this user is there. */
const OTHER_MS = 1000;
/** What the end may take beyond SHUTDOWN_GRACE before the process goes anyway. */
const STOP_MARGIN_MS = 10_000;
/** What a handle that nobody closed may delay the end. */
const LINGER_MS = 1000;

/** Runs the server until it is ended. Throws what stops a start. */
export async function serve(flags: Flags): Promise<ExitCode> {
  const signal = firstSignal();
  const { loadConfig } = await import('../../src/config.js');
  const config = loadConfig({ flags: { ...flags } });
  const { createLog } = await import('../../src/log.js');
  const { logFilePath: filePath, logLevel: level, logKeepDays: keepDays } = config;
  const log = createLog({ filePath, level, keepDays });
  try {
    for (const hint of config.hints) log.warn(hint);
    const exitCode = await runServer(config, log, signal);
    setTimeout(() => process.exit(exitCode), LINGER_MS).unref();
    return exitCode;
  } finally {
    await log.close();
  }
}

/** Runs the server until a signal, or an error nobody caught, ends it. */
async function runServer(
  config: Config,
  log: Log,
  signal: Promise<NodeJS.Signals>,
): Promise<ExitCode> {
  const version = packageVersion();
  const { startServer } = await import('../../src/start.js');
  const server = await startServer(config, { log, version });
  const crash = firstUncaught(log);
  const ending = Promise.race([signal, crash]);
  const library = await Promise.race([server.library(VERDICT_MS), ending.then(() => null)]);
  if (library) {
    const offer = await gpuOffer(config, library).catch(() => null);
    greet(config, server, { version, library, offer, other: await otherServer(server) });
  }
  const end = await ending;
  const crashed = end instanceof Error;
  const graceMs = crashed ? 0 : config.shutdownGraceMs;
  if (graceMs > 0 && server.busy()) sayStopping(config, graceMs);
  log.start('stopping', { reason: crashed ? 'an uncaught error' : end, graceMs });
  const late = setTimeout(() => process.exit(1), graceMs + STOP_MARGIN_MS);
  try {
    await server.stop(graceMs);
  } finally {
    clearTimeout(late);
  }
  return crashed ? 1 : 0;
}

/** The server that the commands talked to until now, if it answers: its number may be another's by now. */
async function otherServer({ displaced }: RunningServer): Promise<RunningServer['displaced']> {
  if (displaced === null) return null;
  const { askOnce } = await import('../admin-client.js');
  const asked = { ...displaced, pid: 0, token: '' };
  const limitMs = OTHER_MS;
  const answer = await askOnce(asked, 'GET', '/health', { limitMs }).catch(() => null);
  return answer?.status === 200 ? displaced : null;
}

/** Listens for signals from now on; the second one ends the process. */
function firstSignal(): Promise<NodeJS.Signals> {
  let count = 0;
  return new Promise((resolve) => {
    for (const [signal, exitCode] of Object.entries(SIGNAL_EXITS)) {
      process.on(signal, () => {
        count += 1;
        if (count > 1) process.exit(exitCode);
        resolve(signal as NodeJS.Signals); // the keys of SIGNAL_EXITS are signal names
      });
    }
  });
}

/** The first error nobody caught, rejected promises included; all of them go to the log. */
function firstUncaught(log: Log): Promise<Error> {
  return new Promise((resolve) => {
    process.on('uncaughtException', (thrown: unknown) => {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      log.error('uncaught error', { error });
      resolve(error);
    });
  });
}
