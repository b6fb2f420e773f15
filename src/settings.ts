/**
 * The one table of settings: key, property, kind, default and description, and what the names of
 * earlier versions became. config.ts reads values by it, `.env.example` and docs/CONFIG.md are held
 * against it. Data only: nothing is read here.
 */
import {
  bearerToken,
  boolean,
  choice,
  duration,
  host,
  hostNames,
  integer,
  type Kind,
  number,
  optional,
  path,
  shares,
  webOrigins,
} from './setting-kinds.js';

/** One row of SETTINGS. */
export interface Setting {
  /** The name in the environment and in `.env`. */
  readonly key: string;
  /** The name in Config. */
  readonly property: string;
  readonly kind: Kind<unknown>;
  /** As one would write it; a relative path starts at `<config>/hoshikage`. */
  readonly default: string;
  readonly ja: string;
  readonly en: string;
  /** An empty value is a value (off), not "unset". */
  readonly emptyCounts?: true;
  /** Never shown in a message or a log. */
  readonly secret?: true;
}

const cacheType = () =>
  choice('f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_1', 'q5_0', 'q5_1', 'iq4_nl');

/** Every setting, in the order of `.env.example`. */
export const SETTINGS = [
  {
    key: 'PORT',
    property: 'port',
    kind: integer(0, 65_535),
    default: '3030',
    ja: '待ち受けるポート(0 = 空いているもの)',
    en: 'Port to listen on (0 = any free one)',
  },
  {
    key: 'HOST',
    property: 'host',
    kind: host(),
    default: '127.0.0.1',
    ja: '待ち受けるアドレス。外部に公開するなら API_KEY も設定する',
    en: 'Address to listen on; set API_KEY too when others can reach it',
  },
  {
    key: 'API_KEY',
    property: 'apiKey',
    kind: optional(bearerToken()),
    default: '',
    secret: true,
    ja: 'クライアントに求める鍵(Authorization: Bearer …)。空 = 鍵なし',
    en: 'Key that clients must send (Authorization: Bearer …); empty = none',
  },
  {
    key: 'ALLOW_INSECURE_BIND',
    property: 'allowInsecureBind',
    kind: boolean(),
    default: '0',
    ja: '1 = 鍵なしで外部に公開してもよい',
    en: '1 = allow a public address without a key',
  },
  {
    key: 'ALLOWED_HOSTS',
    property: 'allowedHosts',
    kind: hostNames(),
    default: '',
    ja: 'ループバックのほかに許す Host ヘッダー(コンマ区切り)',
    en: 'Host headers to accept besides loopback names, separated by commas',
  },
  {
    key: 'CORS_ORIGINS',
    property: 'corsOrigins',
    kind: webOrigins(),
    default: '',
    ja: 'ブラウザから使ってよいオリジン(コンマ区切り、* = すべて)',
    en: 'Origins whose pages may use the API, separated by commas (* = any)',
  },
  {
    key: 'STRICT_FIELDS',
    property: 'strictFields',
    kind: boolean(),
    default: '0',
    ja: '1 = 意味を持たないリクエスト項目を、無視して知らせる代わりに拒否する',
    en: '1 = refuse request fields without effect instead of naming them in a header',
  },
  {
    key: 'MAX_BODY_BYTES',
    property: 'maxBodyBytes',
    kind: integer(1024, 2 ** 31 - 1),
    default: '20971520',
    ja: 'リクエスト本文の上限(バイト)',
    en: 'Largest request body, in bytes',
  },
  {
    key: 'LOG_FILE_PATH',
    property: 'logFilePath',
    kind: optional(path()),
    default: '',
    ja: 'ログファイル(日付 .YYYY-MM-DD が付く)。空 = 標準出力',
    en: 'Log file (.YYYY-MM-DD is appended); empty = standard output',
  },
  {
    key: 'LOG_LEVEL',
    property: 'logLevel',
    kind: choice('error', 'warn', 'info', 'debug'),
    default: 'info',
    ja: 'ログの詳しさ: error, warn, info, debug',
    en: 'How much to log: error, warn, info, debug',
  },
  {
    key: 'LOG_KEEP_DAYS',
    property: 'logKeepDays',
    kind: integer(0, 3650),
    default: '14',
    ja: 'ログファイルを残す日数(0 = 消さない)',
    en: 'Days to keep log files (0 = for ever)',
  },
  {
    key: 'IDLE_TIMEOUT',
    property: 'idleTimeoutMs',
    kind: duration('seconds'),
    default: '300',
    ja: '使われないモデルをメモリから降ろすまでの秒数(0 = 降ろさない)',
    en: 'Seconds without work until the model leaves memory (0 = never)',
  },
  {
    key: 'GREAT_TIMEOUT',
    property: 'greatTimeoutMs',
    kind: duration('minutes'),
    default: '60',
    ja: 'RAM ディスクの写しを消すまでの分数(0 = 消さない)。今は読み取るだけで、後の版で使う',
    en: 'Minutes without work until RAM-disk copies go (0 = never); accepted now, used by a later version',
  },
  {
    key: 'RAMDISK_PATH',
    property: 'ramdiskPath',
    kind: optional(path()),
    default: '',
    emptyCounts: true,
    ja: 'モデルの写しを置く RAM ディスク(例: /dev/shm)。空 = 使わない。今は読み取るだけで、後の版で使う',
    en: 'RAM disk for copies of models (e.g. /dev/shm); empty = off; accepted now, used by a later version',
  },
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
    kind: integer(-1, 100_000),
    default: '-1',
    ja: 'GPU に載せる層の数(-1 = すべて、0 = CPU だけ)',
    en: 'Layers to put on the GPU (-1 = all, 0 = CPU only)',
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
  {
    key: 'TEMPERATURE',
    property: 'temperature',
    kind: number(0, 2),
    default: '0.2',
    ja: '温度(0 = いつも最も確からしいトークン)',
    en: 'Temperature (0 = always the likeliest token)',
  },
  {
    key: 'TOP_P',
    property: 'topP',
    kind: number(0, 1),
    default: '0.8',
    ja: 'top-p(1 = 使わない)',
    en: 'Top-p (1 = off)',
  },
  {
    key: 'TOP_K',
    property: 'topK',
    kind: integer(0, 2 ** 31 - 1),
    default: '40',
    ja: 'top-k(0 = 使わない)',
    en: 'Top-k (0 = off)',
  },
  {
    key: 'MIN_P',
    property: 'minP',
    kind: number(0, 1),
    default: '0',
    ja: 'min-p(0 = 使わない)',
    en: 'Min-p (0 = off)',
  },
  {
    key: 'REPEAT_PENALTY',
    property: 'repeatPenalty',
    kind: number(0.01, 10),
    default: '1.1',
    ja: '繰り返しのペナルティ(1 = 使わない)',
    en: 'Repeat penalty (1 = off)',
  },
  {
    key: 'REPEAT_LAST_N',
    property: 'repeatLastN',
    kind: integer(-1, 2 ** 24),
    default: '64',
    ja: '繰り返しを見るトークン数(0 = 使わない、-1 = 全体)',
    en: 'Tokens the repeat penalty looks back (0 = off, -1 = the whole context)',
  },
  {
    key: 'MAX_TOKENS',
    property: 'maxTokens',
    kind: integer(0, 2 ** 24),
    default: '0',
    ja: '出力トークン数の既定の上限(0 = コンテキストの残りすべて)',
    en: 'Default limit of output tokens (0 = none but the context)',
  },
  {
    key: 'QUEUE_SIZE',
    property: 'queueSize',
    kind: integer(0, 100_000),
    default: '64',
    ja: '順番を待てるリクエストの数',
    en: 'Requests that may wait for their turn',
  },
  {
    key: 'QUEUE_TIMEOUT',
    property: 'queueTimeoutMs',
    kind: duration('seconds', 0.001),
    default: '180',
    ja: '順番を待つ秒数の上限',
    en: 'Seconds a request may wait for its turn',
  },
  {
    key: 'SHUTDOWN_GRACE',
    property: 'shutdownGraceMs',
    kind: duration('seconds'),
    default: '30',
    ja: '終了時に実行中のリクエストを待つ秒数',
    en: 'Seconds that running requests get when the server ends',
  },
  {
    key: 'MODEL_DIR',
    property: 'modelDir',
    kind: path(),
    default: 'models',
    ja: 'ここに置いた GGUF は登録しなくても使える',
    en: 'GGUF files in here are offered without being added',
  },
  {
    key: 'MODEL_MAP_FILE',
    property: 'modelMapFile',
    kind: path(),
    default: 'model_map.json',
    ja: '登録したモデルの台帳',
    en: 'The map of added models',
  },
  {
    key: 'HOSHIKAGE_LIB_PATH',
    property: 'libPath',
    kind: optional(path()),
    default: '',
    ja: '使う libllama(ファイルまたはディレクトリ)。空 = lib/、同梱、システムの順に探す',
    en: 'The libllama to use (file or directory); empty = lib/, the packaged one, the system',
  },
  {
    key: 'ALLOW_UNKNOWN_LIBLLAMA',
    property: 'allowUnknownLibllama',
    kind: boolean(),
    default: '0',
    ja: '1 = 構造体の形が分からない(新しすぎる)libllama も、最小限の機能で使う',
    en: '1 = use a libllama whose struct layouts are unknown (too new), with a minimum of features',
  },
] as const satisfies readonly Setting[];

/** A key of SETTINGS. */
export type SettingKey = (typeof SETTINGS)[number]['key'];

/** The values of all settings by their property, typed by their kinds. */
export type SettingValues = {
  readonly [S in (typeof SETTINGS)[number] as S['property']]: Exclude<
    ReturnType<S['kind']['parse']>,
    undefined
  >;
};

/** Names of earlier versions: the setting that took their place, or null where none did (yet). */
export const FORMER_NAMES: Readonly<Record<string, SettingKey | null>> = {
  IDLE_TIMEOUT_SECONDS: 'IDLE_TIMEOUT',
  MAX_TOKENS_STREAMING: 'MAX_TOKENS',
  MAX_TOKENS_NON_STREAMING: 'MAX_TOKENS',
  SEMAPHORE_TIMEOUT: 'QUEUE_TIMEOUT',
  RUST_LOG: 'LOG_LEVEL',
  RAMDISK_SIZE: null,
  CLUSTER_DIVISOR: null,
  MIN_CLUSTERS: null,
  MAX_CLUSTERS: null,
  TAG_CACHE_FILE: null,
  TAG_OLLAMA_FILE: null,
  CHROMA_PATH: null,
  SENTENCE_BERT_MODEL: null,
  DIFFUSION_STEPS: null,
  DIFFUSION_ALGORITHM: null,
  DIFFUSION_SCHEDULE: null,
  DIFFUSION_CFG_SCALE: null,
  DIFFUSION_MAX_TOKENS: null,
};
