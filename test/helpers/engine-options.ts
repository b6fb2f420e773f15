/** EngineOptions and CompletionRequests with everything at its plainest, for tests. */
import { GREEDY } from '../../src/canary/canary-text.js';
import type { CompletionRequest, EngineOptions, SizedOptions } from '../../src/engine/engine.js';

export function engineOptions(changes?: Partial<SizedOptions>): SizedOptions;
export function engineOptions(changes: Partial<EngineOptions>): EngineOptions;
export function engineOptions(changes: Partial<EngineOptions> = {}): EngineOptions {
  return {
    modelPath: '/models/a.gguf',
    contextTokens: 64,
    slots: 1,
    batchTokens: 32,
    threads: 1,
    flashAttention: 'auto',
    cacheTypeK: 'f16',
    cacheTypeV: 'f16',
    gpuLayers: 0,
    mmap: true,
    mlock: false,
    ...changes,
  };
}

export function request(text: string, changes: Partial<CompletionRequest> = {}): CompletionRequest {
  return {
    prompt: Int32Array.from(Buffer.from(text)),
    maxTokens: -1,
    sampling: GREEDY,
    cachePrompt: true,
    ...changes,
  };
}
