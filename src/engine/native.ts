/**
 * EngineOptions and CompletionRequest in the numbers that the native surface wants.
 * Pure functions, any process. It must never call the addon.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type {
  NativeBatch,
  NativeContextOptions,
  NativeDone,
  NativeModelOptions,
  NativeRequest,
} from './addon.js';
import type {
  CacheType,
  CompletionRequest,
  EngineOptions,
  LibraryIdentity,
  ModelFacts,
  SizedOptions,
  TokenBatch,
  TokenLogprob,
} from './engine.js';
import { SAMPLERS } from './engine.js';
import { layerDevices } from './place-layers.js';
import type { CompletionNews } from './protocol.js';
import { toWire } from './protocol.js';

/** enum ggml_type, the members that a KV cache may have. */
const GGML_TYPES: Readonly<Record<CacheType, number>> = {
  f32: 0,
  f16: 1,
  q4_0: 2,
  q4_1: 3,
  q5_0: 6,
  q5_1: 7,
  q8_0: 8,
  iq4_nl: 20,
  bf16: 30,
};

const FLASH_ATTENTION = { auto: -1, off: 0, on: 1 } as const;
const ROPE_SCALING = { none: 0, linear: 1, yarn: 2 } as const;
/** Where nothing else is asked for, no repeated sequence reaches across these. */
const DRY_BREAKERS: readonly string[] = ['\n', ':', '"', '*'];
const UNQUANTISED: readonly CacheType[] = ['f32', 'f16', 'bf16'];

/** Beyond this many threads a decode step waits more than it computes. */
const MOST_THREADS = 16;

/** Cores this process may use, hyper-threads counted once where the system tells (Linux). */
export function physicalCores(): number {
  const usable = availableParallelism();
  const cores = new Set<string>();
  try {
    for (const name of readdirSync('/sys/devices/system/cpu')) {
      if (!/^cpu\d+$/.test(name)) continue;
      cores.add(readFileSync(`/sys/devices/system/cpu/${name}/topology/core_cpus_list`, 'utf8'));
    }
  } catch {
    return usable;
  }
  return cores.size > 0 ? Math.min(cores.size, usable) : usable;
}

/**
 * Decode threads for the setting `threads`. 0 = automatic: one core is left to the server and the
 * system, at least 1, at most 16; decode threads spin at barriers, so one too many costs more than one
 * too few.
 */
export function decodeThreads(threads: number, cores: number): number {
  if (threads > 0) return threads;
  return Math.max(1, Math.min(cores - 1, MOST_THREADS));
}

/**
 * Threads for steps that take long: all cores. What the server does for a token is little beside them,
 * and the core that is left to it otherwise would lie idle.
 */
export function longStepThreads(threads: number, cores: number): number {
  return threads > 0 ? threads : Math.max(1, Math.min(cores, MOST_THREADS));
}

/** The model's part of the options; what is absent stays at the library's default. */
export function nativeModelOptions(options: EngineOptions): NativeModelOptions {
  return {
    path: options.modelPath,
    gpuLayers: options.gpuLayers === 'auto' ? -1 : options.gpuLayers,
    mmap: options.mmap,
    mlock: options.mlock,
    ...(options.mainGpu !== undefined && { mainGpu: options.mainGpu }),
    ...(options.tensorSplit !== undefined && { tensorSplit: options.tensorSplit }),
    ...(options.cpuExpertLayers !== undefined && { cpuExpertLayers: options.cpuExpertLayers }),
  };
}

/** How many layers GPUs hold: what was asked for, as far as the model has layers and there is a GPU. */
export function layersOnGpus(
  { gpuLayers }: EngineOptions,
  { devices }: Pick<LibraryIdentity, 'devices'>,
  { layers }: Pick<ModelFacts, 'layers'>,
): number {
  const all = layers + 1;
  if (layerDevices(devices).length === 0) return 0;
  return gpuLayers === 'auto' || gpuLayers < 0 ? all : Math.min(gpuLayers, all);
}

/** Tokens one request may use: the wish, capped at the training length where the model states one. */
export function requestTokens(wanted: number, trained: number): number {
  return trained > 0 ? Math.min(wanted, trained) : wanted;
}

/** The context's part of the options. A quantised V cache needs flash attention: `auto` becomes `on`. */
export function nativeContextOptions(
  options: SizedOptions,
  tokensPerRequest: number,
): NativeContextOptions {
  const quantised = !UNQUANTISED.includes(options.cacheTypeV);
  const flash = quantised && options.flashAttention === 'auto' ? 'on' : options.flashAttention;
  return {
    contextTokens: tokensPerRequest * options.slots,
    slots: options.slots,
    batchTokens: options.batchTokens,
    threads: decodeThreads(options.threads, physicalCores()),
    longStepThreads: longStepThreads(options.threads, physicalCores()),
    ...(options.maxStallMs !== undefined && { maxStallMs: options.maxStallMs }),
    ...(options.speculation && {
      draftTokens: options.speculation.mostTokens,
      draftLookup: options.speculation.lookup,
    }),
    flashAttention: FLASH_ATTENTION[flash],
    typeK: GGML_TYPES[options.cacheTypeK],
    typeV: GGML_TYPES[options.cacheTypeV],
    ...(options.ropeScaling !== undefined && { ropeScaling: ROPE_SCALING[options.ropeScaling] }),
    ...(options.ropeFreqBase !== undefined && { ropeFreqBase: options.ropeFreqBase }),
    ...(options.ropeFreqScale !== undefined && { ropeFreqScale: options.ropeFreqScale }),
  };
}

/** A request in the addon's flat form; `maxTokens` is what the caller made of the room left. */
export function nativeRequest(request: CompletionRequest, maxTokens: number): NativeRequest {
  const { sampling } = request;
  return {
    prompt: request.prompt,
    maxTokens,
    cachePrompt: request.cachePrompt,
    temperature: sampling.temperature,
    topK: sampling.topK,
    topP: sampling.topP,
    minP: sampling.minP,
    seed: sampling.seed,
    repeatPenalty: sampling.repeatPenalty,
    repeatLastN: sampling.repeatLastN,
    presencePenalty: sampling.presencePenalty,
    frequencyPenalty: sampling.frequencyPenalty,
    dryMultiplier: sampling.dryMultiplier ?? 0,
    dryBase: sampling.dryBase ?? 1.75,
    dryAllowedLength: sampling.dryAllowedLength ?? 2,
    dryPenaltyLastN: sampling.dryPenaltyLastN ?? -1,
    drySequenceBreakers: sampling.drySequenceBreakers ?? DRY_BREAKERS,
    typicalP: sampling.typicalP ?? 1,
    topNSigma: sampling.topNSigma ?? 0,
    xtcProbability: sampling.xtcProbability ?? 0,
    xtcThreshold: sampling.xtcThreshold ?? 0.1,
    mirostat: sampling.mirostat ?? 0,
    mirostatTau: sampling.mirostatTau ?? 5,
    mirostatEta: sampling.mirostatEta ?? 0.1,
    dynatempRange: sampling.dynatempRange ?? 0,
    dynatempExponent: sampling.dynatempExponent ?? 1,
    samplers: sampling.samplers ?? SAMPLERS,
    biasTokens: Int32Array.from(sampling.logitBias, ([token]) => token),
    biasValues: Float32Array.from(sampling.logitBias, ([, bias]) => bias),
    grammar: sampling.grammar ?? null,
    ignoreEos: sampling.ignoreEos,
    logprobs: sampling.logprobs ?? -1,
    promptLogprobs: request.promptLogprobs ?? -1,
    background: request.priority === 'batch',
  };
}

/** The addon's batch as news. `roomBound`: maxTokens was the room left, so reaching it is `context`. */
export function toNews(id: number, batch: NativeBatch, roomBound: boolean): CompletionNews {
  const hasNews = batch.tokens.length > 0 || (batch.promptLogprobs?.length ?? 0) > 0;
  return {
    id,
    batch: hasNews ? toTokenBatch(batch) : null,
    end: batch.done && toEnd(batch.done, roomBound),
  };
}

function toTokenBatch(batch: NativeBatch): TokenBatch {
  const { tokens, bytes, ends, flags, logprobs, topTokens } = batch;
  const { promptLogprobs, promptTopTokens } = batch;
  return {
    ...{ tokens, bytes, ends, flags },
    ...(logprobs && { logprobs: toLogprobs(logprobs, topTokens) }),
    ...(promptLogprobs?.length && { promptLogprobs: toLogprobs(promptLogprobs, promptTopTokens) }),
  };
}

/** Per token 1 + n values and n ids. */
function toLogprobs(values: Float32Array, topTokens: Int32Array | null): TokenLogprob[] {
  const count = values.length - (topTokens?.length ?? 0);
  const best = count > 0 ? values.length / count - 1 : 0;
  return Array.from({ length: count }, (_, index) => {
    const first = index * (best + 1);
    const top = Array.from(
      { length: best },
      (_, rank) =>
        [topTokens?.[index * best + rank] ?? -1, values[first + 1 + rank] ?? -Infinity] as const,
    );
    return { logprob: values[first] ?? -Infinity, top };
  });
}

function toEnd(done: NativeDone, roomBound: boolean): CompletionNews['end'] {
  if (done.reason === 'error') {
    const error = Object.assign(new Error(done.message ?? 'no reason given'), { code: done.code });
    return { error: toWire(error, 'decode_failed') };
  }
  const { promptTokens, cachedTokens, generatedTokens, prefillMs, generationMs, slot } = done;
  const { draftedTokens = 0, acceptedTokens = 0 } = done;
  const reason = done.reason === 'length' && roomBound ? 'context' : done.reason;
  return {
    result: {
      reason,
      promptTokens,
      cachedTokens,
      generatedTokens,
      prefillMs,
      generationMs,
      slot,
      draftedTokens,
      acceptedTokens,
    },
  };
}
