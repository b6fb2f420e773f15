/**
 * The file of a registry entry, made first where we make it ourselves.
 * Any process. It must never write anywhere but the cache directory.
 */
import { stat } from 'node:fs/promises';
import { HoshikageError } from '../errors.js';
import { ensureDemoModel } from '../models/demo.js';
import type { ModelEntry } from '../models/registry.js';

/** Absolute path of the file to load. Code: model_file_missing. */
export async function locateModel(entry: ModelEntry, cacheDir: string): Promise<string> {
  if (entry.origin === 'builtin') return ensureDemoModel(cacheDir);
  const found = await stat(entry.path).catch(() => null);
  if (!found?.isFile()) throw new HoshikageError('model_file_missing', { path: entry.path });
  return entry.path;
}
