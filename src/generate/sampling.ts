/**
 * How a request's next tokens are chosen: its own values, else the registry entry's, else the
 * settings'. Runs in the server; pure but for the seed of a request that names none.
 */
import { randomInt } from 'node:crypto';
import { SAMPLERS, type SamplerName, type SamplingOptions } from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import type { ModelEntry } from '../models/registry.js';

/** The names that `samplers` may hold. */
export const SAMPLER_NAMES: readonly SamplerName[] = SAMPLERS;

/** The settings that a request may leave unsaid; a Config has them all. */
export interface SamplingSettings {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  readonly repeatPenalty: number;
  readonly repeatLastN: number;
  /** 0 = no limit but the context. */
  readonly maxTokens: number;
}

/** What a request sets of the sampling; what is absent comes from the registry entry or the settings. */
export interface SamplingRequest {
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly typicalP?: number;
  readonly topNSigma?: number;
  readonly seed?: number;
  readonly repeatPenalty?: number;
  readonly repeatLastN?: number;
  readonly dryMultiplier?: number;
  readonly dryBase?: number;
  readonly dryAllowedLength?: number;
  readonly dryPenaltyLastN?: number;
  readonly drySequenceBreakers?: readonly string[];
  readonly xtcProbability?: number;
  readonly xtcThreshold?: number;
  readonly mirostat?: 0 | 2;
  readonly mirostatTau?: number;
  readonly mirostatEta?: number;
  readonly dynatempRange?: number;
  readonly dynatempExponent?: number;
  readonly samplers?: readonly SamplerName[];
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly logitBias?: readonly (readonly [token: number, bias: number])[];
  readonly ignoreEos?: boolean;
}

/** The schema knows no vocabulary, and native code must not be the first to look. Code: invalid_value. */
export function checkBiases({ logitBias = [] }: SamplingRequest, vocabularySize: number): void {
  const unknown = logitBias.find(([token]) => token >= vocabularySize);
  if (!unknown) return;
  throw new HoshikageError('invalid_value', {
    param: `logit_bias.${unknown[0]}`,
    reason: `the vocabulary has ${vocabularySize} tokens`,
    reason_ja: `語彙は ${vocabularySize} トークンです`,
  });
}

/** The largest number that an engine takes, far beyond any context. */
const MOST_TOKENS = 2 ** 31 - 1;

/** Tokens to generate at most; -1 = until the context is full. */
export function maxTokensOf(
  config: SamplingSettings,
  entry: ModelEntry,
  asked: number | undefined,
): number {
  const limit = asked ?? entry.settings.maxTokens ?? config.maxTokens;
  return limit > 0 ? Math.min(limit, MOST_TOKENS) : -1;
}

/** The request's values, else the entry's, else the settings'. */
export function samplingOf(
  config: SamplingSettings,
  { settings }: ModelEntry,
  request: SamplingRequest,
): SamplingOptions {
  return {
    temperature: request.temperature ?? settings.temperature ?? config.temperature,
    topP: request.topP ?? settings.topP ?? config.topP,
    topK: request.topK ?? settings.topK ?? config.topK,
    minP: request.minP ?? settings.minP ?? config.minP,
    seed: request.seed === undefined ? randomInt(2 ** 32) : seedOf(request.seed),
    repeatPenalty: request.repeatPenalty ?? settings.repeatPenalty ?? config.repeatPenalty,
    repeatLastN: request.repeatLastN ?? settings.repeatLastN ?? config.repeatLastN,
    presencePenalty: request.presencePenalty ?? 0,
    frequencyPenalty: request.frequencyPenalty ?? 0,
    ...dryOf(request),
    ...rareOf(request),
    logitBias: request.logitBias ?? [],
    ignoreEos: request.ignoreEos ?? false,
  };
}

/** Only what was asked for: the engine has the defaults, and all of it is off without a multiplier. */
function dryOf(request: SamplingRequest): Partial<SamplingOptions> {
  if (!request.dryMultiplier) return {};
  return given(request, [
    'dryMultiplier',
    'dryBase',
    'dryAllowedLength',
    'dryPenaltyLastN',
    'drySequenceBreakers',
  ]);
}

/** What no setting knows: off, in the engine, unless it was asked for. */
function rareOf(request: SamplingRequest): Partial<SamplingOptions> {
  return given(request, [
    ...(['typicalP', 'topNSigma', 'xtcProbability', 'xtcThreshold'] as const),
    ...(['mirostat', 'mirostatTau', 'mirostatEta'] as const),
    ...(['dynatempRange', 'dynatempExponent', 'samplers'] as const),
  ]);
}

function given<K extends keyof SamplingRequest>(
  request: SamplingRequest,
  names: readonly K[],
): Partial<Pick<SamplingRequest, K>> {
  const rows = names.flatMap((name) =>
    request[name] === undefined ? [] : [[name, request[name]] as const],
  );
  // Only names of the request with their own values.
  return Object.fromEntries(rows) as Partial<Pick<SamplingRequest, K>>;
}

/** The lower 32 bits: clients may send any safe integer, also a negative one. */
function seedOf(seed: number): number {
  return Number(BigInt.asUintN(32, BigInt(seed)));
}
