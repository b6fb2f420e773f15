/**
 * Which model a request means that names none. Runs in the server; wakes and waits for nothing.
 */
import { HoshikageError } from '../errors.js';
import type { AppDeps } from './deps.js';

/**
 * The model that is meant: the one named, else the one in memory, else the only one there is.
 * Code: missing_required_parameter.
 */
export function askedModel(
  { pool, catalog }: Pick<AppDeps, 'pool' | 'catalog'>,
  asked: string | null,
): string {
  if (asked !== null) return asked;
  const { residents } = pool.status();
  const resident = residents.find(({ purpose }) => purpose === 'generate') ?? residents[0];
  if (resident) return resident.id;
  const [only, ...others] = catalog.list();
  if (only && others.length === 0) return only.id;
  throw new HoshikageError('missing_required_parameter', { param: 'model' });
}
