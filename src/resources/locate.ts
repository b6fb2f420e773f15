/**
 * The file of a registry entry, made first where we make it ourselves, and that of its draft model.
 * Any process. It must never write anywhere but the cache directory.
 */

import { isAbsolute } from 'node:path';
import { HoshikageError, words } from '../errors.js';
import { ensureDemoModel } from '../models/demo.js';
import type { Headers } from '../models/headers.js';
import type { ModelEntry } from '../models/registry.js';
import { purposeOf } from './purpose.js';

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

/**
 * Looks at the file of a draft model, before the model that it is for is loaded. A path that is not
 * absolute is a name that nobody knew. Code: draft_model_unusable.
 */
export async function checkDraftModel(path: string, headers: Headers): Promise<void> {
  const unusable = (en: string, ja: string, cause?: unknown): HoshikageError => {
    const details = { draft: path, reason: en, reason_ja: ja };
    return new HoshikageError('draft_model_unusable', details, { cause });
  };
  if (!isAbsolute(path)) throw unusable('no model has this name', 'その名前のモデルはありません');
  const facts = await headers.read(path).catch((cause: unknown) => {
    if (!(cause instanceof HoshikageError)) throw cause;
    const [en, ja] = (['en', 'ja'] as const).map((one) => words(cause.code, one, cause.details));
    throw unusable(en ?? '', ja ?? '', cause);
  });
  if (purposeOf(facts) === 'embed') {
    throw unusable('it only makes embeddings', '埋め込み専用です');
  }
}
