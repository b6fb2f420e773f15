/**
 * Looks at a library's file and its directory without loading it, and says what can be said: format,
 * machine, which builds of llama.cpp it can be, what is missing around it.
 * Any process. It must never open a library, never read a whole file, and never throw for what a file
 * holds. What it accepts is not proved yet: that is the probe's part.
 */
import { readdir } from 'node:fs/promises';
import { basename, dirname, isAbsolute } from 'node:path';
import type { BinaryFacts } from '../binary/binary.js';
import { readBinary } from '../binary/formats.js';
import { because, type Reason } from '../binary/reasons.js';
import type { AbiTable } from '../engine/addon.js';
import type { LibraryFiles } from '../engine/protocol.js';
import { HoshikageError } from '../errors.js';
import { bracketOf, unknownNames } from './bracket.js';
import { findSharedLibraries } from './drivers.js';
import { foreignTo, type Host } from './host.js';
import { acceleratorsBeside, mixingIn, withoutBackends } from './mixing.js';
import { missingNeeds, missingOfBackends } from './needs.js';
import { type Family, familyOf } from './siblings.js';

/** What a scan found. */
export interface ScanReport {
  readonly path: string;
  readonly facts: BinaryFacts | null;
  /** Builds of llama.cpp whose functions it has: [first, first that is too new]. */
  readonly bracket: readonly [number, number] | null;
  /** llama_* functions that the table does not know: it is newer than the table. */
  readonly unknownSymbols: readonly string[];
  /** The libggml files beside it, in the order in which they are to be opened before it. */
  readonly preload: readonly string[];
  /** library_incompatible with the evidence, or null where nothing speaks against loading it. */
  readonly refusal: HoshikageError | null;
  /** What it will do without, in words. */
  readonly notes: readonly Reason[];
}

/** Scans the library at `path`. A bare name is the system's to find, so nothing is known of it. */
export async function scanLibrary(path: string, abi: AbiTable, host: Host): Promise<ScanReport> {
  const nothing: ScanReport = {
    path,
    facts: null,
    bracket: null,
    unknownSymbols: [],
    preload: [],
    refusal: null,
    notes: [],
  };
  if (!isAbsolute(path)) return nothing;
  const facts = await readBinary(path, { symbols: true, arch: host.arch });
  if ('problem' in facts) {
    const { problem: reason, problem_ja: reason_ja } = facts;
    return { ...nothing, refusal: refuse({ reason, reason_ja }) };
  }
  const file = basename(path);
  const foreign = foreignTo(file, facts, host);
  if (foreign) return { ...nothing, facts, refusal: refuse(foreign) };
  const other = await otherThanLlama(path, facts);
  if (other) return { ...nothing, facts, refusal: refuse(other) };
  const { bracket, refusal } = bracketOf(file, facts, abi);
  const unknownSymbols = unknownNames(facts, abi);
  const known = { ...nothing, facts, bracket, unknownSymbols };
  if (refusal) return { ...known, refusal: refuse(refusal) };
  const family = await familyOf(path, facts, { symbols: true });
  const preload = facts.format === 'pe' ? [] : family.siblings.map((one) => one.path);
  const library = { path, facts };
  const why =
    (await gapIn(path, family, host)) ??
    (await mixingIn(library, family)) ??
    (await missingNeeds([library, ...family.siblings], host)) ??
    (await withoutBackends(library, family));
  const notes = await missingOfBackends(await acceleratorsBeside(path), host);
  return { ...known, preload, refusal: why && refuse(why), notes };
}

/** What an engine needs to know of a scanned library to open it. */
export function filesOf(
  { path, preload, unknownSymbols }: ScanReport,
  allowUnknown: boolean,
): LibraryFiles {
  return { path, preload, unknownSymbols, allowUnknown };
}

function refuse(why: Reason): HoshikageError {
  return new HoshikageError('library_incompatible', why);
}

/** What a library is that has no function of libllama's at all. */
async function otherThanLlama(path: string, { exports, soname }: BinaryFacts) {
  if (exports.some((name) => name.startsWith('llama_'))) return null;
  const names: readonly string[] = await readdir(dirname(path)).catch(() => []);
  const llama = names.find((name) => /^(lib)?llama\.(.*\.)?(so|dylib|dll)$/.test(name));
  const file = basename(path);
  const beside =
    llama === undefined || llama === file
      ? {}
      : { beside: `; ${llama} is beside it`, beside_ja: `(${llama} は同じ場所にあります)` };
  const called = `${soname ?? ''} ${file}`;
  if (/llama-common/.test(called)) return because('is_common', { file, ...beside });
  const isGgml = /ggml/.test(called) || exports.some((name) => name.startsWith('ggml_'));
  return because(isGgml ? 'is_ggml' : 'is_other', { file, ...beside });
}

/** What is missing or broken in a family. */
async function gapIn(path: string, family: Family, host: Host): Promise<Reason | null> {
  const [broken] = family.broken;
  if (broken) return { reason: broken.problem.problem, reason_ja: broken.problem.problem_ja };
  const [gap] = family.missing;
  if (!gap) return null;
  const { needer, name: missing } = gap;
  const { platform, arch, env = {} } = host;
  const elsewhere = (await findSharedLibraries([missing], { platform, arch, env }))[missing];
  return because('missing_sibling', {
    needer,
    missing,
    directory: dirname(path),
    ...(elsewhere !== undefined && {
      elsewhere: ` (${elsewhere} may be of another version, so it is not taken)`,
      elsewhere_ja: `(${elsewhere} は別の版かもしれないので使いません)`,
    }),
  });
}
