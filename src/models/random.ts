/**
 * Makes llama-architecture models with random weights from a seed, for comparing numbers and for
 * benchmarks. What they say is noise, and they practically never end by themselves.
 * Any thread. It must never run anything, nor be offered to users as a model.
 */
import { HoshikageError } from '../errors.js';
import {
  type GgufContent,
  type GgufTensor,
  type GgufValue,
  halfBits,
  type TensorType,
  tensorBytes,
  vector,
  writeGguf,
} from './gguf-write.js';
import { llamaMetadata } from './llama-metadata.js';
import { randomBits } from './prng.js';
import { CHAT_TEMPLATE, CONTROL, Vocabulary } from './vocabulary.js';

/** Sizes of a random model; whatever is absent gives one of about 5 MB. */
export interface RandomModelOptions {
  readonly seed?: number;
  readonly type?: 'f16' | 'q8_0';
  readonly embedding?: number;
  readonly layers?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly feedForward?: number;
  /** Tokens at least; filled up with tokens of made-up text. */
  readonly vocabulary?: number;
  /** Kana, kanji and words in the vocabulary; absent = true. Without them it has 260 tokens or more. */
  readonly commonWords?: boolean;
  /**
   * How much the context decides: standard deviation of the attention scores, nats. Absent = 1, where
   * hundreds of tokens are mixed nearly evenly; from 3 on a few of them prevail.
   */
  readonly attention?: number;
  /** Trained context length in tokens. */
  readonly contextLength?: number;
  readonly template?: string;
  readonly addBos?: boolean;
}

type Sizes = Required<Omit<RandomModelOptions, 'template' | 'addBos' | 'commonWords'>>;

/** Standard deviation of the logits: enough for a clear best token, little enough for others. */
const LOGIT_DEVIATION = 3;
const LEVELS = 4096;

/** Writes the model; the same options give the same bytes. Code: invalid_argument (sizes that don't fit). */
export async function writeRandom(path: string, options: RandomModelOptions = {}): Promise<void> {
  await writeGguf(path, randomContent(options));
}

/** What writeRandom writes. Code: invalid_argument (sizes that don't fit). */
export function randomContent(options: RandomModelOptions = {}): GgufContent {
  const sizes: Sizes = {
    seed: options.seed ?? 1,
    type: options.type ?? 'f16',
    embedding: options.embedding ?? 256,
    layers: options.layers ?? 4,
    heads: options.heads ?? 4,
    kvHeads: options.kvHeads ?? 2,
    feedForward: options.feedForward ?? 512,
    vocabulary: options.vocabulary ?? 0,
    attention: options.attention ?? 1,
    contextLength: options.contextLength ?? 4096,
  };
  if (sizes.embedding % (2 * sizes.heads) !== 0 || sizes.heads % sizes.kvHeads !== 0) {
    throw new HoshikageError('invalid_argument', { reason: 'heads that do not divide evenly' });
  }
  const vocabulary = new Vocabulary();
  if (options.commonWords ?? true) vocabulary.addCommon();
  for (let i = 0; vocabulary.size < sizes.vocabulary; i++)
    vocabulary.addWord(` w${i.toString(36)}`);
  return {
    metadata: metadata(sizes, options, vocabulary),
    tensors: tensors(sizes, vocabulary),
  };
}

function metadata(
  sizes: Sizes,
  options: RandomModelOptions,
  vocabulary: Vocabulary,
): Record<string, GgufValue> {
  const { seed, embedding, ...rest } = sizes;
  const shape = { name: `random-${seed}`, width: embedding, epsilon: 1e-5, ropeBase: 10000 };
  return {
    ...llamaMetadata({ ...rest, ...shape }, vocabulary),
    ...vocabulary.metadata(options.template ?? CHAT_TEMPLATE, options.addBos ?? true),
  };
}

function tensors(sizes: Sizes, vocabulary: Vocabulary): GgufTensor[] {
  const { type, embedding: width, feedForward } = sizes;
  const keyWidth = (width / sizes.heads) * sizes.kvHeads;
  let count = 0;
  const noise = (name: string, columns: number, rows: number, deviation: number): GgufTensor =>
    noiseTensor(name, type, [columns, rows], deviation, sizes.seed * 1009 + count++);
  const norm = (name: string): GgufTensor => vector(name, new Float32Array(width).fill(1));
  // What a layer adds is scaled down by their number, so that the sum stays as large as one token.
  const branch = 1 / Math.sqrt(2 * sizes.layers);
  const layers = Array.from({ length: sizes.layers }, (_, i) => `blk.${i}`).flatMap((layer) => [
    norm(`${layer}.attn_norm.weight`),
    noise(`${layer}.attn_q.weight`, width, width, sizes.attention / Math.sqrt(width)),
    noise(`${layer}.attn_k.weight`, width, keyWidth, 1 / Math.sqrt(width)),
    noise(`${layer}.attn_v.weight`, width, keyWidth, 1 / Math.sqrt(width)),
    noise(`${layer}.attn_output.weight`, width, width, branch / Math.sqrt(width)),
    norm(`${layer}.ffn_norm.weight`),
    noise(`${layer}.ffn_gate.weight`, width, feedForward, 1 / Math.sqrt(width)),
    noise(`${layer}.ffn_up.weight`, width, feedForward, 1 / Math.sqrt(width)),
    noise(`${layer}.ffn_down.weight`, feedForward, width, branch / Math.sqrt(feedForward)),
  ]);
  const silent = Object.values(CONTROL).map((text) => vocabulary.id(text) ?? 0);
  const output = noise('output.weight', width, vocabulary.size, LOGIT_DEVIATION / Math.sqrt(width));
  return [
    noise('token_embd.weight', width, vocabulary.size, 1),
    norm('output_norm.weight'),
    withZeroRows(output, silent),
    ...layers,
  ];
}

/** Rows of zeros have the logit 0, far below the best of many: these tokens are hardly ever chosen. */
function withZeroRows(tensor: GgufTensor, rows: readonly number[]): GgufTensor {
  const { data } = tensor;
  if (data === null) return tensor;
  const rowSize = tensorBytes({ ...tensor, shape: tensor.shape.slice(0, 1) });
  return {
    ...tensor,
    data: function* () {
      let index = 0;
      for (const row of data()) {
        if (row.length !== rowSize) throw new Error('noise comes row by row');
        yield rows.includes(index++) ? new Uint8Array(rowSize) : row;
      }
    },
  };
}

/** Evenly distributed numbers of a standard deviation, made directly in the tensor's own bytes. */
function noiseTensor(
  name: string,
  type: TensorType,
  shape: readonly [number, number],
  deviation: number,
  seed: number,
): GgufTensor {
  const most = deviation * Math.sqrt(3);
  const fill = type === 'q8_0' ? fillBlocks(most) : fillHalves(most);
  const bytes = tensorBytes({ name, type, shape: [shape[0]], data: null });
  const data = function* (): Generator<Uint8Array> {
    const bits = randomBits(seed);
    const row = new Uint8Array(bytes);
    for (let i = 0; i < shape[1]; i++) {
      fill(row, bits);
      yield row;
    }
  };
  return { name, type, shape, data };
}

type Fill = (row: Uint8Array, bits: () => number) => void;

function fillHalves(most: number): Fill {
  const levels = Uint16Array.from({ length: LEVELS }, (_, i) =>
    halfBits(most * ((2 * i + 1) / LEVELS - 1)),
  );
  return (row, bits) => {
    for (let at = 0; at < row.length; at += 2) {
      const value = levels[bits() & (LEVELS - 1)] ?? 0;
      row[at] = value & 255;
      row[at + 1] = value >> 8;
    }
  };
}

function fillBlocks(most: number): Fill {
  const scale = halfBits(most / 127);
  return (row, bits) => {
    for (let at = 0; at < row.length; at += 34) {
      row[at] = scale & 255;
      row[at + 1] = scale >> 8;
      for (let i = 2; i < 34; i++) row[at + i] = (bits() % 255) - 127;
    }
  };
}
