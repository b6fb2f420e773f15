/**
 * An engine of which the server remembers what its slots' caches hold, and that tells when a request
 * was finished. Server's main thread. It adds nothing to the engine and takes nothing away; what it
 * remembers may be less than the truth, and must never be more.
 */
import type {
  CompletionRequest,
  CompletionResult,
  EngineCompletion,
  ResidentEngine,
  TokenBatch,
} from '../engine/engine.js';
import type { SlotCache } from '../states/saved-model.js';

/** Prompts with fewer computed tokens than this tell nothing about the pace. */
const TELLING_TOKENS = 16;

interface Remembered {
  /** Not before it is asked for: a reader may be some tokens behind the end of its completion. */
  readonly tokens: () => Int32Array;
  readonly usedAt: number;
}

/** Wraps one engine for its whole life. */
export class WatchedEngine implements ResidentEngine {
  readonly info: ResidentEngine['info'];
  readonly exited: ResidentEngine['exited'];
  /** How long the last telling prompt took, ms per computed token; null = unknown yet. */
  prefillMsPerToken: number | null = null;
  readonly #engine: ResidentEngine;
  readonly #onFinished: () => void;
  readonly #caches = new Map<number, Remembered>();

  /** `onFinished` is called after every request that the engine has carried out. */
  constructor(engine: ResidentEngine, onFinished: () => void) {
    this.#engine = engine;
    this.#onFinished = onFinished;
    this.info = engine.info;
    this.exited = engine.exited;
  }

  get pid() {
    return this.#engine.pid;
  }

  get slotStates() {
    return this.#engine.slotStates;
  }

  get counters() {
    return this.#engine.counters;
  }

  get memoryBytes() {
    return this.#engine.memoryBytes;
  }

  get ending() {
    return this.#engine.ending;
  }

  /** What the slots hold, as far as it went through here. */
  get caches(): readonly SlotCache[] {
    return this.#engine.slotStates.map(({ id, state, cachedTokens }) => {
      const known = this.#caches.get(id);
      // The last token of an answer is chosen, but never computed.
      const tokens = known?.tokens().subarray(0, cachedTokens) ?? new Int32Array();
      return { slot: id, tokens, usedAt: known?.usedAt ?? 0, busy: state !== 'idle' };
    });
  }

  tokenize(...args: Parameters<ResidentEngine['tokenize']>) {
    return this.#engine.tokenize(...args);
  }

  detokenize(...args: Parameters<ResidentEngine['detokenize']>) {
    return this.#engine.detokenize(...args);
  }

  slots() {
    return this.#engine.slots();
  }

  async embed(...args: Parameters<ResidentEngine['embed']>) {
    const vectors = await this.#engine.embed(...args);
    this.#onFinished();
    return vectors;
  }

  saveState(...args: Parameters<ResidentEngine['saveState']>) {
    return this.#engine.saveState(...args);
  }

  async restoreState(...args: Parameters<ResidentEngine['restoreState']>) {
    const restored = await this.#engine.restoreState(...args);
    if (restored) {
      const { slot, tokens } = restored;
      this.#caches.set(slot, { tokens: () => tokens, usedAt: performance.now() });
    }
    return restored;
  }

  start(request: CompletionRequest): EngineCompletion {
    const completion = new WatchedCompletion(this.#engine.start(request));
    completion.result.then(
      (result) => this.#ended(request, result, completion),
      // Which slot it had is not known, nor what was left in it.
      () => this.#caches.clear(),
    );
    return completion;
  }

  close() {
    return this.#engine.close();
  }

  #ended(request: CompletionRequest, result: CompletionResult, completion: WatchedCompletion) {
    const { slot, promptTokens, cachedTokens, prefillMs, reason, generatedTokens } = result;
    const tokens = () => join(request.prompt, completion.keptTokens());
    this.#caches.set(slot, { tokens, usedAt: performance.now() });
    const computed = promptTokens - cachedTokens;
    // A prompt whose every token is told takes longer than others.
    const isUsual = request.promptLogprobs === undefined;
    if (isUsual && computed >= TELLING_TOKENS && generatedTokens > 0) {
      this.prefillMsPerToken = prefillMs / computed;
    }
    if (reason !== 'cancelled' || generatedTokens > 0) this.#onFinished();
  }
}

/** Remembers the tokens that its reader has seen. */
class WatchedCompletion implements EngineCompletion {
  readonly result: Promise<CompletionResult>;
  readonly #completion: EngineCompletion;
  readonly #seen = new TokenList();
  #keep = Number.POSITIVE_INFINITY;

  constructor(completion: EngineCompletion) {
    this.#completion = completion;
    this.result = completion.result;
  }

  cancel(keepTokens?: number): void {
    if (keepTokens !== undefined && keepTokens >= 0) this.#keep = Math.min(this.#keep, keepTokens);
    this.#completion.cancel(keepTokens);
  }

  [Symbol.asyncIterator](): AsyncIterator<TokenBatch, void, undefined> {
    const batches = this.#completion[Symbol.asyncIterator]();
    const noted = (step: IteratorResult<TokenBatch, void>): IteratorResult<TokenBatch, void> => {
      if (!step.done) this.#seen.add(step.value.tokens);
      return step;
    };
    return {
      next: () => batches.next().then(noted),
      return: async () => {
        await batches.return?.();
        return { done: true, value: undefined };
      },
    };
  }

  /** Generated tokens that are still in the cache, the newest perhaps left out. */
  keptTokens(): Int32Array {
    return this.#seen.first(this.#keep);
  }
}

/** Tokens one after the other, four bytes each. */
class TokenList {
  #tokens = new Int32Array(64);
  #length = 0;

  add(tokens: Int32Array): void {
    const length = this.#length + tokens.length;
    if (length > this.#tokens.length) {
      const larger = new Int32Array(Math.max(length, 2 * this.#tokens.length));
      larger.set(this.#tokens);
      this.#tokens = larger;
    }
    this.#tokens.set(tokens, this.#length);
    this.#length = length;
  }

  /** The first `most` of them. */
  first(most: number): Int32Array {
    return this.#tokens.subarray(0, Math.min(this.#length, most));
  }
}

function join(...parts: readonly Int32Array[]): Int32Array {
  const joined = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const part of parts) {
    joined.set(part, end);
    end += part.length;
  }
  return joined;
}
