/**
 * Makes the model's file of what the trainer left: Q8_0 matrices, F32 norms, the vocabulary. The
 * same weights give the same bytes. It must never change a weight but by rounding.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type GgufTensor,
  type GgufValue,
  matrix,
  vector,
  writeGguf,
} from '../../src/models/gguf-write.js';
import { CHAT_TEMPLATE, type Vocabulary } from '../../src/models/vocabulary.js';
import type { Merge } from './bpe.js';
import { vocabularyOf } from './prepare.js';

/** What train.py says of its weights; the names are its own. */
interface Weights {
  readonly sizes: {
    readonly width: number;
    readonly layers: number;
    readonly heads: number;
    readonly kvHeads: number;
    readonly feedForward: number;
    readonly epsilon: number;
    readonly ropeBase: number;
  };
  readonly tensors: readonly { readonly name: string; readonly shape: readonly number[] }[];
}

const NAME = 'hoshikage-guide';

/** Writes the model to `path` from the files in `folder`. Throws where they do not fit each other. */
export async function pack(folder: string, path: string, contextLength: number): Promise<void> {
  const read = (name: string): Buffer => readFileSync(join(folder, name));
  // Both files are written by the steps before, from the types named here.
  const { sizes, tensors } = JSON.parse(read('weights.json').toString()) as Weights;
  const vocabulary = vocabularyOf(JSON.parse(read('merges.json').toString()) as Merge[]);
  const bytes = read('weights.bin');
  const floats = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  let at = 0;
  const packed = tensors.map(({ name, shape }): GgufTensor => {
    const [rows = 0, columns] = shape;
    const values = floats.subarray(at, at + rows * (columns ?? 1));
    at += values.length;
    if (columns === undefined) return vector(name, values);
    return matrix(name, 'q8_0', columns, rows, (row, i) =>
      row.set(values.subarray(i * columns, (i + 1) * columns)),
    );
  });
  if (at !== floats.length) throw new Error(`${floats.length} weights, ${at} of them named`);
  await writeGguf(path, {
    metadata: metadata(sizes, vocabulary, contextLength),
    tensors: packed,
  });
}

function metadata(
  sizes: Weights['sizes'],
  vocabulary: Vocabulary,
  contextLength: number,
): Record<string, GgufValue> {
  return {
    'general.architecture': ['string', 'llama'],
    'general.type': ['string', 'model'],
    'general.name': ['string', NAME],
    'general.license': ['string', 'mit'],
    'general.quantization_version': ['u32', 2],
    'general.file_type': ['u32', 7],
    'llama.vocab_size': ['u32', vocabulary.size],
    'llama.context_length': ['u32', contextLength],
    'llama.embedding_length': ['u32', sizes.width],
    'llama.block_count': ['u32', sizes.layers],
    'llama.feed_forward_length': ['u32', sizes.feedForward],
    'llama.attention.head_count': ['u32', sizes.heads],
    'llama.attention.head_count_kv': ['u32', sizes.kvHeads],
    'llama.attention.layer_norm_rms_epsilon': ['f32', sizes.epsilon],
    'llama.rope.dimension_count': ['u32', sizes.width / sizes.heads],
    'llama.rope.freq_base': ['f32', sizes.ropeBase],
    ...vocabulary.metadata(CHAT_TEMPLATE, true),
  };
}
