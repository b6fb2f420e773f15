/**
 * The built-in model: 星影ガイド, a small language model of our own that ships in models/ and answers
 * questions about Hoshikage. Any thread, any process. It must never be written here: it is trained by
 * scripts/train-guide.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ErrorDetails, HoshikageError } from '../errors.js';

/** The id under which the built-in model is offered. */
export const GUIDE_ID = 'hoshikage-guide';

/** Absolute path of its file, from src/models and from dist/src/models alike. */
export function guidePath(): string {
  const here = fileURLToPath(new URL('.', import.meta.url));
  const root = /[\\/]dist[\\/]src[\\/]models[\\/]$/.test(here) ? '../../..' : '../..';
  return join(here, root, 'models', `${GUIDE_ID}.gguf`);
}

/**
 * model_not_found. Of the built-in model it says that it rests, and how to keep it: by `file`, which
 * answers to other machines name without its place on this one.
 */
export function modelNotFound(
  model: string,
  details: ErrorDetails = {},
  file = `models/${GUIDE_ID}.gguf`,
): HoshikageError {
  const named = { model, ...details };
  if (model !== GUIDE_ID) return new HoshikageError('model_not_found', named);
  const add = `npx hoshikage add ${file} ${GUIDE_ID}`;
  return new HoshikageError('model_not_found', {
    ...named,
    model_ja: `${model}(付属のガイドは、ほかのモデルを登録しているあいだ休みます。残すには ${add})`,
    model_en: `${model} (the built-in guide rests while other models are registered; to keep it: ${add})`,
  });
}
