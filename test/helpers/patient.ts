/** A machine, its settings and its library as a doctor's test plays them; everything is in order. */
import { readFileSync } from 'node:fs';
import { inProject } from '../../scripts/root.js';
import { examineConfig } from '../../src/config.js';
import type { CheckId, CheckResult } from '../../src/doctor/check.js';
import { runExaminations } from '../../src/doctor/check.js';
import { examinationsOf } from '../../src/doctor/doctor.js';
import type { LibraryView } from '../../src/doctor/library-view.js';
import type { Machine } from '../../src/doctor/machine.js';
import type { Patient } from '../../src/doctor/patient.js';
import type { Device, LibraryIdentity } from '../../src/engine/engine.js';

/** What differs from a sound Linux machine. */
export interface PatientOptions {
  readonly machine?: Partial<Machine>;
  /** Files by path, byte by byte (latin1); a directory exists where a file lies in it. */
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: NodeJS.ProcessEnv;
  readonly home?: string;
  readonly library?: Partial<LibraryView>;
  readonly identity?: Partial<LibraryIdentity>;
  readonly server?: Patient['server'];
}

export const CPU_DEVICE: Device = {
  name: 'CPU',
  description: 'A processor',
  type: 'cpu',
  totalBytes: 8 * 1024 ** 3,
  freeBytes: 4 * 1024 ** 3,
};

const IDENTITY: LibraryIdentity = {
  path: '/opt/llama/libllama.so',
  version: '0.5.0-dev',
  ggmlVersion: '0.25.1',
  ggmlCommit: null,
  layout: { model: 'M10', context: 'C11' },
  bracket: [10653, 2 ** 31 - 1],
  minimal: false,
  unknownSymbols: [],
  samplers: { penalties: 5, dry: 7 },
  devices: [CPU_DEVICE],
};

/** A whole patient. */
export function patient(options: PatientOptions = {}): Patient {
  const { home = '/home/someone', env = {}, files = {} } = options;
  const machine = { ...machineOf(files, home), ...options.machine };
  const settings = examineConfig({ env, home, platform: machine.platform, cwd: home });
  const view: LibraryView = {
    path: '/opt/llama/libllama.so',
    origin: 'package',
    reason: 'the package',
    scan: null,
    needs: {},
    identity: { ...IDENTITY, ...options.identity },
    error: null,
    ...options.library,
  };
  return {
    machine,
    settings,
    env: { PATH: '/usr/bin', ...env },
    root: '/opt/hoshikage',
    command: 'npx hoshikage',
    server: options.server ?? (async () => null),
    library: async () => view,
  };
}

/** What all checks say of a patient, by their names. */
export async function examined(options: PatientOptions = {}): Promise<Map<CheckId, CheckResult>> {
  const signal = AbortSignal.timeout(60_000);
  const results = await runExaminations(examinationsOf(patient(options)), signal);
  return new Map(results.map((result) => [result.id, result]));
}

function machineOf(files: Readonly<Record<string, string>>, home: string): Machine {
  const all: Record<string, string> = {
    '/opt/hoshikage/package.json': readFileSync(inProject('package.json'), 'latin1'),
    ...files,
  };
  const below = (directory: string) =>
    Object.keys(all).filter((path) => path.startsWith(`${directory}/`));
  const isDirectory = (path: string) => path === home || path === '/' || below(path).length > 0;
  return {
    platform: 'linux',
    arch: 'x64',
    nodeVersion: '22.12.0',
    glibc: () => '2.36',
    loaded: () => null,
    bytes: async (path) => (all[path] === undefined ? null : Buffer.from(all[path], 'latin1')),
    names: async (directory) =>
      below(directory).map((path) => path.slice(directory.length + 1).split('/')[0] ?? ''),
    exists: async (path) => all[path] !== undefined || isDirectory(path),
    facts: async (path) => {
      const kind = all[path] === undefined ? 'directory' : 'file';
      if (kind === 'directory' && !isDirectory(path)) return null;
      const mode = kind === 'file' ? 0o600 : 0o700;
      return { kind, mode, sizeBytes: all[path]?.length ?? 0 };
    },
    writable: async () => true,
    space: async () => ({ freeBytes: 50 * 1024 ** 3, totalBytes: 100 * 1024 ** 3 }),
    run: async () => ({ code: 0, stdout: '{"napiVersion":8}', stderr: '' }),
    listen: async () => null,
  };
}
