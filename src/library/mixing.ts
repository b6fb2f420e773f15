/**
 * Whether the files around a libllama belong together: one build, whole.
 * Any process. It only looks at files; it must never take a file's name for its version.
 */
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { readBinary } from '../binary/formats.js';
import { because, type Reason } from '../binary/reasons.js';
import { namesOf } from './place.js';
import type { Family, Member } from './siblings.js';

/** A backend of libggml that is loaded at run time, by its file name: libggml-cuda.so. */
const BACKEND = /^(lib)?ggml-(?!base)[\w-]+\.(so|dylib|dll)$/;
const CPU_BACKEND = /^(lib)?ggml-cpu/;

/** Why a library and its family are not of one build; null where nothing shows that. */
export async function mixingIn(library: Member, { siblings }: Family): Promise<Reason | null> {
  return lackingFunction(library, siblings) ?? (await secondLibrary(library, siblings));
}

/** The first function of llama.cpp that one needs and none of them has. */
function lackingFunction(library: Member, siblings: readonly Member[]): Reason | null {
  if (siblings.length === 0) return null;
  const all = [library, ...siblings];
  const present = new Set(all.flatMap(({ facts }) => facts.exports));
  for (const { path, facts } of all) {
    const symbol = facts.imports.find((name) => !present.has(name));
    if (symbol === undefined) continue;
    const others = siblings.filter((one) => one.path !== path);
    const providers = others.map((one) => basename(one.path)).join(', ');
    return because('mixed_functions', { needer: basename(path), symbol, providers });
  }
  return null;
}

/**
 * Another version's libllama that uses the same libggml. Which of them that libggml belongs to nobody
 * can tell. What an upgrade left behind, its name's link leading to a newer file, is not meant.
 */
async function secondLibrary(library: Member, siblings: readonly Member[]): Promise<Reason | null> {
  if (siblings.length === 0) return null;
  const directory = dirname(library.path);
  const own = await stat(library.path).catch(() => null);
  for (const path of await librariesIn(directory)) {
    const facts = await stat(path).catch(() => null);
    // A copy under another name is the same library.
    if (path === library.path || !own || !facts || facts.size === own.size) continue;
    const read = await readBinary(path, { symbols: false });
    if ('problem' in read || (await isLeftOver(path, read.soname))) continue;
    const shared = await sharedSibling(directory, read.needed, siblings);
    if (shared === null) continue;
    const [one, other] = [basename(library.path), basename(path)];
    return because('mixed_directory', { directory, one, other, shared });
  }
  return null;
}

/** Real paths of all libllama files in a directory. */
async function librariesIn(directory: string): Promise<readonly string[]> {
  const { exact, versioned } = namesOf(process.platform);
  const names: readonly string[] = await readdir(directory).catch(() => []);
  const paths = names
    .filter((name) => exact.includes(name) || versioned.test(name))
    .map((name) => realpath(join(directory, name)).catch(() => null));
  const found = (await Promise.all(paths)).filter((path) => path !== null);
  return [...new Set(found)].filter((path) => dirname(path) === directory);
}

async function isLeftOver(path: string, soname: string | null): Promise<boolean> {
  if (soname === null) return false;
  const current = await realpath(join(dirname(path), soname)).catch(() => null);
  return current !== null && current !== path;
}

async function sharedSibling(
  directory: string,
  needed: readonly string[],
  siblings: readonly Member[],
): Promise<string | null> {
  for (const name of needed) {
    const path = await realpath(join(directory, basename(name))).catch(() => null);
    if (siblings.some((one) => one.path === path)) return basename(name);
  }
  return null;
}

/** The backends beside a library that need something of an accelerator, with what they need. */
export async function acceleratorsBeside(path: string): Promise<readonly Member[]> {
  const directory = dirname(path);
  const names: readonly string[] = await readdir(directory).catch(() => []);
  const members: Member[] = [];
  for (const name of names.filter((one) => BACKEND.test(one) && !CPU_BACKEND.test(one)).sort()) {
    const backend = join(directory, name);
    const facts = await readBinary(backend, { symbols: false });
    if (!('problem' in facts)) members.push({ path: backend, facts });
  }
  return members;
}

/**
 * Why a library would find nothing to compute with: its libggml looks for backends at run time, and
 * none lies where it looks.
 */
export async function withoutBackends(library: Member, family: Family): Promise<Reason | null> {
  const all = [library, ...family.siblings];
  const has = (name: string): boolean => all.some(({ facts }) => facts.exports.includes(name));
  // Built in, or linked against: then it is there already.
  if (!has('ggml_backend_load_all_from_path') || has('ggml_backend_cpu_init')) return null;
  if (all.some(({ path }) => BACKEND.test(basename(path)))) return null;
  const directory = dirname(library.path);
  const names: readonly string[] = await readdir(directory).catch(() => []);
  // Distributions keep the backends in a directory of that name.
  if (names.some((name) => BACKEND.test(name) || name === 'ggml')) return null;
  return because('no_backend', { directory });
}
