/**
 * What a model takes from the machine, in three parts that a status can show.
 * Pure functions; server's main thread. It must never measure: these are estimates, and they are there
 * before anything is allocated.
 */

import type { EngineOptions } from '../engine/engine.js';
import type { ModelEntry } from '../models/registry.js';

/** Estimated bytes of one engine, wherever they lie. */
export interface MemoryUse {
  readonly weightsBytes: number;
  readonly kvBytes: number;
  /** Scratch memory and the process itself. */
  readonly computeBytes: number;
  /** Of all that, what main memory has back once the engine has ended. */
  readonly freedBytes: number;
}

/** What takes nothing, and gives nothing back. */
export const NO_MEMORY: MemoryUse = { weightsBytes: 0, kvBytes: 0, computeBytes: 0, freedBytes: 0 };

const sum = (values: readonly number[]): number => values.reduce((total, n) => total + n, 0);

/** What an engine of these options takes; nothing is known without `options.memory`. */
export function memoryUse({ memory }: EngineOptions): MemoryUse {
  if (!memory) return NO_MEMORY;
  const { draft } = memory;
  return {
    weightsBytes:
      sum(memory.layerBytes) + memory.outputBytes + memory.inputBytes + (draft?.weightsBytes ?? 0),
    kvBytes: sum(memory.kvBytesPerLayer) + (draft?.kvBytes ?? 0),
    computeBytes: memory.computeBytes + memory.hostBytes + (draft?.computeBytes ?? 0),
    freedBytes: memory.privateBytes,
  };
}

/** The options of an engine that was started with them and has so many slots. */
export function withSlots(options: EngineOptions, slots: number): EngineOptions {
  const found = options.moreSlots?.find((need) => need.slots === slots);
  return found ? { ...options, memory: found.memory } : options;
}

/** Both together. */
export function addUses(a: MemoryUse, b: MemoryUse): MemoryUse {
  return {
    weightsBytes: a.weightsBytes + b.weightsBytes,
    kvBytes: a.kvBytes + b.kvBytes,
    computeBytes: a.computeBytes + b.computeBytes,
    freedBytes: a.freedBytes + b.freedBytes,
  };
}

/** What models that go for another will give back. */
export interface Freed extends MemoryUse {
  /** Their files, of which no engine has a copy open any more then. */
  readonly sources?: readonly string[];
}

/**
 * Fits an engine to the memory there is, before anything is allocated; `freed` is what models that go
 * for it will give back. `ask`: nothing may be given up for the answer, since another way is open.
 * Codes: memory_short, model_file_missing, model_file_invalid.
 */
export type PlanEngine = (
  entry: ModelEntry,
  options: EngineOptions,
  freed: Freed,
  only?: 'ask',
) => Promise<EngineOptions>;
