/**
 * The built-in model: 星影ガイド, a small language model of our own that ships in models/ and answers
 * questions about Hoshikage. Any thread, any process. It must never be written here: it is trained by
 * scripts/train-guide.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The id under which the built-in model is offered. */
export const GUIDE_ID = 'hoshikage-guide';

/** Absolute path of its file, from src/models and from dist/src/models alike. */
export function guidePath(): string {
  const here = fileURLToPath(new URL('.', import.meta.url));
  const root = /[\\/]dist[\\/]src[\\/]models[\\/]$/.test(here) ? '../../..' : '../..';
  return join(here, root, 'models', `${GUIDE_ID}.gguf`);
}
