/**
 * The file of a registry entry, made first where we make it ourselves.
 * Any process. It must never write anywhere but the cache directory.
 */
import { ensureDemoModel } from '../models/demo.js';
import type { Headers } from '../models/headers.js';
import type { ModelEntry } from '../models/registry.js';

/**
 * Absolute path of the file to load. Its header is read with every number checked, so that a broken
 * file never reaches native code. Codes: model_file_missing, model_file_invalid.
 */
export async function locateModel(
  entry: ModelEntry,
  cacheDir: string,
  headers: Headers,
): Promise<string> {
  if (entry.origin === 'builtin') return ensureDemoModel(cacheDir);
  await headers.read(entry.path);
  return entry.path;
}
