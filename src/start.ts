/**
 * Starts and stops the server: opens the port first, then has the rooms built behind it, so that
 * /health answers while most of the code is still being loaded. Main thread of the server process. It
 * owns the listener, the only socket there is; it handles no process signal (the command does).
 */
import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { getRequestListener } from '@hono/node-server';
import { type Config, checkBind, createDirectories } from './config.js';
import { HoshikageError } from './errors.js';
import { Figures } from './figures.js';
import { answerUnreadable, createApp } from './http/app.js';
import type { AppFront } from './http/deps.js';
import type { LibraryStatus } from './library/service.js';
import type { Log } from './log.js';
import type { ModelPool } from './resources/pool.js';
import { type Place, RunFile } from './run-file.js';
import type { Rooms } from './server.js';

interface OpenRooms extends Rooms {
  close(): Promise<void>;
}

/** How long answers whose work has ended may take to reach their clients, ms. */
const FLUSH_MS = 1000;
const POLL_MS = 10;

/** What a server is started with besides its settings. */
export interface ServerOptions {
  /** Stays open: whoever made it closes it. */
  readonly log: Log;
  readonly version: string;
  /** Nobody else is to find it: it leaves no run.json, and the CLI of others looks past it. */
  readonly isPrivate?: boolean;
}

/** A listening server. */
export interface RunningServer {
  readonly host: string;
  /** The port it got, also where 0 was asked for. */
  readonly port: number;
  /** The server that the commands talked to until now, if its process is there. */
  readonly displaced: Place | null;
  /** Names of the models that can be asked for now. */
  models(): readonly string[];
  /** True while a request is answered, waits for its turn or has a model loaded. */
  busy(): boolean;
  /** What is known of libllama, after waiting `limitMs` at most for the running check. */
  library(limitMs: number): Promise<LibraryStatus>;
  /**
   * Takes no new requests, lets the running ones go on for `graceMs` (SHUTDOWN_GRACE by default), then
   * ends them, and frees everything. Calling it again may only shorten the grace.
   */
  stop(graceMs?: number): Promise<void>;
}

/**
 * Starts the server. When this rejects, nothing is left running.
 * Codes: insecure_bind, setting_invalid, map_broken, port_in_use.
 */
export async function startServer(config: Config, options: ServerOptions): Promise<RunningServer> {
  checkBind(config);
  createDirectories(config);
  const { log, version, isPrivate = false } = options;
  const token = randomBytes(32).toString('hex');
  const runFile = new RunFile(config.runFile, token);
  // A token goes when it is there, not when a packet is full.
  const server = createServer({ noDelay: true });
  const listening = listen(server, config);
  const opening = listening.then(() => openRooms(config, log));
  const ending = new AbortController();
  const startedAt = Date.now();
  const figures = new Figures();
  const facts = { adminToken: token, version, startedAt, figures, ending: ending.signal };
  answerRequests(server, { config, log, ...facts }, opening);
  try {
    await listening;
    const port = portOf(server);
    log.start('listening', { host: config.host, port, version });
    const rooms = await opening;
    // Not before: a start that fails must not take the place of a server that works.
    const displaced = isPrivate ? null : runFile.write({ host: config.host, port, version });
    return runningServer(config, { server, rooms, ending, runFile, port, displaced });
  } catch (error) {
    closeServer(server);
    await opening.then(
      (rooms) => rooms.close(),
      () => {},
    );
    throw error;
  }
}

/** What only a request or a model needs is loaded when the port is open already. */
async function openRooms(config: Config, log: Log): Promise<OpenRooms> {
  const { buildRooms, closeRooms } = await import('./server.js');
  const rooms = await buildRooms(config, log);
  return { ...rooms, close: () => closeRooms(rooms) };
}

function answerRequests(server: Server, front: AppFront, opening: Promise<Rooms>): void {
  const deps = opening.then((rooms) => ({ ...front, ...rooms }));
  // Why it failed is told to whoever starts the server.
  deps.catch(() => {});
  const app = createApp(front, deps);
  const { config, log } = front;
  const errorHandler = (error: unknown) => answerUnreadable(error, log);
  server.on('request', getRequestListener(app.fetch, { hostname: config.host, errorHandler }));
}

/** Listens on the one address there is. Codes: port_in_use, setting_invalid. */
function listen(server: Server, { host, port, origins }: Config): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EADDRINUSE') {
        reject(new HoshikageError('port_in_use', { host, port }, { cause }));
        return;
      }
      const key = cause.code === 'EACCES' ? 'PORT' : 'HOST';
      const value = key === 'PORT' ? port : host;
      const reason = cause.message;
      reject(
        new HoshikageError(
          'setting_invalid',
          { key, value, origin: origins[key], reason },
          { cause },
        ),
      );
    });
    server.listen(port, host, () => {
      server.removeAllListeners('error');
      // A connection that cannot be accepted (no descriptors left) must not end the server.
      server.on('error', () => {});
      resolve();
    });
  });
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') {
    throw new HoshikageError('internal_error', {}, { cause: new Error('no port to listen on') });
  }
  return address.port;
}

/** A server and what is behind it. */
interface Started {
  readonly server: Server;
  readonly rooms: OpenRooms;
  /** Aborted after the last work, when only streams of events are left. */
  readonly ending: AbortController;
  readonly runFile: RunFile;
  readonly port: number;
  readonly displaced: Place | null;
}

function runningServer(config: Config, started: Started): RunningServer {
  const { server, rooms, ending, runFile, port, displaced } = started;
  let closed: Promise<void> | null = null;
  // Also at an end that awaits nothing: a second signal.
  const hurried = (): void => runFile.remove();
  process.once('exit', hurried);
  return {
    host: config.host,
    port,
    displaced,
    models: () => rooms.catalog.list().map(({ id }) => id),
    busy: () => isBusy(rooms.pool),
    library: async (limitMs) => {
      // A refusal is in the status too.
      await rooms.library.ready(AbortSignal.timeout(limitMs)).catch(() => {});
      return rooms.library.status();
    },
    stop: async (graceMs = config.shutdownGraceMs) => {
      const drained = rooms.pool.stop(graceMs);
      closed ??= (async () => {
        // From here on the CLI works on the files; a new server may already have written its own.
        runFile.markStopping(graceMs);
        const quiet = closeListener(server);
        await drained;
        ending.abort();
        await quiet(FLUSH_MS);
        closeServer(server);
        await rooms.close();
        runFile.remove();
        process.removeListener('exit', hurried);
      })();
      await drained;
      await closed;
    },
  };
}

function isBusy(pool: ModelPool): boolean {
  const { residents, queue } = pool.status();
  const works = residents.some(({ state, active }) => state === 'loading' || active > 0);
  return works || queue.length > 0;
}

/** Stops listening at once; gives a wait for the open connections to end by themselves. */
function closeListener(server: Server): (limitMs: number) => Promise<void> {
  let open = true;
  server.close(() => {
    open = false;
  });
  return async (limitMs) => {
    for (let waited = 0; open && waited < limitMs; waited += POLL_MS) {
      // A connection that has just become idle would stay for its keep-alive time.
      server.closeIdleConnections();
      await sleep(POLL_MS);
    }
  };
}

function closeServer(server: Server): void {
  server.close();
  server.closeAllConnections();
}
