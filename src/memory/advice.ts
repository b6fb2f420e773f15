/**
 * What would help where a model does not fit, each with the figure that was computed for it. Pure
 * functions. It must only advise what does help: every sentence was tried against the same room.
 */
import type { CacheType, EngineOptions, SizedOptions } from '../engine/engine.js';
import type { GgufFacts } from '../models/gguf.js';
import { sizeText } from '../models/size-text.js';
import { estimateMemory } from './estimate.js';
import { type EngineFiles, type Room, type Shortage, shortageOf } from './room.js';

/** Sentences in both languages. */
export interface Advice {
  readonly ja: string;
  readonly en: string;
}

/** Contexts are tried in steps of what libllama rounds to. */
const CONTEXT_STEP = 256;

const sum = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0);

/** What would help, best first; something general where nothing does. */
export function adviceFor(
  files: EngineFiles,
  options: SizedOptions,
  room: Room,
  shortage: Shortage,
): Advice {
  const parts = files.model;
  const fits = (changes: Partial<SizedOptions>): boolean =>
    shortageOf(files, { ...options, ...changes }, room) === null;
  const enough = [
    withoutDraft(files, options, room),
    shorterContext(parts, options, fits),
    fewerSlots(options, fits),
    otherLayers(parts, options, shortage, fits),
    moreExpertsAside(parts, options, shortage, fits),
  ].filter((advice) => advice !== null);
  const cache = smallerCache(parts, options, fits);
  if (cache?.isEnough) enough.push(cache);
  const ways = enough.length > 0 ? enough : [smallerWeights(parts, options, shortage)];
  const part = cache && !cache.isEnough && cache.saved * 4 > shortage.needed - shortage.free;
  const more = part ? [cache] : [];
  const english = [ways.map(({ en }) => en).join(', or '), ...more.map(({ en }) => en)];
  return {
    ja: [ways.map(({ ja }) => ja).join('。または、'), ...more.map(({ ja }) => ja), ''].join('。'),
    en: english.map((text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`).join(' '),
  };
}

type Fits = (changes: Partial<SizedOptions>) => boolean;

/** The largest number from 1 to `most` that fits, where every smaller one does too; 0 = none. */
function largest(most: number, fits: (value: number) => boolean): number {
  let [low, high] = [0, most];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

function withoutDraft(files: EngineFiles, options: SizedOptions, room: Room): Advice | null {
  if (!files.draft || shortageOf({ ...files, draft: null }, options, room) !== null) return null;
  return {
    ja: 'DRAFT_MODEL(モデルごとなら draft_model)を空にすると入ります',
    en: 'an empty DRAFT_MODEL (draft_model of the model) fits',
  };
}

function shorterContext(
  [facts]: readonly GgufFacts[],
  { contextTokens }: EngineOptions,
  fits: Fits,
): Advice | null {
  const asked = Math.min(contextTokens, facts?.contextLength || contextTokens);
  const most = Math.ceil(asked / CONTEXT_STEP) - 1;
  const tokens =
    largest(most, (steps) => fits({ contextTokens: steps * CONTEXT_STEP })) * CONTEXT_STEP;
  if (tokens === 0) return null;
  return {
    ja: `N_CTX(モデルごとなら n_ctx)を ${tokens} 以下にすると入ります`,
    en: `N_CTX (n_ctx of the model) of ${tokens} or less fits`,
  };
}

function smallerCache(
  parts: readonly GgufFacts[],
  options: SizedOptions,
  fits: Fits,
): (Advice & { readonly isEnough: boolean; readonly saved: number }) | null {
  const isWide = (type: CacheType): boolean => /^b?f\d/.test(type);
  const changes: { cacheTypeK?: CacheType; cacheTypeV?: CacheType } = {
    ...(isWide(options.cacheTypeK) && { cacheTypeK: 'q8_0' }),
    // Values in blocks need flash attention.
    ...(isWide(options.cacheTypeV) && options.flashAttention !== 'off' && { cacheTypeV: 'q8_0' }),
  };
  const cache = (changed: Partial<SizedOptions>): number =>
    sum(estimateMemory(parts, { ...options, ...changed }).kvBytesPerLayer);
  const saved = cache({}) - cache(changes);
  if (saved <= 0) return null;
  const names = [
    ...(changes.cacheTypeK ? ['CACHE_TYPE_K=q8_0'] : []),
    ...(changes.cacheTypeV ? ['CACHE_TYPE_V=q8_0'] : []),
  ];
  const isEnough = fits(changes);
  return {
    isEnough,
    saved,
    ja: `${names.join(' と ')} で ${sizeText(saved)} 減ります${isEnough ? '(これで入ります)' : '(それだけでは足りません)'}`,
    en: `${names.join(' and ')} saves ${sizeText(saved)}${isEnough ? ', which is enough' : ', which is not enough by itself'}`,
  };
}

function fewerSlots({ slots }: SizedOptions, fits: Fits): Advice | null {
  const fewer = largest(slots - 1, (value) => fits({ slots: value }));
  if (fewer === 0) return null;
  return {
    ja: `N_SLOTS を ${fewer} 以下にすると入ります`,
    en: `N_SLOTS of ${fewer} or less fits`,
  };
}

/** More layers on the devices where main memory is short, fewer where theirs is. */
function otherLayers(
  parts: readonly GgufFacts[],
  { gpuLayers }: EngineOptions,
  { where }: Shortage,
  fits: Fits,
): Advice | null {
  if (gpuLayers === 'auto') return null;
  if (where === 'main') {
    if (gpuLayers < 0 || !fits({ gpuLayers: 'auto' })) return null;
    return {
      ja: 'N_GPU_LAYERS=auto で GPU に載るだけ載せると入ります',
      en: 'N_GPU_LAYERS=auto, which puts on the GPU what fits there, is enough',
    };
  }
  const layers = estimateMemory(parts, CONTEXT_FREE).layerBytes.length + 1;
  const most = largest(gpuLayers < 0 ? layers : gpuLayers, (value) => fits({ gpuLayers: value }));
  if (most === 0 && !fits({ gpuLayers: 0 })) return null;
  return {
    ja: `N_GPU_LAYERS を auto か ${most} 以下にして、残りをメインメモリに置くと入ります`,
    en: `N_GPU_LAYERS of auto, or ${most} or less, leaves the rest in main memory and fits`,
  };
}

/** Only the number of layers is asked for. */
const CONTEXT_FREE = {
  contextTokens: CONTEXT_STEP,
  slots: 1,
  batchTokens: 1,
  flashAttention: 'auto',
  cacheTypeK: 'f16',
  cacheTypeV: 'f16',
} as const;

function moreExpertsAside(
  parts: readonly GgufFacts[],
  { cpuExpertLayers = 0 }: EngineOptions,
  { where }: Shortage,
  fits: Fits,
): Advice | null {
  const { expertBytes } = estimateMemory(parts, CONTEXT_FREE);
  if (where !== 'device' || sum(expertBytes) === 0) return null;
  const more = Array.from(
    { length: expertBytes.length - cpuExpertLayers },
    (_, index) => cpuExpertLayers + 1 + index,
  );
  const least = more.find((value) => fits({ cpuExpertLayers: value }));
  if (least === undefined) return null;
  return {
    ja: `N_CPU_MOE を ${least} 以上にすると入ります`,
    en: `N_CPU_MOE of ${least} or more fits`,
  };
}

/** Nothing that can be set is enough: the weights themselves are too large, or others hold the memory. */
function smallerWeights(
  parts: readonly GgufFacts[],
  options: SizedOptions,
  { needed, free }: Shortage,
): Advice {
  const estimate = estimateMemory(parts, options);
  const weights = sum(estimate.layerBytes) + estimate.outputBytes + estimate.inputBytes;
  const most = Math.max(0, weights - (needed - free));
  const kind = parts[0]?.quantisation;
  const now = `${sizeText(weights)}${kind ? `、${kind}` : ''}`;
  const english = `${sizeText(weights)}${kind ? `, ${kind}` : ''}`;
  const general = {
    ja: 'ほかのプログラムを終えて、メモリを空けてください',
    en: 'end other programs to free memory',
  };
  if (most === 0) {
    return {
      ja: `もっと小さいモデルを使うか、${general.ja}`,
      en: `use a smaller model, or ${general.en}`,
    };
  }
  return {
    ja: `重みが ${sizeText(most)} 以下のもの(もっと小さい量子化)を使うか(今は ${now})、${general.ja}`,
    en: `use weights of ${sizeText(most)} or less, a smaller quantisation (now ${english}), or ${general.en}`,
  };
}
