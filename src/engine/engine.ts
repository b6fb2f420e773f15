/**
 * The Engine interface: tokens in, tokens out. Everything above this room sees a model only through
 * it, whether it runs in this process (local.ts) or in one of its own (process.ts).
 * It owns no state; it must never know about text policy (templates, stop strings, UTF-8 joining).
 */
import type { EngineCounters } from './counters.js';
import type { MemoryNeed, SlotNeed } from './memory-need.js';
import type { SealedFile } from './sealed.js';
import type { KnownSlots, SlotChoice } from './slot-count.js';

/** How a model and its context are set up; resolved from settings and the registry entry. */
export interface EngineOptions {
  /** Absolute path of the GGUF file. */
  readonly modelPath: string;
  /** The file that `modelPath` is a copy of: saved states belong to it. Absent: `modelPath` itself. */
  readonly sourcePath?: string;
  /** The files of this model, and of the one that guesses for it, as they were found sound. */
  readonly sealed?: readonly SealedFile[];
  /** Tokens one request may use (prompt and output); capped at the model's training length. */
  readonly contextTokens: number;
  /**
   * Completions that run at once; the context holds contextTokens × slots. `auto` = as many as make
   * the most tokens in total, which is measured.
   */
  readonly slots: number | 'auto';
  /** Prompt tokens per decode step at most. */
  readonly batchTokens: number;
  /** How long one step may take while anybody generates, ms; the engine's own default where absent. */
  readonly maxStallMs?: number;
  /** Main memory for conversations that lose their slot to another; 0 or absent = none. */
  readonly prefixCacheBytes?: number;
  /** Tokens are guessed ahead and checked together; absent = off. */
  readonly speculation?: Speculation;
  /** 0 = the engine chooses. */
  readonly threads: number;
  readonly flashAttention: 'auto' | 'on' | 'off';
  readonly cacheTypeK: CacheType;
  readonly cacheTypeV: CacheType;
  /** -1 = all layers; `auto` = as many as the devices' free memory takes. */
  readonly gpuLayers: number | 'auto';
  readonly mainGpu?: number;
  /** Share of the model on each device. */
  readonly tensorSplit?: readonly number[];
  readonly mmap: boolean;
  readonly mlock: boolean;
  /** Keep the expert weights of the first N layers in main memory. */
  readonly cpuExpertLayers?: number;
  readonly ropeFreqBase?: number;
  readonly ropeFreqScale?: number;
  readonly ropeScaling?: 'none' | 'linear' | 'yarn';
  /**
   * What the model is loaded for; `generate` unless said. `embed` makes no generating context: for
   * models that have no memory (encoders such as BERT). `info.slots` is then 0 and start() refuses.
   */
  readonly purpose?: 'generate' | 'embed';
  /** What all this is estimated to take, with one slot where `auto`; absent where nobody looked. */
  readonly memory?: MemoryNeed;
  /**
   * With `auto`: numbers above 1 for which there is room, ascending, and what they take. Where absent,
   * nobody looked, and each is tried.
   */
  readonly moreSlots?: readonly SlotNeed[];
  /** With `auto`: what was found out before; counts under the same conditions. */
  readonly knownSlots?: KnownSlots;
  /** A number of layers that cannot fit is refused with memory_short, not tried. Off where absent. */
  readonly memoryChecked?: boolean;
}

/** Options whose number of slots is settled. */
export type SizedOptions = EngineOptions & { readonly slots: number };

/** Where guesses come from, and how many. */
export interface Speculation {
  /** From the text so far. */
  readonly lookup: boolean;
  /**
   * Absolute path of the model that guesses; null = none. It goes to the devices whole, unless
   * `gpuLayers` is 0, and has as many slots and as long a context as the model that it guesses for.
   */
  readonly draftModelPath: string | null;
  /** Tokens guessed at once, at most. */
  readonly mostTokens: number;
}

/** KV cache element types by their ggml names. */
export type CacheType =
  | 'f32'
  | 'f16'
  | 'bf16'
  | 'q8_0'
  | 'q4_0'
  | 'q4_1'
  | 'q5_0'
  | 'q5_1'
  | 'iq4_nl';

/** Facts about a loaded model and its context. */
export interface EngineInfo {
  readonly library: LibraryIdentity;
  readonly model: ModelFacts;
  /** Tokens one request may use. */
  readonly contextTokens: number;
  readonly slots: number;
  /** How that number was found; absent where the options name it. */
  readonly slotChoice?: SlotChoice;
  readonly batchTokens: number;
  readonly threads: number;
  /** Layers on GPUs, the output counted as one; 0 where no GPU is used. */
  readonly gpuLayers: number;
}

/** What the probe found out about a libllama. */
export interface LibraryIdentity {
  /** Real path of the file that was opened. */
  readonly path: string;
  /** What the library says of itself; never used to choose a layout. */
  readonly version: string | null;
  readonly ggmlVersion: string | null;
  readonly ggmlCommit: string | null;
  /** Ids of the matched layouts, e.g. `M10` and `C11`. */
  readonly layout: { readonly model: string; readonly context: string };
  /** Build numbers the exported symbols allow: [first, first that is too new). */
  readonly bracket: readonly [number, number];
  /** Driven in the minimal mode: its layouts are unknown, their ids `minimal`. */
  readonly minimal: boolean;
  /** llama_* functions it exports that the table does not know. */
  readonly unknownSymbols: readonly string[];
  /**
   * Numbers of arguments of its penalties and DRY samplers, proved by behaviour, which only the probe
   * does; null = unproved.
   */
  readonly samplers: { readonly penalties: 4 | 5 | null; readonly dry: 7 | 8 | null };
  readonly devices: readonly Device[];
}

/** A compute device as libggml reports it; memory in bytes. */
export interface Device {
  readonly name: string;
  readonly description: string;
  readonly type: 'cpu' | 'gpu' | 'igpu' | 'accel' | 'meta' | 'unknown';
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** Facts from the loaded model and its vocabulary. */
export interface ModelFacts {
  readonly description: string;
  readonly sizeBytes: number;
  readonly parameters: number;
  readonly trainedContextTokens: number;
  readonly embeddingLength: number;
  readonly layers: number;
  readonly vocabularySize: number;
  /** The model's own Jinja template, or null. */
  readonly chatTemplate: string | null;
  readonly bosToken: number | null;
  readonly eosToken: number | null;
  readonly eotToken: number | null;
  /** Texts of BOS and EOS as templates want them; '' where the model has none. */
  readonly bosText: string;
  readonly eosText: string;
  /** Whether the tokenizer adds BOS by itself. */
  readonly addBos: boolean;
  /** Texts of all control tokens: what must stay text inside user content. */
  readonly controlTexts: readonly string[];
  readonly hasEncoder: boolean;
  readonly isRecurrent: boolean;
  readonly isDiffusion: boolean;
  /** Control tokens for filling in between two texts; null where the vocabulary has no such token. */
  readonly fim?: FimTokens;
  /** Between the two texts that a reranker compares; null without one. */
  readonly sepToken?: number | null;
  /** The model's template for conversations with tools, where it has one of its own, or null. */
  readonly toolTemplate?: string | null;
  /** The model's template for reranking, or null. */
  readonly rerankTemplate?: string | null;
  /** How the model itself says its embeddings are made of its tokens; absent where it says nothing. */
  readonly poolingType?: PoolingType;
}

/** Token ids. `repository` and `separator` go around other files' texts. */
export interface FimTokens {
  readonly prefix: number | null;
  readonly suffix: number | null;
  readonly middle: number | null;
  readonly repository: number | null;
  readonly separator: number | null;
}

/** How one vector is made of a text's tokens. `rank` is a reranker's score, no embedding. */
export type PoolingType = 'none' | 'mean' | 'cls' | 'last' | 'rank';

/** One stretch of prompt text; `special` says whether control tokens in it are parsed as such. */
export interface TextSegment {
  readonly text: string;
  readonly special: boolean;
}

/** The steps that choose a token, by the names of the wire. */
export type SamplerName =
  | 'penalties'
  | 'dry'
  | 'top_n_sigma'
  | 'top_k'
  | 'typical_p'
  | 'top_p'
  | 'min_p'
  | 'xtc'
  | 'temperature';

/** The steps in the order in which they are applied where nothing else is asked for. */
export const SAMPLERS: readonly SamplerName[] = [
  'penalties',
  'dry',
  'top_n_sigma',
  'top_k',
  'typical_p',
  'top_p',
  'min_p',
  'xtc',
  'temperature',
];

/**
 * How to choose the next token: logit bias first, then `samplers` in their order. The grammar is tried
 * on the chosen token, and where it forbids that one, takes its tokens out before the first step.
 */
export interface SamplingOptions {
  /** 0 = greedy. */
  readonly temperature: number;
  /** 0 = off. */
  readonly topK: number;
  /** 1 = off. */
  readonly topP: number;
  /** 0 = off. */
  readonly minP: number;
  /** 32-bit seed; always given, so that a result can be repeated. */
  readonly seed: number;
  /** 1 = off; over the last `repeatLastN` tokens of prompt and output, each id once. */
  readonly repeatPenalty: number;
  /** 0 = off, -1 = the whole context. */
  readonly repeatLastN: number;
  /** Over the output only. */
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  /** DRY: how much a token loses that would repeat a sequence; 0 or absent = off. */
  readonly dryMultiplier?: number;
  /** How fast that grows with the length of what is repeated; 1.75 where absent, below 1 = off. */
  readonly dryBase?: number;
  /** Repeats up to this length cost nothing; 2 where absent. */
  readonly dryAllowedLength?: number;
  /** How many of the last tokens of prompt and output are searched; 0 = off, -1 or absent = all. */
  readonly dryPenaltyLastN?: number;
  /** Texts that no repeated sequence reaches across; line feed, `:`, `"` and `*` where absent. */
  readonly drySequenceBreakers?: readonly string[];
  /** 1 or absent = off. Locally typical sampling: keeps the tokens whose surprise is nearest to the mean. */
  readonly typicalP?: number;
  /** Keeps logits within this many standard deviations of the best; 0 or absent = off. */
  readonly topNSigma?: number;
  /** How likely XTC is to drop all but the last of the tokens above its threshold; 0 or absent = off. */
  readonly xtcProbability?: number;
  /** 0.1 where absent; above 0.5 = off, since no two tokens can be above it. */
  readonly xtcThreshold?: number;
  /** Mirostat 2 takes the place of every truncation: only penalties, DRY and temperature go before it. */
  readonly mirostat?: 0 | 2;
  /** Mirostat's aim, bits of surprise per token; 5 where absent. */
  readonly mirostatTau?: number;
  /** How fast Mirostat gets there; 0.1 where absent. */
  readonly mirostatEta?: number;
  /** The temperature varies by this much up and down with the entropy; 0 or absent = off. */
  readonly dynatempRange?: number;
  /** 1 where absent. */
  readonly dynatempExponent?: number;
  /** Which steps there are and in which order, each once at most; SAMPLERS where absent. */
  readonly samplers?: readonly SamplerName[];
  /** Pairs of token id and addition to its logit. */
  readonly logitBias: readonly (readonly [token: number, bias: number])[];
  /** A program that the output must keep to, see src/grammar/program.ts. Where it ends, the output ends. */
  readonly grammar?: Int32Array;
  /** Never end by an end-of-generation token. */
  readonly ignoreEos: boolean;
  /** Log-probabilities of this many best tokens per step; absent = none. 0 = of the chosen one only. */
  readonly logprobs?: number;
}

/** Who goes first: everything interactive before anything else. */
export type Priority = 'interactive' | 'batch';

/** One generation: a whole prompt from position 0, and how to continue it. */
export interface CompletionRequest {
  readonly prompt: Int32Array;
  /** Tokens to generate at most; -1 = until the context is full. */
  readonly maxTokens: number;
  readonly sampling: SamplingOptions;
  /** Reuse the slot's cache where the prompt begins alike. */
  readonly cachePrompt: boolean;
  /**
   * Log-probabilities of the prompt's tokens, and of this many best ones in the place of each; absent =
   * none. 0 = of the prompt's own only. They take a computation of the whole prompt: nothing is reused.
   */
  readonly promptLogprobs?: number;
  /** `batch` gives way to whoever is interactive, also within a step; `interactive` where absent. */
  readonly priority?: Priority;
}

/** Flags of one token in a TokenBatch. */
export const TOKEN_CONTROL = 1;
export const TOKEN_EOG = 2;

/** Tokens that arrived since the last batch, in order. */
export interface TokenBatch {
  readonly tokens: Int32Array;
  /** The pieces' bytes, one after the other, special tokens rendered. */
  readonly bytes: Uint8Array;
  /** End offset in `bytes` of each token's piece. */
  readonly ends: Int32Array;
  /** Per token: TOKEN_CONTROL | TOKEN_EOG. */
  readonly flags: Uint8Array;
  /** Per token, natural log: the chosen token's value, then `top` pairs; absent unless asked for. */
  readonly logprobs?: readonly TokenLogprob[];
  /**
   * The same of the prompt's next tokens, where they were asked for: over all batches, entry i is of
   * prompt token i + 1. They come before the first generated token, also in batches without any.
   */
  readonly promptLogprobs?: readonly TokenLogprob[];
}

/** Log-probability of a token before sampling, natural log, and of the best in its place. */
export interface TokenLogprob {
  readonly logprob: number;
  readonly top: readonly (readonly [token: number, logprob: number])[];
}

/** Why a completion ended. `length` = maxTokens; `context` = no room left in the context. */
export type FinishReason = 'eog' | 'length' | 'context' | 'cancelled';

/** Counts (tokens) and times (ms) of one ended completion. */
export interface CompletionResult {
  readonly reason: FinishReason;
  readonly promptTokens: number;
  /** Prompt tokens that were already in the slot's cache. */
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  /**
   * Computing its prompt: of the steps with tokens of it, its share of their prompt tokens. What it
   * waited for others, or for what they computed for it, is no part of that.
   */
  readonly prefillMs: number;
  readonly generationMs: number;
  readonly slot: number;
  /** Tokens that were guessed ahead, and those of them that were right. */
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
}

/** A running generation. Iterate it once; the iteration ends when the generation has. */
export interface EngineCompletion extends AsyncIterable<TokenBatch> {
  /**
   * Ends it soon; the slot is free within one step. Idempotent. `keepTokens`: how many generated
   * tokens stay in the slot's cache (what ran ahead of a stop string is trimmed).
   */
  cancel(keepTokens?: number): void;
  /** Settles when the slot is free. Rejects with the same error the iteration throws. */
  readonly result: Promise<CompletionResult>;
}

/** What one slot is doing, for /v1/status. */
export interface SlotState {
  readonly id: number;
  readonly state: 'idle' | 'prefill' | 'generation';
  readonly cachedTokens: number;
  readonly promptTokens: number;
  readonly generatedTokens: number;
}

/**
 * Why an engine ended: it was closed, it died, it made no progress and was killed, or there was not
 * enough memory.
 */
export type ExitCause = 'closed' | 'crash' | 'hang' | 'memory';

/** How an engine ended. `expected`: after close(). */
export interface EngineExit {
  readonly expected: boolean;
  readonly cause: ExitCause;
  readonly detail: string;
}

/**
 * A loaded model with one context. Once it has died all methods reject with engine_crashed,
 * engine_hung or engine_out_of_memory, by its cause.
 */
export interface Engine {
  readonly info: EngineInfo;
  /** Token ids of the segments, joined. `addSpecial`: the tokenizer adds BOS/EOS as the model wants. */
  tokenize(segments: readonly TextSegment[], addSpecial: boolean): Promise<Int32Array>;
  /** The tokens' bytes, special tokens rendered. */
  detokenize(tokens: Int32Array): Promise<Uint8Array>;
  /**
   * Never waits: the caller has a lease on a slot. Errors come by the iteration and `result`, also
   * model_not_generative where it was loaded for embeddings only.
   */
  start(request: CompletionRequest): EngineCompletion;
  slots(): Promise<readonly SlotState[]>;
  /**
   * One vector of `embeddingLength` values per input, as the model gives it: not normalised. A model
   * that names no pooling of its own gets the mean over its tokens; one that ranks gives its scores,
   * mostly one. Runs beside completions.
   * An abort ends it within one step. Codes: invalid_value (an empty input), context_length_exceeded,
   * model_not_embedding, invalid_argument (an id out of range), decode_failed, cancelled.
   */
  embed(
    inputs: readonly Int32Array[],
    options?: { readonly signal?: AbortSignal },
  ): Promise<readonly Float32Array[]>;
  /**
   * Writes what an idle slot's cache holds to a file, replacing it at once and whole. Null where
   * nothing is cached, the slot is busy, or the library's part would have more than `mostBytes`, which
   * is said in the log. `bytes` is the file's size. Code: state_unwritable.
   */
  saveState(
    slot: number,
    path: string,
    mostBytes?: number,
  ): Promise<{ readonly tokens: Int32Array; readonly bytes: number } | null>;
  /**
   * Fills the idle slot that was unused for longest with a saved state; a prompt that begins with its
   * tokens need not compute them. Null, and a line in the log, where the file is missing, damaged or
   * of another model, library or context, or where no slot is idle.
   */
  restoreState(
    path: string,
  ): Promise<{ readonly slot: number; readonly tokens: Int32Array } | null>;
  /** Cancels what runs, frees everything, then resolves. Idempotent. */
  close(): Promise<void>;
  /** Resolves once, however it ended. */
  readonly exited: Promise<EngineExit>;
}

/** An engine with what the status route shows without waiting. */
export interface ResidentEngine extends Engine {
  readonly pid: number | null;
  readonly slotStates: readonly SlotState[];
  /** As of the last news from it: at most some milliseconds old while it works. */
  readonly counters: EngineCounters;
  /** What its process holds; null where that is unknown. */
  readonly memoryBytes: number | null;
  /** It was closed or has given up, and only its end is to come: nobody may get it any more. */
  readonly ending: boolean;
}

/** Starts an engine; the signal ends the start at any moment. `onProgress`: 0 to 1. */
export type StartEngine = (
  options: EngineOptions,
  control: { readonly onProgress: (fraction: number) => void; readonly signal: AbortSignal },
) => Promise<ResidentEngine>;
