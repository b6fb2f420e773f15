/**
 * What is in memory and what comes into it: places, who goes for whom, idle times, crashes.
 * Server's main thread. It owns the residents and those on their way; whose turn it is, is the pool's
 * to say. It must never give up a model that works for one that cannot be loaded.
 */
import type { EngineExit, EngineOptions } from '../engine/engine.js';
import { type ErrorCode, HoshikageError } from '../errors.js';
import type { ModelEntry } from '../models/registry.js';
import { Candidate, type Others, type Room } from './candidate.js';
import { engineLossOf, lossOfExit } from './engine-loss.js';
import { keepAliveOf } from './granting.js';
import type { PoolDeps } from './pool-deps.js';
import type { PoolStatus, Purpose } from './pool-status.js';
import { Resident } from './resident.js';
import { Restarts } from './restarts.js';
import { after } from './timer.js';
import type { Turn } from './turn.js';

/** What a model is taken for until its file has been read: most generate. */
const PRESUMED: Purpose = 'generate';

/** A model that somebody waits for. */
export interface Wanted {
  readonly key: string;
  readonly entry: ModelEntry;
  readonly options: EngineOptions;
}

/** What residency works with. */
export interface ResidencyInput {
  readonly deps: PoolDeps;
  /** Something is different, so that somebody's turn may have come. */
  readonly onChange: () => void;
  /** Nobody who waits for this model will get it. */
  readonly onFailure: (key: string, failure: HoshikageError) => void;
  readonly isAwaited: (key: string) => boolean;
}

/** All residents. */
export class Residency {
  readonly #input: ResidencyInput;
  readonly #deps: PoolDeps;
  readonly #restarts = new Restarts();
  readonly #candidates = new Map<string, Candidate>();
  #residents: readonly Resident[] = [];
  #serial = 0;
  #wakeTimer: NodeJS.Timeout | null = null;
  /** performance.now() at which that one is due. */
  #wakeAt = Number.POSITIVE_INFINITY;

  constructor(input: ResidencyInput) {
    this.#input = input;
    this.#deps = input.deps;
  }

  /** In memory, or on their way in or out. */
  get all(): readonly Resident[] {
    return this.#residents;
  }

  get held(): PoolStatus['held'] {
    return this.#restarts.held();
  }

  /** The one that serves such requests, now or when it is loaded. */
  serving(key: string): Resident | null {
    return this.#residents.find((resident) => resident.key === key && resident.stays) ?? null;
  }

  /** Which kind of place a model waits for; null = none: it has one, or had one until now. */
  laneOf(key: string): Purpose | null {
    const candidate = this.#candidates.get(key);
    const isThere = this.#residents.some((resident) => resident.key === key);
    return candidate && !isThere ? (candidate.purpose ?? PRESUMED) : null;
  }

  /** Somebody asks for it by name, in spite of its crashes. */
  lift(key: string): void {
    this.#restarts.lift(key);
  }

  /** Engines are made of something else now. */
  renew(): void {
    this.#restarts.clear();
    for (const resident of this.#residents) resident.retire('library');
  }

  /** `current`: the entry of this name, if an engine made for it would still have this key. */
  refresh(current: (id: string, key: string) => ModelEntry | null): void {
    this.#restarts.retain((id, key) => current(id, key) !== null);
    for (const resident of this.#residents) {
      const entries = [...resident.names].map((id) => current(id, resident.key));
      resident.keepNames(entries.filter((entry) => entry !== null));
      if (resident.stale) this.#deps.states?.drop(resident.key);
    }
  }

  /** Nothing is started any more. */
  stop(): void {
    if (this.#wakeTimer) clearTimeout(this.#wakeTimer);
    this.#candidates.clear();
  }

  /** Whether its file is being looked at, so that not even its kind of place is known. */
  isUnknown(key: string): boolean {
    return this.#candidates.get(key)?.purpose === null;
  }

  /** Brings a model nearer to memory. True where its turn has come. */
  admit(wanted: Wanted, turn: Turn): boolean {
    const { key } = wanted;
    const known = turn.admitted(key);
    if (known !== undefined) return known;
    const isTurn = this.#returning(key, turn) ?? this.#waiting(wanted) ?? this.#place(wanted, turn);
    turn.admit(key, isTurn);
    return isTurn;
  }

  /** Lets go whom nobody needs, and forgets candidates that nobody waits for. */
  rest(): void {
    for (const key of this.#candidates.keys()) {
      if (!this.#input.isAwaited(key)) this.#candidates.delete(key);
    }
    for (const resident of this.#residents) {
      if (resident.leases > 0 || !resident.stays || this.#input.isAwaited(resident.key)) continue;
      if (resident.stale) resident.end('registry');
      else if (resident.keepAliveMs === 0 && resident.state === 'ready') resident.end('keep_alive');
      else this.#armIdleTimer(resident);
    }
  }

  /** A load that everybody left goes on, since its client often comes back; this bounds it too. */
  #armIdleTimer(resident: Resident): void {
    const { keepAliveMs } = resident;
    if (resident.idleTimer || !Number.isFinite(keepAliveMs)) return;
    resident.idleTimer = after(keepAliveMs, () => {
      resident.idleTimer = null;
      if (resident.leases > 0 || this.#input.isAwaited(resident.key)) return;
      this.#deps.log.info('unloading an idle model', { model: resident.entry.id });
      resident.end(keepAliveMs === this.#deps.settings.idleTimeoutMs ? 'idle' : 'keep_alive');
    });
  }

  /** Its old engine has to be gone first. Null where there is none. */
  #returning(key: string, turn: Turn): boolean | null {
    const old = this.#residents.find((resident) => resident.key === key);
    if (!old) return null;
    if (old.state !== 'unloading' || !this.#hasPlace(old.purpose, turn)) return false;
    turn.reserve(old.purpose);
    return true;
  }

  /** Null where it may be started now. */
  #waiting({ key, entry }: Wanted): boolean | null {
    const verdict = this.#restarts.verdict(key, performance.now());
    if (verdict.state === 'free') return null;
    if (verdict.state === 'held') {
      const details = { model: entry.id, crashes: verdict.crashes };
      this.#input.onFailure(key, new HoshikageError('model_held', details));
      return false;
    }
    this.#wakeIn(Math.ceil(verdict.ms));
    return true;
  }

  /** One timer for all that wait: it is set anew for the others when the first one's time has come. */
  #wakeIn(ms: number): void {
    const at = performance.now() + ms;
    if (this.#wakeTimer && this.#wakeAt <= at) return;
    if (this.#wakeTimer) clearTimeout(this.#wakeTimer);
    this.#wakeAt = at;
    this.#wakeTimer = after(ms, () => {
      this.#wakeTimer = null;
      this.#input.onChange();
    });
  }

  #place(wanted: Wanted, turn: Turn): boolean {
    const candidate = this.#candidateOf(wanted);
    candidate.look();
    const purpose = candidate.purpose ?? PRESUMED;
    const others = this.#othersOf(purpose, turn);
    if (!others) {
      turn.bar(purpose);
      return false;
    }
    if (candidate.purpose !== null) candidate.fit(others);
    const room = candidate.roomFor(others);
    if (!room) {
      // Not known yet; nobody behind may take what it was promised.
      if (others.forced.length > 0) turn.bar(purpose);
      else turn.reserve(purpose);
      return true;
    }
    const inUse = room.leaving.filter((resident) => turn.isUsed(resident));
    for (const resident of inUse) turn.bar(resident.purpose);
    if (inUse.length > 0) return false;
    turn.use(this.#load(candidate, room, purpose));
    return true;
  }

  #candidateOf({ key, entry, options }: Wanted): Candidate {
    const known = this.#candidates.get(key);
    if (known) return known;
    const candidate = new Candidate({
      key,
      entry,
      options,
      deps: this.#deps,
      onKnown: () => this.#input.onChange(),
      onFailure: (failed, failure) => {
        if (this.#candidates.get(key) !== failed) return;
        this.#candidates.delete(key);
        this.#tellFailure(failed, failure);
      },
    });
    this.#candidates.set(key, candidate);
    return candidate;
  }

  #hasPlace(purpose: Purpose, turn: Turn): boolean {
    const { maxLoadedModels, maxLoadedEmbedding } = this.#deps.settings;
    const limit = purpose === 'embed' ? maxLoadedEmbedding : maxLoadedModels;
    const there = this.#residents.filter((one) => one.purpose === purpose && !isEnding(one));
    return there.length + turn.reserved(purpose) < limit;
  }

  /** Null where there is no place and nobody who could go. */
  #othersOf(purpose: Purpose, turn: Turn): Others | null {
    const rank = (one: Resident): number =>
      (turn.isUsed(one) ? 2 : 0) + (one.purpose === purpose ? 0 : 1);
    const staying = this.#residents
      .filter((resident) => !isEnding(resident))
      .sort((one, other) => rank(one) - rank(other) || one.usedAt - other.usedAt);
    const isFull = !this.#hasPlace(purpose, turn);
    const victim = staying.find((one) => one.purpose === purpose && !turn.isUsed(one));
    if (isFull && !victim) return null;
    const forced = isFull && victim ? [victim] : [];
    const dispensable = staying.filter((resident) => !forced.includes(resident));
    const ending = this.#residents.filter(isEnding);
    const isIdle = (one: Resident): boolean => !turn.isUsed(one);
    const signature = [
      ...forced.map(({ serial }) => `-${serial}`),
      ...dispensable.map((one) => `${isIdle(one) ? '+' : '='}${one.serial}`),
      ...ending.map(({ serial }) => `.${serial}`),
    ].join();
    const members = [
      forced.length,
      ...this.#residents.map((one) => `${isEnding(one) ? '.' : '+'}${one.serial}`),
    ].join();
    return { forced, dispensable, ending, isIdle, members, signature };
  }

  #load({ key, entry, options }: Candidate, room: Room, purpose: Purpose): Resident {
    this.#candidates.delete(key);
    for (const resident of room.leaving) resident.end('switch');
    const ending = this.#residents.filter(isEnding).map(({ gone }) => gone);
    this.#deps.log.info('loading a model', { model: entry.id, path: options.modelPath });
    this.#serial += 1;
    const resident = new Resident({
      serial: this.#serial,
      entry,
      options,
      key,
      purpose,
      keepAliveMs: keepAliveOf(this.#deps.settings, entry),
      room: room.overlaps ? Promise.resolve() : Promise.all(ending),
      ready: room.ready,
      deps: this.#deps,
      onChange: (changed) => this.#changed(changed),
      onFinished: () => this.#restarts.finished(key),
    });
    this.#residents = [...this.#residents, resident];
    void resident.run();
    return resident;
  }

  #changed(resident: Resident): void {
    const { log } = this.#deps;
    const { exit, failure, reason, loadStartedAt, loadEndedAt } = resident;
    const model = resident.entry.id;
    if (resident.state === 'ready') {
      const loadMs = Math.round((loadEndedAt ?? 0) - (loadStartedAt ?? 0));
      const info = resident.engine?.info;
      const auto = info?.slotChoice && { slots: info.slots, slotsAre: info.slotChoice.how };
      log.info('model loaded', { model, loadMs, pid: resident.pid, ...auto });
    } else {
      this.#residents = this.#residents.filter((other) => other !== resident);
      if (failure) {
        const loss = engineLossOf(failure);
        if (loss) this.#crashed(resident, loss.code, loss.detail);
        this.#tellFailure(resident, failure);
      } else if (exit && !exit.expected && reason === null) {
        this.#crashed(resident, lossOfExit(exit), exit.detail);
      } else log.info('model unloaded', { model, reason });
    }
    this.#input.onChange();
  }

  #crashed({ key, entry, pid }: Resident, code: ErrorCode, detail: EngineExit['detail']): void {
    const model = entry.id;
    const { restartInMs } = this.#restarts.crashed(key, model, performance.now());
    const held = restartInMs === null;
    this.#deps.events.emit({ type: 'crash', model, code, detail, pid, restartInMs, held });
    const { log } = this.#deps;
    if (held) log.error('a model is held back until it is asked for by name', { model, code });
    else log.warn('an engine was lost', { model, code, detail, restartInMs });
  }

  #tellFailure({ key, entry }: Pick<Wanted, 'key' | 'entry'>, failure: HoshikageError): void {
    this.#deps.log.error('a model could not be loaded', {
      model: entry.id,
      code: failure.code,
      error: failure,
    });
    this.#input.onFailure(key, failure);
  }
}

function isEnding({ state }: Resident): boolean {
  return state === 'unloading';
}
