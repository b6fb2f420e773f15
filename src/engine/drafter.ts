/**
 * The model that guesses for another one: loaded beside it, and what keeps it from guessing said with
 * its name. Engine process, JavaScript thread. It owns nothing: who asked for it closes it.
 */
import { HoshikageError, toHoshikageError } from '../errors.js';
import type { NativeAddon, NativeModel } from './addon.js';
import type { EngineOptions } from './engine.js';
import { nativeModelOptions } from './native.js';
import { checkSealed } from './sealed.js';

/**
 * The draft model of these options; null where they name none. It goes to the devices whole, unless the
 * model it guesses for stays off them. `onStart` gets what ends the load while that runs.
 * Codes: draft_model_unusable, model_file_changed, cancelled, engine_out_of_memory, engine_crashed.
 */
export async function loadDrafter(
  addon: Pick<NativeAddon, 'loadModel'>,
  options: EngineOptions,
  onStart: (cancel: () => void) => void,
): Promise<NativeModel | null> {
  const draft = options.speculation?.draftModelPath;
  if (!draft || options.purpose === 'embed') return null;
  // The model that it guesses for may have taken a while.
  await checkSealed(options.sealed ?? []);
  const { tensorSplit, cpuExpertLayers, ...plain } = nativeModelOptions(options);
  const gpuLayers = options.gpuLayers === 0 ? 0 : -1;
  const loading = addon.loadModel({ ...plain, path: draft, gpuLayers });
  onStart(() => loading.cancel());
  try {
    return await loading.promise;
  } catch (error) {
    throw ofDrafter(error, draft);
  }
}

/** An error that is the draft model's own, with its name; any other as it is. */
export function ofDrafter(error: unknown, draft: string | null | undefined): unknown {
  const { code, message, details } = toHoshikageError(error, 'internal_error');
  const own = code === 'draft_model_unusable' || code === 'model_load_failed';
  if (!draft || !own) return error;
  const reason = details.reason ?? message;
  return new HoshikageError('draft_model_unusable', { draft, reason }, { cause: error });
}
