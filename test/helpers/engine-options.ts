/** EngineOptions and CompletionRequests with everything at its plainest, for tests. */
import type { CompletionRequest, EngineOptions, SamplingOptions } from '../../src/engine/engine.js';

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

export const greedy: SamplingOptions = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  seed: 1,
  repeatPenalty: 1,
  repeatLastN: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  ignoreEos: false,
};

export function request(text: string, changes: Partial<CompletionRequest> = {}): CompletionRequest {
  return {
    prompt: Int32Array.from(Buffer.from(text)),
    maxTokens: -1,
    sampling: greedy,
    cachePrompt: true,
    ...changes,
  };
}
