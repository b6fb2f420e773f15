/**
 * A resident model for work that takes no slot. Runs in the server, one call per request. It must give
 * the lease back however the work ends.
 */
import type { Engine } from '../engine/engine.js';
import type { ModelCatalog } from '../models/catalog.js';
import { modelNotFound } from '../models/guide.js';
import { isEngineLoss } from '../resources/engine-loss.js';
import type { AcquireOptions, Lease } from '../resources/lease.js';
import type { ModelPool } from '../resources/pool.js';

/** What this room works with. */
export interface EmbedDeps {
  readonly config: {
    /** Whether a request is run again, once, when its engine was lost. */
    readonly retryOnCrash: boolean;
  };
  readonly catalog: Pick<ModelCatalog, 'get'>;
  readonly pool: Pick<ModelPool, 'acquire'>;
}

/** How a request is served; the signal ends it in every phase. */
export type EmbedRun = Omit<AcquireOptions, 'need' | 'again'>;

/**
 * What `work` makes of the model. Codes: model_not_found, those of ModelPool.acquire and of `work`,
 * engine_crashed, engine_hung, engine_out_of_memory, cancelled.
 */
export async function withModel<T>(
  deps: EmbedDeps,
  { model, run }: { readonly model: string; readonly run: EmbedRun },
  work: (engine: Engine) => Promise<T>,
): Promise<T> {
  const entry = deps.catalog.get(model);
  if (!entry) throw modelNotFound(model, { param: 'model' });
  for (let again = false; ; again = true) {
    const isLast = again || !deps.config.retryOnCrash;
    let lease: Lease | null = null;
    try {
      lease = await deps.pool.acquire(entry, { ...run, need: 'model', ...(again && { again }) });
      return await work(lease.engine);
    } catch (thrown) {
      if (isLast || run.signal.aborted || !isEngineLoss(thrown)) throw thrown;
    } finally {
      lease?.release();
    }
  }
}
