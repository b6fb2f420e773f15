/**
 * Composition root: builds the rooms and takes them down again. Main thread of the server process;
 * start.ts loads it once the port is open. It opens no connection to anywhere.
 */
import { TemplateRenderer } from './chat/template.js';
import { type Config, engineEnvironmentOf } from './config.js';
import { loadAddon } from './engine/addon.js';
import type { Device, EngineOptions } from './engine/engine.js';
import { startEngineProcess } from './engine/process.js';
import { EventBus } from './events.js';
import { searchPlaces } from './library/find.js';
import { LibraryService } from './library/service.js';
import { SlotCounts } from './library/slot-counts.js';
import type { Log } from './log.js';
import { MemoryGuard } from './memory/guard.js';
import { planWithSpare } from './memory/spare.js';
import { ModelCatalog } from './models/catalog.js';
import { Headers } from './models/headers.js';
import type { TryLock } from './models/lock.js';
import { unlessGone } from './resources/gone.js';
import { checkDraftModel, locateModel } from './resources/locate.js';
import { inTime } from './resources/look.js';
import { ModelPool } from './resources/pool.js';
import { purposeOf } from './resources/purpose.js';
import { restAfterUse } from './resources/rest.js';
import { sealedOptions } from './resources/sealed-options.js';
import { RamDisk } from './staging/ramdisk.js';
import { loadStaged } from './staging/staged-load.js';
import { findStatePlace } from './states/state-place.js';
import { StateCache } from './states/states.js';

/** How long a model's check waits to learn what devices there are, ms; identifying takes less. */
const LIBRARY_MS = 30_000;

/** What a server is made of behind its port. */
export interface Rooms {
  readonly catalog: ModelCatalog;
  readonly library: LibraryService;
  readonly pool: ModelPool;
  readonly events: EventBus;
  readonly states: StateCache;
  readonly ramdisk: RamDisk;
  readonly renderer: TemplateRenderer;
  /** Ends the giving back of memory while no model is there. */
  stopResting(): void;
}

/** Builds the rooms and has the library looked at. Code: map_broken. */
export async function buildRooms(config: Config, log: Log): Promise<Rooms> {
  const { modelMapFile, modelDir } = config;
  // The addon is loaded only where fs-ext is missing; loading it opens no libllama.
  const tryLock = (fd: number): boolean => loadAddon().tryLock(fd);
  const catalog = await ModelCatalog.open({ modelMapFile, modelDir, log, tryLock });
  const library = makeLibrary(config, log, tryLock);
  const events = new EventBus();
  const states = makeStates(config, { log, tryLock, events });
  const ramdisk = makeRamDisk(config, { log, tryLock, events });
  const pool = makePool(config, { log, catalog, library, states, ramdisk, events });
  library.onChange(() => pool.renew());
  catalog.onChange(() => pool.refresh((id) => catalog.get(id)));
  const renderer = new TemplateRenderer();
  const stopResting = restAfterUse({
    events,
    busy: () => pool.status().residents.length > 0 || pool.status().queue.waiting.length > 0,
    putDown: () => renderer.rest(),
  });
  return { catalog, library, pool, events, states, ramdisk, renderer, stopResting };
}

/** Where the states go is found out beside the start: a disk that does not answer holds up nothing. */
function makeStates(
  { stateDir, stateCacheBytes: limitBytes }: Config,
  { log, tryLock, events }: { log: Log; tryLock: TryLock; events: EventBus },
): StateCache {
  const place = findStatePlace({ stateDir, log, tryLock, isUsed: limitBytes > 0 });
  return new StateCache({ place, limitBytes, log, events });
}

/** What lies there is looked through beside the start, too. */
function makeRamDisk(
  config: Config,
  rooms: { log: Log; tryLock: TryLock; events: EventBus },
): RamDisk {
  const { origins } = config;
  const asked = [origins.RAMDISK_PATH, origins.RAMDISK_MODE].some((one) => one !== 'default');
  return RamDisk.open({ settings: config, asked, ...rooms });
}

function makeLibrary(config: Config, log: Log, tryLock: TryLock): LibraryService {
  const env = engineEnvironmentOf(config);
  const { cacheDir, allowUnknownLibllama: allowUnknown } = config;
  const places = searchPlaces(config, env);
  return new LibraryService({ places, allowUnknown, cacheDir, env, log, tryLock });
}

/** What a pool works with. */
type PoolRooms = Pick<Rooms, 'catalog' | 'library' | 'states' | 'ramdisk' | 'events'> & {
  readonly log: Log;
};

function makePool(config: Config, rooms: PoolRooms): ModelPool {
  const { log, catalog, library, states, ramdisk, events } = rooms;
  const env = engineEnvironmentOf(config);
  const stage = (source: string): Promise<string> => ramdisk.pathFor(source);
  const devices = async (): Promise<readonly Device[] | null> => {
    // A library that cannot be used is the engine's to complain about.
    const status = await library.ready(AbortSignal.timeout(LIBRARY_MS)).catch(() => null);
    return status?.identity?.devices ?? null;
  };
  const headers = new Headers();
  const slotCounts = new SlotCounts({ cacheDir: config.cacheDir, env, log });
  const guard = new MemoryGuard({ log, refuses: config.memoryCheck, devices, stage, headers });
  return new ModelPool({
    settings: config,
    log,
    locate: (entry) => locateModel(entry, headers),
    stage,
    find: (name) => catalog.get(name),
    checkDraft: (path) => checkDraftModel(path, headers),
    purposeOf: async (entry) => purposeOf(await headers.read(entry.path)),
    // A copy costs the time of one load, a conversation that of computing it.
    plan: planWithSpare(guard.plan.bind(guard), [ramdisk, states]),
    states,
    events,
    onActivity: (entry, active) => ramdisk.activity(entry.path, active),
    startEngine: async (options, { onProgress, signal }) => {
      const files = await library.files(signal);
      const { nice, engineHangTimeoutMs: hangLimitMs } = config;
      const shared = { library: files, env, log, nice, hangLimitMs, onProgress, signal };
      const start = async (staged: EngineOptions, onSpawn: (pid: number) => void) => {
        const sealed = await unlessGone(inTime(sealedOptions(staged, headers)), signal);
        return slotCounts.start(files.path, sealed, (full) =>
          startEngineProcess({ ...shared, options: full, onSpawn }),
        );
      };
      return loadStaged(ramdisk, options, start, signal);
    },
  });
}

/** Ends what runs in the rooms. */
export async function closeRooms(rooms: Rooms): Promise<void> {
  const { catalog, library, pool, states, ramdisk, renderer, stopResting } = rooms;
  stopResting();
  catalog.close();
  await Promise.all([pool.stop(0), library.close(), renderer.close()]);
  // No engine has anything of theirs open any more.
  await Promise.all([states.close(), ramdisk.close()]);
}
