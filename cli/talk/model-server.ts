/**
 * A server to talk to: the one that runs, else one of this process's own, which ends with it. Runs in the
 * CLI process. The own one listens on this machine only, on a free port, wants a key that nobody else
 * knows, and leaves no run.json: nobody takes it for the user's server.
 */
import { randomBytes } from 'node:crypto';
import type { Config } from '../../src/config.js';
import { HoshikageError } from '../../src/errors.js';
import { askOnce, findServer, type RawAnswer, type RunningServer } from '../admin-client.js';
import { Refusal } from '../fail.js';
import { fieldsAt, listAt, NO_KEY, silent, textAt } from '../server-view.js';
import { packageVersion } from '../version.js';

/** A model that can be asked for. */
export interface OfferedModel {
  readonly id: string;
  /** It is in memory now. */
  readonly isLoaded: boolean;
}

/** A server that answers. */
export interface ModelServer {
  /** Where it is; its token is the key for what is not /admin, or empty. */
  readonly address: RunningServer;
  /** It ends with this process. */
  readonly isOwn: boolean;
  /** For looking at it (server-view). */
  readonly config: Pick<Config, 'runFile' | 'apiKey'>;
  models(signal: AbortSignal): Promise<readonly OfferedModel[]>;
  /** Ends a server of our own, its engine too; leaves another one alone. */
  close(): Promise<void>;
}

/** How long a list of models may take, ms: their files' headers are read for it. */
const LIST_MS = 30_000;

/**
 * Finds or starts it. Codes: server_silent, cancelled, those of startServer; a Refusal where the running
 * server wants a key that is not known here.
 */
export async function openModelServer(config: Config, signal: AbortSignal): Promise<ModelServer> {
  const found = findServer(config);
  return (found && (await reach(found, config, signal))) ?? (await startOwn(config));
}

/** The server behind run.json; null where nobody, or somebody else, listens there. */
async function reach(
  found: RunningServer,
  config: Config,
  signal: AbortSignal,
): Promise<ModelServer | null> {
  const address = { ...found, token: config.apiKey ?? '' };
  const answer = await askModels(address, signal).catch((cause: NodeJS.ErrnoException) => {
    if (signal.aborted) throw new HoshikageError('cancelled', {}, { cause });
    if (cause.code === 'ECONNREFUSED') return null;
    throw silent(found, config, { ja: '話せません', en: 'nobody can talk to it' });
  });
  if (answer === null) return null;
  if (answer.status === 401) throw new Refusal(NO_KEY, 1);
  if (answer.status !== 200 || !Array.isArray(answer.body?.data)) return null;
  const { runFile, apiKey } = config;
  return {
    address,
    isOwn: false,
    config: { runFile, apiKey },
    models: (leaving) => modelsOf(address, config, leaving),
    close: async () => {},
  };
}

async function startOwn(config: Config): Promise<ModelServer> {
  const { startServer } = await import('../../src/start.js');
  const { createLog, silentLog } = await import('../../src/log.js');
  const { logFilePath: filePath, logLevel: level, logKeepDays: keepDays } = config;
  const log =
    filePath === null ? silentLog : createLog({ filePath, level, keepDays, fileOnly: true });
  const apiKey = randomBytes(24).toString('hex');
  // What a conversation leaves in an engine need not outlive it here.
  const own = { ...config, host: '127.0.0.1', port: 0, apiKey, stateCacheBytes: 0 };
  try {
    const server = await startServer(own, { log, version: packageVersion(), isPrivate: true });
    const { host, port } = server;
    const address = { pid: process.pid, host, port, token: apiKey };
    return {
      address,
      isOwn: true,
      config: { runFile: config.runFile, apiKey },
      models: (signal) => modelsOf(address, config, signal),
      close: async () => {
        await server.stop(0);
        await log.close();
      },
    };
  } catch (error) {
    await log.close();
    throw error;
  }
}

function askModels(address: RunningServer, signal: AbortSignal): Promise<RawAnswer> {
  return askOnce(address, 'GET', '/v1/models', { limitMs: LIST_MS, signal });
}

/** Codes: server_silent, cancelled. */
async function modelsOf(
  address: RunningServer,
  config: Pick<Config, 'runFile'>,
  signal: AbortSignal,
): Promise<readonly OfferedModel[]> {
  const answer = await askModels(address, signal).catch(() => null);
  if (signal.aborted) throw new HoshikageError('cancelled');
  if (!answer?.body) {
    throw silent(address, config, {
      ja: 'モデルの一覧が分かりません',
      en: 'nobody knows its models',
    });
  }
  return listAt(answer.body, 'data').flatMap((one) => {
    const id = textAt(one, 'id');
    return id === null ? [] : [{ id, isLoaded: fieldsAt(one, 'hoshikage').loaded === true }];
  });
}
