/**
 * Makes the model's file of what the trainer left: Q8_0 matrices, F32 norms, the vocabulary. The
 * same weights give the same bytes. It must never change a weight but by rounding.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type GgufTensor, matrix, vector, writeGguf } from '../../src/models/gguf-write.js';
import { type LlamaShape, llamaMetadata } from '../../src/models/llama-metadata.js';
import { CHAT_TEMPLATE } from '../../src/models/vocabulary.js';
import type { Merge } from './bpe.js';
import { vocabularyOf } from './prepare.js';

/** What train.py says of its weights; the names are its own. */
interface Weights {
  readonly sizes: Omit<LlamaShape, 'name' | 'license' | 'type' | 'contextLength'>;
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
  const about = { name: NAME, license: 'mit', type: 'q8_0', contextLength } as const;
  await writeGguf(path, {
    metadata: {
      ...llamaMetadata({ ...about, ...sizes }, vocabulary),
      ...vocabulary.metadata(CHAT_TEMPLATE, true),
    },
    tensors: packed,
  });
}
