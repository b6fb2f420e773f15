/**
 * Which libllama this server uses, and whether it can be used: found, identified in the background by
 * a process of its own, remembered.
 * Server's main thread. It owns the running check; it must never load libllama nor the addon.
 */
import { isAbsolute, join } from 'node:path';
import { addonPath, readAbiText } from '../engine/addon.js';
import type { LibraryIdentity } from '../engine/engine.js';
import { fromWire, type LibraryFiles, type WireError } from '../engine/protocol.js';
import { type ErrorCode, type ErrorDetails, HoshikageError, toHoshikageError } from '../errors.js';
import type { Log } from '../log.js';
import {
  type FoundLibrary,
  findLibrary,
  type LibraryOrigin,
  type SearchPlaces,
  withSiblings,
} from './find.js';
import { type Identification, type IdentifyInput, identifyLibrary } from './identify.js';
import { recallVerdict, rememberVerdict, type Verdict, verdictKey } from './verdict.js';

/** What /v1/status shows of the library. */
export interface LibraryStatus {
  readonly state: 'checking' | 'ok' | 'refused' | 'missing';
  readonly path: string | null;
  readonly origin: LibraryOrigin | null;
  readonly identity: LibraryIdentity | null;
  readonly error: { readonly code: ErrorCode; readonly details: ErrorDetails } | null;
}

/** What the service works with. */
export interface LibraryDeps {
  readonly places: SearchPlaces;
  readonly cacheDir: string;
  /** The environment that engine processes will have. */
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
  /** Another way to identify a library than by a probe process. */
  readonly identify?: (input: IdentifyInput) => Promise<Identification>;
  /** 5 s by default. */
  readonly refusalLastsMs?: number;
}

/** How old a refusal must be before a request has the library looked for again, ms. */
const REFUSAL_LASTS_MS = 5000;

const CHECKING: LibraryStatus = {
  state: 'checking',
  path: null,
  origin: null,
  identity: null,
  error: null,
};

/** The one library of this server. Starts checking when it is made. */
export class LibraryService {
  readonly #deps: LibraryDeps;
  #status: LibraryStatus = CHECKING;
  #refusedAt = 0;
  #check: { readonly abort: AbortController; readonly done: Promise<void> };

  constructor(deps: LibraryDeps) {
    this.#deps = deps;
    this.#check = this.#begin();
  }

  /** What is known now, at once. */
  status(): LibraryStatus {
    return this.#status;
  }

  /**
   * Waits while checking. After a refusal that is some seconds old it looks again, so that a library
   * put in its place meanwhile is used without a restart.
   * Codes: library_not_found, library_incompatible, addon_missing, cancelled.
   */
  async ready(signal: AbortSignal): Promise<LibraryStatus> {
    const lastsMs = this.#deps.refusalLastsMs ?? REFUSAL_LASTS_MS;
    if (this.#status.error && performance.now() - this.#refusedAt > lastsMs) this.recheck();
    while (this.#status.state === 'checking') {
      if (signal.aborted || this.#check.abort.signal.aborted) throw new HoshikageError('cancelled');
      await withAbort(this.#check.done, signal);
    }
    const { error } = this.#status;
    if (error) throw new HoshikageError(error.code, error.details);
    return this.#status;
  }

  /** The usable library with what to open before it, looked up anew. Codes: those of `ready`. */
  async files(signal: AbortSignal): Promise<LibraryFiles> {
    const { path } = await this.ready(signal);
    if (path === null) throw new HoshikageError('library_not_found', { reason: 'no path' });
    return withSiblings(path);
  }

  /** Looks again: another file may be there now. */
  recheck(): void {
    this.#check.abort.abort();
    this.#status = CHECKING;
    this.#check = this.#begin();
  }

  /** Ends a running check and its process. */
  async close(): Promise<void> {
    this.#check.abort.abort();
    await this.#check.done;
  }

  #begin(): { readonly abort: AbortController; readonly done: Promise<void> } {
    const abort = new AbortController();
    const done = this.#run(abort.signal).catch((thrown: unknown) => {
      if (abort.signal.aborted) return;
      this.#settle(toHoshikageError(thrown, 'library_incompatible', reasonOf(thrown)));
    });
    return { abort, done };
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { log, places } = this.#deps;
    const found = await findLibrary(places);
    if (signal.aborted) return;
    this.#status = { ...CHECKING, path: found.path, origin: found.origin };
    log.start('libllama', { path: found.path, origin: found.origin, reason: found.reason });
    const { identity, error } = await this.#verdict(found.path, signal);
    if (signal.aborted) return;
    if (error) {
      this.#settle(refusal(error, found, places.libDir));
      return;
    }
    this.#status = { ...this.#status, state: 'ok', identity };
    log.info('libllama can be used', {
      version: identity.version,
      layout: `${identity.layout.model}/${identity.layout.context}`,
      devices: identity.devices.map((device) => device.name).join(', '),
    });
  }

  async #verdict(path: string, signal: AbortSignal): Promise<Verdict> {
    const { cacheDir, env, log, identify = identifyLibrary } = this.#deps;
    const file = join(cacheDir, 'library-verdicts.json');
    const ours = { abiText: readAbiText(), addonPath: addonPath() };
    const key = await verdictKey(path, ours, env);
    const known = key && (await recallVerdict(file, key));
    if (known) return known;
    const files = await withSiblings(path);
    const { verdict, certain } = await identify({ files, env, signal });
    if (key && certain) {
      await rememberVerdict(file, key, verdict).catch((error: unknown) =>
        log.warn('the verdict on libllama could not be kept', { error }),
      );
    }
    return verdict;
  }

  #settle(error: HoshikageError): void {
    const state = error.code === 'library_not_found' ? 'missing' : 'refused';
    const { code, details } = error;
    this.#refusedAt = performance.now();
    this.#status = { ...this.#status, state, identity: null, error: { code, details } };
    this.#deps.log.error('libllama cannot be used', { code, reason: details.reason });
  }
}

/**
 * The loader has one word for a missing file and one it cannot open. Where we have seen the file, it
 * is there and unusable; where we have not, the places that were searched belong to the answer.
 */
function refusal(wire: WireError, found: FoundLibrary, libDir: string): HoshikageError {
  const error = fromWire(wire);
  if (error.code !== 'library_not_found') return error;
  if (isAbsolute(found.path)) {
    return new HoshikageError('library_incompatible', { reason: wire.reason }, { cause: error });
  }
  const reason = `searched ${libDir}, the npm package and the system: ${wire.reason}`;
  return new HoshikageError('library_not_found', { reason }, { cause: error });
}

function reasonOf(thrown: unknown): ErrorDetails {
  return { reason: thrown instanceof Error ? thrown.message : String(thrown) };
}

/** `promise`, or `cancelled` when the signal comes first. */
async function withAbort(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(new HoshikageError('cancelled'));
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
