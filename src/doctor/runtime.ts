/**
 * Checks of what Hoshikage runs on: Node, the system, its C libraries. Main thread; reads a few files.
 */
import { join } from 'node:path';
import { compareVersions } from '../binary/binary.js';
import { type Finding, finding } from './check.js';
import type { Machine } from './machine.js';
import type { Patient } from './patient.js';
import { newestOf } from './versions.js';

/** Platforms that a libllama is published for and that Hoshikage is written for. */
const KNOWN_PLATFORMS = [
  'linux-x64',
  'linux-arm64',
  'linux-arm',
  'darwin-arm64',
  'darwin-x64',
  'win32-x64',
  'win32-arm64',
];

/** The checks `runtime.*`. */
export async function examineRuntime(patient: Patient): Promise<readonly Finding[]> {
  const { machine, root } = patient;
  const findings = [await nodeFinding(machine, root), platformFinding(machine)];
  if (machine.platform !== 'linux') return findings;
  return [...findings, libcFinding(machine), await libstdcxxFinding(machine)];
}

async function nodeFinding(machine: Machine, root: string): Promise<Finding> {
  const { nodeVersion } = machine;
  const wanted = await wantedNodes(machine, root);
  const oldest = wanted.map((one) => one.oldest);
  const words = {
    ja: oldest.map((version) => `${version} 以降`).join('、'),
    en: `${oldest.join(', ')} or newer`,
  };
  const detail = {
    ja: `v${nodeVersion}(${words.ja} が必要)`,
    en: `v${nodeVersion} (${words.en} is needed)`,
  };
  if (wanted.some((one) => suits(nodeVersion, one))) return finding('runtime.node', 'ok', detail);
  return finding('runtime.node', 'broken', detail, {
    ja: `Node.js を ${words.ja} にしてください(https://nodejs.org/)`,
    en: `Install Node.js ${words.en} (https://nodejs.org/)`,
  });
}

/** One part of package.json's `engines`: from a version on, in its major release alone or for ever. */
interface WantedNode {
  readonly oldest: string;
  readonly stays: boolean;
}

function suits(version: string, { oldest, stays }: WantedNode): boolean {
  const major = (text: string): number => Number.parseInt(text, 10);
  return compareVersions(version, oldest) >= 0 && (!stays || major(version) === major(oldest));
}

async function wantedNodes(machine: Machine, root: string): Promise<readonly WantedNode[]> {
  const bytes = await machine.bytes(join(root, 'package.json'));
  const parsed: unknown = JSON.parse(bytes?.toString('utf8') ?? 'null');
  const range = /"node":"([^"]*)"/.exec(JSON.stringify(parsed))?.[1] ?? '';
  return range.split('||').map((part) => {
    const [, sign, oldest] = /^(\^|>=)([\d.]+)$/.exec(part.trim()) ?? [];
    if (oldest === undefined) throw new Error(`engines in package.json of ${root}: ${range}`);
    return { oldest, stays: sign === '^' };
  });
}

function platformFinding({ platform, arch }: Machine): Finding {
  const name = `${platform} ${arch}`;
  if (platform === 'linux' && arch === 'x64') return finding('runtime.platform', 'ok', name);
  if (KNOWN_PLATFORMS.includes(`${platform}-${arch}`)) {
    return finding('runtime.platform', 'ok', {
      ja: `${name}(対応して作ってあるが、実機では確かめていない)`,
      en: `${name} (written for, but not tried on a real machine)`,
    });
  }
  return finding(
    'runtime.platform',
    'warning',
    {
      ja: `${name} 向けの libllama は npm にありません`,
      en: `There is no packaged libllama for ${name}`,
    },
    {
      ja: 'llama.cpp を自分でビルドして置いてください(docs/LIBRARY_GUIDE.md)',
      en: 'Build llama.cpp yourself and put it in place (docs/LIBRARY_GUIDE.md)',
    },
  );
}

function libcFinding(machine: Machine): Finding {
  const glibc = machine.glibc();
  if (glibc !== null) return finding('runtime.libc', 'ok', `glibc ${glibc}`);
  return finding(
    'runtime.libc',
    'warning',
    {
      ja: 'glibc ではありません(musl など)。npm の libllama は glibc 用なので使えません',
      en: 'Not glibc (musl?): the packaged libllama is made for glibc and cannot be used',
    },
    {
      ja: 'この OS の libllama を入れるか(Alpine: apk add llama.cpp-libs)、自分でビルドしてください',
      en: "Install this system's libllama (Alpine: apk add llama.cpp-libs), or build it yourself",
    },
  );
}

async function libstdcxxFinding(machine: Machine): Promise<Finding> {
  const path = machine.loaded(/\/libstdc\+\+\.so/);
  if (path === null) {
    return finding('runtime.libstdcxx', 'skipped', {
      ja: 'Node.js に組み込まれていて、版が分かりません',
      en: 'Built into Node.js; its version is not known',
    });
  }
  const version = newestOf(await machine.bytes(path), 'GLIBCXX');
  return finding('runtime.libstdcxx', 'ok', version ? `GLIBCXX_${version} (${path})` : path);
}
