/**
 * A lease for a generation, and once more where its engine was lost before anything was said. Server's
 * main thread, one call per request. It must give the lease back however the work ends.
 */
import type { ModelCatalog } from '../models/catalog.js';
import { modelNotFound } from '../models/guide.js';
import { isEngineLoss } from '../resources/engine-loss.js';
import type { AcquireOptions, Lease } from '../resources/lease.js';
import type { ModelPool } from '../resources/pool.js';
import type { ChoiceEnd } from './choice.js';
import { type EndEvent, type GenerationEvent, isEnd, type Timings } from './events.js';

/** What every generation works with. */
export interface ServeDeps {
  readonly config: {
    /** Whether a request that had sent nothing is run again when its engine was lost. */
    readonly retryOnCrash: boolean;
  };
  readonly catalog: Pick<ModelCatalog, 'get'>;
  readonly pool: Pick<ModelPool, 'acquire'>;
}

/** How one request is served; the signal ends it in every phase. */
export interface ServeRun extends Omit<AcquireOptions, 'again'> {
  /** Nobody is told a word before the end, so that a lost engine can be made good until then. */
  readonly whole?: boolean;
}

/** Events that say nothing of the answer yet. */
const SILENT = ['start', 'end'];

/**
 * The events of `work` on a leased model. With `retryOnCrash`, work that has said nothing yet is done
 * again, once, when its engine is lost: then a second `start` begins anew. Codes: model_not_found, those
 * of ModelPool.acquire and of `work`.
 */
export async function* serve<E extends GenerationEvent>(
  deps: ServeDeps,
  { model, run }: { readonly model: string; readonly run: ServeRun },
  work: (lease: Lease) => AsyncGenerator<E, void, undefined>,
): AsyncGenerator<E, void, undefined> {
  const { whole = false, ...asked } = run;
  const entry = deps.catalog.get(model);
  if (!entry) throw modelNotFound(model, { param: 'model' });
  let spent = { queueMs: 0, loadMs: 0, retriedMs: 0 };
  for (let again = false; ; again = true) {
    const isLast = again || !deps.config.retryOnCrash;
    let begun = performance.now();
    let lease: Lease | null = null;
    let isSaid = false;
    try {
      lease = await deps.pool.acquire(entry, { ...asked, ...(again && { again }) });
      begun = performance.now();
      for await (const event of work(lease)) {
        if (!SILENT.includes(event.type)) isSaid = !whole;
        yield isEnd(event) ? { ...event, timings: sum(event.timings, spent) } : event;
      }
      return;
    } catch (thrown) {
      if (isLast || isSaid || asked.signal.aborted || !isEngineLoss(thrown)) throw thrown;
    } finally {
      lease?.release();
    }
    const { queuedMs: queueMs = 0, loadMs = 0 } = lease ?? {};
    spent = { queueMs, loadMs, retriedMs: performance.now() - begun };
  }
}

function sum(
  timings: Timings,
  { queueMs, loadMs, retriedMs }: Pick<Timings, 'queueMs' | 'loadMs' | 'retriedMs'>,
): Timings {
  const [queue, load] = [timings.queueMs + queueMs, timings.loadMs + loadMs];
  return { ...timings, queueMs: queue, loadMs: load, retriedMs };
}

/** Has a saved conversation brought back that the prompt begins with; gives the time it took, ms. */
export async function recall(
  lease: Lease,
  prompt: Int32Array,
  signal: AbortSignal,
): Promise<number> {
  const begun = performance.now();
  const tokens = await lease.recall(prompt, signal);
  return tokens > 0 ? performance.now() - begun : 0;
}

/** Adds up what the choices of one request took. */
export class Tally {
  #promptTokens = 0;
  #cachedTokens = 0;
  #completionTokens = 0;
  #prefillMs = 0;
  #generationMs = 0;
  #draftedTokens = 0;
  #acceptedTokens = 0;

  /** `isShared`: the choice answers a prompt that has been counted. */
  add(end: ChoiceEnd, { isShared = false } = {}): void {
    if (!isShared) {
      this.#promptTokens += end.promptTokens;
      this.#cachedTokens += end.cachedTokens;
    }
    this.#completionTokens += end.completionTokens;
    this.#prefillMs += end.prefillMs;
    this.#generationMs += end.generationMs;
    this.#draftedTokens += end.draftedTokens;
    this.#acceptedTokens += end.acceptedTokens;
  }

  /** The last event; `recallMs` and the two counts are the caller's to know. */
  end(
    lease: Lease,
    more: { readonly recallMs: number; reasoningTokens?: number; truncatedTokens?: number },
  ): EndEvent {
    const { recallMs, reasoningTokens = 0, truncatedTokens = 0 } = more;
    return {
      type: 'end',
      usage: {
        promptTokens: this.#promptTokens,
        cachedTokens: this.#cachedTokens,
        completionTokens: this.#completionTokens,
        reasoningTokens,
        truncatedTokens,
        draftedTokens: this.#draftedTokens,
        acceptedTokens: this.#acceptedTokens,
      },
      timings: {
        queueMs: lease.queuedMs,
        loadMs: lease.loadMs,
        recallMs,
        prefillMs: this.#prefillMs,
        generationMs: this.#generationMs,
        retriedMs: 0,
      },
    };
  }
}
