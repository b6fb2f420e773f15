/**
 * The one table of settings: key, property, kind, default and description, and what the names of
 * earlier versions became. config.ts reads values by it, `.env.example` and docs/CONFIG.md are held
 * against it. Data only: nothing is read here.
 */
import { DOWNLOADS } from './settings/downloads.js';
import { ENGINE } from './settings/engine.js';
import { FILES } from './settings/files.js';
import { RESOURCES } from './settings/resources.js';
import { SAMPLING } from './settings/sampling.js';
import { SERVING } from './settings/serving.js';

export type { Setting } from './settings/row.js';

/** Every setting, in the order of `.env.example`. */
export const SETTINGS = [
  ...SERVING,
  ...RESOURCES,
  ...ENGINE,
  ...SAMPLING,
  ...FILES,
  ...DOWNLOADS,
] as const;

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
