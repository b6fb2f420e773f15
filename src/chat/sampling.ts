/**
 * How a request's next tokens are chosen: its own values, else the registry entry's, else the
 * settings'. Runs in the server; pure but for the seed of a request that names none.
 */
import { randomInt } from 'node:crypto';
import type { SamplingOptions } from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import type { ModelEntry } from '../models/registry.js';
import type { ChatRequest, SamplingRequest } from './message.js';

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

/** Tokens to generate at most; -1 = until the context is full. */
export function maxTokensOf(
  config: SamplingSettings,
  entry: ModelEntry,
  request: ChatRequest,
): number {
  const limit = request.maxTokens ?? entry.settings.maxTokens ?? config.maxTokens;
  return limit > 0 ? limit : -1;
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
    logitBias: request.logitBias ?? [],
    ignoreEos: request.ignoreEos ?? false,
  };
}

/** Only what was asked for: the engine has the defaults, and all of it is off without a multiplier. */
function dryOf(request: SamplingRequest): Partial<SamplingOptions> {
  const { dryMultiplier, dryBase, dryAllowedLength, dryPenaltyLastN, drySequenceBreakers } =
    request;
  if (!dryMultiplier) return {};
  return {
    dryMultiplier,
    ...(dryBase !== undefined && { dryBase }),
    ...(dryAllowedLength !== undefined && { dryAllowedLength }),
    ...(dryPenaltyLastN !== undefined && { dryPenaltyLastN }),
    ...(drySequenceBreakers !== undefined && { drySequenceBreakers }),
  };
}

/** The lower 32 bits: clients may send any safe integer, also a negative one. */
function seedOf(seed: number): number {
  return Number(BigInt.asUintN(32, BigInt(seed)));
}
