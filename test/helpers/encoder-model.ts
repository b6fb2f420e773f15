/**
 * Writes a tiny encoder of BERT's kind with random weights: it has no memory, sees a text at once and
 * pools by itself. Only good for asking a real library how it treats such models. For tests only.
 */
import { type GgufTensor, matrix, vector, writeGguf } from '../../src/models/gguf-write.js';
import { randomBits } from '../../src/models/prng.js';

const WIDTH = 64;
const HIDDEN = 128;
const LAYERS = 2;
const CONTEXT = 1024;
const WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '▁star', '▁shadow', '▁light', 's'];

/** llama_pooling_type: a score instead of a vector. */
export const RANK = 4;

/**
 * `pooling`: llama_pooling_type; absent = the file says nothing of it. With RANK it is a reranker: it
 * has a head that makes a score of the first token's vector.
 */
export async function writeEncoder(path: string, pooling?: number): Promise<void> {
  const bits = randomBits(1);
  const noise = (row: Float32Array): void => {
    for (let i = 0; i < row.length; i++) row[i] = (bits() / 2 ** 32 - 0.5) / 2;
  };
  const linear = (name: string, columns: number, rows: number): GgufTensor[] => [
    matrix(`${name}.weight`, 'f32', columns, rows, noise),
    vector(`${name}.bias`, new Float32Array(rows)),
  ];
  const norm = (name: string): GgufTensor[] => [
    vector(`${name}.weight`, new Float32Array(WIDTH).fill(1)),
    vector(`${name}.bias`, new Float32Array(WIDTH)),
  ];
  const layer = (index: number): GgufTensor[] => {
    const at = `blk.${index}`;
    return [
      ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].flatMap((name) =>
        linear(`${at}.${name}`, WIDTH, WIDTH),
      ),
      ...norm(`${at}.attn_output_norm`),
      ...linear(`${at}.ffn_up`, WIDTH, HIDDEN),
      ...linear(`${at}.ffn_down`, HIDDEN, WIDTH),
      ...norm(`${at}.layer_output_norm`),
    ];
  };
  const head = (): GgufTensor[] => [
    ...linear('cls', WIDTH, WIDTH),
    ...linear('cls.output', WIDTH, 1),
  ];
  await writeGguf(path, {
    metadata: {
      'general.architecture': ['string', 'bert'],
      'general.name': ['string', 'a tiny encoder'],
      'bert.vocab_size': ['u32', WORDS.length],
      'bert.context_length': ['u32', CONTEXT],
      'bert.embedding_length': ['u32', WIDTH],
      'bert.block_count': ['u32', LAYERS],
      'bert.feed_forward_length': ['u32', HIDDEN],
      'bert.attention.head_count': ['u32', 2],
      'bert.attention.layer_norm_epsilon': ['f32', 1e-12],
      'bert.attention.causal': ['bool', false],
      ...(pooling === undefined ? {} : { 'bert.pooling_type': ['u32', pooling] as const }),
      'tokenizer.ggml.model': ['string', 'bert'],
      'tokenizer.ggml.pre': ['string', 'default'],
      'tokenizer.ggml.token_type_count': ['u32', 2],
      'tokenizer.ggml.tokens': ['strings', WORDS],
      'tokenizer.ggml.scores': ['f32s', WORDS.map(() => 0)],
      'tokenizer.ggml.token_type': ['i32s', WORDS.map((word) => (word.startsWith('[') ? 3 : 1))],
      'tokenizer.ggml.unknown_token_id': ['u32', 1],
      'tokenizer.ggml.bos_token_id': ['u32', 2],
      'tokenizer.ggml.seperator_token_id': ['u32', 3],
      'tokenizer.ggml.padding_token_id': ['u32', 0],
      'tokenizer.ggml.cls_token_id': ['u32', 2],
      'tokenizer.ggml.mask_token_id': ['u32', 4],
    },
    tensors: [
      matrix('token_embd.weight', 'f32', WIDTH, WORDS.length, noise),
      matrix('token_types.weight', 'f32', WIDTH, 2, noise),
      matrix('position_embd.weight', 'f32', WIDTH, CONTEXT, noise),
      ...norm('token_embd_norm'),
      ...Array.from({ length: LAYERS }, (_, index) => layer(index)).flat(),
      ...(pooling === RANK ? head() : []),
    ],
  });
}
