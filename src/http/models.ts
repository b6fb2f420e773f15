/**
 * GET /v1/models and /v1/models/{id}: OpenAI's list, with an object `hoshikage` of our own facts.
 * Runs in the server. Reading it must never load a model.
 */
import { HoshikageError } from '../errors.js';
import type { ModelEntry } from '../models/registry.js';
import type { AppDeps } from './deps.js';

/** A constant, as in both earlier versions: a model has no date of birth that a file's date tells. */
const CREATED = 1_686_935_002;

type ModelDeps = Pick<AppDeps, 'catalog' | 'pool'>;

/** All models, in the catalogue's order. */
export async function listModels(deps: ModelDeps): Promise<object> {
  const data = await Promise.all(deps.catalog.list().map((entry) => modelOf(deps, entry)));
  return { object: 'list', data };
}

/** One model. Code: model_not_found. */
export async function oneModel(deps: ModelDeps, id: string): Promise<object> {
  return modelOf(deps, await entryOf(deps, id));
}

/** The entry of a name. Code: model_not_found. */
export async function entryOf(
  { catalog }: Pick<AppDeps, 'catalog'>,
  id: string,
): Promise<ModelEntry> {
  const entry = catalog.get(id);
  if (entry) return entry;
  // Not before it is needed: this file is loaded before the port is open.
  const { modelNotFound } = await import('../models/guide.js');
  throw modelNotFound(id, { param: 'model' });
}

async function modelOf({ catalog, pool }: ModelDeps, entry: ModelEntry): Promise<object> {
  const facts = await catalog.facts(entry.id);
  const { residents } = pool.status();
  return {
    id: entry.id,
    object: 'model',
    created: CREATED,
    owned_by: 'tane',
    hoshikage: {
      path: entry.path,
      origin: entry.origin,
      size: facts?.sizeBytes ?? null,
      architecture: facts?.architecture ?? null,
      context_length: facts?.contextLength ?? null,
      quantisation: facts?.quantisation ?? null,
      loaded: residents.some(({ id, state }) => id === entry.id && state === 'ready'),
    },
  };
}

/**
 * The rest of a request's path behind `prefix`, decoded once, so that a name may hold `/`, spaces,
 * `%` and Japanese. Code: model_not_found where it is no valid text.
 */
export function idFromPath(url: string, prefix: string, suffix = ''): string {
  const path = new URL(url).pathname;
  const raw = path.slice(prefix.length, path.length - suffix.length);
  try {
    return decodeURIComponent(raw);
  } catch (cause) {
    throw new HoshikageError('model_not_found', { model: raw, param: 'model' }, { cause });
  }
}
