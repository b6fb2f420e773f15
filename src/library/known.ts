/**
 * What is known of one library: what its files say, then the remembered verdict on them, or a process
 * of its own that is asked now. Any process. It must never open a library itself.
 */
import { join } from 'node:path';
import { addonPath, readAbi, readAbiText } from '../engine/addon.js';
import { type LibraryFiles, toWire } from '../engine/protocol.js';
import type { HoshikageError } from '../errors.js';
import type { Log } from '../log.js';
import type { Host } from './host.js';
import { type Identification, type IdentifyInput, identifyLibrary } from './identify.js';
import { filesOf, type ScanReport, scanLibrary } from './scan.js';
import { recallVerdict, rememberVerdict, type Verdict, verdictKey } from './verdict.js';

/** What asking takes. */
export interface KnownInput {
  /** The libllama: absolute, or a bare name. */
  readonly path: string;
  /** Drive an unknown layout in the minimal mode instead of refusing it. */
  readonly allowUnknown: boolean;
  readonly cacheDir: string;
  /** The environment that engine processes will have. */
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
  /** Another way to identify a library than by a probe process. */
  readonly identify?: ((input: IdentifyInput) => Promise<Identification>) | undefined;
  readonly signal: AbortSignal;
}

/** What is known of a library before and after it was opened. */
export interface Known {
  readonly scan: ScanReport;
  /** The scan's refusal, where it has one: then nothing opened the library. */
  readonly verdict: Verdict;
}

/** The verdict on a library. Rejects with `cancelled` and `addon_missing` only. */
export async function knownVerdict(input: KnownInput): Promise<Known> {
  const { path, allowUnknown, cacheDir, env, log, signal, identify = identifyLibrary } = input;
  const scan = await scanHere(path, env);
  if (scan.refusal) return { scan, verdict: refusedBy(scan.refusal) };
  const file = join(cacheDir, 'library-verdicts.json');
  const ours = { abiText: readAbiText(), addonPath: addonPath(), allowUnknown };
  const key = await verdictKey(path, ours, env);
  const known = key && (await recallVerdict(file, key));
  if (known) return { scan, verdict: known };
  const { verdict, certain } = await identify({ files: filesOf(scan, allowUnknown), env, signal });
  if (key && certain) {
    await rememberVerdict(file, key, verdict).catch((error: unknown) =>
      log.warn('the verdict on libllama could not be kept', { error }),
    );
  }
  return { scan, verdict };
}

/** A refusal as a verdict. */
function refusedBy(error: HoshikageError): Verdict {
  return { identity: null, error: toWire(error, 'library_incompatible') };
}

/**
 * What an engine needs to know of a library to open it, from its files as they are now.
 * Code: library_incompatible.
 */
export async function libraryFiles(
  path: string,
  allowUnknown: boolean,
  env: NodeJS.ProcessEnv,
): Promise<LibraryFiles> {
  const scan = await scanHere(path, env);
  if (scan.refusal) throw scan.refusal;
  return filesOf(scan, allowUnknown);
}

/** Scans a library for this machine and our own table. */
export function scanHere(path: string, env: NodeJS.ProcessEnv): Promise<ScanReport> {
  const host: Host = { platform: process.platform, arch: process.arch, env };
  return scanLibrary(path, readAbi(), host);
}
