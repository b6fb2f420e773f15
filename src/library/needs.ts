/**
 * What a libllama and its libggml files need of the system, and whether it is here.
 * Any process. It only looks at files and at what this process has mapped, since an engine will have
 * the same; it must never ask the loader.
 */
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { compareVersions } from '../binary/binary.js';
import { readBinary } from '../binary/formats.js';
import { because, type Reason } from '../binary/reasons.js';
import { findSharedLibraries } from './drivers.js';
import type { Host } from './host.js';
import type { Member } from './siblings.js';

/** The families of versions that systems differ in, as people call them. */
const FAMILIES: Readonly<Record<string, string>> = {
  GLIBC: 'glibc',
  GLIBCXX: 'libstdc++ (GLIBCXX)',
  CXXABI: 'libstdc++ (CXXABI)',
};
/** The C and C++ libraries; before glibc 2.35 the file of the first was named by its version. */
const PROVIDERS = /^(libc(-[\d.]+)?\.so(\.6)?|libstdc\+\+\.so\.6[\d.]*)$/;

/** What an accelerator's libraries come with, for people. */
const REMEDIES: readonly (readonly [name: RegExp, en: string, ja: string])[] = [
  [/^libcuda\.so|^nvcuda/, 'install the NVIDIA driver', 'NVIDIA のドライバーを入れてください'],
  [
    /^lib(cudart|cublas|cublasLt|nccl|cufft|curand)\b/,
    'install the CUDA runtime of that version, or put the file beside libllama',
    'その版の CUDA ランタイムを入れるか、ファイルを libllama と同じ場所に置いてください',
  ],
  [
    /^libvulkan\b/,
    'install the Vulkan loader (libvulkan1)',
    'Vulkan のローダー(libvulkan1)を入れてください',
  ],
  [
    /^lib(amdhip|hip|roc|hsa|rocm)/,
    'install ROCm of that version',
    'その版の ROCm を入れてください',
  ],
  [
    /^lib(sycl|ze_loader|mkl|svml|intlc|irng|imf|dnnl)/,
    'install the Intel oneAPI runtime',
    'Intel oneAPI のランタイムを入れてください',
  ],
  [/^libgomp\b/, 'install libgomp1', 'libgomp1 を入れてください'],
  [/^libomp\b/, 'install libomp', 'libomp を入れてください'],
];

/** What its own build brings, and what Node has opened before. */
const AT_HAND = /^(lib(ggml|llama|mtmd)|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+)\.so\.|ld-linux)/;

/** Why a library's family cannot be loaded on this host; null where nothing is known to be missing. */
export async function missingNeeds(members: readonly Member[], host: Host): Promise<Reason | null> {
  if (host.platform !== 'linux') return null;
  const lacking = await lackingVersion(members, host);
  if (lacking) return lacking;
  // Without the loader's cache nobody can say for certain what it would find.
  if (!(await hasLoaderCache())) return null;
  for (const member of members) {
    const [missing] = await missingLibraries(member, host);
    if (missing) return missing;
  }
  return null;
}

/** What the accelerators' files beside a library lack; it computes without them. */
export async function missingOfBackends(
  backends: readonly Member[],
  host: Host,
): Promise<readonly Reason[]> {
  if (host.platform !== 'linux') return [];
  return (await Promise.all(backends.map((member) => missingLibraries(member, host)))).flat();
}

/** The first version that is needed and newer than what is here. */
async function lackingVersion(members: readonly Member[], host: Host): Promise<Reason | null> {
  const needs = members.flatMap(({ path, facts }) =>
    Object.entries(facts.versions).map(([family, version]) => ({
      needer: basename(path),
      family,
      version,
    })),
  );
  const wanted = needs.filter(({ family }) => FAMILIES[family] !== undefined);
  if (wanted.length === 0) return null;
  const present = await presentVersions(host);
  for (const { needer, family, version } of wanted) {
    const here = present[family];
    if (here === undefined || compareVersions(version, here) <= 0) continue;
    const label = FAMILIES[family] ?? family;
    return because('needs_version', { needer, family: label, needed: version, present: here });
  }
  return null;
}

/** The versions of this host's C and C++ libraries: what it says, else what the files provide. */
async function presentVersions({ glibc, glibcxx }: Host): Promise<Record<string, string>> {
  const stated = { ...(glibc && { GLIBC: glibc }), ...(glibcxx && { GLIBCXX: glibcxx }) };
  if (glibc !== undefined && glibcxx !== undefined) return stated;
  const provided: Record<string, string> = {};
  for (const path of await systemLibraries()) {
    const facts = await readBinary(path, { symbols: false });
    if (!('problem' in facts)) Object.assign(provided, facts.provides);
  }
  return { ...provided, ...stated };
}

/** This process's own libc and libstdc++: an engine runs the same Node with the same ones. */
async function systemLibraries(): Promise<readonly string[]> {
  const maps = await readFile('/proc/self/maps', 'utf8').catch(() => '');
  const paths = maps.split('\n').map((line) => line.slice(line.indexOf('/')));
  return [...new Set(paths.filter((path) => PROVIDERS.test(basename(path))))];
}

async function hasLoaderCache(): Promise<boolean> {
  return readFile('/etc/ld.so.cache').then(
    () => true,
    () => false,
  );
}

/** What a library needs and the loader would not find. */
async function missingLibraries({ path, facts }: Member, host: Host): Promise<readonly Reason[]> {
  const names = facts.needed.filter((name) => !AT_HAND.test(name));
  if (names.length === 0) return [];
  const listed = [...runDirectories(path, facts.runpath), host.env?.LD_LIBRARY_PATH ?? ''];
  const env = { ...host.env, LD_LIBRARY_PATH: listed.join(':') };
  const found = await findSharedLibraries(names, { platform: host.platform, arch: host.arch, env });
  return names
    .filter((name) => found[name] === undefined)
    .map((missing) => {
      const [, remedy, remedy_ja] = REMEDIES.find(([name]) => name.test(missing)) ?? [
        null,
        'install the package that has it',
        'それを含むパッケージを入れてください',
      ];
      return because('missing_library', { needer: basename(path), missing, remedy, remedy_ja });
    });
}

/** The directories that a library wants searched before the system's. */
function runDirectories(path: string, runpath: string | null): readonly string[] {
  const own = dirname(path);
  const listed = (runpath ?? '').split(':').filter((entry) => entry !== '');
  return listed.map((entry) => join(entry.replace(/\$ORIGIN|\$\{ORIGIN\}/g, own)));
}
