/**
 * The last look at a model's files before an engine opens them. Server's main thread. Whatever file an
 * engine loads (a copy, a part, a model that guesses for another) goes through here; a header that is
 * not sound must never get further.
 */
import type { EngineOptions } from '../engine/engine.js';
import type { Headers } from '../models/headers.js';

/**
 * The options with all files that they name looked at and sealed: the engine opens these very files, or
 * none. Codes: model_file_missing, model_file_unreadable, model_file_invalid.
 */
export async function sealedOptions(
  options: EngineOptions,
  headers: Headers,
): Promise<EngineOptions> {
  const draft = options.speculation?.draftModelPath;
  const files = await headers.files(options.modelPath);
  const drafts = draft ? await headers.files(draft) : [];
  return { ...options, sealed: [...files, ...drafts].map(({ state }) => state) };
}
