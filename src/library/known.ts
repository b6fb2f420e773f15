/**
 * What is known of one library: the remembered verdict on its files, or a process of its own that is
 * asked now. Any process. It must never open a library itself.
 */
import { join } from 'node:path';
import { addonPath, readAbiText } from '../engine/addon.js';
import type { LibraryFiles } from '../engine/protocol.js';
import type { Log } from '../log.js';
import { withSiblings } from './find.js';
import { type Identification, type IdentifyInput, identifyLibrary } from './identify.js';
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

/** The verdict on a library. Rejects with `cancelled` and `addon_missing` only. */
export async function knownVerdict(input: KnownInput): Promise<Verdict> {
  const { path, allowUnknown, cacheDir, env, log, signal, identify = identifyLibrary } = input;
  const file = join(cacheDir, 'library-verdicts.json');
  const ours = { abiText: readAbiText(), addonPath: addonPath(), allowUnknown };
  const key = await verdictKey(path, ours, env);
  const known = key && (await recallVerdict(file, key));
  if (known) return known;
  const files = await libraryFiles(path, allowUnknown);
  const { verdict, certain } = await identify({ files, env, signal });
  if (key && certain) {
    await rememberVerdict(file, key, verdict).catch((error: unknown) =>
      log.warn('the verdict on libllama could not be kept', { error }),
    );
  }
  return verdict;
}

/** What an engine needs to know of a library to open it. */
export async function libraryFiles(path: string, allowUnknown: boolean): Promise<LibraryFiles> {
  return { ...(await withSiblings(path)), allowUnknown };
}
