import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readGguf } from '../../src/models/gguf.js';
import { atLayer, fileWeights, memoryKeys } from '../../src/models/gguf-shape.js';
import { writeGguf } from '../../src/models/gguf-write.js';
import { type GgufValue, ggufBytes, smallGguf } from '../helpers/gguf-bytes.js';
import { expertContent, slidingContent, stateContent } from '../helpers/other-models.js';

let directory = '';
let counter = 0;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'hoshikage-shape-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

const nextPath = (): string => join(directory, `${counter++}.gguf`);

async function factsWith(...values: readonly (readonly [string, GgufValue])[]) {
  const base = smallGguf();
  const path = nextPath();
  writeFileSync(path, ggufBytes({ ...base, values: [...base.values, ...values] }).file);
  return readGguf(path);
}

async function factsOf(content: Parameters<typeof writeGguf>[1]) {
  const path = nextPath();
  await writeGguf(path, content);
  return readGguf(path);
}

describe('the weights of a file', () => {
  const tensor = (name: string, bytes: number | null, type = 8) => ({ name, bytes, type });

  test('are summed up by layer, head, embedding table and the rest', () => {
    const weights = fileWeights([
      tensor('token_embd.weight', 1000),
      tensor('blk.1.attn_k.weight', 30),
      tensor('blk.1.attn_norm.weight', 4, 0),
      tensor('output_norm.weight', 5, 0),
      tensor('output.weight', 600),
      tensor('rope_freqs.weight', 7, 0),
    ]);
    assert.deepEqual(
      weights.layers.map(({ bytes }) => bytes),
      [0, 34],
    );
    assert.equal(weights.layers[1]?.floatBytes, 4);
    assert.equal(weights.embeddingBytes, 1000);
    assert.equal(weights.outputBytes, 605);
    assert.equal(weights.otherBytes, 7);
    assert.equal(weights.hasHead, true);
  });

  test('have their experts counted apart, shared ones not', () => {
    const { layers } = fileWeights([
      tensor('blk.0.ffn_up_exps.weight', 100),
      tensor('blk.0.ffn_gate_up_exps.weight', 50),
      tensor('blk.0.ffn_down_exps.bias', 3),
      tensor('blk.0.ffn_up_shexp.weight', 10),
      tensor('blk.0.ffn_gate_inp.weight', 1),
    ]);
    assert.equal(layers[0]?.bytes, 164);
    assert.equal(layers[0]?.expertBytes, 153);
  });

  test('of a type nobody knows count nothing', () => {
    assert.equal(fileWeights([tensor('blk.0.x.weight', null)]).layers[0]?.bytes, 0);
  });

  test('with a layer number no library accepts make no list of that length', () => {
    const weights = fileWeights([tensor('blk.9999.attn_k.weight', 5)]);
    assert.equal(weights.layers.length, 0);
    assert.equal(weights.otherBytes, 5);
  });

  test('tell a layer that keeps keys from one that keeps a state', async () => {
    const kinds = ({ weights }: Awaited<ReturnType<typeof factsOf>>) =>
      weights.layers.map(({ keepsKeys, keepsState }) => [keepsKeys, keepsState]);
    const six = (pair: readonly boolean[]) => Array.from({ length: 6 }, () => pair);
    assert.deepEqual(kinds(await factsOf(expertContent())), six([true, false]));
    assert.deepEqual(kinds(await factsOf(stateContent())), six([false, true]));
    const sliding = await factsOf(slidingContent());
    assert.equal(sliding.weights.hasHead, false);
    assert.equal(sliding.memory.slidingWindow, 1024);
    assert.equal(sliding.memory.keyLength, 128);
  });
});

describe('what a layer remembers', () => {
  test('may be one number for all layers or one for each', async () => {
    const { memory } = await factsWith(
      ['llama.attention.head_count', { type: 'u32', value: 8 }],
      ['llama.attention.head_count_kv', { type: 'u32s', value: [2, 0] }],
    );
    assert.equal(atLayer(memory.heads, 1), 8);
    assert.equal(atLayer(memory.kvHeads, 0), 2);
    assert.equal(atLayer(memory.kvHeads, 1), 0);
    assert.equal(atLayer(memory.kvHeads, 2), null);
  });

  test('is not kept from an array that is longer than any model is deep', async () => {
    const value = Array.from({ length: 100_000 }, () => 2);
    const facts = await factsWith(['llama.attention.head_count_kv', { type: 'u32s', value }]);
    assert.equal(facts.memory.kvHeads, null);
    assert.equal(facts.vocabularySize, 4);
  });

  test('is not said by texts, nor by numbers that cannot be sizes', async () => {
    const { memory } = await factsWith(
      ['llama.attention.head_count', { type: 'i32', value: -1 }],
      ['llama.attention.head_count_kv', { type: 'strings', value: ['2', '2'] }],
      ['llama.attention.key_length', { type: 'f32', value: 64 }],
    );
    assert.equal(memory.heads, null);
    assert.equal(memory.kvHeads, null);
    assert.equal(memory.keyLength, null);
    const keys = memoryKeys('x', new Map([['x.ssm.inner_size', 2 ** 40]]), new Map());
    assert.equal(keys.state.inner, null);
  });
});
