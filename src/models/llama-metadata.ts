/**
 * What a GGUF of the llama architecture says of itself, for the models that are made here. Pure. It must
 * never say anything of weights.
 */
import type { GgufValue } from './gguf-write.js';
import type { Vocabulary } from './vocabulary.js';

/** `general.file_type` by the type of the matrices: numbers of llama.h's enum llama_ftype. */
const FILE_TYPES = { f16: 1, q8_0: 7 } as const;

/** A llama of our own; lengths in tokens, widths in numbers. */
export interface LlamaShape {
  readonly name: string;
  /** SPDX id in lower case; not said where there is none. */
  readonly license?: string;
  readonly type: keyof typeof FILE_TYPES;
  readonly contextLength: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly feedForward: number;
  readonly epsilon: number;
  readonly ropeBase: number;
}

/** Its metadata but for the vocabulary's own, in the order in which they are written. */
export function llamaMetadata(
  shape: LlamaShape,
  vocabulary: Vocabulary,
): Record<string, GgufValue> {
  return {
    'general.architecture': ['string', 'llama'],
    'general.type': ['string', 'model'],
    'general.name': ['string', shape.name],
    ...(shape.license !== undefined && { 'general.license': ['string', shape.license] }),
    'general.quantization_version': ['u32', 2],
    'general.file_type': ['u32', FILE_TYPES[shape.type]],
    'llama.vocab_size': ['u32', vocabulary.size],
    'llama.context_length': ['u32', shape.contextLength],
    'llama.embedding_length': ['u32', shape.width],
    'llama.block_count': ['u32', shape.layers],
    'llama.feed_forward_length': ['u32', shape.feedForward],
    'llama.attention.head_count': ['u32', shape.heads],
    'llama.attention.head_count_kv': ['u32', shape.kvHeads],
    'llama.attention.layer_norm_rms_epsilon': ['f32', shape.epsilon],
    'llama.rope.dimension_count': ['u32', shape.width / shape.heads],
    'llama.rope.freq_base': ['f32', shape.ropeBase],
  };
}
