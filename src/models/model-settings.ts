/**
 * What an entry of the map may say about its model: names, bounds, and how they are read and written.
 * Any process; pure. It must never know where the map lies.
 */
import { z } from 'zod';
import { HoshikageError } from '../errors.js';
import { KEEP_ALIVE_REASON, keepAliveMs } from './keep-alive.js';

/** Settings of one model; what is absent is the server's own setting. */
export interface ModelSettings {
  readonly nCtx?: number;
  /** -1 = all layers; `auto` = what fits. */
  readonly nGpuLayers?: number | 'auto';
  /** `auto` = measured. */
  readonly nSlots?: number | 'auto';
  readonly speculation?: 'off' | 'lookup';
  /** A model by its name or its file's path; '' = none. */
  readonly draftModel?: string;
  readonly nDraft?: number;
  /** Jinja source that takes the place of the file's own template. */
  readonly chatTemplate?: string;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly repeatPenalty?: number;
  /** -1 = the whole context. */
  readonly repeatLastN?: number;
  /** 0 = no limit but the context. */
  readonly maxTokens?: number;
  /** How long the model stays in memory after a request, ms; 0 = it goes at once, Infinity = for ever. */
  readonly keepAliveMs?: number;
}

/** A count that the engine, which has 32 bits for it, can take. */
const count = (min: number) => z.int().min(min).max(2_147_483_647);

/** What each setting of an entry may be, by its name in the map. */
export const MODEL_SETTING_SHAPES = {
  n_ctx: z
    .int()
    .min(1)
    .max(2 ** 24),
  n_gpu_layers: z.union([z.literal('auto'), z.int().min(-1).max(100_000)], {
    error: 'auto, or a whole number from -1 to 100000',
  }),
  n_slots: z.union([z.literal('auto'), z.int().min(1).max(64)], {
    error: 'auto, or a whole number from 1 to 64',
  }),
  speculation: z.enum(['off', 'lookup']),
  draft_model: z.string().max(4096),
  n_draft: z.int().min(1).max(64),
  chat_template: z.string().min(1),
  temperature: z.number().min(0).max(2),
  top_p: z.number().min(0).max(1),
  top_k: count(0),
  min_p: z.number().min(0).max(1),
  repeat_penalty: z.number().gt(0).max(10),
  repeat_last_n: count(-1),
  max_tokens: count(0),
  keep_alive: z.union([z.number(), z.string()]).refine((value) => keepAliveMs(value) !== null, {
    error: KEEP_ALIVE_REASON.en,
    params: { ja: KEEP_ALIVE_REASON.ja },
  }),
};

/** The map's name of each setting. */
const SETTING_KEYS = {
  n_ctx: 'nCtx',
  n_gpu_layers: 'nGpuLayers',
  n_slots: 'nSlots',
  speculation: 'speculation',
  draft_model: 'draftModel',
  n_draft: 'nDraft',
  chat_template: 'chatTemplate',
  temperature: 'temperature',
  top_p: 'topP',
  top_k: 'topK',
  min_p: 'minP',
  repeat_penalty: 'repeatPenalty',
  repeat_last_n: 'repeatLastN',
  max_tokens: 'maxTokens',
  keep_alive: 'keepAliveMs',
} as const satisfies Record<keyof typeof MODEL_SETTING_SHAPES, keyof ModelSettings>;

/** The settings an entry of the map may hold, by the names they have there and in the admin API. */
export const MODEL_SETTING_NAMES: readonly string[] = Object.keys(SETTING_KEYS);

/** All of them, each of which may be absent. */
export const SETTINGS_SHAPE = z.object(MODEL_SETTING_SHAPES).partial();

/**
 * Settings by their names in the map (`n_ctx` ...) out of any record, whose other keys are left to
 * the caller. Code: invalid_value, which names the key in `param`.
 */
export function readModelSettings(source: Readonly<Record<string, unknown>>): ModelSettings {
  const parsed = SETTINGS_SHAPE.safeParse(source);
  if (!parsed.success) throw invalidValue(parsed.error);
  return toSettings(parsed.data);
}

/** Settings by their names in the map, as they are written there. */
export function writeModelSettings(settings: ModelSettings): Record<string, unknown> {
  const rows = Object.entries(SETTING_KEYS).flatMap(([key, name]) => {
    const value = settings[name];
    if (value === undefined) return [];
    return [[key, name === 'keepAliveMs' ? secondsOf(Number(value)) : value]];
  });
  return Object.fromEntries(rows);
}

/** As keepAliveMs() reads it. */
function secondsOf(ms: number): number {
  return ms === Number.POSITIVE_INFINITY ? -1 : ms / 1000;
}

/** What the checked values mean. */
export function toSettings(values: z.infer<typeof SETTINGS_SHAPE>): ModelSettings {
  const found = Object.entries(SETTING_KEYS).flatMap(([key, name]) => {
    const value = values[key as keyof typeof SETTING_KEYS]; // Object.entries widens its own keys
    if (value === undefined) return [];
    return [[name, name === 'keepAliveMs' ? keepAliveMs(value) : value]];
  });
  return Object.fromEntries(found);
}

/** The first issue as an `invalid_value` whose `param` begins with `under`. */
export function invalidValue(error: z.ZodError, under?: string): HoshikageError {
  const { message, where } = firstIssue(error);
  const param = [...(under ? [under] : []), ...where].join('.');
  return new HoshikageError('invalid_value', { param, reason: message });
}

/** The first issue in words. */
export function firstIssue(error: z.ZodError): { message: string; where: readonly string[] } {
  const issue = error.issues[0];
  return { message: issue?.message ?? 'wrong shape', where: issue?.path.map(String) ?? [] };
}
