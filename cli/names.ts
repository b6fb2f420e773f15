/**
 * Names that a user may have meant: of models as the files say, and of settings. Runs in the CLI process. It
 * reads quickly and judges nothing, starts nothing and writes nothing; what cannot be read has no names.
 */
import { readdir } from 'node:fs/promises';
import { type Config, examineConfig } from '../src/config.js';
import { idOfFile } from '../src/models/file-names.js';
import { GUIDE_ID } from '../src/models/guide.js';
import { readMapFile } from '../src/models/map-file.js';
import { SETTINGS } from '../src/settings.js';

/** The models in the map, in its order, then those in MODEL_DIR by name; the built-in one where there are none. */
export async function modelNames(
  config: Pick<Config, 'modelMapFile' | 'modelDir'> = examineConfig().config,
): Promise<readonly string[]> {
  const map = await readMapFile(config.modelMapFile).catch(() => null);
  const files = await readdir(config.modelDir).catch(() => []);
  const found = files.sort().flatMap((name) => idOfFile(name) ?? []);
  const names = new Set([...(map?.raw.keys() ?? []), ...found]);
  return names.size > 0 ? [...names] : [GUIDE_ID];
}

/** The keys of all settings. */
export function settingNames(): readonly string[] {
  return SETTINGS.map(({ key }) => key);
}
