/**
 * Composition root: builds the rooms, listens, and takes everything down again.
 * Main thread of the server process. It owns run.json and the listener, the only socket there is; it
 * handles no process signal (the command does) and opens no connection to anywhere.
 */
import { randomBytes } from 'node:crypto';
import { readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { getRequestListener } from '@hono/node-server';
import { TemplateRenderer } from './chat/template.js';
import { type Config, checkBind, createDirectories, engineEnvironmentOf } from './config.js';
import { loadAddon } from './engine/addon.js';
import { startEngineProcess } from './engine/process.js';
import { HoshikageError } from './errors.js';
import { answerUnreadable, createApp } from './http/app.js';
import { searchPlaces } from './library/find.js';
import { LibraryService, type LibraryStatus } from './library/service.js';
import type { Log } from './log.js';
import { ModelCatalog } from './models/catalog.js';
import { readGguf } from './models/gguf.js';
import type { TryLock } from './models/lock.js';
import { EventBus } from './resources/events.js';
import { locateModel } from './resources/locate.js';
import { ModelPool } from './resources/pool.js';
import { purposeOf } from './resources/purpose.js';
import { findStatePlace } from './resources/state-place.js';
import { StateCache } from './resources/states.js';

/** How long answers whose work has ended may take to reach their clients, ms. */
const FLUSH_MS = 1000;
const POLL_MS = 10;

/** What a server is started with besides its settings. */
export interface ServerOptions {
  /** Stays open: whoever made it closes it. */
  readonly log: Log;
  readonly version: string;
}

/** A listening server. */
export interface RunningServer {
  readonly host: string;
  /** The port it got, also where 0 was asked for. */
  readonly port: number;
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
  const rooms = await buildRooms(config, options);
  try {
    await listen(rooms.server, config);
    const port = portOf(rooms.server);
    await writeRunFile(config, { port, token: rooms.token, version: options.version });
    options.log.start('listening', { host: config.host, port, version: options.version });
    return runningServer(config, rooms, port);
  } catch (error) {
    await closeRooms(rooms);
    throw error;
  }
}

interface Rooms {
  readonly server: Server;
  readonly catalog: ModelCatalog;
  readonly library: LibraryService;
  readonly pool: ModelPool;
  readonly states: StateCache;
  readonly renderer: TemplateRenderer;
  /** Aborted after the last work, when only streams of events are left. */
  readonly ending: AbortController;
  /** What the CLI shows to be let into /admin. */
  readonly token: string;
}

async function buildRooms(config: Config, { log, version }: ServerOptions): Promise<Rooms> {
  const { modelMapFile, modelDir, cacheDir } = config;
  // The addon is loaded only where fs-ext is missing; loading it opens no libllama.
  const tryLock = (fd: number): boolean => loadAddon().tryLock(fd);
  const catalog = await ModelCatalog.open({ modelMapFile, modelDir, cacheDir, log, tryLock });
  const library = makeLibrary(config, log, tryLock);
  const events = new EventBus();
  const states = makeStates(config, { log, tryLock, events });
  const pool = makePool(config, { log, library, states, events });
  library.onChange(() => pool.renew());
  catalog.onChange(() => pool.refresh((id) => catalog.get(id)));
  const renderer = new TemplateRenderer();
  const token = randomBytes(32).toString('hex');
  const startedAt = Date.now();
  const ending = new AbortController();
  const rooms = { config, log, catalog, pool, library, events, states, renderer };
  const facts = { adminToken: token, version, startedAt, ending: ending.signal };
  const app = createApp({ ...rooms, ...facts });
  const errorHandler = (error: unknown) => answerUnreadable(error, log);
  const server = createServer(
    getRequestListener(app.fetch, { hostname: config.host, errorHandler }),
  );
  return { server, catalog, library, pool, states, renderer, token, ending };
}

/** Where the states go is found out beside the start: a disk that does not answer holds up nothing. */
function makeStates(
  { stateDir, stateCacheBytes: limitBytes }: Config,
  { log, tryLock, events }: { log: Log; tryLock: TryLock; events: EventBus },
): StateCache {
  const place = findStatePlace({ stateDir, log, tryLock });
  return new StateCache({ place, limitBytes, log, events });
}

function makeLibrary(config: Config, log: Log, tryLock: TryLock): LibraryService {
  const env = engineEnvironmentOf(config);
  const { cacheDir, allowUnknownLibllama: allowUnknown } = config;
  const places = searchPlaces(config, env);
  return new LibraryService({ places, allowUnknown, cacheDir, env, log, tryLock });
}

function makePool(
  config: Config,
  rooms: { log: Log; library: LibraryService; states: StateCache; events: EventBus },
): ModelPool {
  const { log, library, states, events } = rooms;
  const env = engineEnvironmentOf(config);
  return new ModelPool({
    settings: config,
    log,
    locate: (entry) => locateModel(entry, config.cacheDir),
    stage: async (source) => source,
    purposeOf: async (entry) => purposeOf(await readGguf(entry.path)),
    plan: null,
    states,
    events,
    onActivity: () => {},
    startEngine: async (options, { onProgress, signal }) => {
      const files = await library.files(signal);
      const { nice, engineHangTimeoutMs: hangLimitMs } = config;
      const limits = { nice, hangLimitMs, onProgress, signal };
      return startEngineProcess({ library: files, options, env, log, ...limits });
    },
  });
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

function runningServer(config: Config, rooms: Rooms, port: number): RunningServer {
  let closed: Promise<void> | null = null;
  return {
    host: config.host,
    port,
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
        await removeRunFile(config, rooms.token);
        const quiet = closeListener(rooms.server);
        await drained;
        rooms.ending.abort();
        await quiet(FLUSH_MS);
        await closeRooms(rooms);
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

async function closeRooms({
  server,
  catalog,
  library,
  pool,
  states,
  renderer,
}: Rooms): Promise<void> {
  server.close();
  server.closeAllConnections();
  catalog.close();
  await Promise.all([pool.stop(0), library.close(), renderer.close()]);
  await states.close();
}

/** Tells the CLI where we are and how to be let in. Readable for this user only. */
async function writeRunFile(
  { runFile, host }: Config,
  facts: { readonly port: number; readonly token: string; readonly version: string },
): Promise<void> {
  const temporary = `${runFile}.${process.pid}.tmp`;
  const content = JSON.stringify({ pid: process.pid, host, ...facts });
  try {
    await writeFile(temporary, content, { mode: 0o600 });
    await rename(temporary, runFile);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
}

/** Removes our run.json, and only ours. */
async function removeRunFile({ runFile }: Config, token: string): Promise<void> {
  const content = await readFile(runFile, 'utf8').catch(() => '');
  if (content.includes(token)) await unlink(runFile).catch(() => {});
}
