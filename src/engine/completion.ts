/**
 * A running completion as its reader sees it: batches are pushed in, an async iteration comes out.
 * JavaScript thread of the reader. It must never wait for the reader: a slow one costs memory that
 * maxTokens bounds, and nothing else.
 */
import { HoshikageError } from '../errors.js';
import type { CompletionResult, EngineCompletion, TokenBatch } from './engine.js';

type Step = IteratorResult<TokenBatch, void>;

/** Whoever waits for the next batch. */
interface Reader {
  resolve(step: Step): void;
  reject(error: HoshikageError): void;
}

type Outcome = { readonly result: CompletionResult } | { readonly error: HoshikageError };

/** The EngineCompletion behind every engine. The engine pushes, then finishes or fails it once. */
export class CompletionStream implements EngineCompletion {
  readonly result: Promise<CompletionResult>;
  readonly #cancelled: (keepTokens: number) => void;
  readonly #batches: TokenBatch[] = [];
  #settle: (outcome: Outcome) => void = () => {};
  #outcome: Outcome | null = null;
  #reader: Reader | null = null;
  #cancelAsked = false;
  #iterated = false;

  /** `onCancel` carries the wish to the engine; -1 keeps what was generated. */
  constructor(onCancel: (keepTokens: number) => void) {
    this.#cancelled = onCancel;
    this.result = new Promise((resolve, reject) => {
      this.#settle = (outcome) => {
        if ('result' in outcome) resolve(outcome.result);
        else reject(outcome.error);
      };
    });
    // Readers that only iterate learn of the error there; the promise alone must not end the process.
    this.result.catch(() => {});
  }

  /** Appends tokens. Ignored once ended. */
  push(batch: TokenBatch): void {
    if (this.#outcome) return;
    const reader = this.#reader;
    this.#reader = null;
    if (reader) reader.resolve({ done: false, value: batch });
    else this.#batches.push(batch);
  }

  /** Ends it. A cancel that nobody here asked for means that the engine is being closed. */
  finish(result: CompletionResult): void {
    if (result.reason === 'cancelled' && !this.#cancelAsked) {
      this.fail(new HoshikageError('shutting_down'));
    } else {
      this.#end({ result });
    }
  }

  /** Ends it with an error; what was pushed before still reaches the reader first. */
  fail(error: HoshikageError): void {
    this.#end({ error });
  }

  cancel(keepTokens = -1): void {
    if (this.#cancelAsked || this.#outcome) return;
    this.#cancelAsked = true;
    this.#cancelled(keepTokens);
  }

  /** Once. Written out, since a generator would take several turns of the queue of promises per token. */
  [Symbol.asyncIterator](): AsyncIterator<TokenBatch, void, undefined> {
    if (this.#iterated) {
      throw new HoshikageError('invalid_argument', { reason: 'a completion is iterated once' });
    }
    this.#iterated = true;
    return {
      next: () => this.#next(),
      return: async () => {
        this.cancel();
        return { done: true, value: undefined };
      },
    };
  }

  #next(): Promise<Step> {
    const value = this.#batches.shift();
    if (value) return Promise.resolve({ done: false, value });
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      this.#tellEnd();
    });
  }

  /** To a reader who has had all that was pushed. */
  #tellEnd(): void {
    const [reader, outcome] = [this.#reader, this.#outcome];
    if (!reader || !outcome) return;
    this.#reader = null;
    if ('error' in outcome) reader.reject(outcome.error);
    else reader.resolve({ done: true, value: undefined });
  }

  #end(outcome: Outcome): void {
    if (this.#outcome) return;
    this.#outcome = outcome;
    this.#settle(outcome);
    this.#tellEnd();
  }
}
