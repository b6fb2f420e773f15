/**
 * A model that is asked for and not in memory: what its file says, and which others have to go for it.
 * Server's main thread. All of that is found out before anything that works is given up for it. It
 * must never end a resident itself.
 */
import type { EngineOptions } from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import type { Freed } from '../memory/use.js';
import { addUses, memoryUse, NO_MEMORY } from '../memory/use.js';
import type { ModelEntry } from '../models/registry.js';
import { inTime } from './look.js';
import type { PoolDeps } from './pool-deps.js';
import type { Purpose } from './pool-status.js';
import { loadFailure, type Resident } from './resident.js';

/** For how long an answer is taken though others are used now than when it was asked for, ms. */
const FRESH_MS = 1000;

/** Who is in memory, from the point of view of one that wants to be. */
export interface Others {
  /** Has to go in any case, since there is no other place. */
  readonly forced: readonly Resident[];
  /** Could go besides, the most dispensable first. */
  readonly dispensable: readonly Resident[];
  /** Is going already. */
  readonly ending: readonly Resident[];
  /** Nobody uses it now. */
  readonly isIdle: (resident: Resident) => boolean;
  /** Equal while they are the same, whoever is used. */
  readonly members: string;
  /** Equal while an answer for these others is the best one. */
  readonly signature: string;
}

/** How it gets its place. */
export interface Room {
  readonly members: string;
  readonly signature: string;
  /** performance.now() */
  readonly foundAt: number;
  /** Have to go. */
  readonly leaving: readonly Resident[];
  /** It fits beside those that go: nobody's end need be waited for. */
  readonly overlaps: boolean;
  /** Found out for a load at once; null where somebody's end is waited for. */
  readonly ready: { readonly source: string; readonly options: EngineOptions } | null;
}

/** What a candidate is made of. */
export interface CandidateInput {
  readonly key: string;
  readonly entry: ModelEntry;
  readonly options: EngineOptions;
  readonly deps: Pick<PoolDeps, 'locate' | 'checkDraft' | 'purposeOf' | 'plan'>;
  /** Called when something has been found out. */
  readonly onKnown: () => void;
  /** Called at most once: it cannot be loaded. */
  readonly onFailure: (candidate: Candidate, failure: HoshikageError) => void;
}

/** One model on its way to a place. */
export class Candidate {
  readonly key: string;
  readonly entry: ModelEntry;
  /** Null = not known yet. */
  purpose: Purpose | null = null;
  #room: Room | null = null;
  readonly #input: CandidateInput;
  #options: EngineOptions;
  #source = '';
  #busy = false;
  #failed = false;

  constructor(input: CandidateInput) {
    this.#input = input;
    this.key = input.key;
    this.entry = input.entry;
    this.#options = input.options;
  }

  /** As they are before anybody has looked at the memory. */
  get options(): EngineOptions {
    return this.#options;
  }

  /** Finds out what the file is, once. */
  look(): void {
    if (this.purpose !== null) return;
    this.#work(async () => {
      const { deps, entry } = this.#input;
      this.#source = await deps.locate(entry);
      const purpose = await deps.purposeOf(entry);
      const { speculation, ...plain } = this.#options;
      const draft = speculation?.draftModelPath;
      if (purpose === 'generate' && draft) await deps.checkDraft(draft);
      const use = purpose === 'embed' ? { purpose } : { ...(speculation && { speculation }) };
      this.#options = { ...plain, modelPath: this.#source, ...use };
      this.purpose = purpose;
    });
  }

  /** Finds out who has to go, for `roomFor`. At once where nobody looks at memory. */
  fit(others: Others): void {
    if (this.roomFor(others)) return;
    const { plan } = this.#input.deps;
    if (plan) {
      this.#work(async () => {
        this.#room = await this.#findRoom(plan, others);
      });
      return;
    }
    const { forced: leaving, ending, members, signature } = others;
    const isFree = leaving.length + ending.length === 0;
    const ready = isFree ? { source: this.#source, options: this.#options } : null;
    const foundAt = performance.now();
    this.#room = { members, signature, foundAt, leaving, overlaps: false, ready };
  }

  /** What was found out, where it still holds; null = it has to be found out (anew). */
  roomFor({ members, signature, isIdle }: Others): Room | null {
    const room = this.#room;
    if (room?.signature === signature) return room;
    // Short requests begin and end all the time: what holds in spite of them is not asked again.
    const isFresh = room !== null && performance.now() - room.foundAt < FRESH_MS;
    return isFresh && room.members === members && room.leaving.every(isIdle) ? room : null;
  }

  async #findRoom(plan: NonNullable<PoolDeps['plan']>, others: Others): Promise<Room> {
    const { forced, dispensable, ending, members, signature } = others;
    for (let more = 0; ; more += 1) {
      const leaving = [...forced, ...dispensable.slice(0, more)];
      const freed = freedBy([...leaving, ...ending]);
      try {
        const options = await plan(this.entry, this.#options, freed);
        // What is free on a device is not known, so that whoever needs one waits until it is.
        const usesDevice = (options.memory?.deviceBytes ?? 0) > 0;
        const overlaps =
          leaving.length + ending.length === 0 ||
          (!usesDevice && (await this.#alsoNow(plan, options)));
        const ready = overlaps ? { source: this.#source, options } : null;
        const foundAt = performance.now();
        return { members, signature, foundAt, leaving, overlaps, ready };
      } catch (error) {
        const isShort = error instanceof HoshikageError && error.code === 'memory_short';
        if (!isShort || more >= dispensable.length) throw error;
      }
    }
  }

  /** Whether it would be loaded in the same way while nobody has gone yet. */
  async #alsoNow(plan: NonNullable<PoolDeps['plan']>, options: EngineOptions): Promise<boolean> {
    try {
      const now = await plan(this.entry, this.#options, NO_MEMORY, 'ask');
      return JSON.stringify(now) === JSON.stringify(options);
    } catch {
      return false;
    }
  }

  #work(work: () => Promise<void>): void {
    if (this.#busy || this.#failed) return;
    this.#busy = true;
    inTime(work())
      .catch((thrown: unknown) => {
        this.#failed = true;
        this.#input.onFailure(this, loadFailure(thrown, this.entry.id));
      })
      .finally(() => {
        this.#busy = false;
        this.#input.onKnown();
      });
  }
}

function freedBy(going: readonly Resident[]): Freed {
  const all = going.map(({ options }) => options);
  return {
    ...all.map(memoryUse).reduce(addUses, NO_MEMORY),
    sources: all.map(({ modelPath, sourcePath }) => sourcePath ?? modelPath),
  };
}
