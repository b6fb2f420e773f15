/**
 * Small models with seeded random weights, one of each kind of memory: a cache, a cache with a sliding
 * window, a state, and both in turns. What they say is noise, but it depends on everything that the
 * memory is to hold, so that a cache with a hole or a state of another place shows in the numbers.
 */
import {
  type GgufContent,
  type GgufTensor,
  type GgufValue,
  matrix,
  vector,
  writeGguf,
} from '../../src/models/gguf-write.js';
import { randomBits } from '../../src/models/prng.js';
import { randomContent } from '../../src/models/random.js';
import { madeModel } from './models.js';
import { underArchitecture } from './other-models.js';

/** How a model remembers. */
export type MemoryKind = 'cache' | 'window' | 'state' | 'hybrid';
export const MEMORY_KINDS: readonly MemoryKind[] = ['cache', 'window', 'state', 'hybrid'];
/** Tokens that the layers with a window look back. */
export const WINDOW = 64;

const WIDTH = 64;
const HEADS = 2;
const HEAD = WIDTH / HEADS;
const KV_HEADS = 1;
const HIDDEN = 128;
const LAYERS = 6;
/** How strongly attention prefers some tokens: see RandomModelOptions.attention. */
const ATTENTION = 2;
const BRANCH = 1 / Math.sqrt(2 * LAYERS);

const LAYER_NAMES = Array.from({ length: LAYERS }, (_, index) => `blk.${index}`);

/** Path of the model of a kind. */
export function memoryModel(kind: MemoryKind): Promise<string> {
  return madeModel(['memory', kind, VERSION], (path) => writeGguf(path, CONTENT[kind]()));
}

/** To be raised with every change below: the cache of made models knows only the makers in src. */
const VERSION = 5;

const CONTENT: Readonly<Record<MemoryKind, () => GgufContent>> = {
  cache: cacheContent,
  window: windowContent,
  state: stateContent,
  hybrid: hybridContent,
};

/** A random llama's embeddings and head under an architecture's name, with layers of its own. */
function modelOf(
  architecture: string,
  changes: Readonly<Record<string, GgufValue>>,
  layer: (name: string, index: number) => readonly GgufTensor[],
  embedding = 1,
): GgufContent {
  const { metadata, tensors } = randomContent({
    embedding: WIDTH,
    layers: LAYERS,
    heads: HEADS,
    kvHeads: KV_HEADS,
    feedForward: HIDDEN,
    commonWords: false,
  });
  const rows = Number(metadata['llama.vocab_size']?.[1]);
  return {
    metadata: underArchitecture(metadata, architecture, changes),
    tensors: [
      noise('token_embd.weight', WIDTH, rows, embedding),
      ...tensors.filter(({ name }) => name.startsWith('output')),
      ...LAYER_NAMES.flatMap(layer),
    ],
  };
}

/** Llama: keys and values of everything. */
function cacheContent(): GgufContent {
  const layer = (name: string): GgufTensor[] => [
    ...attention(name, ATTENTION).filter((tensor) => !/_[qk]_norm/.test(tensor.name)),
    ...feedForward(name),
  ];
  return modelOf('llama', {}, layer);
}

/** Gemma 3: five of six layers have a window. */
function windowContent(): GgufContent {
  const changes: Record<string, GgufValue> = {
    'gemma3.attention.sliding_window': ['u32', WINDOW],
    'gemma3.attention.key_length': ['u32', HEAD],
    'gemma3.attention.value_length': ['u32', HEAD],
  };
  const layer = (name: string): GgufTensor[] => [
    ...attention(name),
    even(`${name}.post_attention_norm.weight`, BRANCH),
    ...feedForward(name),
    even(`${name}.post_ffw_norm.weight`, BRANCH),
  ];
  // The library multiplies the embedding by the root of its width.
  return modelOf('gemma3', changes, layer, 1 / Math.sqrt(WIDTH));
}

/** LFM 2: two of three layers have a short convolution, whose last inputs are its state. */
function hybridContent(): GgufContent {
  const kernel = 3;
  const isConvolution = (index: number): boolean => index % 3 !== 2;
  const changes: Record<string, GgufValue> = {
    'lfm2.shortconv.l_cache': ['u32', kernel],
    'lfm2.attention.head_count_kv': [
      'i32s',
      LAYER_NAMES.map((_, index) => (isConvolution(index) ? 0 : KV_HEADS)),
    ],
  };
  const convolution = (name: string): GgufTensor[] => [
    even(`${name}.attn_norm.weight`),
    noise(`${name}.shortconv.in_proj.weight`, WIDTH, 3 * WIDTH, 1 / Math.sqrt(WIDTH)),
    noise(`${name}.shortconv.conv.weight`, kernel, WIDTH, 1),
    noise(`${name}.shortconv.out_proj.weight`, WIDTH, WIDTH, 2 * BRANCH * (1 / Math.sqrt(WIDTH))),
  ];
  const layer = (name: string, index: number): GgufTensor[] => [
    ...(isConvolution(index) ? convolution(name) : attention(name)),
    ...feedForward(name),
  ];
  const { metadata, tensors } = modelOf('lfm2', changes, layer);
  // The norm before the head has this name there.
  return {
    metadata,
    tensors: tensors.map((tensor) =>
      tensor.name === 'output_norm.weight' ? { ...tensor, name: 'token_embd_norm.weight' } : tensor,
    ),
  };
}

/** Mamba: a state of a fixed size in every layer; its parts fade within some to some hundred tokens. */
function stateContent(): GgufContent {
  const [inner, size, kernel, rank] = [2 * WIDTH, 16, 4, 8];
  const changes: Record<string, GgufValue> = {
    'mamba.ssm.conv_kernel': ['u32', kernel],
    'mamba.ssm.inner_size': ['u32', inner],
    'mamba.ssm.state_size': ['u32', size],
    'mamba.ssm.time_step_rank': ['u32', rank],
    'mamba.attention.head_count': ['u32', 0],
    'mamba.attention.head_count_kv': ['u32', 0],
    'mamba.feed_forward_length': ['u32', 0],
  };
  // Steps from 0.002 to 0.2 by the inverse of the softplus that the library puts them through.
  const steps = Float32Array.from({ length: inner }, (_, index) =>
    Math.log(Math.expm1(0.002 * 100 ** (index / (inner - 1)))),
  );
  const layer = (name: string): GgufTensor[] => [
    even(`${name}.attn_norm.weight`),
    noise(`${name}.ssm_in.weight`, WIDTH, 2 * inner, 1 / Math.sqrt(WIDTH)),
    noise(`${name}.ssm_conv1d.weight`, kernel, inner, 1 / Math.sqrt(kernel)),
    vector(`${name}.ssm_conv1d.bias`, new Float32Array(inner)),
    noise(`${name}.ssm_x.weight`, inner, rank + 2 * size, 2 / Math.sqrt(inner)),
    noise(`${name}.ssm_dt.weight`, rank, inner, 0.3 / Math.sqrt(rank)),
    vector(`${name}.ssm_dt.bias`, steps),
    matrix(`${name}.ssm_a`, 'f32', size, inner, (row) => {
      for (let i = 0; i < size; i++) row[i] = -(1 + i) / 2;
    }),
    vector(`${name}.ssm_d`, new Float32Array(inner).fill(0.3)),
    noise(`${name}.ssm_out.weight`, inner, WIDTH, 2 / Math.sqrt(inner)),
  ];
  return modelOf('mamba', changes, layer);
}

const attention = (name: string, sharpness = 1): GgufTensor[] => [
  even(`${name}.attn_norm.weight`),
  noise(`${name}.attn_q.weight`, WIDTH, HEADS * HEAD, sharpness / Math.sqrt(WIDTH)),
  noise(`${name}.attn_k.weight`, WIDTH, KV_HEADS * HEAD, 1 / Math.sqrt(WIDTH)),
  noise(`${name}.attn_v.weight`, WIDTH, KV_HEADS * HEAD, 1 / Math.sqrt(WIDTH)),
  noise(`${name}.attn_output.weight`, HEADS * HEAD, WIDTH, 2 * BRANCH * (1 / Math.sqrt(WIDTH))),
  even(`${name}.attn_q_norm.weight`, ATTENTION, HEAD),
  even(`${name}.attn_k_norm.weight`, 1, HEAD),
];

const feedForward = (name: string): GgufTensor[] => [
  even(`${name}.ffn_norm.weight`),
  noise(`${name}.ffn_gate.weight`, WIDTH, HIDDEN, 1 / Math.sqrt(WIDTH)),
  noise(`${name}.ffn_up.weight`, WIDTH, HIDDEN, 1 / Math.sqrt(WIDTH)),
  noise(`${name}.ffn_down.weight`, HIDDEN, WIDTH, BRANCH / Math.sqrt(HIDDEN)),
];

const even = (name: string, value = 1, length = WIDTH): GgufTensor =>
  vector(name, new Float32Array(length).fill(value));

/**
 * Evenly distributed numbers of a standard deviation, by the tensor's name. Not in halves: those would
 * have everything that passes through them rounded, and what is as good as equal would drift apart.
 */
function noise(name: string, columns: number, rows: number, deviation: number): GgufTensor {
  const seed = [...name].reduce((sum, letter) => Math.imul(sum, 31) + letter.charCodeAt(0), 7);
  const scale = (deviation * Math.sqrt(12)) / 2 ** 32;
  return {
    name,
    type: 'f32',
    shape: [columns, rows],
    // The numbers come from one sequence, which begins anew each time that the tensor is written.
    data: () => {
      const bits = randomBits(seed);
      const fill = (row: Float32Array): void => {
        for (let i = 0; i < columns; i++) row[i] = (bits() - 2 ** 31) * scale;
      };
      return matrix(name, 'f32', columns, rows, fill).data?.() ?? [];
    },
  };
}
