/**
 * What the HTTP room is given by the composition root, named by the parts of it that are used. Types
 * only; unit tests give fakes of the same shape.
 */
import type { ChatDeps } from '../chat/complete.js';
import type { Config } from '../config.js';
import type { ErrorCode, ErrorDetails, HoshikageError } from '../errors.js';
import type { EventBus } from '../events.js';
import type { Figures } from '../figures.js';
import type { Log } from '../log.js';
import type { ModelCatalog } from '../models/catalog.js';
import type { ModelPool } from '../resources/pool.js';
import type { ResidentStatus } from '../resources/pool-status.js';

/** What the library is known to be; LibraryService gives it. */
export interface LibraryReport {
  readonly state: 'checking' | 'ok' | 'refused' | 'missing';
  readonly path: string | null;
  readonly origin: string | null;
  readonly identity: NonNullable<ResidentStatus['info']>['library'] | null;
  readonly scan: {
    readonly bracket: readonly [number, number] | null;
    readonly unknownSymbols: readonly string[];
  } | null;
  readonly error: { readonly code: ErrorCode; readonly details: ErrorDetails } | null;
  readonly reason: string | null;
  /** The installed library it is, where one was chosen. */
  readonly id: string | null;
}

/** An installed library; LibraryStore gives it. */
export interface InstalledReport {
  readonly id: string;
  readonly path: string | null;
  readonly source: string;
  readonly variant?: string;
  readonly version?: string;
  readonly sizeBytes: number;
}

/** What the routes need of LibraryService. */
export interface LibraryDeps {
  status(): LibraryReport;
  /** Codes: library_pinned, library_unknown, library_unproved, library_*, addon_missing, cancelled. */
  use(id: string | null, signal: AbortSignal): Promise<LibraryReport>;
  readonly store: { list(): Promise<readonly InstalledReport[]> };
}

/** What tells how it stands: plain data, times in ms by names that end in `Ms`. */
export interface Reporting {
  status(): object;
}

/** What is there before the rooms are: the settings and the facts of this server. */
export interface AppFront {
  readonly config: Config;
  readonly log: Log;
  /** The token in run.json. */
  readonly adminToken: string;
  readonly version: string;
  /** Epoch time in ms. */
  readonly startedAt: number;
  readonly figures: Figures;
  /** Aborted when the server has done its last work: streams without an end of their own end. */
  readonly ending: AbortSignal;
}

/** The same with the rooms below. */
export interface AppDeps extends AppFront {
  readonly catalog: Pick<
    ModelCatalog,
    'list' | 'get' | 'add' | 'remove' | 'reload' | 'facts' | 'problem'
  >;
  readonly pool: Pick<ModelPool, 'acquire' | 'status' | 'load' | 'unload' | 'waitOf'>;
  readonly library: LibraryDeps;
  readonly events: Pick<EventBus, 'subscribe'>;
  /** Copies of models in memory; absent where there are none to speak of. */
  readonly ramdisk?: Reporting;
  /** Saved states of conversations. */
  readonly states?: Reporting;
  readonly renderer: ChatDeps['renderer'];
}

/** What a request carries through its handlers. */
export interface AppVariables {
  requestId: string;
  /** The model it asked for, for the access log. */
  model?: string;
  /** Why it failed, for the log. */
  failure?: HoshikageError;
  /** Settles when a streamed answer has ended. */
  finished?: Promise<void>;
}

/** The environment of our Hono app. */
export interface AppEnv {
  Variables: AppVariables;
}
