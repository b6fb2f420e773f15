/**
 * Which libllama this server uses, and whether it can be used: found, identified in the background by
 * a process of its own, remembered.
 * Server's main thread. It owns the running check; it must never load libllama nor the addon.
 */
import { isAbsolute } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { LibraryIdentity } from '../engine/engine.js';
import { fromWire, type LibraryFiles, type WireError } from '../engine/protocol.js';
import { type ErrorCode, type ErrorDetails, HoshikageError, toHoshikageError } from '../errors.js';
import type { Log } from '../log.js';
import type { TryLock } from '../models/lock.js';
import type { Choice } from './active.js';
import { type FoundLibrary, findLibrary, type LibraryOrigin, type SearchPlaces } from './find.js';
import type { Identification, IdentifyInput } from './identify.js';
import { type Known, knownVerdict, libraryFiles } from './known.js';
import { recallProof } from './proofs.js';
import { filesOf, type ScanReport } from './scan.js';
import { LibraryStore } from './store.js';

/** What /v1/status shows of the library. */
export interface LibraryStatus {
  readonly state: 'checking' | 'ok' | 'refused' | 'missing';
  readonly path: string | null;
  readonly origin: LibraryOrigin | null;
  /** In words, which place it was found in. */
  readonly reason: string | null;
  /** The installed library it is, where one was chosen. */
  readonly id: string | null;
  readonly identity: LibraryIdentity | null;
  /** What its files say: the builds it can be, functions that are newer than we are, and what it lacks. */
  readonly scan: Pick<ScanReport, 'bracket' | 'unknownSymbols' | 'notes'> | null;
  readonly error: { readonly code: ErrorCode; readonly details: ErrorDetails } | null;
}

/** What the service works with. */
export interface LibraryDeps {
  readonly places: SearchPlaces;
  readonly cacheDir: string;
  /** The environment that engine processes will have. */
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
  /** ALLOW_UNKNOWN_LIBLLAMA: drive unknown layouts in the minimal mode. */
  readonly allowUnknown?: boolean;
  readonly tryLock?: TryLock;
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
  reason: null,
  id: null,
  identity: null,
  scan: null,
  error: null,
};

/** The one library of this server. Starts checking when it is made. */
export class LibraryService {
  readonly #deps: LibraryDeps;
  readonly #store: LibraryStore;
  readonly #listeners: (() => void)[] = [];
  #status: LibraryStatus = CHECKING;
  #choice: Choice | null = null;
  #refusedAt = 0;
  /** Ends when the last `use` has; they come one after the other. */
  #uses: Promise<unknown> = Promise.resolve();
  readonly #closing = new AbortController();
  #check: { readonly abort: AbortController; readonly done: Promise<void> };

  constructor(deps: LibraryDeps) {
    this.#deps = deps;
    const { tryLock, places } = deps;
    const { platform } = places;
    this.#store = new LibraryStore(places.libDir, { platform, ...(tryLock && { tryLock }) });
    this.#check = this.#begin();
  }

  /** What is installed, with the choice. Only to be read. */
  get store(): Pick<LibraryStore, 'list' | 'get' | 'active'> {
    return this.#store;
  }

  /** Calls `listener` after every switch to another library. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
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

  /**
   * The usable library with what to open before it. Its files are looked at anew; where they changed
   * since, what holds now is found out and shown. Codes: those of `ready`.
   */
  async files(signal: AbortSignal): Promise<LibraryFiles> {
    const { path } = await this.ready(signal);
    return (await this.#filesAt(path, signal)) ?? this.#filesAnew(signal);
  }

  /** Null where the library at `path` is no longer what the status says. */
  async #filesAt(path: string | null, signal: AbortSignal): Promise<LibraryFiles | null> {
    if (path === null) return null;
    const choice = this.#choice;
    // A bare name is the system's to find: there are no files of ours to look at.
    if (!isAbsolute(path)) return libraryFiles(path, this.#allowsUnknown(choice), this.#deps.env);
    const { scan, verdict } = await this.#known(path, choice, signal);
    const { identity } = this.#status;
    if (verdict.error || !identity || !sameLibrary(verdict.identity, identity)) return null;
    return filesOf(scan, this.#allowsUnknown(choice));
  }

  async #filesAnew(signal: AbortSignal): Promise<LibraryFiles> {
    this.recheck();
    const { path } = await this.ready(signal);
    if (path === null) throw new HoshikageError('library_not_found', { reason: 'no path' });
    return libraryFiles(path, this.#allowsUnknown(this.#choice), this.#deps.env);
  }

  /**
   * Switches to an installed library that passed the canary; with null to what the search order finds
   * without a choice. It is identified first; where that fails, nothing has changed.
   * Codes: library_pinned, library_unknown, library_unproved, library_not_found,
   * library_incompatible, addon_missing, library_locked, library_unwritable, cancelled.
   */
  async use(id: string | null, signal: AbortSignal): Promise<LibraryStatus> {
    const turn = this.#uses.then(() => this.#use(id, signal));
    this.#uses = turn.catch(() => {});
    return turn;
  }

  async #use(id: string | null, caller: AbortSignal): Promise<LibraryStatus> {
    const { places, cacheDir, log } = this.#deps;
    const signal = AbortSignal.any([caller, this.#closing.signal]);
    if (signal.aborted) throw new HoshikageError('cancelled');
    const { libPath } = places;
    if (libPath !== null) throw new HoshikageError('library_pinned', { path: libPath });
    if (id !== null && !(await this.#store.get(id)))
      throw new HoshikageError('library_unknown', { id });
    const found = await findLibrary(places, id === null ? null : { id, minimal: false });
    const proof = id === null ? null : await recallProof(cacheDir, found.path);
    if (id !== null && !proof) throw new HoshikageError('library_unproved', { id });
    const choice: Choice | null = id === null ? null : { id, minimal: proof?.minimal === true };
    const { scan, verdict } = await this.#known(found.path, choice, signal);
    const { identity, error } = verdict;
    if (signal.aborted) throw new HoshikageError('cancelled');
    if (error) throw refusal(error, found, places.libDir);
    await this.#store.activate(id, { minimal: choice?.minimal === true });
    // Whatever a running check is about, it is not about this one.
    this.#check.abort.abort();
    this.#choice = choice;
    this.#status = { ...statusOf(found), id, state: 'ok', identity, scan };
    log.start('libllama switched', { id: id ?? 'default', path: found.path });
    for (const listener of this.#listeners) listener();
    return this.#status;
  }

  /** Looks again: another file may be there now. */
  recheck(): void {
    this.#check.abort.abort();
    this.#status = CHECKING;
    this.#check = this.#begin();
  }

  /** Ends a running check or switch and its process. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#check.abort.abort();
    await Promise.all([this.#check.done, this.#uses]);
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
    const choice = found.choice ?? null;
    this.#choice = choice;
    this.#status = statusOf(found);
    log.start('libllama', { path: found.path, origin: found.origin, reason: found.reason });
    const { scan, verdict } = await this.#known(found.path, choice, signal);
    if (signal.aborted) return;
    this.#status = { ...this.#status, scan };
    for (const note of scan.notes) log.warn('libllama lacks something', { reason: note.reason });
    const { identity, error } = verdict;
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
    if (choice && !(await recallProof(this.#deps.cacheDir, found.path))) {
      log.warn('libllama has changed since it passed; hoshikage lib use proves it again', {
        id: choice.id,
      });
    }
  }

  #known(path: string, choice: Choice | null, signal: AbortSignal): Promise<Known> {
    const { cacheDir, env, log, identify } = this.#deps;
    const allowUnknown = this.#allowsUnknown(choice);
    return knownVerdict({ path, allowUnknown, cacheDir, env, log, identify, signal });
  }

  #allowsUnknown(choice: Choice | null): boolean {
    return this.#deps.allowUnknown === true || choice?.minimal === true;
  }

  #settle(error: HoshikageError): void {
    const state = error.code === 'library_not_found' ? 'missing' : 'refused';
    const { code, details } = error;
    this.#refusedAt = performance.now();
    this.#status = { ...this.#status, state, identity: null, error: { code, details } };
    this.#deps.log.error('libllama cannot be used', { code, reason: details.reason });
  }
}

/** Free memory comes and goes; the rest of an identity tells one library from another. */
function sameLibrary(one: LibraryIdentity, other: LibraryIdentity): boolean {
  const facts = ({ devices, ...rest }: LibraryIdentity): unknown => [
    rest,
    devices.map(({ name, type }) => [name, type]),
  ];
  return isDeepStrictEqual(facts(one), facts(other));
}

/** A library that was found and is being checked. */
function statusOf({ path, origin, reason, choice }: FoundLibrary): LibraryStatus {
  return { ...CHECKING, path, origin, reason, id: choice?.id ?? null };
}

/**
 * The loader has one word for a missing file and one it cannot open. Where we have seen the file, it
 * is there and unusable; where we have not, the places that were searched belong to the answer.
 */
function refusal(wire: WireError, found: FoundLibrary, libDir: string): HoshikageError {
  const error = fromWire(wire);
  if (error.code !== 'library_not_found') return error;
  if (isAbsolute(found.path)) {
    const details = { ...wire.details, reason: wire.reason };
    return new HoshikageError('library_incompatible', details, { cause: error });
  }
  const details = {
    reason: `searched ${libDir}, the npm package and the system: ${wire.reason}; put one into that directory, or name it with HOSHIKAGE_LIB_PATH`,
    reason_ja: `${libDir}、npm のパッケージ、システムを探しました(${wire.reason})。そのディレクトリに置くか、HOSHIKAGE_LIB_PATH で指定してください`,
  };
  return new HoshikageError('library_not_found', details, { cause: error });
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
