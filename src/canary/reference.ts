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
    return times(this.output, [state])[0] ?? new Float64Array();
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

  /** The states after the last norm at the positions of these tokens. Code: invalid_argument. */
  push(tokens: ArrayLike<number>): readonly Float64Array[] {
    const { embedding, layers, epsilon, outputNorm } = this.#model;
    const width = embedding.columns;
    const states = Array.from(tokens, (token) => {
      const state = embedding.rows.slice(token * width, (token + 1) * width);
      if (state.length === width) return state;
      throw new HoshikageError('invalid_argument', { reason: `no token ${token}` });
    });
    const normed = (gain: Float64Array) => states.map((state) => rmsNorm(state, gain, epsilon));
    for (const [index, layer] of layers.entries()) {
      addEach(states, this.#attend(index, layer, normed(layer.attentionNorm)));
      addEach(states, feedForward(layer, normed(layer.feedForwardNorm)));
    }
    this.#position += states.length;
    return normed(outputNorm);
  }

  #attend(index: number, layer: Layer, inputs: readonly Float64Array[]): readonly Float64Array[] {
    const { headSize, frequencyBase } = this.#model;
    const queries = times(layer.query, inputs);
    const newKeys = times(layer.key, inputs);
    const newValues = times(layer.value, inputs);
    const keys = this.#keys[index] ?? [];
    const values = this.#values[index] ?? [];
    const mixed = queries.map((query, i) => {
      const key = newKeys[i] ?? query;
      for (const heads of [query, key]) rotate(heads, this.#position + i, headSize, frequencyBase);
      keys.push(key);
      values.push(newValues[i] ?? query);
      return this.#mix(query, keys, values);
    });
    return times(layer.attentionOutput, mixed);
  }

  /** For every query head the values so far, weighed by its products with their keys. */
  #mix(
    query: Float64Array,
    keys: readonly Float64Array[],
    values: readonly Float64Array[],
  ): Float64Array {
    const { heads, keyHeads, headSize } = this.#model;
    const mixed = new Float64Array(heads * headSize);
    for (let head = 0; head < heads; head++) {
      const to = head * headSize;
      // Neighbouring query heads share a key head.
      const from = Math.floor((head * keyHeads) / heads) * headSize;
      const weights = attentionWeights(query, to, keys, from, headSize);
      for (let position = 0; position < weights.length; position++) {
        const weight = at(weights, position);
        const value = values[position] ?? query;
        for (let i = 0; i < headSize; i++) {
          mixed[to + i] = at(mixed, to + i) + weight * at(value, from + i);
        }
      }
    }
    return mixed;
  }
}

/** An element that the caller knows to be there. */
function at(values: Float64Array, index: number): number {
  return values[index] ?? Number.NaN;
}

function addEach(sums: readonly Float64Array[], more: readonly Float64Array[]): void {
  for (const [index, sum] of sums.entries()) {
    const terms = more[index] ?? sum;
    for (let i = 0; i < sum.length; i++) sum[i] = at(sum, i) + at(terms, i);
  }
}

/** The matrix times each input; four inputs at a time, since reading the matrix is what takes long. */
function times({ rows, columns }: Matrix, inputs: readonly Float64Array[]): Float64Array[] {
  const results = inputs.map(() => new Float64Array(rows.length / columns));
  const none = new Float64Array(columns);
  for (let first = 0; first < inputs.length; first += 4) {
    const [a = none, b = none, c = none, d = none] = inputs.slice(first, first + 4);
    const [p, q, r, s] = results.slice(first, first + 4);
    for (let row = 0; row * columns < rows.length; row++) {
      let [w, x, y, z] = [0, 0, 0, 0];
      for (let i = 0; i < columns; i++) {
        const weight = at(rows, row * columns + i);
        w += weight * at(a, i);
        x += weight * at(b, i);
        y += weight * at(c, i);
        z += weight * at(d, i);
      }
      if (p) p[row] = w;
      if (q) q[row] = x;
      if (r) r[row] = y;
      if (s) s[row] = z;
    }
  }
  return results;
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
  const weights = new Float64Array(keys.length);
  let most = Number.NEGATIVE_INFINITY;
  for (let position = 0; position < weights.length; position++) {
    const key = keys[position] ?? query;
    let sum = 0;
    for (let i = 0; i < size; i++) sum += at(query, queryFrom + i) * at(key, keyFrom + i);
    weights[position] = sum / Math.sqrt(size);
    most = Math.max(most, at(weights, position));
  }
  let total = 0;
  for (let position = 0; position < weights.length; position++) {
    weights[position] = Math.exp(at(weights, position) - most);
    total += at(weights, position);
  }
  return weights.map((weight) => weight / total);
}

function feedForward(layer: Layer, inputs: readonly Float64Array[]): readonly Float64Array[] {
  const ups = times(layer.up, inputs);
  const gated = times(layer.gate, inputs).map((gate, index) => {
    const up = ups[index] ?? gate;
    return gate.map((value, i) => (value / (1 + Math.exp(-value))) * at(up, i));
  });
  return times(layer.down, gated);
}
