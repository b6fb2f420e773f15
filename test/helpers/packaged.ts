/** The libllama that a fresh clone has, found as a server without settings finds it, and copies of it. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { findLibrary, searchPlaces } from '../../src/library/find.js';

/** Its absolute path. */
export async function packagedLibrary(): Promise<string> {
  const places = searchPlaces({ libPath: null, libDir: '/nowhere' }, {});
  const { path, origin } = await findLibrary(places, null);
  assert.equal(origin, 'package');
  return path;
}

/**
 * Copies it with its libggml files, but for those that match `without`, and nothing else that lies
 * beside them. Gives the copy's path.
 */
export async function copyLibrary(to: string, without = /^$/): Promise<string> {
  const packaged = await packagedLibrary();
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(dirname(packaged))) {
    const isPart = /^(lib)?(llama|ggml)/.test(name) && !without.test(name);
    if (isPart) cpSync(join(dirname(packaged), name), join(to, name));
  }
  return join(realpathSync(to), basename(packaged));
}
