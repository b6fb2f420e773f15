/**
 * The fields that say how tokens are chosen and where an answer ends, alike in every body that asks for
 * an answer. Runs in the server; pure. null means the default.
 */
import { z } from 'zod';
import type { SamplerName } from '../../engine/engine.js';
import { SAMPLER_NAMES, type SamplingRequest } from '../../generate/sampling.js';
import { because } from './issue.js';
import { listOf } from './list.js';
import { shownAs } from './notes.js';

const MAX_STOPS = 16;
const MAX_STOP_BYTES = 256;
const INT32_MAX = 2_147_483_647;

const stopText = z
  .string()
  .min(1)
  .refine(
    (stop) => Buffer.byteLength(stop) <= MAX_STOP_BYTES,
    because(`${MAX_STOP_BYTES} バイトまでです`, `at most ${MAX_STOP_BYTES} bytes are allowed`),
  )
  .refine(
    (stop) => !/\p{Surrogate}/u.test(stop),
    because('文字として正しくありません', 'not valid text'),
  )
  .meta({ maxLength: MAX_STOP_BYTES });
// The count first: a check of the items keeps an issue for each.
const stopList = z.array(z.unknown()).max(MAX_STOPS).pipe(listOf(stopText));

const MAX_BIASES = 1024;
/** Token ids are 32-bit and not negative; whether the vocabulary has them is the engine's to check. */
const isTokenId = (key: string) => TOKEN_ID.test(key) && Number(key) < 2 ** 31;
const TOKEN_ID = /^(0|[1-9]\d{0,9})$/;
const bias = z.number().min(-100).max(100);
const logitBias = z
  .record(z.string(), z.unknown())
  .refine(
    (biases) => Object.keys(biases).length <= MAX_BIASES,
    because(`${MAX_BIASES} 個までです`, `at most ${MAX_BIASES} entries are allowed`),
  )
  .pipe(shownAs(z.record(z.string().regex(TOKEN_ID), bias), z.record(z.string(), bias)))
  .refine(
    (biases) => Object.keys(biases).every(isTokenId),
    because('キーは 10 進数のトークン番号にしてください', 'keys must be token ids in decimal'),
  )
  .meta({ maxProperties: MAX_BIASES });

/** Names as other servers spell them. */
const ALIASES: Readonly<Record<string, SamplerName>> = {
  typ_p: 'typical_p',
  temp: 'temperature',
  'top-k': 'top_k',
  'top-p': 'top_p',
  'min-p': 'min_p',
};
/** Every name that `samplers` takes, other spellings too. */
export const SAMPLER_WORDS: readonly string[] = [...SAMPLER_NAMES, ...Object.keys(ALIASES)];
/** Steps in `samplers`: each once. */
export const MAX_SAMPLERS = SAMPLER_NAMES.length;
const samplerName = shownAs(
  z.enum(SAMPLER_WORDS),
  z
    .string()
    .transform((name) => SAMPLER_NAMES.find((known) => known === (ALIASES[name] ?? name)))
    .pipe(
      z.custom<SamplerName>(
        (name) => name !== undefined,
        because(
          `${SAMPLER_NAMES.join('、')} のどれかにしてください`,
          `must be one of ${SAMPLER_NAMES.join(', ')}`,
        ),
      ),
    ),
);
const samplers = z
  .array(z.unknown())
  .max(MAX_SAMPLERS)
  .pipe(listOf(samplerName))
  .refine(
    (names) => new Set(names).size === names.length,
    because('同じ名前が 2 度あります', 'a name occurs twice'),
  )
  .meta({ uniqueItems: true });

/** Logits are divided by it, in single precision; an engine takes no smaller one. */
const MIN_PENALTY = 0.001;

/** The shape of these fields in a body. */
export const samplingShape = {
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(0).max(INT32_MAX).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  typical_p: z.number().min(0).max(1).nullish(),
  top_n_sigma: z.number().min(-1).max(100).nullish(),
  xtc_probability: z.number().min(0).max(1).nullish(),
  xtc_threshold: z.number().min(0).max(1).nullish(),
  mirostat: z.union([z.literal(0), z.literal(2)]).nullish(),
  mirostat_tau: z.number().min(0).max(100).nullish(),
  mirostat_eta: z.number().min(0).max(1).nullish(),
  dynatemp_range: z.number().min(0).max(2).nullish(),
  dynatemp_exponent: z.number().min(0).max(100).nullish(),
  samplers: samplers.nullish(),
  seed: z.int().nullish(),
  stop: z.union([stopText, stopList]).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  repeat_penalty: z.number().min(MIN_PENALTY).max(10).nullish(),
  repeat_last_n: z.int().min(-1).max(INT32_MAX).nullish(),
  dry_multiplier: z.number().min(0).max(100).nullish(),
  dry_base: z.number().min(1).max(100).nullish(),
  dry_allowed_length: z.int().min(0).max(INT32_MAX).nullish(),
  dry_penalty_last_n: z.int().min(-1).max(INT32_MAX).nullish(),
  dry_sequence_breakers: stopList.nullish(),
  logit_bias: logitBias.nullish(),
  ignore_eos: z.boolean().nullish(),
  cache_prompt: z.boolean().nullish(),
};

const samplingBody = z.looseObject(samplingShape);

/** A body that has these fields. */
export type SamplingBody = z.output<typeof samplingBody>;

/** What a body says of the sampling. */
export function toSampling(body: SamplingBody): SamplingRequest {
  const bias = body.logit_bias ?? undefined;
  return given({
    temperature: body.temperature,
    topP: body.top_p,
    topK: body.top_k,
    minP: body.min_p,
    typicalP: body.typical_p,
    // Other servers turn it off by -1.
    topNSigma: typeof body.top_n_sigma === 'number' ? Math.max(0, body.top_n_sigma) : undefined,
    xtcProbability: body.xtc_probability,
    xtcThreshold: body.xtc_threshold,
    mirostat: body.mirostat,
    mirostatTau: body.mirostat_tau,
    mirostatEta: body.mirostat_eta,
    dynatempRange: body.dynatemp_range,
    dynatempExponent: body.dynatemp_exponent,
    samplers: body.samplers,
    seed: body.seed,
    repeatPenalty: body.repeat_penalty,
    repeatLastN: body.repeat_last_n,
    dryMultiplier: body.dry_multiplier,
    dryBase: body.dry_base,
    dryAllowedLength: body.dry_allowed_length,
    dryPenaltyLastN: body.dry_penalty_last_n,
    drySequenceBreakers: body.dry_sequence_breakers,
    presencePenalty: body.presence_penalty,
    frequencyPenalty: body.frequency_penalty,
    logitBias:
      bias && Object.entries(bias).map(([token, value]) => [Number(token), value] as const),
    ignoreEos: body.ignore_eos,
  });
}

/** The fields of steps that are off, or that another takes the place of: they have no effect. */
export function idleFields(body: SamplingBody): readonly string[] {
  const isOn = (value: number | null | undefined): boolean =>
    typeof value === 'number' && value > 0;
  const idle: string[] = [];
  if (!isOn(body.xtc_probability)) idle.push('xtc_threshold');
  if (body.mirostat !== 2) idle.push('mirostat_tau', 'mirostat_eta');
  if (!isOn(body.dynatemp_range)) idle.push('dynatemp_exponent');
  if (!isOn(body.dry_multiplier)) idle.push(...FIELDS_OF.dry.slice(1));
  if (body.mirostat === 2) {
    const truncating = ['top_n_sigma', 'top_k', 'typical_p', 'top_p', 'min_p', 'xtc'] as const;
    idle.push(...truncating.flatMap((name) => FIELDS_OF[name]));
  }
  const steps = body.samplers;
  if (steps) {
    const off = SAMPLER_NAMES.filter((name) => !steps.includes(name));
    idle.push(...off.flatMap((name) => FIELDS_OF[name]));
  }
  const sent = new Set(
    Object.entries(body).flatMap(([name, value]) => (value === null ? [] : [name])),
  );
  return [...new Set(idle)].filter((name) => sent.has(name));
}

/** Which fields belong to which step. */
const FIELDS_OF: Readonly<Record<SamplerName, readonly string[]>> = {
  penalties: ['presence_penalty', 'frequency_penalty', 'repeat_penalty', 'repeat_last_n'],
  dry: [
    ...['dry_multiplier', 'dry_base', 'dry_allowed_length'],
    ...['dry_penalty_last_n', 'dry_sequence_breakers'],
  ],
  top_n_sigma: ['top_n_sigma'],
  top_k: ['top_k'],
  typical_p: ['typical_p'],
  top_p: ['top_p'],
  min_p: ['min_p'],
  xtc: ['xtc_probability', 'xtc_threshold'],
  temperature: ['temperature', 'dynatemp_range', 'dynatemp_exponent'],
};

/** The stop strings of a body. */
export function stopsOf({ stop }: Pick<SamplingBody, 'stop'>): readonly string[] {
  return typeof stop === 'string' ? [stop] : (stop ?? []);
}

type Given<T> = { [K in keyof T]?: NonNullable<T[K]> };

/** The same record without what is null or undefined. */
export function given<T extends object>(record: T): Given<T> {
  const entries = Object.entries(record).filter(
    ([, value]) => value !== null && value !== undefined,
  );
  // Only keys whose value is absent were left out, and they are optional in the result.
  return Object.fromEntries(entries) as Given<T>;
}
