/**
 * Looks at everything Hoshikage needs, and says what is broken and how to mend it: all checks together.
 * Any process, main thread. It changes nothing and opens no libllama itself.
 */
import { type ConfigSources, engineEnvironmentOf, examineConfig } from '../config.js';
import { packageRoot } from '../engine/addon.js';
import { examineAccelerators } from './accelerators.js';
import { examineAddon } from './addon.js';
import { type CheckResult, type Examination, runExaminations, type Text } from './check.js';
import { examineLibrary, STAGES } from './library.js';
import { type LibraryView, viewLibrary } from './library-view.js';
import { thisMachine } from './machine.js';
import { examineModels } from './models.js';
import type { Patient } from './patient.js';
import { examineRuntime } from './runtime.js';
import { examineServer } from './server.js';
import { examineService } from './service.js';
import { examineSettings } from './settings.js';
import { examineStorage } from './storage.js';

/** The identification may take 20 s itself. */
const LIBRARY_DEADLINE_MS = 30_000;
const MODELS_DEADLINE_MS = 60_000;

/** What the caller knows and the checks need. */
export interface Visit {
  readonly sources?: ConfigSources;
  readonly command: string;
  readonly server: Patient['server'];
  readonly signal: AbortSignal;
  /** Hears which groups of checks still run. */
  readonly onWait?: (groups: readonly Text[]) => void;
}

/** The outcome of all checks. */
export interface Diagnosis {
  /** Nothing is broken; there may be warnings. */
  readonly ok: boolean;
  readonly checks: readonly CheckResult[];
}

/** Examines this machine. Rejects only when `signal` aborts. */
export async function diagnose(visit: Visit): Promise<Diagnosis> {
  const { signal, command, server } = visit;
  const machine = thisMachine();
  const settings = examineConfig(visit.sources ?? {});
  const env = engineEnvironmentOf(settings.config);
  let view: Promise<LibraryView> | undefined;
  const library = () => {
    view ??= viewLibrary({ config: settings.config, env, machine, signal });
    return view;
  };
  const patient = { machine, settings, env, root: packageRoot(), command, server, library };
  return judge(await runExaminations(examinationsOf(patient), signal, visit.onWait));
}

/** Whether anything is broken. */
export function judge(checks: readonly CheckResult[]): Diagnosis {
  return { ok: checks.every(({ state }) => state !== 'broken'), checks };
}

/** Every check there is, for one patient. */
export function examinationsOf(patient: Patient): readonly Examination[] {
  const isLinux = patient.machine.platform === 'linux';
  const drivers = (
    patient.machine.platform === 'darwin'
      ? ['accelerators.metal']
      : ['accelerators.cuda', 'accelerators.rocm', 'accelerators.vulkan']
  ) as readonly ('accelerators.metal' | 'accelerators.cuda')[]; // a narrower list of names
  return [
    {
      ids: [
        'runtime.node',
        'runtime.platform',
        ...(isLinux ? (['runtime.libc', 'runtime.libstdcxx'] as const) : []),
      ],
      run: () => examineRuntime(patient),
    },
    {
      ids: ['addon.file', 'addon.load', 'addon.sources', 'addon.tools'],
      deadlineMs: 20_000,
      run: (signal) => examineAddon(patient, signal),
    },
    {
      ids: ['library.search', 'library.needs', ...STAGES],
      deadlineMs: LIBRARY_DEADLINE_MS,
      run: () => examineLibrary(patient),
    },
    {
      ids: ['accelerators.use', ...drivers, 'accelerators.files'],
      deadlineMs: LIBRARY_DEADLINE_MS,
      run: () => examineAccelerators(patient),
    },
    {
      ids: ['config.settings', 'config.hints', 'config.permissions'],
      run: () => examineSettings(patient),
    },
    {
      ids: ['storage.directories', 'storage.space', 'storage.ramdisk', 'storage.states'],
      run: () => examineStorage(patient),
    },
    {
      ids: ['models.map', 'models.files', 'models.directory'],
      deadlineMs: MODELS_DEADLINE_MS,
      run: (signal) => examineModels(patient, signal),
    },
    { ids: ['server.running', 'server.port'], run: () => examineServer(patient) },
    ...(isLinux
      ? [
          {
            ids: ['server.service'] as const,
            run: (signal: AbortSignal) => examineService(patient, signal),
          },
        ]
      : []),
  ];
}
