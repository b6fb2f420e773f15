/**
 * Checks of GPUs: which drivers are there, whether the library's GPU files find what they need, and
 * whether a GPU is used. Main thread; reads files and opens no driver.
 */
import { basename, dirname, join } from 'node:path';
import { readBinary } from '../binary/formats.js';
import type { Device } from '../engine/engine.js';
import {
  type Accelerator,
  bestBuild,
  type DriverFacts,
  findAccelerators,
  findSharedLibraries,
  readDriverFacts,
} from '../library/drivers.js';
import { type Finding, finding, type Text } from './check.js';
import type { LibraryView } from './library-view.js';
import { listed, type Patient } from './patient.js';

/** Files of a build that belong to an accelerator, and its name. */
const GPU_FILE = /^(?:lib)?ggml-(cuda|vulkan|hip|musa|sycl|metal|opencl)\b.*\.(?:so|dll|dylib)/;

/** The checks `accelerators.*`. */
export async function examineAccelerators(patient: Patient): Promise<readonly Finding[]> {
  const { machine, env } = patient;
  const { platform, arch } = machine;
  const facts = await readDriverFacts({ platform, arch, env }, machine);
  const accelerators = findAccelerators(facts);
  const view = await patient.library();
  const gpuFiles = await gpuFilesOf(patient, view);
  return [
    ...(await driverFindings(patient, facts, accelerators)),
    await filesFinding(patient, gpuFiles),
    useFinding(patient, { accelerators, view, gpuFiles }),
  ];
}

const NONE: Text = { ja: '見つかりません', en: 'Not found' };

async function driverFindings(
  { machine }: Patient,
  facts: DriverFacts,
  accelerators: readonly Accelerator[],
): Promise<readonly Finding[]> {
  if (facts.platform === 'darwin') {
    const [metal] = accelerators;
    return [finding('accelerators.metal', metal ? 'ok' : 'skipped', metal?.evidence ?? NONE)];
  }
  const findings: Finding[] = [];
  for (const kind of ['cuda', 'rocm', 'vulkan'] as const) {
    const found = accelerators.find((one) => one.kind === kind);
    const id = `accelerators.${kind}` as const;
    if (!found) {
      findings.push(kind === 'cuda' ? noCuda(facts) : finding(id, 'skipped', NONE));
      continue;
    }
    const closed = await closedDevice(machine, facts, kind);
    findings.push(
      closed === null
        ? finding(id, 'ok', found.evidence)
        : finding(
            id,
            'warning',
            {
              ja: `${found.evidence}。${closed} を使う権限がありません`,
              en: `${found.evidence}; using ${closed} is not permitted`,
            },
            {
              ja: 'sudo usermod -aG render,video "$USER" のあと、ログインし直してください',
              en: 'Run sudo usermod -aG render,video "$USER", then log in again',
            },
          ),
    );
  }
  return findings;
}

/** Half a driver is worth a word: somebody meant to have one. */
function noCuda({ nvidiaVersion }: DriverFacts): Finding {
  if (nvidiaVersion === null) return finding('accelerators.cuda', 'skipped', NONE);
  return finding(
    'accelerators.cuda',
    'warning',
    {
      ja: `ドライバー ${nvidiaVersion} は動いていますが、libcuda.so.1 がありません`,
      en: `Driver ${nvidiaVersion} runs, but libcuda.so.1 is missing`,
    },
    {
      ja: 'ドライバーと同じ版の CUDA ライブラリを入れてください(Debian: libcuda1、Ubuntu: libnvidia-compute-*、コンテナ: --gpus all)',
      en: "Install the driver's CUDA library in the same version (Debian: libcuda1, Ubuntu: libnvidia-compute-*, container: --gpus all)",
    },
  );
}

/** A device file of an accelerator that this user may not open, or null. */
async function closedDevice(
  machine: Patient['machine'],
  { devices }: DriverFacts,
  kind: 'cuda' | 'rocm' | 'vulkan',
): Promise<string | null> {
  const pattern = { cuda: /^nvidia/, rocm: /^kfd$/, vulkan: /^dri\// }[kind];
  const paths = devices.filter((name) => pattern.test(name)).map((name) => `/dev/${name}`);
  for (const path of paths) if (await machine.writable(path)) return null;
  return paths[0] ?? null;
}

/** A GPU file of the library in use, and what it needs that is not there. */
interface GpuFile {
  readonly name: string;
  readonly missing: readonly string[];
  /** Those of them that are nowhere. */
  readonly absent: readonly string[];
  /** Directories outside the loader's reach that hold what is missing. */
  readonly hidden: readonly string[];
}

/** Where toolkits lie that the loader is not told of. */
async function toolkitDirectories(machine: Patient['machine']): Promise<readonly string[]> {
  const versions = (await machine.names('/usr/local')).filter((name) => /^cuda(-|$)/.test(name));
  const cuda = versions.sort().map((name) => `/usr/local/${name}/lib64`);
  return [...cuda, '/opt/cuda/lib64', '/opt/rocm/lib'];
}

async function gpuFilesOf(
  { machine, env }: Patient,
  { path }: LibraryView,
): Promise<readonly GpuFile[]> {
  if (path === null) return [];
  const directory = dirname(path);
  const { platform, arch } = machine;
  const files: GpuFile[] = [];
  for (const name of (await machine.names(directory)).filter((one) => GPU_FILE.test(one)).sort()) {
    const facts = await readBinary(join(directory, name), { symbols: false });
    const needed = 'problem' in facts ? [] : facts.needed.map((one) => basename(one));
    const outside: string[] = [];
    for (const one of needed) {
      if (!(await machine.exists(join(directory, one)))) outside.push(one);
    }
    const host = { platform, arch, env };
    const there = await findSharedLibraries(outside, host, machine);
    const missing = outside.filter((one) => !(one in there));
    const extra = await toolkitDirectories(machine);
    const elsewhere = await findSharedLibraries(missing, { ...host, extra }, machine);
    const hidden = [...new Set(Object.values(elsewhere).map((path) => dirname(path)))];
    const absent = missing.filter((one) => !(one in elsewhere));
    files.push({ name, missing: missing.sort(), absent, hidden });
  }
  return files;
}

async function filesFinding({ settings }: Patient, files: readonly GpuFile[]): Promise<Finding> {
  if (files.length === 0) {
    return finding('accelerators.files', 'skipped', {
      ja: 'この libllama は CPU 版です',
      en: 'This libllama is a CPU build',
    });
  }
  const incomplete = files.filter(({ missing }) => missing.length > 0);
  const names = listed(files.map(({ name }) => name));
  if (incomplete.length === 0) return finding('accelerators.files', 'ok', names);
  const missing = [...new Set(incomplete.flatMap((file) => file.missing))];
  const what = listed(incomplete.map(({ name }) => name));
  const which = listed(missing);
  const state = settings.config.nGpuLayers === 0 ? 'warning' : 'broken';
  const hidden = [...new Set(incomplete.flatMap((file) => file.hidden))];
  const absent = incomplete.flatMap((file) => file.absent);
  const byKind = new Map(absent.map((name) => remedyOf(name)));
  const remedies = [...(hidden.length > 0 ? [tellLoader(hidden)] : []), ...byKind.values()];
  return finding(
    'accelerators.files',
    state,
    {
      ja: `${what.ja} が必要とする ${which.ja} がありません。GPU は使われません`,
      en: `${what.en} needs ${which.en}: not found here; the GPU is not used`,
    },
    {
      ja: remedies.map(({ ja }) => ja).join('。'),
      en: remedies.map(({ en }) => en).join('; '),
    },
  );
}

/** What is missing lies where the loader does not look. */
function tellLoader(directories: readonly string[]): Text {
  const line = `LD_LIBRARY_PATH=${directories.join(':')}`;
  return {
    ja: `設定の .env に ${line} と書いてください`,
    en: `Write ${line} into the .env file of the settings`,
  };
}

/** How to get a missing library; the key tells remedies apart that are one. */
function remedyOf(name: string): readonly [key: string, remedy: Text] {
  if (/^(libcuda\.|nvcuda)/.test(name)) {
    return [
      'driver',
      {
        ja: 'NVIDIA のドライバーを入れてください(Debian: nvidia-driver、Ubuntu: ubuntu-drivers install、コンテナ: --gpus all)',
        en: 'Install the NVIDIA driver (Debian: nvidia-driver, Ubuntu: ubuntu-drivers install, container: --gpus all)',
      },
    ];
  }
  if (/^(lib)?(cudart|cublas|cublasLt|nccl)/.test(name)) {
    const version = /\.so\.(\d+)|64_(\d+)/.exec(name)?.slice(1).find(Boolean) ?? '';
    return [
      'cuda',
      {
        ja: `CUDA の実行用ライブラリの版 ${version} を入れてください(https://developer.nvidia.com/cuda-downloads の cuda-libraries、Arch: cuda)。別の場所にあるなら .env に LD_LIBRARY_PATH=… と書きます`,
        en: `Install CUDA's runtime libraries, version ${version} (cuda-libraries from https://developer.nvidia.com/cuda-downloads, Arch: cuda); if they lie elsewhere, write LD_LIBRARY_PATH=… into .env`,
      },
    ];
  }
  if (/vulkan/.test(name)) {
    return [
      'vulkan',
      {
        ja: 'sudo apt install libvulkan1 mesa-vulkan-drivers(Fedora: sudo dnf install vulkan-loader mesa-vulkan-drivers)',
        en: 'sudo apt install libvulkan1 mesa-vulkan-drivers (Fedora: sudo dnf install vulkan-loader mesa-vulkan-drivers)',
      },
    ];
  }
  if (/hip|roc|hsa/.test(name)) {
    return [
      'rocm',
      {
        ja: 'ROCm を入れ、その場所を .env に書いてください(LD_LIBRARY_PATH=/opt/rocm/lib)',
        en: 'Install ROCm and name its place in .env (LD_LIBRARY_PATH=/opt/rocm/lib)',
      },
    ];
  }
  return [
    name,
    {
      ja: `${name} の入ったパッケージを入れてください(apt-file search ${name})`,
      en: `Install the package that holds ${name} (apt-file search ${name})`,
    },
  ];
}

/** True for what computes beside the CPU. */
export function isGpu({ type }: Device): boolean {
  return type === 'gpu' || type === 'igpu';
}

interface Use {
  readonly accelerators: readonly Accelerator[];
  readonly view: LibraryView;
  readonly gpuFiles: readonly GpuFile[];
}

function useFinding(patient: Patient, { accelerators, view, gpuFiles }: Use): Finding {
  const { config } = patient.settings;
  const { identity } = view;
  if (!identity) {
    return finding('accelerators.use', 'skipped', {
      ja: 'libllama が使えないため',
      en: 'Because libllama cannot be used',
    });
  }
  const gpus = identity.devices.filter(isGpu);
  if (config.nGpuLayers === 0) {
    return finding('accelerators.use', 'ok', {
      ja: 'N_GPU_LAYERS=0 なので、CPU だけで計算します',
      en: 'N_GPU_LAYERS=0: the CPU does all the work',
    });
  }
  if (gpus.length > 0) {
    const names = listed(gpus.map(({ name, description }) => `${name} (${description})`));
    const layers = config.nGpuLayers;
    return finding('accelerators.use', 'ok', layersText(layers, names));
  }
  return idleFinding(patient, { accelerators, view, gpuFiles });
}

function layersText(layers: number | 'auto', names: Text): Text {
  if (layers === 'auto') {
    return {
      ja: `${names.ja} に載るだけの層を載せます`,
      en: `As many layers as fit go to ${names.en}`,
    };
  }
  return {
    ja: `${names.ja} に${layers < 0 ? 'すべての' : ` ${layers} `}層を載せます`,
    en: `${layers < 0 ? 'All' : layers} layers go to ${names.en}`,
  };
}

/** No GPU is used: is that a pity? */
function idleFinding(
  { settings, command }: Patient,
  { accelerators, view, gpuFiles }: Use,
): Finding {
  const { config, texts } = settings;
  const build = bestBuild(accelerators);
  const asked = config.origins.N_GPU_LAYERS !== 'default';
  const setting = asked ? `N_GPU_LAYERS=${texts.N_GPU_LAYERS}` : null;
  if (build !== null && gpuFiles.length > 0) {
    return finding(
      'accelerators.use',
      'warning',
      {
        ja: 'ドライバーも GPU 版の libllama もありますが、GPU が見えません',
        en: 'Driver and GPU build are there, but no GPU is seen',
      },
      {
        ja: 'ほかの行の指摘を直し、nvidia-smi や vulkaninfo で GPU が見えるか確かめてください',
        en: 'Mend what the other lines say; check that nvidia-smi or vulkaninfo sees the GPU',
      },
    );
  }
  // Whoever named a library or packaged their own knows that it has no GPU.
  const isChosen = view.origin === 'HOSHIKAGE_LIB_PATH' && !asked;
  if (build !== null && !isChosen) {
    const why = setting === null ? '' : setting;
    return finding(
      'accelerators.use',
      'warning',
      {
        ja: `GPU のドライバーがありますが、libllama は CPU 版です${why && `(${why} は効きません)`}`,
        en: `There is a GPU driver, but libllama is a CPU build${why && ` (${why} has no effect)`}`,
      },
      {
        ja: `${command} lib install ${build} で GPU 版を入れ、表示された名前を ${command} lib use に渡して切り替えてください。CPU のままでよければ N_GPU_LAYERS=0`,
        en: `Run ${command} lib install ${build}, then ${command} lib use with the name it prints; to stay with the CPU, set N_GPU_LAYERS=0`,
      },
    );
  }
  if (setting !== null) {
    return finding(
      'accelerators.use',
      'warning',
      {
        ja: `${setting} は効きません。libllama に GPU がありません`,
        en: `${setting} has no effect: libllama sees no GPU`,
      },
      {
        ja: 'GPU のドライバーを入れるか、N_GPU_LAYERS を消してください',
        en: "Install the GPU's driver, or remove N_GPU_LAYERS",
      },
    );
  }
  return finding('accelerators.use', 'ok', {
    ja: 'CPU で計算します',
    en: 'The CPU does the work',
  });
}
