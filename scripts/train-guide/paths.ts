/** Where the parts of the training leave their files for each other, and where the model goes. */
import { inProject } from '../root.js';

/** Everything that can be made again. */
export const WORK = inProject('build/guide');
/** The finished model. */
export const MODEL = inProject('models/hoshikage-guide.gguf');
export const TRAINER = inProject('scripts/train-guide/train.py');
