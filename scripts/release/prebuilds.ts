/**
 * The prebuilt addons: for which platforms there are some, what they may ask of a system, and whether
 * those that are here keep to it. Reads files only; it must never load an addon.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compareVersions } from '../../src/binary/binary.js';
import { readBinary } from '../../src/binary/formats.js';
import { sourceDigest } from '../../src/doctor/addon.js';

/** What a release brings, by Node's names. Elsewhere the install script builds the addon. */
export const PLATFORMS = ['darwin-arm64', 'linux-arm64', 'linux-x64', 'win32-x64'] as const;

/**
 * The newest versions that an addon may ask for: no newer than those that libllama's own builds on npm
 * need, so that no system which has the one lacks the other.
 */
export const LIMITS: Readonly<Record<string, string>> = {
  GLIBC: '2.34',
  // Those of GCC 11, the compiler of the oldest systems with that glibc.
  GLIBCXX: '3.4.29',
  CXXABI: '1.3.13',
  GCC: '3.4',
  macOS: '14.0',
};

/** What every system has, and nothing that has to be installed first (MSVCP140.dll, libc++.so). */
const SYSTEM: Readonly<Record<string, RegExp>> = {
  linux:
    /^(libstdc\+\+\.so\.6|libgcc_s\.so\.1|lib(c|m|dl|pthread)\.so\.[26]|ld-linux-[\w-]+\.so\.\d)$/,
  darwin: /^\/usr\/lib\/(libSystem\.B|libc\+\+\.1)\.dylib$/,
  win32: /^(node\.exe|kernel32\.dll|advapi32\.dll|api-ms-win-[\w-]+\.dll)$/i,
};

/** Where the addon of a platform is; node-gyp-build reads the tags in its name. */
export function prebuildPath(root: string, platform: string): string {
  const name = platform.startsWith('linux-') ? 'node.napi.glibc.node' : 'node.napi.node';
  return join(root, 'prebuilds', platform, name);
}

/** Why the addon of a platform cannot be shipped; empty where it can. */
export async function prebuildProblems(root: string, platform: string): Promise<readonly string[]> {
  const file = prebuildPath(root, platform);
  if (!existsSync(file)) return [`${platform}: there is no addon`];
  const digest = existsSync(`${file}.sha256`) ? readFileSync(`${file}.sha256`, 'utf8').trim() : '';
  const problems =
    digest === (await sourceDigest(root))
      ? []
      : ['it is not of these sources; npm run build:native -- --prebuild makes it anew'];
  return [...problems, ...(await needProblems(file, platform))].map((one) => `${platform}: ${one}`);
}

async function needProblems(file: string, platform: string): Promise<readonly string[]> {
  const [system = '', arch = ''] = platform.split('-');
  const facts = await readBinary(file, { symbols: false, arch });
  if ('problem' in facts) return [facts.problem];
  const format = { darwin: 'mach-o', win32: 'pe' }[system] ?? 'elf';
  if (facts.format !== format || facts.machine !== arch) {
    return [`it is made for something else: ${facts.format}, ${facts.machine}`];
  }
  const versions = Object.entries(facts.versions)
    .filter(([family, version]) => compareVersions(version, LIMITS[family] ?? '0') > 0)
    .map(([family, version]) => {
      const limit = LIMITS[family];
      return `it needs ${family} ${version}, ${limit ? `newer than ${limit}` : 'which nobody expects'}`;
    });
  const others = facts.needed
    .filter((library) => !SYSTEM[system]?.test(library))
    .map((library) => `it needs ${library}, which not every system has`);
  return [...versions, ...others];
}
