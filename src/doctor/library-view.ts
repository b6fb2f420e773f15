/**
 * The library that a server would use now, found and identified once for all checks that speak of it.
 * Main thread; the identification is a process of its own, as in the server. Nothing is remembered.
 */

import { compareVersions } from '../binary/binary.js';
import { readBinary } from '../binary/formats.js';
import type { Config } from '../config.js';
import type { LibraryIdentity } from '../engine/engine.js';
import { fromWire } from '../engine/protocol.js';
import { HoshikageError } from '../errors.js';
import { findLibrary, type LibraryOrigin, searchPlaces } from '../library/find.js';
import { identifyLibrary } from '../library/identify.js';
import { scanHere } from '../library/known.js';
import { filesOf, type ScanReport } from '../library/scan.js';
import type { Machine } from './machine.js';

/** What is known of the library. */
export interface LibraryView {
  /** Null where none was found. */
  readonly path: string | null;
  readonly origin: LibraryOrigin | null;
  /** In words: which place it was found in. */
  readonly reason: string;
  /** What its files say before anything opens them; null where no file was found. */
  readonly scan: ScanReport | null;
  /** The highest versions of GLIBC, GLIBCXX … that its files need. */
  readonly needs: Readonly<Record<string, string>>;
  readonly identity: LibraryIdentity | null;
  /** Why it cannot be used; null with an identity. */
  readonly error: HoshikageError | null;
}

/** How a library is looked at. */
export interface ViewInput {
  readonly config: Config;
  readonly env: NodeJS.ProcessEnv;
  readonly machine: Pick<Machine, 'platform' | 'arch'>;
  readonly signal: AbortSignal;
}

const NOTHING: LibraryView = {
  path: null,
  origin: null,
  reason: '',
  scan: null,
  needs: {},
  identity: null,
  error: null,
};

/** Finds, scans and identifies the library. Rejects only when `signal` aborts. */
export async function viewLibrary({
  config,
  env,
  machine,
  signal,
}: ViewInput): Promise<LibraryView> {
  try {
    const found = await findLibrary(searchPlaces(config, env, machine));
    const scan = await scanHere(found.path, env);
    const needs = await needsOf([...scan.preload, found.path]);
    const known = { ...NOTHING, ...found, scan, needs };
    if (scan.refusal) return { ...known, error: scan.refusal };
    const files = filesOf(scan, config.allowUnknownLibllama || found.choice?.minimal === true);
    const { verdict } = await identifyLibrary({ files, env, signal });
    return {
      ...known,
      identity: verdict.identity,
      error: verdict.error && fromWire(verdict.error),
    };
  } catch (error) {
    if (!(error instanceof HoshikageError) || error.code === 'cancelled') throw error;
    // Only a place that the user named can be without a library.
    return { ...NOTHING, origin: config.libPath === null ? 'active' : 'HOSHIKAGE_LIB_PATH', error };
  }
}

/** The highest version of GLIBC, GLIBCXX … that any of the files needs. */
async function needsOf(files: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const most: Record<string, string> = {};
  for (const file of files) {
    const facts = await readBinary(file, { symbols: false });
    if ('problem' in facts) continue;
    for (const [family, version] of Object.entries(facts.versions)) {
      const known = most[family];
      if (known === undefined || compareVersions(known, version) < 0) most[family] = version;
    }
  }
  return most;
}
