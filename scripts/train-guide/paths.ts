/** Where the parts of the training leave their files for each other, and where the model goes. */
import { fileURLToPath } from 'node:url';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** Everything that can be made again. */
export const WORK = at('build/guide');
/** The finished model. */
export const MODEL = at('models/hoshikage-guide.gguf');
export const TRAINER = at('scripts/train-guide/train.py');
