/**
 * Rows of the table of settings: what an engine is made of. Data only, in the order of
 * `.env.example`.
 */
import { boolean, choice, either, integer, number, optional, shares } from '../setting-kinds.js';
import type { Setting } from './row.js';

const cacheType = () =>
  choice('f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_1', 'q5_0', 'q5_1', 'iq4_nl');

export const ENGINE = [
  {
    key: 'N_CTX',
    property: 'nCtx',
    kind: integer(16, 2 ** 24),
    default: '4096',
    ja: '1 つのリクエストが使えるトークン数(プロンプトと出力の合計)',
    en: 'Tokens one request may use, prompt and output together',
  },
  {
    key: 'N_GPU_LAYERS',
    property: 'nGpuLayers',
    kind: either(choice('auto'), integer(-1, 100_000)),
    default: '-1',
    ja: 'GPU に載せる層の数(-1 = すべて、0 = CPU だけ、auto = 載るだけ)',
    en: 'Layers to put on the GPU (-1 = all, 0 = CPU only, auto = what fits)',
  },
  {
    key: 'N_SLOTS',
    property: 'nSlots',
    kind: integer(1, 64),
    default: '1',
    ja: '同時に生成するリクエストの数',
    en: 'Requests that generate at the same time',
  },
  {
    key: 'N_THREADS',
    property: 'nThreads',
    kind: integer(0, 1024),
    default: '0',
    ja: '計算に使うスレッドの数(0 = 自動)',
    en: 'Compute threads (0 = choose)',
  },
  {
    key: 'NICE',
    property: 'nice',
    kind: integer(0, 19),
    default: '5',
    ja: 'エンジンの優先度を下げる量(0 = 下げない)',
    en: 'How much the engine lowers its priority (0 = not at all)',
  },
  {
    key: 'N_BATCH',
    property: 'nBatch',
    kind: integer(1, 65_536),
    default: '512',
    ja: '一度に処理するプロンプトのトークン数',
    en: 'Prompt tokens per step',
  },
  {
    key: 'FLASH_ATTN',
    property: 'flashAttn',
    kind: choice('auto', 'on', 'off'),
    default: 'auto',
    ja: 'フラッシュアテンション: auto, on, off',
    en: 'Flash attention: auto, on, off',
  },
  {
    key: 'CACHE_TYPE_K',
    property: 'cacheTypeK',
    kind: cacheType(),
    default: 'f16',
    ja: 'KV キャッシュ(K)の型: f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, iq4_nl',
    en: 'Type of the KV cache, keys: f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, iq4_nl',
  },
  {
    key: 'CACHE_TYPE_V',
    property: 'cacheTypeV',
    kind: cacheType(),
    default: 'f16',
    ja: 'KV キャッシュ(V)の型。f16 と f32 のほかはフラッシュアテンションが要る',
    en: 'Type of the KV cache, values; other than f16 and f32 need flash attention',
  },
  {
    key: 'MAIN_GPU',
    property: 'mainGpu',
    kind: optional(integer(0, 255)),
    default: '',
    ja: '主に使う GPU の番号。空 = libllama に任せる',
    en: 'Number of the main GPU; empty = left to libllama',
  },
  {
    key: 'TENSOR_SPLIT',
    property: 'tensorSplit',
    kind: optional(shares()),
    default: '',
    ja: 'モデルを GPU に分ける比率(例: 3,1)。空 = libllama に任せる',
    en: 'Shares of the model per GPU (e.g. 3,1); empty = left to libllama',
  },
  {
    key: 'USE_MMAP',
    property: 'useMmap',
    kind: boolean(),
    default: '1',
    ja: '1 = モデルのファイルをメモリに写像する',
    en: '1 = map the model file into memory',
  },
  {
    key: 'USE_MLOCK',
    property: 'useMlock',
    kind: boolean(),
    default: '0',
    ja: '1 = モデルをスワップさせない',
    en: '1 = keep the model from being swapped out',
  },
  {
    key: 'N_CPU_MOE',
    property: 'nCpuMoe',
    kind: optional(integer(0, 100_000)),
    default: '',
    ja: 'エキスパートの重みをメインメモリに置く層の数。空 = なし',
    en: 'Layers whose expert weights stay in main memory; empty = none',
  },
  {
    key: 'ROPE_FREQ_BASE',
    property: 'ropeFreqBase',
    kind: optional(number(1)),
    default: '',
    ja: 'RoPE の基本周波数。空 = モデルの値',
    en: 'RoPE base frequency; empty = as the model says',
  },
  {
    key: 'ROPE_FREQ_SCALE',
    property: 'ropeFreqScale',
    kind: optional(number(0.0001, 1000)),
    default: '',
    ja: 'RoPE の周波数の倍率。空 = モデルの値',
    en: 'RoPE frequency scale; empty = as the model says',
  },
  {
    key: 'ROPE_SCALING',
    property: 'ropeScaling',
    kind: optional(choice('none', 'linear', 'yarn')),
    default: '',
    ja: 'RoPE の伸縮: none, linear, yarn。空 = モデルの値',
    en: 'RoPE scaling: none, linear, yarn; empty = as the model says',
  },
] as const satisfies readonly Setting[];
