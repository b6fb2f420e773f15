/**
 * What the header of a GGUF file says about the memory its model takes: weights by layer, and the
 * sizes of what a layer remembers. Pure functions; any process. Numbers come from a file somebody
 * downloaded: everything is bounded here, and what cannot be is null; nothing is guessed.
 */

/** The weights of one layer, and which kinds of memory its tensors ask for. */
export interface LayerWeights {
  readonly bytes: number;
  /** Of those, the experts'. */
  readonly expertBytes: number;
  /** Of `bytes`, what is stored as plain floating point, which no library stores anew. */
  readonly floatBytes: number;
  /** It keeps keys and values of every token. */
  readonly keepsKeys: boolean;
  /** They come from one tensor with the queries. */
  readonly joinsKeys: boolean;
  /** Its values can be computed from its keys, so that only those are kept. */
  readonly sharesValues: boolean;
  /** It keeps a state of a fixed size. */
  readonly keepsState: boolean;
}

/** The weights of one file; a split model's are in all its parts. */
export interface FileWeights {
  /** Index = layer; shorter than the model where the last layers are in another part. */
  readonly layers: readonly LayerWeights[];
  /** The token embedding table. */
  readonly embeddingBytes: number;
  /** Final norm and head. */
  readonly outputBytes: number;
  /** The file has a head of its own; else the embedding table serves as one. */
  readonly hasHead: boolean;
  readonly otherBytes: number;
}

/** One number for all layers, or one for each. */
export type PerLayer = number | readonly number[];

/** What a layer's memory is made of; null where the file does not say. */
export interface MemoryKeys {
  readonly heads: PerLayer | null;
  readonly kvHeads: PerLayer | null;
  readonly keyLength: number | null;
  readonly valueLength: number | null;
  /** Some layers look back only so many tokens. */
  readonly slidingWindow: number | null;
  /** Those layers' heads, where they have another length. */
  readonly slidingKeyLength: number | null;
  readonly slidingValueLength: number | null;
  readonly feedForward: PerLayer | null;
  readonly expertFeedForward: number | null;
  readonly expertsUsed: number | null;
  /** The last layers that use the keys of earlier ones. */
  readonly sharedKvLayers: number | null;
  /** The last layers that only predict further tokens, and are not computed with the others. */
  readonly predictingLayers: number | null;
  readonly state: {
    readonly convolution: number | null;
    readonly inner: number | null;
    readonly size: number | null;
    readonly groups: number | null;
    readonly wkvHead: number | null;
  };
}

/** One tensor as far as it matters here. `bytes`: null where its type is unknown. */
export interface ShapedTensor {
  readonly name: string;
  readonly type: number;
  readonly bytes: number | null;
}

/** More layers than libllama accepts (512); what lies beyond counts as `otherBytes`. */
const MAX_LAYERS = 1024;
const F32 = 0;
const FLOAT_TYPES: ReadonlySet<number> = new Set([F32, 1, 30]);

const KEY =
  /\.(attention\.(head_count|head_count_kv|key_length|value_length|key_length_swa|value_length_swa|shared_kv_layers|sliding_window)|feed_forward_length|expert_feed_forward_length|expert_used_count|nextn_predict_layers|ssm\.(conv_kernel|inner_size|state_size|group_count)|wkv\.head_size)$/;

/** True for keys whose values `memoryKeys` asks for. */
export const isMemoryKey = (key: string): boolean => KEY.test(key);

/** How many numbers an array under such a key may have to be kept. */
export const MOST_PER_LAYER = MAX_LAYERS;

/** What a file's keys say; numbers that cannot be sizes count as not said. */
export function memoryKeys(
  architecture: string,
  integers: ReadonlyMap<string, number>,
  arrays: ReadonlyMap<string, readonly number[]>,
): MemoryKeys {
  const one = (key: string): number | null => {
    const value = integers.get(`${architecture}.${key}`);
    return value !== undefined && isSize(value) ? value : null;
  };
  const each = (key: string): PerLayer | null => {
    const values = arrays.get(`${architecture}.${key}`);
    return values?.every(isSize) ? values : one(key);
  };
  return {
    heads: each('attention.head_count'),
    kvHeads: each('attention.head_count_kv'),
    keyLength: one('attention.key_length'),
    valueLength: one('attention.value_length'),
    slidingWindow: one('attention.sliding_window'),
    slidingKeyLength: one('attention.key_length_swa'),
    slidingValueLength: one('attention.value_length_swa'),
    feedForward: each('feed_forward_length'),
    expertFeedForward: one('expert_feed_forward_length'),
    expertsUsed: one('expert_used_count'),
    sharedKvLayers: one('attention.shared_kv_layers'),
    predictingLayers: one('nextn_predict_layers'),
    state: {
      convolution: one('ssm.conv_kernel'),
      inner: one('ssm.inner_size'),
      size: one('ssm.state_size'),
      groups: one('ssm.group_count'),
      wkvHead: one('wkv.head_size'),
    },
  };
}

const isSize = (value: number): boolean => value >= 0 && value <= 2 ** 31;

/** A per-layer number at one layer; null where it is not said. */
export function atLayer(value: PerLayer | null, layer: number): number | null {
  return typeof value === 'object' ? (value?.[layer] ?? null) : value;
}

type Mutable = { -readonly [K in keyof LayerWeights]: LayerWeights[K] };

/** Sums the tensors of a file up by where they belong. */
export function fileWeights(tensors: readonly ShapedTensor[]): FileWeights {
  const layers: Mutable[] = [];
  const rest = { embedding: 0, output: 0, other: 0 };
  let hasHead = false;
  for (const { name, type, bytes } of tensors) {
    const size = bytes ?? 0;
    const [, digits, part = ''] = /^blk\.(\d{1,4})\.(.+)$/.exec(name) ?? [];
    const index = Number(digits);
    if (index < MAX_LAYERS) {
      while (layers.length <= index) layers.push(emptyLayer());
      const layer = layers[index];
      if (layer) addTensor(layer, part, type, size);
    } else if (/^token_embd\./.test(name)) {
      rest.embedding += size;
    } else if (/^output(_norm)?\./.test(name)) {
      rest.output += size;
      hasHead ||= name === 'output.weight';
    } else rest.other += size;
  }
  const { embedding: embeddingBytes, output: outputBytes, other: otherBytes } = rest;
  return { layers, embeddingBytes, outputBytes, hasHead, otherBytes };
}

function emptyLayer(): Mutable {
  return {
    bytes: 0,
    expertBytes: 0,
    floatBytes: 0,
    keepsKeys: false,
    joinsKeys: false,
    sharesValues: false,
    keepsState: false,
  };
}

function addTensor(layer: Mutable, part: string, type: number, bytes: number): void {
  layer.bytes += bytes;
  if (/^ffn_\w*exps\b/.test(part)) layer.expertBytes += bytes;
  if (FLOAT_TYPES.has(type)) layer.floatBytes += bytes;
  if (/^(ssm_|time_mix_|shortconv)/.test(part)) layer.keepsState = true;
  if (/^attn_(k|qkv|kv_a_mqa)\.weight$/.test(part)) layer.keepsKeys = true;
  if (part === 'attn_qkv.weight') layer.joinsKeys = true;
  if (part === 'attn_k_b.weight') layer.sharesValues = true;
}
