/**
 * Models as large as real ones whose weights are holes in the file: they take no space on the disk and
 * only their header means anything. For asking how much memory they would take.
 */
import { type GgufContent, writeGguf } from '../../src/models/gguf-write.js';
import { type RandomModelOptions, randomContent } from '../../src/models/random.js';

/** The shape of an 8B llama in Q8_0: 7.0 GiB of weights, 128 KiB of cache for a token. */
export const EIGHT_B: RandomModelOptions = {
  embedding: 4096,
  layers: 32,
  heads: 32,
  kvHeads: 8,
  feedForward: 14_336,
  contextLength: 131_072,
  commonWords: false,
  type: 'q8_0',
};

/** Writes `content` without its weights. */
export async function writeHollow(path: string, content: GgufContent): Promise<void> {
  const tensors = content.tensors.map((tensor) => ({ ...tensor, data: null }));
  await writeGguf(path, { ...content, tensors });
}

/** Writes a random llama of these sizes without its weights. */
export function writeHollowLlama(path: string, options: RandomModelOptions): Promise<void> {
  return writeHollow(path, randomContent(options));
}
