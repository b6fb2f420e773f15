/**
 * Which models lie in MODEL_DIR, by their names alone. Any process, main thread. It reads one
 * directory and opens no file; it never writes, so what it finds is offered, not registered.
 */
import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { idOfFile } from './file-names.js';
import { aliasProblem, type ModelEntry } from './registry.js';

/** What a scan found, and what it left out, with the reason. */
export interface ScanResult {
  /** By file name; the id is the file's name without its extension and part number. */
  readonly entries: readonly ModelEntry[];
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

/**
 * The GGUF files in `directory` itself, not below it. A directory that is not there is empty; one
 * that cannot be read throws what the file system says. Hidden files and vision projectors
 * (`mmproj*`) are no models; of a split model only the first part is one.
 */
export async function scanModels(directory: string): Promise<ScanResult> {
  const entries = new Map<string, ModelEntry>();
  const skipped: { path: string; reason: string }[] = [];
  for (const name of await fileNames(directory)) {
    const id = idOfFile(name);
    if (id === null) continue;
    const path = join(resolve(directory), name);
    const problem = aliasProblem(id)?.en ?? (await fileProblem(path));
    const earlier = entries.get(id);
    const reason = problem ?? (earlier ? `${earlier.path} has the same name` : null);
    if (reason !== null) skipped.push({ path, reason });
    else entries.set(id, { id, path, stop: [], origin: 'scan', settings: {} });
  }
  return { entries: [...entries.values()], skipped };
}

async function fileNames(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return [];
    throw cause;
  }
}

async function fileProblem(path: string): Promise<string | null> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() ? null : 'not a file';
}
