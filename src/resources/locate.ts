/**
 * The file of a registry entry, and that of its draft model, looked at before any load.
 * Any process. It must never write anything.
 */
import { isAbsolute } from 'node:path';
import { HoshikageError, words } from '../errors.js';
import type { Headers } from '../models/headers.js';
import type { ModelEntry } from '../models/registry.js';
import { purposeOf } from './purpose.js';

/**
 * Absolute path of the file to load. Its header is read with every number checked, so that a broken
 * file never reaches native code. Codes: model_file_missing, model_file_invalid.
 */
export async function locateModel({ path }: ModelEntry, headers: Headers): Promise<string> {
  await headers.read(path);
  return path;
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
