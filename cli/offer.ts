/**
 * Whether a GPU lies idle because the libllama in use knows only the CPU. Runs in the server process,
 * once, after the greeting's verdict; it looks at a few files and never waits for a device.
 */
import { type Config, engineEnvironmentOf } from '../src/config.js';
import type { Accelerator } from '../src/library/drivers.js';
import type { RunningServer } from '../src/start.js';

/** What RunningServer tells of its libllama. */
type Library = Awaited<ReturnType<RunningServer['library']>>;

/** A GPU that a build of libllama would use, and what shows that it is there. */
export interface GpuOffer {
  readonly build: string;
  readonly evidence: string;
}

/** Looks for accelerators whose driver is complete. */
type Looking = (config: Config) => Promise<readonly Accelerator[]>;

/**
 * The build to offer, or null: where a GPU is used already, where the user named the library or
 * turned the GPU off, and where there is no driver. `looking`: by default at this machine's files.
 */
export async function gpuOffer(
  config: Config,
  { state, identity }: Pick<Library, 'state' | 'identity'>,
  looking: Looking = lookHere,
): Promise<GpuOffer | null> {
  if (state !== 'ok' || !identity || config.libPath !== null || config.nGpuLayers === 0)
    return null;
  if (identity.devices.some(({ type }) => type !== 'cpu' && type !== 'accel')) return null;
  const accelerators = await looking(config);
  const { bestBuild } = await import('../src/library/drivers.js');
  const build = bestBuild(accelerators);
  const reason = accelerators.find(({ buildHint }) => build && buildHint[0] === build);
  return build && reason ? { build, evidence: reason.evidence } : null;
}

async function lookHere(config: Config): Promise<readonly Accelerator[]> {
  const { findAccelerators, readDriverFacts } = await import('../src/library/drivers.js');
  const { platform, arch } = process;
  return findAccelerators(
    await readDriverFacts({ platform, arch, env: engineEnvironmentOf(config) }),
  );
}
