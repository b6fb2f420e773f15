/**
 * Content of models of other kinds than llama with random weights, tiny: a sliding window, experts, a
 * state instead of a cache. Only good for asking a real library how much memory it gives them. They
 * start from a random llama and change what is different; nothing they say means anything.
 */
import {
  type GgufContent,
  type GgufTensor,
  type GgufValue,
  matrix,
  vector,
} from '../../src/models/gguf-write.js';
import { randomContent } from '../../src/models/random.js';

const EMBEDDING = 256;
const LAYERS = 6;
const LAYER_NAMES = Array.from({ length: LAYERS }, (_, index) => `blk.${index}`);

const ones = (name: string, length = EMBEDDING): GgufTensor =>
  vector(`${name}.weight`, new Float32Array(length).fill(1));
const zeros = (name: string, columns: number, rows: number): GgufTensor =>
  matrix(`${name}.weight`, 'f16', columns, rows, null);

/** A llama's metadata with its keys under another architecture's name, changed. */
export function underArchitecture(
  metadata: GgufContent['metadata'],
  architecture: string,
  changes: Readonly<Record<string, GgufValue>>,
): Record<string, GgufValue> {
  const renamed = Object.entries(metadata).map(
    ([key, value]) => [key.replace(/^llama\./, `${architecture}.`), value] as const,
  );
  return {
    ...Object.fromEntries(renamed),
    'general.architecture': ['string', architecture],
    ...changes,
  };
}

/** The llama that the others are made from. */
function base(architecture: string, changes: Readonly<Record<string, GgufValue>>): GgufContent {
  const { metadata, tensors } = randomContent({
    embedding: EMBEDDING,
    layers: LAYERS,
    heads: 4,
    kvHeads: 2,
    feedForward: 1024,
    contextLength: 65_536,
  });
  return { metadata: underArchitecture(metadata, architecture, changes), tensors };
}

/** Gemma 3: five of six layers look back 1024 tokens, heads are wider than the embedding says. */
export function slidingContent(): GgufContent {
  const head = 128;
  const { metadata, tensors } = base('gemma3', {
    'gemma3.attention.sliding_window': ['u32', 1024],
    'gemma3.attention.key_length': ['u32', head],
    'gemma3.attention.value_length': ['u32', head],
  });
  const kept = tensors.filter(({ name }) => !/attn_(q|k|v|output)|^output\./.test(name));
  const own = LAYER_NAMES.flatMap((layer) => [
    zeros(`${layer}.attn_q`, EMBEDDING, 4 * head),
    zeros(`${layer}.attn_k`, EMBEDDING, 2 * head),
    zeros(`${layer}.attn_v`, EMBEDDING, 2 * head),
    zeros(`${layer}.attn_output`, 4 * head, EMBEDDING),
    ones(`${layer}.attn_q_norm`, head),
    ones(`${layer}.attn_k_norm`, head),
    ones(`${layer}.post_attention_norm`),
    ones(`${layer}.post_ffw_norm`),
  ]);
  return { metadata, tensors: [...kept, ...own] };
}

/** Qwen 3 with eight experts, two of them used. */
export function expertContent(): GgufContent {
  const hidden = 512;
  const { metadata, tensors } = base('qwen3moe', {
    'qwen3moe.expert_count': ['u32', 8],
    'qwen3moe.expert_used_count': ['u32', 2],
    'qwen3moe.expert_feed_forward_length': ['u32', hidden],
    'qwen3moe.attention.key_length': ['u32', 64],
    'qwen3moe.attention.value_length': ['u32', 64],
  });
  const experts = (name: string, columns: number, rows: number): GgufTensor => ({
    name: `${name}.weight`,
    type: 'f16',
    shape: [columns, rows, 8],
    data: null,
  });
  const kept = tensors.filter(({ name }) => !/ffn_(gate|up|down)\./.test(name));
  const own = LAYER_NAMES.flatMap((layer) => [
    ones(`${layer}.attn_q_norm`, 64),
    ones(`${layer}.attn_k_norm`, 64),
    matrix(`${layer}.ffn_gate_inp.weight`, 'f32', EMBEDDING, 8, null),
    experts(`${layer}.ffn_gate_exps`, EMBEDDING, hidden),
    experts(`${layer}.ffn_up_exps`, EMBEDDING, hidden),
    experts(`${layer}.ffn_down_exps`, hidden, EMBEDDING),
  ]);
  return { metadata, tensors: [...kept, ...own] };
}

/** Mamba: every layer keeps a state of a fixed size instead of keys and values. */
export function stateContent(): GgufContent {
  const [inner, size, kernel, rank] = [512, 16, 4, 16];
  const { metadata, tensors } = base('mamba', {
    'mamba.ssm.conv_kernel': ['u32', kernel],
    'mamba.ssm.inner_size': ['u32', inner],
    'mamba.ssm.state_size': ['u32', size],
    'mamba.ssm.time_step_rank': ['u32', rank],
    'mamba.attention.head_count': ['u32', 0],
    'mamba.attention.head_count_kv': ['u32', 0],
    'mamba.feed_forward_length': ['u32', 0],
  });
  const kept = tensors.filter(({ name }) => !/^blk\./.test(name));
  const float = (name: string, columns: number, rows: number): GgufTensor =>
    matrix(name, 'f32', columns, rows, null);
  const own = LAYER_NAMES.flatMap((layer) => [
    ones(`${layer}.attn_norm`),
    zeros(`${layer}.ssm_in`, EMBEDDING, 2 * inner),
    float(`${layer}.ssm_conv1d.weight`, kernel, inner),
    vector(`${layer}.ssm_conv1d.bias`, new Float32Array(inner)),
    zeros(`${layer}.ssm_x`, inner, rank + 2 * size),
    zeros(`${layer}.ssm_dt`, rank, inner),
    vector(`${layer}.ssm_dt.bias`, new Float32Array(inner)),
    float(`${layer}.ssm_a`, size, inner),
    vector(`${layer}.ssm_d`, new Float32Array(inner)),
    zeros(`${layer}.ssm_out`, inner, EMBEDDING),
  ]);
  return { metadata, tensors: [...kept, ...own] };
}
