/**
 * The stages of a verification, and what each came to: passed, failed, or not to be found out here.
 * Main thread of the process that wants to know. It must never call a file bad for what this machine
 * lacks.
 */
import { type ErrorCode, HoshikageError, words } from '../errors.js';

/** Everything that is looked at, in this order; of the last two the one that the model is for. */
export const STAGES = [
  'files',
  'header',
  'vocabulary',
  'tensors',
  'hash',
  'template',
  'library',
  'load',
  'tokenizer',
  'generation',
  'embedding',
] as const;

/** The name of a stage. */
export type StageName = (typeof STAGES)[number];

/** A text in both languages. */
export interface Seen {
  readonly en: string;
  readonly ja: string;
}

/** How one stage ended. */
export interface Stage {
  readonly name: StageName;
  /**
   * `failed`: the file is at fault. `unchecked`: it could not be found out here. `skipped`: there was
   * nothing to look at. `unreached`: an earlier stage stood in the way.
   */
  readonly state: 'passed' | 'failed' | 'unchecked' | 'skipped' | 'unreached';
  /** What was seen, or why not. */
  readonly seen: Seen;
  /** The error's code; for a header also the reason's own name, behind a colon. Null where it passed. */
  readonly code: string | null;
  readonly ms: number;
}

/** Something that a stage found wrong with the file. */
export class Finding extends Error {
  readonly seen: Seen;

  constructor(seen: Seen) {
    super(seen.en);
    this.seen = seen;
  }
}

/** What says more of this machine, its library or the moment than of the file. */
const NOT_THE_FILES: ReadonlySet<ErrorCode> = new Set([
  'model_file_missing',
  'model_file_unreadable',
  'model_file_changed',
  'memory_short',
  'engine_out_of_memory',
  'engine_hung',
  'library_not_found',
  'library_incompatible',
  'addon_missing',
  'closed',
  'internal_error',
]);

/** How libllama says that a file is of a kind which this build of it does not know. */
const UNKNOWN_TO_LIBRARY = /unknown (model architecture|(pre-)?tokenizer)/i;

/** Runs stages and keeps how they ended. */
export class Stages {
  readonly #signal: AbortSignal;
  readonly #onStage: (stage: Stage) => void;
  readonly #ended: Stage[] = [];

  constructor(signal: AbortSignal, onStage: (stage: Stage) => void = () => {}) {
    this.#signal = signal;
    this.#onStage = onStage;
  }

  /** All in their order, reached or not. `last`: what the model is for. */
  all(last: 'generation' | 'embedding'): readonly Stage[] {
    const names = STAGES.filter((name) => !['generation', 'embedding'].includes(name));
    return [...names, last].map(
      (name) => this.#ended.find((one) => one.name === name) ?? notReached(name),
    );
  }

  note(name: StageName, seen: Seen, state: Stage['state'] = 'passed', ms = 0): void {
    this.#keep({ name, state, seen, code: null, ms });
  }

  /**
   * Runs one and notes how it ended; `evidence` gives more words to an error. Gives what it found, or
   * null where it did not pass. Rejects only with `cancelled`.
   */
  async run<T>(
    name: StageName,
    work: () => Promise<readonly [Seen, T]>,
    evidence: (error: HoshikageError) => readonly string[] = () => [],
  ): Promise<T | null> {
    const begun = performance.now();
    try {
      this.#signal.throwIfAborted();
      const [seen, found] = await work();
      this.note(name, seen, 'passed', performance.now() - begun);
      return found;
    } catch (error) {
      const more = error instanceof HoshikageError ? evidence(error) : [];
      this.fail(name, error, { evidence: more, ms: performance.now() - begun });
      return null;
    }
  }

  /** Notes that a stage ended with an error. Rejects where that was only an end from outside. */
  fail(
    name: StageName,
    error: unknown,
    { evidence = [], ms = 0 }: { readonly evidence?: readonly string[]; readonly ms?: number } = {},
  ): void {
    if (this.#signal.aborted) throw new HoshikageError('cancelled', {}, { cause: error });
    if (error instanceof Finding) {
      this.#keep({ name, state: 'failed', seen: error.seen, code: null, ms });
      return;
    }
    if (!(error instanceof HoshikageError)) throw error;
    const isUnknown = evidence.some((line) => UNKNOWN_TO_LIBRARY.test(line));
    const state = NOT_THE_FILES.has(error.code) || isUnknown ? 'unchecked' : 'failed';
    const { check } = error.details;
    const code = check === undefined ? error.code : `${error.code}:${check}`;
    this.#keep({ name, state, seen: wordsOf(error, evidence), code, ms });
  }

  #keep(stage: Stage): void {
    const kept = { ...stage, ms: Math.round(stage.ms) };
    this.#ended.push(kept);
    this.#onStage(kept);
  }
}

function wordsOf({ code, details }: HoshikageError, evidence: readonly string[]): Seen {
  const inWords = (language: 'ja' | 'en'): string =>
    [words(code, language, details), ...evidence].join(' / ');
  return { en: inWords('en'), ja: inWords('ja') };
}

function notReached(name: StageName): Stage {
  const seen = { en: 'not reached', ja: 'そこまで進んでいません' };
  return { name, state: 'unreached', seen, code: null, ms: 0 };
}
