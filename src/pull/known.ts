/**
 * Well-known models by short names: where they are, and in which form they are meant. Data only.
 */

/** A model that can be asked for by its short name. */
export interface KnownModel {
  readonly name: string;
  /** `owner/repository` on the hub. */
  readonly repository: string;
  /** The form it is usually used in; absent: the one that suits the machine. */
  readonly quantisation?: string;
  readonly ja: string;
  readonly en: string;
}

/** In the order in which they are shown. */
export const KNOWN_MODELS: readonly KnownModel[] = [
  {
    name: 'lfm2.5-1.2b-jp',
    repository: 'LiquidAI/LFM2.5-1.2B-JP-GGUF',
    quantisation: 'Q8_0',
    ja: '日本語の小さく速いモデル',
    en: 'small and quick, for Japanese',
  },
  {
    name: 'lfm2.5-1.2b',
    repository: 'LiquidAI/LFM2.5-1.2B-Instruct-GGUF',
    ja: '小さく速い、多言語',
    en: 'small and quick, many languages',
  },
  {
    name: 'tinyswallow-1.5b',
    repository: 'SakanaAI/TinySwallow-1.5B-Instruct-GGUF',
    ja: '日本語の小さなモデル',
    en: 'small, for Japanese',
  },
  {
    name: 'qwen3-0.6b',
    repository: 'Qwen/Qwen3-0.6B-GGUF',
    ja: 'とても小さい、考えるモデル',
    en: 'very small, with reasoning',
  },
  {
    name: 'qwen3-4b',
    repository: 'Qwen/Qwen3-4B-GGUF',
    ja: '考えるモデル、ツールも使う',
    en: 'reasoning and tools',
  },
  {
    name: 'qwen3-8b',
    repository: 'Qwen/Qwen3-8B-GGUF',
    ja: '考えるモデル、ツールも使う',
    en: 'reasoning and tools',
  },
  {
    name: 'gemma-3-4b',
    repository: 'ggml-org/gemma-3-4b-it-GGUF',
    ja: '多言語の会話',
    en: 'conversation in many languages',
  },
  {
    name: 'llama-3.2-3b',
    repository: 'bartowski/Llama-3.2-3B-Instruct-GGUF',
    ja: '英語の会話',
    en: 'conversation in English',
  },
  {
    name: 'gpt-oss-20b',
    repository: 'ggml-org/gpt-oss-20b-GGUF',
    ja: '大きめの、考えるモデル',
    en: 'larger, with reasoning',
  },
  {
    name: 'embeddinggemma-300m',
    repository: 'ggml-org/embeddinggemma-300M-GGUF',
    ja: '埋め込み(検索用のベクトル)',
    en: 'embeddings, for searching',
  },
  {
    name: 'qwen3-reranker-0.6b',
    repository: 'ggml-org/Qwen3-Reranker-0.6B-Q8_0-GGUF',
    ja: '再順位付け',
    en: 'reranking',
  },
];
