/**
 * Installs a libllama from the npm registry: which packages it is made of, download, check, unpack,
 * and only then its place among the installed ones. Any process. What it has not finished is in a
 * directory of its own that the next installation sweeps; it must never touch what is there already.
 */
import { mkdir, rename, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { readBinary } from '../binary/formats.js';
import { HoshikageError } from '../errors.js';
import { findSharedLibraries } from '../library/drivers.js';
import { PACKAGE_BY_PLATFORM } from '../library/find.js';
import { libraryIn } from '../library/place.js';
import { type Installed, LibraryStore } from '../library/store.js';
import type { TryLock } from '../models/lock.js';
import { syncDirectory } from '../models/map-file.js';
import { type Contents, readContents, unpack } from './archive.js';
import { isWhole, settle } from './durable.js';
import { invalid, NpmRegistry, type PackageVersion, type RegistryLimits } from './npm-registry.js';
import type { NpmConfig } from './npmrc.js';

/** Which build. */
export type Variant = 'cpu' | 'cuda' | 'vulkan' | 'metal';

/** The scope of all packages, for npm's configuration. */
export const SCOPE = '@node-llama-cpp';

/** What installing takes. */
export interface InstallInput {
  readonly variant: Variant;
  /** A version or a tag. */
  readonly version: string;
  readonly libDir: string;
  readonly npm: NpmConfig;
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  /** The environment that engine processes will have: where they find CUDA. */
  readonly env: NodeJS.ProcessEnv;
  /** The lock that all who change the lib directory share; used where fs-ext is not installed. */
  readonly tryLock?: TryLock;
  readonly limits?: RegistryLimits;
  /** How much one package may be when unpacked; 4 GiB by default. */
  readonly unpackedBytes?: number;
  /** Another way to learn the free bytes at a path. */
  readonly freeBytes?: (path: string) => Promise<number>;
  readonly onProgress?: (progress: InstallProgress) => void;
  /** Why the unpacked libllama at a path is of no use here, so that nothing is installed; null: it may be. */
  readonly inspect?: (path: string) => Promise<Unusable | null>;
  readonly signal: AbortSignal;
}

/** Why something is of no use, in both languages. */
export interface Unusable {
  readonly reason: string;
  readonly reason_ja: string;
}

/** How far it is. */
export interface InstallProgress {
  readonly package: string;
  readonly received: number;
  readonly total: number | null;
}

/** What came of it. */
export interface InstallResult {
  readonly installed: Installed;
  /** It was there before, made of the same packages. */
  readonly already: boolean;
  /** For CUDA: the libraries of NVIDIA's that its backend needs and that are not on this machine. */
  readonly missing: readonly string[];
}

/** A package and the directory in it. */
interface Part {
  readonly name: string;
  readonly directory: string;
}

const VARIANTS: Readonly<Record<string, readonly Variant[]>> = {
  'linux-x64': ['cpu', 'cuda', 'vulkan'],
  'linux-arm64': ['cpu'],
  'linux-arm': ['cpu'],
  'win32-x64': ['cpu', 'cuda', 'vulkan'],
  'win32-arm64': ['cpu'],
  'darwin-arm64': ['metal'],
  'darwin-x64': ['cpu'],
};
/** An archive and what it holds, against the archive alone. */
const SPACE_FACTOR = 5;

/** The builds there are for a machine, the plain one first; empty where there are none. */
export function variantsFor(platform: NodeJS.Platform, arch: string): readonly Variant[] {
  return VARIANTS[`${platform}-${arch}`] ?? [];
}

/** The CUDA build comes in two parts, the second one being for the CUDA version before. */
function partsOf({
  variant,
  platform,
  arch,
}: Pick<InstallInput, 'variant' | 'platform' | 'arch'>): readonly Part[] {
  const base = PACKAGE_BY_PLATFORM[`${platform}-${arch}`] ?? '';
  const directory = variant === 'cuda' || variant === 'vulkan' ? `${base}-${variant}` : base;
  const name = `${SCOPE}/${directory}`;
  const parts = [{ name, directory }];
  return variant === 'cuda' ? [...parts, { name: `${name}-ext`, directory }] : parts;
}

/**
 * Installs it as `<variant>-<version>`. When this rejects, nothing is there that was not before.
 * Codes: package_not_found, package_invalid, registry_unreachable, registry_refused, disk_full,
 * library_exists, library_damaged, library_locked, library_unwritable, cancelled.
 */
export async function installLibrary(input: InstallInput): Promise<InstallResult> {
  const { platform, tryLock } = input;
  const store = new LibraryStore(input.libDir, { platform, ...(tryLock && { tryLock }) });
  const registry = new NpmRegistry(input.npm, input.limits);
  try {
    const packages = await versionsOf(input, registry);
    const id = `${input.variant}-${packages[0]?.version}`;
    const there = await store.manifest(id);
    if (there && isMadeOf(there.packages, packages)) {
      const installed = await store.get(id);
      if (installed?.path) {
        if (await isWhole(installed.dir, there.sizes ?? {}))
          return { installed, already: true, missing: [] };
        throw new HoshikageError('library_damaged', { id, path: installed.dir });
      }
    }
    await store.assertFree(id);
    const staged = await store.stage();
    try {
      return { already: false, ...(await make(input, { registry, store, packages, id, staged })) };
    } finally {
      // What cannot be removed now is swept by the next one.
      await rm(staged, { recursive: true, force: true }).catch(() => {});
    }
  } catch (error) {
    throw asOurs(error, input);
  } finally {
    await registry.close();
  }
}

/** The version that would be installed. Codes: those of the registry, cancelled. */
export async function offeredVersion(
  input: Pick<InstallInput, 'variant' | 'version' | 'npm' | 'platform' | 'arch' | 'signal'>,
): Promise<string> {
  const registry = new NpmRegistry(input.npm);
  try {
    const [{ name } = { name: '' }] = partsOf(input);
    return (await registry.version(name, input.version, input.signal)).version;
  } finally {
    await registry.close();
  }
}

/** All parts in one and the same version. */
async function versionsOf(
  input: InstallInput,
  registry: NpmRegistry,
): Promise<readonly PackageVersion[]> {
  const found: PackageVersion[] = [];
  for (const { name } of partsOf(input)) {
    const wanted = found[0]?.version ?? input.version;
    found.push(await registry.version(name, wanted, input.signal));
  }
  return found;
}

function isMadeOf(
  there: readonly { readonly name: string; readonly integrity: string }[],
  packages: readonly PackageVersion[],
): boolean {
  if (there.length !== packages.length) return false;
  return packages.every(({ name, sha512 }) =>
    there.some(
      (one) => one.name === name && sha512.some((sha) => one.integrity === `sha512-${sha}`),
    ),
  );
}

interface Making {
  readonly registry: NpmRegistry;
  readonly store: LibraryStore;
  readonly packages: readonly PackageVersion[];
  readonly id: string;
  readonly staged: string;
}

async function make(
  input: InstallInput,
  { registry, store, packages, id, staged }: Making,
): Promise<Omit<InstallResult, 'already'>> {
  const to = join(staged, 'files');
  await mkdir(to);
  const parts = partsOf(input);
  const files: string[] = [];
  for (const [index, one] of packages.entries()) {
    const directory = parts[index]?.directory ?? '';
    const archive = join(staged, `${index}.tgz`);
    const contents = await fetchPart(input, { registry, one, archive, directory });
    const twice = contents.files.find((name) => files.includes(name));
    if (twice !== undefined) throw invalid(one.name, `${twice} twice`, `${twice} が 2 度あります`);
    const { signal, unpackedBytes } = input;
    await unpack(archive, { name: one.name, directory, to, signal, unpackedBytes });
    await rm(archive);
    files.push(...contents.files);
    if (input.signal.aborted) throw new HoshikageError('cancelled');
  }
  const [first] = packages;
  const path = await libraryIn(to, input.platform);
  if (!first || path === null) {
    throw invalid(first?.name ?? id, 'it holds no libllama', 'libllama が入っていません');
  }
  const unusable = await input.inspect?.(path);
  if (unusable) {
    throw invalid(`${first.name}@${first.version}`, unusable.reason, unusable.reason_ja);
  }
  const missing = input.variant === 'cuda' ? await settleCuda(to, input) : [];
  const sizes = await settle(to, files);
  const installed = await store.place(to, id, {
    variant: input.variant,
    version: first.version,
    packages: packages.map(({ name, sha512 }) => ({ name, integrity: `sha512-${sha512[0]}` })),
    files,
    sizes,
  });
  await syncDirectory(input.libDir);
  return { installed, missing };
}

/** Downloads one package and looks into it; there is room for what it holds. */
async function fetchPart(
  input: InstallInput,
  {
    registry,
    one,
    archive,
    directory,
  }: { registry: NpmRegistry; one: PackageVersion; archive: string; directory: string },
): Promise<Contents> {
  const { libDir, onProgress, signal } = input;
  const name = `${one.name}@${one.version}`;
  await registry.download(one, {
    to: archive,
    onStart: (total) => {
      const unpacked = one.unpackedBytes ?? (total ?? 0) * (SPACE_FACTOR - 1);
      return assertSpace(input, libDir, (total ?? 0) + unpacked);
    },
    onProgress: (received, total) => onProgress?.({ package: name, received, total }),
    signal,
  });
  const { unpackedBytes } = input;
  const contents = await readContents(archive, { name, directory, signal, unpackedBytes });
  await assertSpace(input, libDir, contents.bytes);
  return contents;
}

async function assertSpace(
  { freeBytes = bytesFree }: InstallInput,
  path: string,
  needed: number,
): Promise<void> {
  const free = await freeBytes(path);
  if (free >= needed) return;
  throw new HoshikageError('disk_full', { path, needed: mebibytes(needed), free: mebibytes(free) });
}

async function bytesFree(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 / 1024)} MiB`;
}

/**
 * The packages hold the CUDA backend twice: for the newest CUDA, and in `fallback/` for the one before.
 * Only the one beside libllama is ever loaded, so the one whose libraries this machine has goes there.
 * Gives the names of NVIDIA's libraries that are missing for either.
 */
async function settleCuda(
  directory: string,
  { platform, arch, env }: InstallInput,
): Promise<readonly string[]> {
  const name = platform === 'win32' ? 'ggml-cuda.dll' : 'libggml-cuda.so';
  const newest = join(directory, name);
  const before = join(directory, 'fallback', name);
  const missingFor = async (path: string): Promise<readonly string[] | null> => {
    const facts = await readBinary(path, { symbols: false, arch });
    if ('problem' in facts) return null;
    const needed = facts.needed.filter((one) => /cudart|cublas/i.test(one));
    const found = await findSharedLibraries(needed, { platform, arch, env });
    return needed.filter((one) => found[one] === undefined);
  };
  const missing = await missingFor(newest);
  if (missing?.length === 0) return [];
  const missingBefore = await missingFor(before);
  if (missingBefore?.length !== 0) return missing ?? [];
  const aside = join(directory, 'fallback', `${name}.newest`);
  await rename(newest, aside);
  await rename(before, newest);
  await rename(aside, before);
  return [];
}

/** What a full disk or a lost directory says. */
function asOurs(error: unknown, { libDir, signal }: InstallInput): unknown {
  if (error instanceof HoshikageError) return error;
  if (signal.aborted) return new HoshikageError('cancelled', {}, { cause: error });
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const reason = error instanceof Error ? error.message : String(error);
  if (/^(ENOSPC|EDQUOT)$/.test(code)) {
    const details = { path: libDir, needed: '?', free: '0 MiB' };
    return new HoshikageError('disk_full', details, { cause: error });
  }
  return new HoshikageError('library_unwritable', { path: libDir, reason }, { cause: error });
}
