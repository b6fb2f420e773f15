/**
 * `hoshikage` and `hoshikage serve`: runs the server until a signal ends it. Runs in the server
 * process. The first SIGINT or SIGTERM lets running requests finish, the second ends at once.
 */
import type { Config } from '../../src/config.js';
import type { Log } from '../../src/log.js';
import type { ExitCode } from '../fail.js';
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

async function serve(flags: Flags): Promise<ExitCode> {
  const signals = listenForSignals();
  const { checkBind, createDirectories, loadConfig } = await import('../../src/config.js');
  const config = loadConfig({ flags: { ...flags } });
  checkBind(config);
  createDirectories(config);
  const { createLog } = await import('../../src/log.js');
  const { logFilePath: filePath, logLevel: level, logKeepDays: keepDays } = config;
  const log = createLog({ filePath, level, keepDays });
  try {
    for (const hint of config.hints) log.warn(hint);
    return await runServer(config, log, signals);
  } finally {
    await log.close();
  }
}

async function runServer(config: Config, log: Log, signals: Signals): Promise<ExitCode> {
  const version = packageVersion();
  const { startServer } = await import('../../src/server.js');
  const server = await startServer(config, { log, version });
  greet(config, server, version);
  const reason = await signals.first;
  log.start(`stopping on ${reason}`, { graceMs: config.shutdownGraceMs });
  await server.stop(config.shutdownGraceMs);
  return 0;
}

interface Signals {
  /** The first signal's name. */
  readonly first: Promise<NodeJS.Signals>;
}

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Listens from now on; the second signal ends the process. */
function listenForSignals(): Signals {
  let count = 0;
  const first = new Promise<NodeJS.Signals>((resolve) => {
    for (const [signal, exitCode] of Object.entries(EXIT_CODES)) {
      process.on(signal, () => {
        count += 1;
        if (count > 1) process.exit(exitCode);
        resolve(signal as NodeJS.Signals); // the keys of EXIT_CODES are signal names
      });
    }
  });
  return { first };
}

/** Says where the server listens and what to try next. */
function greet(
  config: Config,
  { host, port }: { readonly host: string; readonly port: number },
  version: string,
): void {
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const key = config.apiKey === null ? '' : ' -H "Authorization: Bearer $API_KEY"';
  const lines = [
    '',
    `  星影 Hoshikage ${version}  ${url}`,
    '',
    '  試す / Try:',
    `    curl${key} ${url}/v1/models`,
    '  モデルを追加 / Add a model:',
    `    ${ownCommand()} add ./model.gguf my-model`,
    '  終了 / Stop: Ctrl-C',
    '',
  ];
  // Standard output belongs to the log where that has no file.
  const stream = config.logFilePath === null ? process.stdout : process.stderr;
  stream.write(`${lines.join('\n')}\n`);
}

/** How this program was started, for a command the reader can copy. */
function ownCommand(): string {
  const script = process.argv[1] ?? '';
  return /[\\/]hoshikage$/.test(script) ? 'hoshikage' : 'npx hoshikage';
}
