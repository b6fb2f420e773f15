/**
 * How a registry entry's engine is set up: the server's settings, and what the entry says itself.
 * Pure functions. Sampling and stop strings are not of this room: they change no engine.
 */
import { isAbsolute } from 'node:path';
import type { EngineOptions, Speculation } from '../engine/engine.js';
import type { ModelEntry } from '../models/registry.js';

/** The settings an engine is made of; a Config has them all. */
export interface EngineSettings {
  readonly nCtx: number;
  readonly nGpuLayers: number | 'auto';
  readonly nSlots: number | 'auto';
  readonly nThreads: number;
  readonly nBatch: number;
  readonly maxStallMs: number;
  readonly speculation: 'off' | 'lookup';
  /** A model by its name or its file's path. */
  readonly draftModel: string | null;
  readonly nDraft: number;
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

/** The model of a name, where there is one. */
export type FindModel = (name: string) => ModelEntry | undefined;

/**
 * The options of an entry's engine. Two entries with equal options can share one engine. A draft model
 * that `find` does not know stands there by its name: who loads it will say so.
 */
export function engineOptionsOf(
  settings: EngineSettings,
  entry: ModelEntry,
  find: FindModel = () => undefined,
): EngineOptions {
  const speculation = speculationOf(settings, entry, find);
  const { mainGpu, tensorSplit, nCpuMoe, ropeFreqBase, ropeFreqScale, ropeScaling } = settings;
  return {
    modelPath: entry.path,
    contextTokens: entry.settings.nCtx ?? settings.nCtx,
    slots: entry.settings.nSlots ?? settings.nSlots,
    batchTokens: settings.nBatch,
    maxStallMs: settings.maxStallMs,
    ...(speculation && { speculation }),
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

function speculationOf(
  settings: EngineSettings,
  { path, settings: own }: ModelEntry,
  find: FindModel,
): Speculation | null {
  const lookup = (own.speculation ?? settings.speculation) === 'lookup';
  const named = own.draftModel ?? settings.draftModel ?? '';
  const draft = isAbsolute(named) ? named : (find(named)?.path ?? named);
  // Nobody is faster by asking himself first.
  const draftModelPath = draft === '' || draft === path ? null : draft;
  if (!lookup && draftModelPath === null) return null;
  return { lookup, draftModelPath, mostTokens: own.nDraft ?? settings.nDraft };
}
