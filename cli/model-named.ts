/**
 * The model that a name or a path means, as whoever looks at its file needs it. Runs in the CLI process.
 * It must never load a model.
 */
import type { Config } from '../src/config.js';
import { HoshikageError } from '../src/errors.js';
import type { ModelEntry } from '../src/models/registry.js';
import { knownModels } from './known-models.js';
import type { Shell } from './shell.js';

/** A model that was named; `registered`: by its name, not by its file. */
export interface NamedModel {
  readonly entry: ModelEntry;
  readonly registered: boolean;
}

/**
 * What `text` means: the model of that name, or else the file at that path; `first` says which is
 * looked for first where both may be meant. What is neither is a path where a file is looked for
 * first; else codes: model_not_found, model_file_missing.
 */
export async function modelNamed(
  text: string,
  first: 'name' | 'file',
  { config, shell }: { readonly config: Config; readonly shell: Shell },
): Promise<NamedModel> {
  const named = async (): Promise<NamedModel | null> => {
    const entry = await entryNamed(text, config, shell);
    return entry && { entry, registered: true };
  };
  const { toAbsolute } = await import('../src/models/registry.js');
  const path = toAbsolute(text, process.cwd());
  const entry = { id: path, path, stop: [], origin: 'map', settings: {} } as const;
  const file = { entry, registered: false };
  const isThere = await exists(path);
  if (first === 'file') return (isThere ? null : await named()) ?? file;
  const found = (await named()) ?? (isThere ? file : null);
  if (found) return found;
  // What is written as a path is a file that is not there.
  const isPath = /[\\/]|\.gguf$/i.test(text);
  const { guidePath, modelNotFound } = await import('../src/models/guide.js');
  throw isPath
    ? new HoshikageError('model_file_missing', { path })
    : modelNotFound(text, {}, guidePath());
}

async function exists(path: string): Promise<boolean> {
  const { lstat } = await import('node:fs/promises');
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** The entry of that name with its settings. */
async function entryNamed(text: string, config: Config, shell: Shell): Promise<ModelEntry | null> {
  const alias = text.normalize('NFC');
  const models = await knownModels(config, shell);
  const known =
    models.find(({ id }) => id === text) ?? models.find(({ id }) => id.normalize('NFC') === alias);
  if (!known) return null;
  if (known.origin === 'builtin') {
    const { guidePath } = await import('../src/models/guide.js');
    const path = guidePath();
    return { id: known.id, path, stop: known.stop, origin: 'builtin', settings: {} };
  }
  const { withLocalModels } = await import('./local-models.js');
  const local = await withLocalModels(config, async (catalog) => catalog.get(known.id));
  // A server may have been started with another map than ours.
  const { id, path, stop } = known;
  if (local?.path === path) return local;
  return { id, path, stop, origin: 'map', settings: {} };
}
