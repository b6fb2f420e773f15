/** Our own forward pass: small cases worked out by hand, and what it must not depend on. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ReferenceModel, ReferenceSequence } from '../../src/canary/reference.js';
import { type GgufContent, matrix, vector } from '../../src/models/gguf-write.js';
import { randomContent } from '../../src/models/random.js';

const SMALL = {
  ...{ embedding: 64, layers: 2, heads: 4, kvHeads: 2, feedForward: 64, commonWords: false },
  attention: 4,
} as const;

function logitsAfter(content: GgufContent, tokens: readonly number[]): Float64Array {
  const model = new ReferenceModel(content);
  const sequence = new ReferenceSequence(model);
  return model.logits(sequence.push(tokens).at(-1) ?? new Float64Array());
}

function difference(one: Float64Array, other: Float64Array): number {
  return Math.max(...one.map((value, i) => Math.abs(value - (other[i] ?? Number.NaN))));
}

/** One head of two dimensions, one layer; what each matrix holds is said by row. */
function tiny(rows: Readonly<Record<string, readonly (readonly number[])[]>>): GgufContent {
  const names = ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'];
  const tensor = (name: string) => {
    const given = rows[name] ?? [[], []];
    return matrix(`${name}.weight`, 'f32', given[0]?.length || 2, given.length, (row, i) =>
      row.set(given[i] ?? []),
    );
  };
  const norms = ['output_norm', 'blk.0.attn_norm', 'blk.0.ffn_norm'];
  return {
    metadata: {
      'llama.attention.head_count': ['u32', 1],
      'llama.attention.head_count_kv': ['u32', 1],
      'llama.embedding_length': ['u32', 2],
      'llama.attention.layer_norm_rms_epsilon': ['f32', 0],
      'llama.rope.freq_base': ['f32', 10000],
      'llama.block_count': ['u32', 1],
    },
    tensors: [
      ...norms.map((name) => vector(`${name}.weight`, Float32Array.of(1, 1))),
      ...['token_embd', 'output'].map(tensor),
      ...names.map((name) => tensor(`blk.0.${name}`)),
    ],
  };
}

describe('the reference', () => {
  const identity = [
    [1, 0],
    [0, 1],
  ];

  it('gives the normed embedding where all layers are zero', () => {
    const content = tiny({ token_embd: [[3, 4]], output: identity });
    const logits = logitsAfter(content, [0]);
    // The root mean square of (3, 4) is sqrt(12.5).
    assert.ok(
      difference(
        logits,
        Float64Array.of(3, 4).map((x) => x / Math.sqrt(12.5)),
      ) < 1e-12,
    );
  });

  it('multiplies by the gate’s sigmoid-weighted self', () => {
    const content = tiny({
      token_embd: [[1, 1]],
      output: identity,
      'blk.0.ffn_gate': [[1, 0]],
      'blk.0.ffn_up': [[0, 3]],
      'blk.0.ffn_down': [[1], [0]],
    });
    const first = 1 + (1 / (1 + Math.exp(-1))) * 3;
    const size = Math.sqrt((first ** 2 + 1) / 2);
    assert.ok(
      difference(logitsAfter(content, [0]), Float64Array.of(first / size, 1 / size)) < 1e-9,
    );
  });

  it('weighs what came before by the turned products of query and key', () => {
    const content = tiny({
      token_embd: [
        [1, 1],
        [1, -1],
      ],
      output: identity,
      'blk.0.attn_q': identity,
      'blk.0.attn_k': identity,
      'blk.0.attn_v': identity,
      'blk.0.attn_output': identity,
    });
    const logits = logitsAfter(content, [0, 1]);
    // At position 1, query and key are turned by one radian; with itself the angle is none again.
    const other = (2 * Math.sin(1)) / Math.sqrt(2);
    const own = 2 / Math.sqrt(2);
    const share = Math.exp(other) / (Math.exp(other) + Math.exp(own));
    const state = [1 + 1, -1 + share - (1 - share)];
    const size = Math.sqrt(((state[0] ?? 0) ** 2 + (state[1] ?? 0) ** 2) / 2);
    assert.ok(
      difference(
        logits,
        Float64Array.from(state, (x) => x / size),
      ) < 1e-9,
    );
  });

  it('says the same whether tokens come one by one or together', () => {
    const model = new ReferenceModel(randomContent(SMALL));
    const tokens = [3, 141, 59, 26, 53, 58, 97];
    const whole = new ReferenceSequence(model).push(tokens);
    const sequence = new ReferenceSequence(model);
    for (const [i, token] of tokens.entries()) {
      const [state] = sequence.push([token]);
      assert.deepEqual(state, whole[i]);
    }
  });

  it('depends on order and on every token', () => {
    const content = randomContent(SMALL);
    const whole = logitsAfter(content, [5, 9, 9, 200, 7, 31]);
    assert.equal(difference(whole, logitsAfter(content, [5, 9, 9, 200, 7, 31])), 0);
    assert.ok(difference(whole, logitsAfter(content, [9, 5, 9, 200, 7, 31])) > 1e-3);
    assert.ok(difference(whole, logitsAfter(content, [6, 9, 9, 200, 7, 31])) > 1e-3);
  });

  it('has another result with another base, epsilon or number of key heads', () => {
    const content = randomContent(SMALL);
    const tokens = Array.from({ length: 40 }, (_, i) => (i * 37) % 256);
    const right = logitsAfter(content, tokens);
    for (const change of [
      { 'llama.rope.freq_base': ['f32', 20000] },
      { 'llama.attention.layer_norm_rms_epsilon': ['f32', 0.1] },
      { 'llama.attention.head_count_kv': ['u32', 1] },
    ] as const) {
      const other = { ...content, metadata: { ...content.metadata, ...change } };
      assert.ok(difference(right, logitsAfter(other, tokens)) > 0.1, JSON.stringify(change));
    }
  });

  it('names what a model lacks, and refuses a token that is none', () => {
    const content = randomContent(SMALL);
    const without = content.tensors.filter(({ name }) => name !== 'blk.1.ffn_up.weight');
    assert.throws(() => new ReferenceModel({ ...content, tensors: without }), /blk\.1\.ffn_up/);
    assert.throws(() => new ReferenceModel({ ...content, metadata: {} }), /head_count/);
    const sequence = new ReferenceSequence(new ReferenceModel(content));
    for (const token of [-1, 100_000]) {
      assert.throws(() => sequence.push([token]), { code: 'invalid_argument' });
    }
  });
});
