/**
 * Checks of the C++ addon: whether it is there, loads, and belongs to these sources. Main thread; the
 * addon is loaded in a process of its own, since a broken one could take this process along.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { delimiter, join, relative, sep } from 'node:path';
import { addonPath } from '../engine/addon.js';
import { type Finding, finding, type Text } from './check.js';
import type { Machine } from './machine.js';
import type { Patient } from './patient.js';

const LOAD_LIMIT_MS = 10_000;
/** Run by Node itself: loads the addon and says what it was built as. */
const LOADER =
  'process.stdout.write(JSON.stringify(require(process.argv[1]).build), () => process.exit(0))';

const REBUILD: Text = {
  ja: 'npm run build:native で作り直してください(sudo apt install g++ cmake)',
  en: 'Run npm run build:native (with a C++ compiler: sudo apt install g++ cmake)',
};

/** How the addon's file is found; absent from a broken installation. */
export type AddonFinder = () => string;

/** The checks `addon.*`. */
export async function examineAddon(
  { machine, env, root }: Patient,
  signal: AbortSignal,
  find: AddonFinder = addonPath,
): Promise<readonly Finding[]> {
  const path = pathOf(find);
  const tools = await toolsFinding(machine, env, path !== null);
  if (path === null) {
    const detail = {
      ja: `${machine.platform}-${machine.arch} 用のアドオンがありません`,
      en: `There is no addon for ${machine.platform}-${machine.arch}`,
    };
    return [finding('addon.file', 'broken', detail, REBUILD), tools];
  }
  const prebuilt = path.includes(`${sep}prebuilds${sep}`);
  const origin = prebuilt
    ? { ja: 'ビルド済みのもの', en: 'prebuilt' }
    : { ja: 'ここでビルドしたもの', en: 'built here' };
  const short = relative(root, path);
  return [
    finding('addon.file', 'ok', {
      ja: `${short}(${origin.ja})`,
      en: `${short} (${origin.en})`,
    }),
    await loadFinding(machine, path, env, signal),
    await sourcesFinding(path, root),
    tools,
  ];
}

function pathOf(find: AddonFinder): string | null {
  try {
    return find();
  } catch {
    return null;
  }
}

async function loadFinding(
  machine: Machine,
  path: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Finding> {
  const options = { env, timeoutMs: LOAD_LIMIT_MS, signal };
  const { code, stdout, stderr } = await machine.run(
    process.execPath,
    ['-e', LOADER, path],
    options,
  );
  const version = /"napiVersion":(\d+)/.exec(stdout)?.[1];
  if (code === 0 && version) return finding('addon.load', 'ok', `Node-API ${version}`);
  const lines = stderr.split('\n').filter((line) => /error|cannot|version `/i.test(line));
  const reason = (lines[0] ?? stderr).trim().slice(0, 300);
  return finding(
    'addon.load',
    'broken',
    { ja: `読み込めません: ${reason}`, en: `It cannot be loaded: ${reason}` },
    REBUILD,
  );
}

/** Compares the digest beside the binary with the sources, where both are there. */
async function sourcesFinding(path: string, root: string): Promise<Finding> {
  const built = await readFile(`${path}.sha256`, 'utf8').catch(() => null);
  const digest = await sourceDigest(root);
  if (built === null || digest === null) {
    return finding('addon.sources', 'skipped', {
      ja: '何から作ったかの記録がありません',
      en: 'There is no record of what it was built from',
    });
  }
  if (built.trim() === digest) {
    return finding('addon.sources', 'ok', { ja: '同じです', en: 'The same' });
  }
  return finding(
    'addon.sources',
    'warning',
    {
      ja: 'アドオンは、ここにあるのとは違う C++ のソースから作られています',
      en: 'The addon was built from other C++ sources than those that are here',
    },
    { ja: 'npm run build:native で作り直してください', en: 'Run npm run build:native' },
  );
}

/** SHA-256 over sources and build files, as scripts/install.mjs writes it beside a binary. */
export async function sourceDigest(root: string): Promise<string | null> {
  const sources = join(root, 'native', 'src');
  const names = await readdir(sources, { recursive: true }).catch(() => null);
  if (names === null) return null;
  const files: string[] = [];
  for (const name of names.sort()) {
    const file = join(sources, name);
    if ((await stat(file)).isFile()) files.push(file);
  }
  files.push(join(root, 'native', 'CMakeLists.txt'), join(root, 'binding.gyp'));
  const hash = createHash('sha256');
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => null);
    if (text === null) return null;
    hash.update(`${relative(root, file).split(sep).join('/')}\0`);
    hash.update(text.replaceAll('\r\n', '\n'));
  }
  return hash.digest('hex');
}

/** Only of interest where the addon is missing. */
async function toolsFinding(
  machine: Machine,
  env: NodeJS.ProcessEnv,
  hasAddon: boolean,
): Promise<Finding> {
  const tools = ['g++', 'clang++', 'cl', 'cmake', 'python3'];
  const found: string[] = [];
  for (const tool of tools) if (await isOnPath(machine, env, tool)) found.push(tool);
  const names = found.join(', ');
  if (hasAddon) {
    return finding('addon.tools', 'ok', {
      ja: names === '' ? 'なし(アドオンがあるので、なくてよい)' : names,
      en: names === '' ? 'None (none is needed: the addon is there)' : names,
    });
  }
  const hasCompiler = found.some((tool) => tool !== 'cmake' && tool !== 'python3');
  if (hasCompiler) return finding('addon.tools', 'ok', names);
  return finding(
    'addon.tools',
    'warning',
    { ja: 'C++ コンパイラがありません', en: 'There is no C++ compiler' },
    {
      ja: 'sudo apt install g++ cmake(Fedora: sudo dnf install gcc-c++ cmake、macOS: xcode-select --install)',
      en: 'sudo apt install g++ cmake (Fedora: sudo dnf install gcc-c++ cmake, macOS: xcode-select --install)',
    },
  );
}

async function isOnPath(machine: Machine, env: NodeJS.ProcessEnv, tool: string): Promise<boolean> {
  const suffix = machine.platform === 'win32' ? '.exe' : '';
  for (const directory of (env.PATH ?? env.Path ?? '').split(delimiter)) {
    if (directory !== '' && (await machine.exists(join(directory, tool + suffix)))) return true;
  }
  return false;
}
