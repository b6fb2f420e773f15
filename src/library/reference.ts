/**
 * The forward pass of the llama architecture in double precision, over weights this package made
 * itself: what a libllama's numbers are held against. Slow and plain on purpose.
 * Any thread. It must never share code with what it judges, nor be used to answer anybody.
 *
 * Formulas: the whole as in LLaMA (Touvron et al. 2023, arXiv:2302.13971, section 2.2); RMSNorm (Zhang
 * and Sennrich 2019, arXiv:1910.07467, eq. 4); scaled dot-product attention (Vaswani et al. 2017,
 * arXiv:1706.03762, eq. 1); grouped queries (Ainslie et al. 2023, arXiv:2305.13245, section 2.2);
 * rotary positions (Su et al. 2021, arXiv:2104.09864, eq. 34); SwiGLU (Shazeer 2020, arXiv:2002.05202,
 * eq. 5).
 */
import { HoshikageError } from '../errors.js';
import type { GgufContent } from '../models/gguf-write.js';
import { tensorValues } from '../models/tensor-values.js';

/** A matrix row by row: `rows.length / columns` outputs. */
interface Matrix {
  readonly rows: Float64Array;
  readonly columns: number;
}

interface Layer {
  readonly attentionNorm: Float64Array;
  readonly query: Matrix;
  readonly key: Matrix;
  readonly value: Matrix;
  readonly attentionOutput: Matrix;
  readonly feedForwardNorm: Float64Array;
  readonly gate: Matrix;
  readonly up: Matrix;
  readonly down: Matrix;
}

/** Weights and sizes of a llama-architecture model without biases, decoded once. */
export class ReferenceModel {
  readonly layers: readonly Layer[];
  readonly embedding: Matrix;
  readonly output: Matrix;
  readonly outputNorm: Float64Array;
  readonly heads: number;
  readonly keyHeads: number;
  readonly headSize: number;
  readonly epsilon: number;
  readonly frequencyBase: number;

  /** Code: invalid_argument (a tensor or a number is missing). */
  constructor(content: GgufContent) {
    const number = (name: string): number => {
      const value = content.metadata[`llama.${name}`]?.[1];
      if (typeof value === 'number') return value;
      throw new HoshikageError('invalid_argument', { reason: `no ${name} in the model` });
    };
    const matrix = (name: string): Matrix => {
      const tensor = content.tensors.find((one) => one.name === `${name}.weight`);
      if (!tensor) throw new HoshikageError('invalid_argument', { reason: `no tensor ${name}` });
      return { rows: tensorValues(tensor), columns: tensor.shape[0] ?? 0 };
    };
    this.heads = number('attention.head_count');
    this.keyHeads = number('attention.head_count_kv');
    this.headSize = number('embedding_length') / this.heads;
    this.epsilon = number('attention.layer_norm_rms_epsilon');
    this.frequencyBase = number('rope.freq_base');
    this.embedding = matrix('token_embd');
    this.output = matrix('output');
    this.outputNorm = matrix('output_norm').rows;
    this.layers = Array.from({ length: number('block_count') }, (_, i) => ({
      attentionNorm: matrix(`blk.${i}.attn_norm`).rows,
      query: matrix(`blk.${i}.attn_q`),
      key: matrix(`blk.${i}.attn_k`),
      value: matrix(`blk.${i}.attn_v`),
      attentionOutput: matrix(`blk.${i}.attn_output`),
      feedForwardNorm: matrix(`blk.${i}.ffn_norm`).rows,
      gate: matrix(`blk.${i}.ffn_gate`),
      up: matrix(`blk.${i}.ffn_up`),
      down: matrix(`blk.${i}.ffn_down`),
    }));
  }

  /** Logits of the whole vocabulary for a state that `ReferenceSequence.push` gave. */
  logits(state: Float64Array): Float64Array {
    return times(this.output, state);
  }
}

/** One sequence with its cache: tokens in, states out. */
export class ReferenceSequence {
  readonly #model: ReferenceModel;
  /** Per layer, one entry per position, all key heads of a position in one array. */
  readonly #keys: Float64Array[][];
  readonly #values: Float64Array[][];
  #position = 0;

  constructor(model: ReferenceModel) {
    this.#model = model;
    this.#keys = model.layers.map(() => []);
    this.#values = model.layers.map(() => []);
  }

  /** The state after the last norm, at the position of this token. Code: invalid_argument. */
  push(token: number): Float64Array {
    const { embedding, layers, epsilon, outputNorm } = this.#model;
    const width = embedding.columns;
    const state = embedding.rows.slice(token * width, (token + 1) * width);
    if (state.length !== width) {
      throw new HoshikageError('invalid_argument', { reason: `no token ${token}` });
    }
    for (const [index, layer] of layers.entries()) {
      add(state, this.#attend(index, layer, rmsNorm(state, layer.attentionNorm, epsilon)));
      add(state, feedForward(layer, rmsNorm(state, layer.feedForwardNorm, epsilon)));
    }
    this.#position += 1;
    return rmsNorm(state, outputNorm, epsilon);
  }

  #attend(index: number, layer: Layer, input: Float64Array): Float64Array {
    const { heads, keyHeads, headSize, frequencyBase } = this.#model;
    const query = times(layer.query, input);
    const key = times(layer.key, input);
    rotate(query, this.#position, headSize, frequencyBase);
    rotate(key, this.#position, headSize, frequencyBase);
    const keys = this.#keys[index] ?? [];
    const values = this.#values[index] ?? [];
    keys.push(key);
    values.push(times(layer.value, input));
    const mixed = new Float64Array(heads * headSize);
    for (let head = 0; head < heads; head++) {
      // Neighbouring query heads share a key head.
      const from = Math.floor((head * keyHeads) / heads) * headSize;
      const weights = attentionWeights(query, head * headSize, keys, from, headSize);
      for (const [position, value] of values.entries()) {
        const weight = weights[position] ?? 0;
        for (let i = 0; i < headSize; i++) {
          mixed[head * headSize + i] =
            at(mixed, head * headSize + i) + weight * at(value, from + i);
        }
      }
    }
    return times(layer.attentionOutput, mixed);
  }
}

/** An element that the caller knows to be there. */
function at(values: Float64Array, index: number): number {
  return values[index] ?? Number.NaN;
}

function add(sum: Float64Array, more: Float64Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = at(sum, i) + at(more, i);
}

function times({ rows, columns }: Matrix, input: Float64Array): Float64Array {
  const result = new Float64Array(rows.length / columns);
  for (let row = 0; row < result.length; row++) {
    result[row] = dot(rows, row * columns, input, 0, columns);
  }
  return result;
}

/** Four sums side by side: one alone waits for its own last addition most of the time. */
function dot(a: Float64Array, aFrom: number, b: Float64Array, bFrom: number, n: number): number {
  let [s, t, u, v] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 3 < n; i += 4) {
    s += at(a, aFrom + i) * at(b, bFrom + i);
    t += at(a, aFrom + i + 1) * at(b, bFrom + i + 1);
    u += at(a, aFrom + i + 2) * at(b, bFrom + i + 2);
    v += at(a, aFrom + i + 3) * at(b, bFrom + i + 3);
  }
  for (; i < n; i++) s += at(a, aFrom + i) * at(b, bFrom + i);
  return s + t + u + v;
}

function rmsNorm(input: Float64Array, gain: Float64Array, epsilon: number): Float64Array {
  let squares = 0;
  for (const value of input) squares += value * value;
  const scale = 1 / Math.sqrt(squares / input.length + epsilon);
  return input.map((value, i) => value * scale * at(gain, i));
}

/** Turns neighbouring pairs of every head by position × base^(-2i/size), the layout of this format. */
function rotate(heads: Float64Array, position: number, size: number, base: number): void {
  for (let first = 0; first < heads.length; first += 2) {
    const angle = position * base ** (-(first % size) / size);
    const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
    const [x, y] = [at(heads, first), at(heads, first + 1)];
    heads[first] = x * cosine - y * sine;
    heads[first + 1] = x * sine + y * cosine;
  }
}

/** Softmax of one query head's scaled products with a key head at every position so far. */
function attentionWeights(
  query: Float64Array,
  queryFrom: number,
  keys: readonly Float64Array[],
  keyFrom: number,
  size: number,
): Float64Array {
  const scores = Float64Array.from(
    keys,
    (key) => dot(query, queryFrom, key, keyFrom, size) / Math.sqrt(size),
  );
  const most = scores.reduce((one, other) => Math.max(one, other), Number.NEGATIVE_INFINITY);
  const weights = scores.map((score) => Math.exp(score - most));
  const total = weights.reduce((one, other) => one + other, 0);
  return weights.map((weight) => weight / total);
}

function feedForward(layer: Layer, input: Float64Array): Float64Array {
  const gate = times(layer.gate, input);
  const up = times(layer.up, input);
  return times(
    layer.down,
    gate.map((value, i) => (value / (1 + Math.exp(-value))) * at(up, i)),
  );
}
