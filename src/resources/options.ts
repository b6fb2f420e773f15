/**
 * How a registry entry's engine is set up: the server's settings, and what the entry says itself.
 * Pure functions. Sampling and stop strings are not of this room: they change no engine.
 */
import type { EngineOptions } from '../engine/engine.js';
import type { ModelEntry } from '../models/registry.js';

/** The settings an engine is made of; a Config has them all. */
export interface EngineSettings {
  readonly nCtx: number;
  readonly nGpuLayers: number | 'auto';
  readonly nSlots: number;
  readonly nThreads: number;
  readonly nBatch: number;
  readonly flashAttn: EngineOptions['flashAttention'];
  readonly cacheTypeK: EngineOptions['cacheTypeK'];
  readonly cacheTypeV: EngineOptions['cacheTypeV'];
  readonly mainGpu: number | null;
  readonly tensorSplit: readonly number[] | null;
  readonly useMmap: boolean;
  readonly useMlock: boolean;
  readonly nCpuMoe: number | null;
  readonly ropeFreqBase: number | null;
  readonly ropeFreqScale: number | null;
  readonly ropeScaling: NonNullable<EngineOptions['ropeScaling']> | null;
}

/** The options of an entry's engine. Two entries with equal options can share one engine. */
export function engineOptionsOf(settings: EngineSettings, entry: ModelEntry): EngineOptions {
  const { mainGpu, tensorSplit, nCpuMoe, ropeFreqBase, ropeFreqScale, ropeScaling } = settings;
  return {
    modelPath: entry.path,
    contextTokens: entry.settings.nCtx ?? settings.nCtx,
    slots: settings.nSlots,
    batchTokens: settings.nBatch,
    threads: settings.nThreads,
    flashAttention: settings.flashAttn,
    cacheTypeK: settings.cacheTypeK,
    cacheTypeV: settings.cacheTypeV,
    gpuLayers: entry.settings.nGpuLayers ?? settings.nGpuLayers,
    mmap: settings.useMmap,
    mlock: settings.useMlock,
    ...(mainGpu !== null && { mainGpu }),
    ...(tensorSplit !== null && { tensorSplit }),
    ...(nCpuMoe !== null && { cpuExpertLayers: nCpuMoe }),
    ...(ropeFreqBase !== null && { ropeFreqBase }),
    ...(ropeFreqScale !== null && { ropeFreqScale }),
    ...(ropeScaling !== null && { ropeScaling }),
  };
}
