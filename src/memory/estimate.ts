/**
 * How much memory a model takes, by its file's header and an engine's options: weights, KV cache, and
 * the buffers of one step as libllama reserves them. Pure functions. The formulas were fitted to what
 * libllama reports (test/memory/estimate.test.ts holds them against it); where a file does
 * not say enough, the estimate is too small rather than too large, since a refusal depends on it.
 */
import type { CacheType, EngineOptions } from '../engine/engine.js';
import type { MemoryNeed } from '../engine/memory-need.js';
import type { GgufFacts } from '../models/gguf.js';
import { atLayer, type LayerWeights, type MemoryKeys } from '../models/gguf-shape.js';
import { TENSOR_TYPES } from '../models/gguf-types.js';

/** The options that decide how much memory an engine takes. */
export type SizingOptions = Pick<
  EngineOptions,
  'contextTokens' | 'batchTokens' | 'flashAttention' | 'cacheTypeK' | 'cacheTypeV' | 'purpose'
> & { readonly slots: number };

/** What a model takes wherever it is placed. */
export interface Estimate extends Omit<MemoryNeed, 'privateBytes' | 'deviceBytes' | 'draft'> {
  /** Of `computeBytes`, what every longer prompt really touches; the rest is only reserved. */
  readonly touchedBytes: number;
  /** Per layer, the weights that lie in main memory as the file has them, so that it can be mapped. */
  readonly floatBytes: readonly number[];
}

/** libllama rounds a sequence's cells up to this. */
const CELLS = 256;
/** Tokens computed at once: libllama's default for n_ubatch, which we leave as it is. */
const MICRO_BATCH = 512;
const SMALLEST_BATCH = 64;
const FLOAT = 4;
/** An engine process without its model, beside the programs it maps: measured as RssAnon. */
const PROCESS_BYTES = 16 * 2 ** 20;
/** A token of the vocabulary in libllama's tables: text, score, two maps. Measured alike. */
const TOKEN_BYTES = 270;

/** Estimates a model from the headers of its file, or of all parts of a split one. */
export function estimateMemory(parts: readonly GgufFacts[], options: SizingOptions): Estimate {
  const [first] = parts;
  if (!first) throw new RangeError('a model has at least one file');
  // A header may say anything; a negative width would hide what everything else takes.
  const facts = { ...first, embeddingLength: Math.max(0, first.embeddingLength ?? 0) };
  const layers = layersOf(parts, facts.layers ?? 0);
  const cells = cellsPerSlot(facts, options);
  const embedding = total(parts.map(({ weights }) => weights.embeddingBytes));
  const isTied = !parts.some(({ weights }) => weights.hasHead);
  const scratch = scratchBytes(facts, layers, options, cells);
  const vocabulary = facts.vocabularySize ?? 0;
  return {
    layerBytes: layers.map(({ bytes }) => bytes),
    expertBytes: layers.map(({ expertBytes }) => expertBytes),
    floatBytes: layers.map(({ floatBytes }) => floatBytes),
    outputBytes: total(parts.map(({ weights }) => weights.outputBytes)),
    outputCopyBytes: isTied ? embedding : 0,
    inputBytes: embedding + total(parts.map(({ weights }) => weights.otherBytes)),
    kvBytesPerLayer: layers.map((layer, index) =>
      options.purpose === 'embed' ? 0 : memoryOfLayer(facts, layer, index, options, cells),
    ),
    computeBytes: scratch.reserved,
    touchedBytes: scratch.touched,
    hostBytes: PROCESS_BYTES + vocabulary * (TOKEN_BYTES + FLOAT * options.slots),
  };
}

/** The same of a model in another's process, whose own memory it shares. */
export function estimateDraft(parts: readonly GgufFacts[], options: SizingOptions): Estimate {
  const estimate = estimateMemory(parts, options);
  return { ...estimate, hostBytes: estimate.hostBytes - PROCESS_BYTES };
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

const NO_WEIGHTS: LayerWeights = {
  bytes: 0,
  expertBytes: 0,
  floatBytes: 0,
  keepsKeys: false,
  joinsKeys: false,
  sharesValues: false,
  keepsState: false,
};

/** The layers of all parts, each tensor of a layer being in one of them. */
function layersOf(parts: readonly GgufFacts[], announced: number): readonly LayerWeights[] {
  const longest = Math.max(...parts.map(({ weights }) => weights.layers.length));
  // No more than there are weights for: what a header announces is only a number.
  return Array.from({ length: Math.min(longest, announced || longest) }, (_, index) =>
    parts.map(({ weights }) => weights.layers[index] ?? NO_WEIGHTS).reduce(joined),
  );
}

function joined(a: LayerWeights, b: LayerWeights): LayerWeights {
  return {
    bytes: a.bytes + b.bytes,
    expertBytes: a.expertBytes + b.expertBytes,
    floatBytes: a.floatBytes + b.floatBytes,
    keepsKeys: a.keepsKeys || b.keepsKeys,
    joinsKeys: a.joinsKeys || b.joinsKeys,
    sharesValues: a.sharesValues || b.sharesValues,
    keepsState: a.keepsState || b.keepsState,
  };
}

/** Tokens one slot's cache has room for: as asked, capped at the training length, rounded up. */
function cellsPerSlot(facts: GgufFacts, { contextTokens }: SizingOptions): number {
  const trained = facts.contextLength ?? 0;
  const tokens = trained > 0 ? Math.min(contextTokens, trained) : contextTokens;
  return Math.ceil(tokens / CELLS) * CELLS;
}

const memoryOfLayer = (
  { memory, embeddingLength, layers }: GgufFacts,
  layer: LayerWeights,
  index: number,
  options: SizingOptions,
  cells: number,
): number => {
  const count = layers ?? 0;
  const shared = index >= count - (memory.sharedKvLayers ?? 0);
  const predicting = index >= count - (memory.predictingLayers ?? 0);
  const keys =
    layer.keepsKeys && !isRecurrent(layer, memory, index) && !shared && !predicting
      ? cacheBytes(memory, embeddingLength ?? 0, layer, index, options) * cells * options.slots
      : 0;
  const state = layer.keepsState ? stateElements(memory, embeddingLength ?? 0) * FLOAT : 0;
  return keys + state * options.slots;
};

/** A layer of linear attention has a tensor that is called like keys, and keeps none. */
function isRecurrent(layer: LayerWeights, { kvHeads }: MemoryKeys, index: number): boolean {
  return layer.keepsState && (layer.joinsKeys || atLayer(kvHeads, index) === 0);
}

/** Bytes of one token's keys and values in one layer. */
function cacheBytes(
  memory: MemoryKeys,
  embedding: number,
  layer: LayerWeights,
  index: number,
  { cacheTypeK, cacheTypeV }: SizingOptions,
): number {
  const heads = atLayer(memory.heads, index) ?? 0;
  const kvHeads = atLayer(memory.kvHeads, index) ?? heads;
  const perHead = heads > 0 ? embedding / heads : 0;
  const key = Math.min(memory.keyLength ?? perHead, memory.slidingKeyLength ?? Infinity);
  const value = Math.min(memory.valueLength ?? perHead, memory.slidingValueLength ?? Infinity);
  const values = layer.sharesValues ? 0 : elementBytes(cacheTypeV) * value * kvHeads;
  return elementBytes(cacheTypeK) * key * kvHeads + values;
}

/** Elements of the state of one sequence in one layer: Mamba's, or RWKV's. */
function stateElements({ state }: MemoryKeys, embedding: number): number {
  if (state.wkvHead !== null) return embedding * (2 + state.wkvHead);
  const { convolution, inner, size, groups } = state;
  if (convolution === null || inner === null || size === null) return 0;
  const mixed = inner + 2 * (groups ?? 0) * size;
  return Math.max(0, convolution - 1) * mixed + size * inner;
}

const CACHE_TYPES: ReadonlyMap<string, number> = new Map(
  [...TENSOR_TYPES.values()].map(({ name, blockBytes, blockElements }) => [
    name.toLowerCase(),
    blockBytes / blockElements,
  ]),
);

/** Bytes of one element of the KV cache, its share of the block's scale included. */
export const elementBytes = (type: CacheType): number => CACHE_TYPES.get(type) ?? FLOAT;

/**
 * The buffer of one step. libllama reserves it for the largest step with the context full and logits
 * for every token; ggml gives the same place to tensors that do not live at once, so it is as large as
 * the largest moment: the logits, or one layer's attention or feed-forward, with the attention mask.
 */
function scratchBytes(
  facts: GgufFacts,
  layers: readonly LayerWeights[],
  options: SizingOptions,
  cells: number,
): { readonly reserved: number; readonly touched: number } {
  const { memory } = facts;
  const embedding = facts.embeddingLength ?? 0;
  const batch = Math.max(options.batchTokens, SMALLEST_BATCH);
  const tokens = Math.min(batch, MICRO_BATCH, cells * options.slots);
  const most = (of: (index: number) => number): number =>
    Math.max(0, ...layers.map((_, index) => of(index)));
  const attention = most((index) => attentionElements(memory, embedding, index)) * FLOAT;
  const rest = most((index) => feedForwardElements(memory, embedding, index)) * FLOAT;
  const touched = tokens * Math.max(attention, rest);
  if (options.purpose === 'embed') return { reserved: touched, touched };
  const keeps = layers.some(({ keepsKeys }) => keepsKeys);
  // One mask for the layers that see everything, another for those with a window.
  const masks = memory.slidingWindow ? 2 : 1;
  const isFlash = options.flashAttention !== 'off';
  // All slots have their cells in one pool, and every token is compared with all of it.
  const pool = keeps ? cells * options.slots : 0;
  const mask = pool * masks * (isFlash ? FLOAT / 2 : FLOAT);
  const scores = isFlash ? 0 : pool * FLOAT * most((index) => atLayer(memory.heads, index) ?? 0);
  const logits = ((facts.vocabularySize ?? 0) + 2 * embedding) * FLOAT;
  return {
    reserved: tokens * Math.max(logits, rest + mask, attention + scores + mask),
    touched,
  };
}

/** Elements per token that live at once in a layer's attention. */
function attentionElements(memory: MemoryKeys, embedding: number, index: number): number {
  const heads = atLayer(memory.heads, index) ?? 0;
  const kvHeads = atLayer(memory.kvHeads, index) ?? heads;
  const key = memory.keyLength ?? (heads > 0 ? embedding / heads : 0);
  return 2 * embedding + 3 * heads * key + 2 * kvHeads * key;
}

/** Elements per token that live at once in what else a layer does: feed-forward, experts, state. */
function feedForwardElements(memory: MemoryKeys, embedding: number, index: number): number {
  const dense = 3 * (atLayer(memory.feedForward, index) ?? 0) + 3 * embedding;
  const used = memory.expertsUsed ?? 0;
  const experts = used * (3 * (memory.expertFeedForward ?? 0) + 2 * embedding);
  return Math.max(dense, experts, 7 * (memory.state.inner ?? 0));
}
