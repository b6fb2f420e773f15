/** Pool settings and registry entries with everything at its plainest, for tests. */
import type { ModelSettings } from '../../src/models/model-settings.js';
import type { ModelEntry } from '../../src/models/registry.js';
import type { EngineSettings } from '../../src/resources/options.js';
import type { PoolSettings } from '../../src/resources/pool-deps.js';

export const engineSettings: EngineSettings = {
  nCtx: 64,
  nGpuLayers: 0,
  nSlots: 1,
  nThreads: 1,
  nBatch: 32,
  maxStallMs: 100,
  speculation: 'off',
  draftModel: null,
  nDraft: 8,
  flashAttn: 'auto',
  cacheTypeK: 'f16',
  cacheTypeV: 'f16',
  mainGpu: null,
  tensorSplit: null,
  useMmap: true,
  useMlock: false,
  nCpuMoe: null,
  ropeFreqBase: null,
  ropeFreqScale: null,
  ropeScaling: null,
};

export const poolSettings: PoolSettings = {
  ...engineSettings,
  idleTimeoutMs: 300_000,
  queueSize: 64,
  queueTimeoutMs: 180_000,
  maxLoadedModels: 1,
  maxLoadedEmbedding: 1,
  maxSkips: 8,
};

export function entry(id: string, settings: ModelSettings = {}): ModelEntry {
  return { id, path: `/models/${id}.gguf`, stop: [], origin: 'map', settings };
}
