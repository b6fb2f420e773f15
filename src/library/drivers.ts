/**
 * Which accelerators this machine has drivers for, and so which build of libllama would use them.
 * Any process. It looks at files only: it must never open a driver's library, start a program or wait
 * for a device, so that a broken driver cannot take its caller along.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

/** The builds of libllama that use an accelerator. */
export type BuildHint = 'cuda' | 'vulkan' | 'metal';

/** A driver that is there and complete. */
export interface Accelerator {
  readonly kind: 'cuda' | 'rocm' | 'vulkan' | 'metal';
  /** What was seen, for people: file names and versions. */
  readonly evidence: string;
  /** The published builds that would use it, the best first; empty where there are none. */
  readonly buildHint: readonly BuildHint[];
}

/** What was seen of drivers; everything absent is null, false or empty. */
export interface DriverFacts {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  /** The kernel driver's version, from /proc/driver/nvidia/version. */
  readonly nvidiaVersion: string | null;
  /** Character devices in /dev that belong to accelerators: `nvidia0`, `dxg`, `kfd`, `dri/renderD128`. */
  readonly devices: readonly string[];
  /** Driver libraries by file name, with the path they were found at. */
  readonly libraries: Readonly<Record<string, string>>;
}

/** How files are looked at; a path that cannot be read is null, an empty list or false. */
export interface FileLooks {
  readonly bytes: (path: string) => Promise<Buffer | null>;
  readonly names: (directory: string) => Promise<readonly string[]>;
  readonly exists: (path: string) => Promise<boolean>;
}

/** The machine whose drivers are looked for. */
export interface DriverHost {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  /** The environment that engine processes will have. */
  readonly env: NodeJS.ProcessEnv;
}

const DRIVER_LIBRARIES: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  linux: ['libcuda.so.1', 'libvulkan.so.1', 'libhsa-runtime64.so.1'],
  win32: ['nvcuda.dll', 'vulkan-1.dll'],
};
/** Where the dynamic loader looks by itself; musl has no cache that would list them. */
const LOADER_DIRECTORIES = [
  '/lib/x86_64-linux-gnu',
  '/usr/lib/x86_64-linux-gnu',
  '/lib/aarch64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/lib64',
  '/usr/lib64',
  '/lib',
  '/usr/lib',
  '/usr/local/lib',
];
/** Where drivers put libraries that nobody but they find: WSL, containers, Jetson, ROCm. */
const DRIVER_DIRECTORIES = [
  '/usr/lib/wsl/lib',
  '/usr/local/nvidia/lib64',
  '/usr/lib/aarch64-linux-gnu/tegra',
  '/usr/lib/aarch64-linux-gnu/nvidia',
  '/opt/rocm/lib',
];
/** The builds that are published besides the CPU's. */
const PUBLISHED: Readonly<Record<string, readonly BuildHint[]>> = {
  'linux-x64': ['cuda', 'vulkan'],
  'win32-x64': ['cuda', 'vulkan'],
  'darwin-arm64': ['metal'],
};
const LOADER_CACHE = '/etc/ld.so.cache';
const MAX_CACHE_BYTES = 16 * 1024 * 1024;

/** The accelerators whose driver is complete, the most capable first. */
export function findAccelerators(facts: DriverFacts): readonly Accelerator[] {
  const published = PUBLISHED[`${facts.platform}-${facts.arch}`] ?? [];
  return driversIn(facts).map((one) => ({
    ...one,
    buildHint: one.buildHint.filter((build) => published.includes(build)),
  }));
}

function driversIn(facts: DriverFacts): readonly Accelerator[] {
  const { platform, arch, libraries, devices, nvidiaVersion } = facts;
  if (platform === 'darwin') {
    if (arch !== 'arm64') return [];
    return [{ kind: 'metal', evidence: 'Apple silicon', buildHint: ['metal'] }];
  }
  const found: Accelerator[] = [];
  const cuda = libraries['libcuda.so.1'] ?? libraries['nvcuda.dll'];
  // The library alone comes with packages on machines without a GPU.
  const hasNvidia = devices.some((name) => /^(nvidia\d|dxg$)/.test(name)) || platform === 'win32';
  if (cuda && (nvidiaVersion !== null || hasNvidia)) {
    const version = nvidiaVersion === null ? '' : `NVIDIA driver ${nvidiaVersion}, `;
    found.push({ kind: 'cuda', evidence: version + cuda, buildHint: ['cuda', 'vulkan'] });
  }
  if (devices.includes('kfd')) {
    const runtime = libraries['libhsa-runtime64.so.1'];
    const evidence = runtime ? `/dev/kfd, ${runtime}` : '/dev/kfd';
    found.push({ kind: 'rocm', evidence, buildHint: ['vulkan'] });
  }
  const vulkan = libraries['libvulkan.so.1'] ?? libraries['vulkan-1.dll'];
  const node = devices.find((name) => name.startsWith('dri/renderD'));
  if (vulkan && (node !== undefined || platform === 'win32')) {
    const evidence = node === undefined ? vulkan : `/dev/${node}, ${vulkan}`;
    found.push({ kind: 'vulkan', evidence, buildHint: ['vulkan'] });
  }
  return found;
}

/** The build that would use the best of these accelerators, or null where none would be used. */
export function bestBuild(accelerators: readonly Accelerator[]): BuildHint | null {
  // ROCm alone has no build of its own, and Vulkan on it needs the Vulkan loader too.
  const usable = accelerators.filter(({ kind }) => kind !== 'rocm');
  return usable.find(({ buildHint }) => buildHint.length > 0)?.buildHint[0] ?? null;
}

/** Looks at this machine's driver files. Never throws for what it finds. */
export async function readDriverFacts(
  { platform, arch, env }: DriverHost,
  looks: FileLooks = fileLooks(),
): Promise<DriverFacts> {
  const names = DRIVER_LIBRARIES[platform] ?? [];
  const extra = platform === 'linux' ? DRIVER_DIRECTORIES : [];
  const libraries = await findSharedLibraries(names, { platform, arch, env, extra }, looks);
  if (platform !== 'linux') {
    return { platform, arch, nvidiaVersion: null, devices: [], libraries };
  }
  const version = await looks.bytes('/proc/driver/nvidia/version');
  const top = (await looks.names('/dev')).filter((name) => /^(nvidia\d+|dxg|kfd)$/.test(name));
  const nodes = (await looks.names('/dev/dri')).filter((name) => /^renderD\d+$/.test(name));
  return {
    platform,
    arch,
    nvidiaVersion: version && nvidiaVersionOf(version.toString('utf8')),
    devices: [...top, ...nodes.map((name) => `dri/${name}`)].sort(),
    libraries,
  };
}

/** The version in the text of /proc/driver/nvidia/version. */
function nvidiaVersionOf(text: string): string {
  return /\b(\d{3,}\.\d+(?:\.\d+)*)\b/.exec(text)?.[1] ?? 'of an unknown version';
}

/**
 * Where the dynamic loader would find shared libraries: by name, the path of each that is there.
 * Looks into the search path of `env`, the loader's cache, its own directories, then into `extra`.
 */
export async function findSharedLibraries(
  names: readonly string[],
  { platform, env, extra = [] }: DriverHost & { readonly extra?: readonly string[] },
  looks: FileLooks = fileLooks(),
): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {};
  const cached = platform === 'linux' ? await cachedPaths(looks) : [];
  for (const name of names) {
    const listed = searchDirectories(platform, env).map((directory) => join(directory, name));
    const own = platform === 'linux' ? LOADER_DIRECTORIES : [];
    const usual = [...own, ...extra].map((directory) => `${directory}/${name}`);
    const inCache = cached.filter((path) => path.endsWith(`/${name}`));
    for (const path of [...listed, ...inCache, ...usual]) {
      if (!(await looks.exists(path))) continue;
      found[name] = path;
      break;
    }
  }
  return found;
}

function searchDirectories(platform: NodeJS.Platform, env: NodeJS.ProcessEnv): readonly string[] {
  if (platform === 'win32') {
    const root = env.SystemRoot ?? env.SYSTEMROOT ?? 'C:\\Windows';
    return [`${root}\\System32`, ...split(env.PATH ?? env.Path)];
  }
  return split(platform === 'darwin' ? env.DYLD_LIBRARY_PATH : env.LD_LIBRARY_PATH);
}

function split(path: string | undefined): readonly string[] {
  return (path ?? '').split(delimiter).filter((directory) => directory !== '');
}

/** The absolute paths in the loader's cache. Its table of texts ends each with a zero byte. */
async function cachedPaths(looks: FileLooks): Promise<readonly string[]> {
  const cache = await looks.bytes(LOADER_CACHE);
  if (!cache || cache.length > MAX_CACHE_BYTES) return [];
  const texts = cache.toString('latin1').split('\0');
  return texts.filter((text) => /^\/[\x21-\x7e]+\.so(\.[\w.]+)?$/.test(text));
}

/** The file system of this machine. */
function fileLooks(): FileLooks {
  return {
    bytes: (path) => readFile(path).catch(() => null),
    names: (directory) => readdir(directory).catch(() => []),
    exists: (path) =>
      stat(path).then(
        () => true,
        () => false,
      ),
  };
}
