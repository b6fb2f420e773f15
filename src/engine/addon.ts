/**
 * The only place that loads the `.node` file; its whole surface is typed here.
 * Owns nothing but the loaded module. Loading the addon does not load libllama.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HoshikageError } from '../errors.js';
import type { EngineCounters } from './counters.js';
import type { Device, FimTokens, PoolingType, SamplerName } from './engine.js';

/** A layout of one struct: field rows `[name, offset, size, defaults]`, defaults as unsigned bit patterns. */
export interface AbiLayout {
  readonly id: string;
  readonly size: number;
  /** Build numbers it was in use: [from, to]. */
  readonly from: number;
  readonly to: number;
  readonly fields: readonly (readonly [string, number, number, readonly number[]])[];
}

/** native/abi/llama.json: what is known of libllama's C interface over time. */
export interface AbiTable {
  /** The oldest build that is supported. */
  readonly floor: number;
  /** Builds since which samplers behave or are called otherwise under the same name. */
  readonly samplers: {
    /** One that does nothing has a name beginning with `?`. */
    readonly namesTell: number;
    /** llama_sampler_init_penalties takes five arguments. */
    readonly penalties5: number;
    /** llama_sampler_init_dry takes seven. */
    readonly dry7: number;
  };
  readonly modelParams: readonly AbiLayout[];
  readonly contextParams: readonly AbiLayout[];
  /** Rows `[symbol, build it appeared in, build it was gone in]`. */
  readonly symbols: readonly (readonly [string, number, number])[];
  /** Other functions of libllama that are known; a name in neither list is newer than the table. */
  readonly alwaysThere: readonly string[];
}

/** Errors thrown by the addon carry one of our codes in `code` and an English reason in `message`. */
export interface NativeAddon {
  /** Build facts: which defines it was compiled with. */
  readonly build: { readonly napiVersion: number; readonly sanitizer: string };
  /** [sync] Exclusive non-blocking flock on `fd`; false where somebody else holds it. */
  tryLock(fd: number): boolean;
  /** [sync] Linux: this process is killed when its parent's thread ends. False where not supported. */
  dieWithParent(): boolean;
  /**
   * [sync] Ends this process at once: no destructor runs that could hang on what a crashed libllama
   * left locked.
   */
  endNow(code: number): void;
  /** [sync] The words with which libllama has given up in this process, or null. */
  crashed(): string | null;
  /** [sync] What has got done in this process; cheap enough to be asked many times a second. */
  progress(): NativeProgress;
  /** [sync] Log lines of libllama arrive here, queued, from any thread. Once per environment. */
  onLog(callback: (level: 'debug' | 'info' | 'warn' | 'error', text: string) => void): void;
  /**
   * [async, own thread] Opens and identifies the one library of this process. `preload`: siblings by
   * absolute path, in order. `unknownSymbols`: llama_* names it exports that the table lacks.
   * `allowUnknown`: drive an unknown layout in the minimal mode instead of refusing it.
   * `proveSamplers`: find out their numbers of arguments by calling them, where the library is within
   * the table; for a process that may crash. `backends`: load the compute backends beside it (false:
   * identify only).
   * Codes: library_not_found, library_incompatible.
   */
  openLibrary(options: {
    readonly path: string;
    readonly preload: readonly string[];
    readonly unknownSymbols: readonly string[];
    readonly allowUnknown: boolean;
    readonly abi: AbiTable;
    readonly proveSamplers: boolean;
    readonly backends: boolean;
  }): Promise<NativeLibrary>;
  /**
   * [async, own thread] Loads a model with the opened library. `cancel()` makes it end soon.
   * Codes: library_not_found (none open), model_load_failed, cancelled.
   */
  loadModel(
    options: NativeModelOptions,
    onProgress?: (fraction: number) => void,
  ): { readonly promise: Promise<NativeModel>; cancel(): void };
}

/** What gets done, by who does it. */
export interface NativeProgress {
  /** Completions: steps, and looks at whether to abort one. */
  readonly steps: NativeLane;
  /** The same of embeddings. */
  readonly embeds: NativeLane;
  /** Opening, loading, tokenising. */
  readonly other: NativeLane;
  /** Processor time of all threads but the calling one, ms. */
  readonly othersCpuMs: number;
}

/** One kind of work: a counter that only grows. */
export interface NativeLane {
  readonly count: number;
  /** In one call into libllama that tells nothing while it lasts and may rightly take long. */
  readonly inLongCall: boolean;
}

/** The verdict on a library. */
export interface NativeLibrary {
  readonly path: string;
  readonly version: string | null;
  readonly ggmlVersion: string | null;
  readonly ggmlCommit: string | null;
  readonly layout: { readonly model: string; readonly context: string };
  readonly bracket: readonly [number, number];
  readonly minimal: boolean;
  readonly unknownSymbols: readonly string[];
  readonly samplers: { readonly penalties: 4 | 5 | null; readonly dry: 7 | 8 | null };
  readonly devices: readonly Device[];
}

/** Values for llama_model_params; what is absent stays at the library's default. */
export interface NativeModelOptions {
  readonly path: string;
  readonly gpuLayers?: number;
  readonly mainGpu?: number;
  readonly tensorSplit?: readonly number[];
  readonly mmap?: boolean;
  readonly mlock?: boolean;
  readonly cpuExpertLayers?: number;
}

/** A loaded model; its methods throw `closed` after close(). */
export interface NativeModel {
  /** [sync] Facts, see ModelFacts in engine.ts; the same names. */
  facts(): NativeModelFacts;
  /** [async, own thread] Segments are tokenised one by one and joined; BOS/EOS by `addSpecial`. */
  tokenize(
    segments: readonly { readonly text: string; readonly special: boolean }[],
    addSpecial: boolean,
  ): Promise<Int32Array>;
  /** [sync] Bytes of the tokens, special tokens rendered. Code: invalid_argument for an id out of range. */
  detokenize(tokens: Int32Array): Uint8Array;
  /**
   * [async, own thread] One context with its decode thread. `onWake` is the doorbell: called on the
   * JavaScript thread when some completion has news. Codes: model_load_failed, draft_model_unusable
   * (another vocabulary, or a memory that takes nothing back).
   */
  createContext(options: NativeContextOptions, onWake: () => void): Promise<NativeContext>;
  /**
   * [sync] What makes embeddings with this model, on a thread of its own; its context is made with the
   * first input. `contextTokens` is the limit for one input; `slots` and `batchTokens` have no effect.
   * Code: model_not_embedding.
   */
  createEmbedder(options: NativeContextOptions): NativeEmbedder;
  /**
   * [async, own thread] Milliseconds of the median step of counts[i] tokens, one for each of so many
   * sequences, in a context that is made for this and thrown away; null where `limitMs` was not
   * enough. `counts` ascend from 1 on; sizes and slots of the options have no effect. `cancel()` makes
   * it end soon. Codes: model_load_failed, library_incompatible, model_not_generative, decode_failed,
   * engine_crashed, engine_out_of_memory, cancelled, closed, invalid_argument.
   */
  measureSteps(
    options: NativeContextOptions,
    counts: readonly number[],
    limitMs: number,
  ): { readonly promise: Promise<readonly (number | null)[]>; cancel(): void };
  /** [async] Closes its contexts and embedders, then frees. Idempotent. */
  close(): Promise<void>;
}

/** ModelFacts as the addon gives them. */
export interface NativeModelFacts {
  readonly description: string;
  readonly sizeBytes: number;
  readonly parameters: number;
  readonly trainedContextTokens: number;
  readonly embeddingLength: number;
  readonly layers: number;
  readonly vocabularySize: number;
  readonly chatTemplate: string | null;
  readonly bosToken: number | null;
  readonly eosToken: number | null;
  readonly eotToken: number | null;
  readonly bosText: string;
  readonly eosText: string;
  readonly addBos: boolean;
  readonly controlTexts: readonly string[];
  readonly hasEncoder: boolean;
  readonly isRecurrent: boolean;
  readonly isDiffusion: boolean;
  readonly fim: FimTokens;
  readonly sepToken: number | null;
  readonly toolTemplate: string | null;
  readonly rerankTemplate: string | null;
  readonly poolingType?: PoolingType;
}

/** Values for llama_context_params; what is absent stays at the library's default. */
export interface NativeContextOptions {
  /** Tokens of the whole cache, all slots together. */
  readonly contextTokens: number;
  readonly slots: number;
  readonly batchTokens: number;
  readonly threads?: number;
  /** Threads for steps that take long; `threads` where absent. */
  readonly longStepThreads?: number;
  /** How long one step may take while anybody generates, ms; 100 where absent. */
  readonly maxStallMs?: number;
  /** Tokens guessed ahead at once, at most; 0 or absent = none. */
  readonly draftTokens?: number;
  /** Guess from the text so far. */
  readonly draftLookup?: boolean;
  /** -1 auto, 0 off, 1 on. */
  readonly flashAttention?: -1 | 0 | 1;
  /** ggml type numbers. */
  readonly typeK?: number;
  readonly typeV?: number;
  /** llama_rope_scaling_type: 0 none, 1 linear, 2 yarn. */
  readonly ropeScaling?: number;
  readonly ropeFreqBase?: number;
  readonly ropeFreqScale?: number;
  /** What is tried is guessed by this one; closing it closes the context too. */
  readonly draftModel?: NativeModel;
  /** Main memory for conversations that lose their slot; 0 or absent = they are forgotten. */
  readonly storeBytes?: number;
}

/** A context, its slots and its decode thread. */
export interface NativeContext {
  /** What the library made of the options (its getters' values). */
  readonly info: {
    readonly contextTokens: number;
    readonly contextTokensPerSlot: number;
    readonly slots: number;
    readonly batchTokens: number;
    readonly threads: number;
  };
  /**
   * [sync] Hands a completion to the decode thread. It waits there for a free slot, but callers hold
   * leases, so one is free. Codes: closed, grammar_invalid, invalid_argument (empty or too long prompt,
   * bad id, bad number).
   */
  start(request: NativeRequest): NativeCompletion;
  /** [sync] */
  slots(): readonly {
    readonly id: number;
    readonly state: 'idle' | 'prefill' | 'generation';
    readonly cachedTokens: number;
    readonly promptTokens: number;
    readonly generatedTokens: number;
  }[];
  /** [sync] Work counters since the start, those that this addon has. */
  counters(): NativeCounters;
  /**
   * [async] What an idle slot's cache holds, as the library writes it; null where nothing is cached,
   * the slot is busy, or it has more than `mostBytes`, which is said in the log. Done part by part
   * between decode steps, and no part holds a stream up. Codes: closed, invalid_argument (no such
   * slot), decode_failed, engine_crashed.
   */
  saveState(slot: number, mostBytes: number): Promise<NativeState | null>;
  /**
   * [async] Puts a state into the idle slot that was unused for longest; the slot's number, or null
   * where none is idle or the library says that it does not fit. The arrays must not change meanwhile.
   * Codes: closed, invalid_argument (empty, too long, or a bad id).
   */
  restoreState(state: NativeState): Promise<number | null>;
  /** [async] Cancels all completions, joins the decode thread, frees. Idempotent. */
  close(): Promise<void>;
}

/** Those of EngineCounters that are there. */
export type NativeCounters = Partial<EngineCounters> &
  Pick<EngineCounters, 'steps' | 'promptTokens' | 'generatedTokens' | 'rings'>;

/** One sequence of a context: its tokens, and the library's own bytes for them, part by part. */
export interface NativeState {
  readonly tokens: Int32Array;
  /** How many tokens each part and those before it make up; the last is `tokens.length`. */
  readonly ends: Int32Array;
  readonly parts: readonly Uint8Array[];
}

/** Makes embeddings, one input after the other. */
export interface NativeEmbedder {
  /**
   * [async] One vector per input; of a model that ranks, its scores. `cancel()` makes it end soon; one that waits for others, at
   * its turn.
   * Codes: closed, invalid_argument (empty, or a bad id), context_length_exceeded, model_load_failed
   * (no context could be made), decode_failed, model_not_embedding, engine_crashed,
   * engine_out_of_memory, cancelled.
   */
  embed(inputs: readonly Int32Array[]): {
    readonly promise: Promise<readonly Float32Array[]>;
    cancel(): void;
  };
  /** [async] Ends what runs, joins the thread, frees. Idempotent. */
  close(): Promise<void>;
}

/** SamplingOptions and CompletionRequest in one flat, already checked record. */
export interface NativeRequest {
  readonly prompt: Int32Array;
  /** -1 = until the context is full. */
  readonly maxTokens: number;
  readonly cachePrompt: boolean;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly seed: number;
  readonly repeatPenalty: number;
  readonly repeatLastN: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly dryMultiplier: number;
  readonly dryBase: number;
  readonly dryAllowedLength: number;
  readonly dryPenaltyLastN: number;
  readonly drySequenceBreakers: readonly string[];
  readonly typicalP: number;
  readonly topNSigma: number;
  readonly xtcProbability: number;
  readonly xtcThreshold: number;
  readonly mirostat: 0 | 2;
  readonly mirostatTau: number;
  readonly mirostatEta: number;
  readonly dynatempRange: number;
  readonly dynatempExponent: number;
  readonly samplers: readonly SamplerName[];
  readonly biasTokens: Int32Array;
  readonly biasValues: Float32Array;
  /** A program, see src/grammar/program.ts. */
  readonly grammar: Int32Array | null;
  readonly ignoreEos: boolean;
  /** -1 = none; n >= 0 = the chosen token's and those of the n best. */
  readonly logprobs: number;
  /** The same of every prompt token but the first; then the cache is not used. */
  readonly promptLogprobs: number;
  /** Its prompt lets those of others pass; false where absent. */
  readonly background?: boolean;
}

/** A running completion. */
export interface NativeCompletion {
  /** [sync] News since the last call, or null. After a batch with `done` it gives null for ever. */
  take(): NativeBatch | null;
  /** [sync] See EngineCompletion.cancel; -1 = keep what was generated. */
  cancel(keepTokens: number): void;
}

/** One mailbox's content. */
export interface NativeBatch {
  readonly tokens: Int32Array;
  readonly bytes: Uint8Array;
  readonly ends: Int32Array;
  readonly flags: Uint8Array;
  /** Per token (1 + n) values: the chosen one's, then the best n, descending; null unless asked for. */
  readonly logprobs: Float32Array | null;
  /** Per token n ids, matching `logprobs`. */
  readonly topTokens: Int32Array | null;
  /** The same two of the prompt's next tokens, from the second one on; null unless asked for. */
  readonly promptLogprobs: Float32Array | null;
  readonly promptTopTokens: Int32Array | null;
  /** Prompt tokens processed so far (cached ones included). */
  readonly prefilledTokens: number;
  readonly done: NativeDone | null;
}

/** How a completion ended. */
export interface NativeDone {
  readonly reason: 'eog' | 'length' | 'context' | 'cancelled' | 'error';
  /** With `error`: decode_failed, grammar_invalid, engine_crashed, engine_out_of_memory. */
  readonly code: string | null;
  readonly message: string | null;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  readonly prefillMs: number;
  readonly generationMs: number;
  readonly slot: number;
  /** Tried ahead, and of those the ones that were right. */
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
}

/**
 * Project root with a slash at its end: where build/ and prebuilds/ are, from src/engine and from
 * dist/src/engine alike.
 */
export function packageRoot(): string {
  const here = fileURLToPath(new URL('.', import.meta.url));
  return fileURLToPath(
    new URL(
      /[\\/]dist[\\/]src[\\/]engine[\\/]$/.test(here) ? '../../../' : '../../',
      import.meta.url,
    ),
  );
}

const require = createRequire(import.meta.url);

/** node-gyp-build: a callable that loads, with a `path` that only looks. It ships no types. */
type AddonFinder = ((root: string) => unknown) & { path(root: string): string };

let loaded: NativeAddon | undefined;

/** Loads the addon once (build/Release, then prebuilds/). Code: addon_missing. */
export function loadAddon(): NativeAddon {
  if (loaded) return loaded;
  try {
    const load = require('node-gyp-build') as AddonFinder;
    // The addon's surface is written down above; nothing in JavaScript could check it.
    loaded = load(packageRoot()) as NativeAddon;
    return loaded;
  } catch (cause) {
    throw new HoshikageError('addon_missing', {}, { cause });
  }
}

/** Absolute path of the `.node` file, without loading it. Code: addon_missing. */
export function addonPath(): string {
  try {
    return (require('node-gyp-build') as AddonFinder).path(packageRoot());
  } catch (cause) {
    throw new HoshikageError('addon_missing', {}, { cause });
  }
}

/** The text of native/abi/llama.json, our own data file. */
export function readAbiText(): string {
  return readFileSync(join(packageRoot(), 'native', 'abi', 'llama.json'), 'utf8');
}

/** What is known of libllama's C interface over time. */
export function readAbi(): AbiTable {
  // Written by us and shipped with the package; the addon checks every row again.
  return JSON.parse(readAbiText()) as AbiTable;
}
