/**
 * Gets the real builds from the registry, once: they stay in HOSHIKAGE_TEST_LIBS, or else in
 * test-libs/ of the user's cache directory, put there by the product's own installer.
 * Test code only. It must never touch the libraries that the user has installed.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { configPaths } from '../../src/config.js';
import { HoshikageError } from '../../src/errors.js';
import { installLibrary, SCOPE } from '../../src/install/install.js';
import { readNpmConfig } from '../../src/install/npmrc.js';
import { LibraryStore } from '../../src/library/store.js';

/** Where the builds are kept. */
export function libsDirectory(): string {
  return process.env.HOSHIKAGE_TEST_LIBS || join(configPaths().cacheDir, 'test-libs');
}

/** Path of the libllama of an npm version where it is there already, or null. */
export async function kept(version: string): Promise<string | null> {
  const installed = await new LibraryStore(libsDirectory()).get(`cpu-${version}`);
  return installed?.path ?? null;
}

/** Path of the libllama of an npm version, downloaded unless it is there. */
export async function obtain(version: string, signal: AbortSignal): Promise<string> {
  const there = await kept(version);
  if (there !== null) return there;
  const { env, platform, arch, execPath } = process;
  const { installed } = await installLibrary({
    variant: 'cpu',
    version,
    libDir: libsDirectory(),
    npm: await readNpmConfig(SCOPE, { env, home: homedir(), platform, execPath }),
    ...{ platform, arch, env, signal },
  });
  if (installed.path !== null) return installed.path;
  throw new HoshikageError('library_not_found', { reason: `none in ${installed.dir}` });
}

/** Whether a failed download is the registry's or the network's doing, and why. */
export function whyUnreachable(error: unknown): string | null {
  if (!(error instanceof HoshikageError)) return null;
  return /^(registry_|cancelled$)/.test(error.code) ? error.message : null;
}
