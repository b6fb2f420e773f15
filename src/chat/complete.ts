/**
 * One chat completion from end to end: a lease, the prompt, the generation, its text as events.
 * Runs in the server, one call per request. It must give the lease back however it ends, and must
 * never start a decode for a prompt that does not fit.
 */
import { randomInt } from 'node:crypto';
import type {
  CompletionResult,
  Engine,
  EngineCompletion,
  SamplingOptions,
} from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import type { ModelCatalog } from '../models/catalog.js';
import type { ModelEntry } from '../models/registry.js';
import { type EngineSettings, engineOptionsOf } from '../resources/options.js';
import type { Lease, ModelPool } from '../resources/pool.js';
import { fingerprintOf } from './fingerprint.js';
import type { ChatRequest, SamplingRequest } from './message.js';
import { buildPrompt, CHATML, type PromptText } from './prompt.js';
import type { TemplateRenderer } from './template.js';
import { stopList, TextAssembler } from './text.js';

/** The settings a chat needs; a Config has them all. */
export interface ChatSettings extends EngineSettings {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  readonly repeatPenalty: number;
  readonly repeatLastN: number;
  /** 0 = no limit but the context. */
  readonly maxTokens: number;
}

/** What completeChat works with. */
export interface ChatDeps {
  readonly config: ChatSettings;
  readonly catalog: Pick<ModelCatalog, 'get'>;
  readonly pool: Pick<ModelPool, 'acquire'>;
  readonly renderer: TemplateRenderer;
}

/** Tokens of one completion. */
export interface ChatUsage {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

/** Where the time went, in ms. */
export interface ChatTimings {
  readonly queueMs: number;
  readonly loadMs: number;
  readonly prefillMs: number;
  readonly generationMs: number;
}

/** What happens in a completion: `start` once, `text` any number of times, `end` once. */
export type ChatEvent =
  | {
      readonly type: 'start';
      readonly fingerprint: string;
      /** Request variables that the model's template does not look at. */
      readonly unused: readonly string[];
      /** Whether messages had to be changed to keep control texts in them harmless. */
      readonly altered: boolean;
    }
  | { readonly type: 'text'; readonly text: string }
  | {
      readonly type: 'end';
      readonly finishReason: 'stop' | 'length';
      readonly usage: ChatUsage;
      readonly timings: ChatTimings;
    };

/** An engine that does not let go of a slot for this long after a cancel is not waited for. */
const SETTLE_LIMIT_MS = 30_000;

/**
 * Runs one completion; cancelled by `signal` in every phase. Codes: model_not_found, those of
 * ModelPool.acquire, invalid_value (logit_bias), template_failed, context_length_exceeded, decode_failed, engine_crashed,
 * cancelled.
 */
export async function* completeChat(
  deps: ChatDeps,
  request: ChatRequest,
  signal: AbortSignal,
): AsyncGenerator<ChatEvent, void, undefined> {
  const entry = deps.catalog.get(request.model);
  if (!entry) {
    throw new HoshikageError('model_not_found', { model: request.model, param: 'model' });
  }
  // While the model is waited for.
  deps.renderer.warm();
  const lease = await deps.pool.acquire(entry, { signal });
  try {
    yield* runWithLease(deps, request, { lease, signal });
  } finally {
    lease.release();
  }
}

async function* runWithLease(
  deps: ChatDeps,
  request: ChatRequest,
  { lease, signal }: { readonly lease: Lease; readonly signal: AbortSignal },
): AsyncGenerator<ChatEvent, void, undefined> {
  const { engine, entry } = lease;
  const template = entry.settings.chatTemplate ?? engine.info.model.chatTemplate ?? CHATML;
  const { messages, templateVariables: variables } = request;
  const { renderer } = deps;
  const { model } = engine.info;
  checkBiases(request.sampling, model.vocabularySize);
  const rendered = buildPrompt({ renderer, template, model, messages, variables, signal });
  const text = await unlessGone(rendered, signal);
  const prompt = await unlessGone(tokenize(engine, text), signal);
  checkLength(prompt, engine.info.contextTokens);
  const fingerprint = await fingerprintOf(engine, engineOptionsOf(deps.config, entry));
  throwIfGone(signal);
  const completion = engine.start({
    prompt,
    maxTokens: maxTokensOf(deps.config, entry, request),
    sampling: samplingOf(deps.config, entry, request.sampling),
    cachePrompt: request.cachePrompt,
  });
  const unused = Object.keys(variables).filter((name) => !template.includes(name));
  yield* generate(completion, {
    start: { type: 'start', fingerprint, unused, altered: text.altered },
    stops: stopList(entry.stop, request.stop),
    lease,
    signal,
  });
}

interface Generation {
  readonly start: ChatEvent;
  readonly stops: readonly string[];
  readonly lease: Lease;
  readonly signal: AbortSignal;
}

/** Events of a running completion; when left early, the completion is cancelled and waited for. */
async function* generate(
  completion: EngineCompletion,
  { start, stops, lease, signal }: Generation,
): AsyncGenerator<ChatEvent, void, undefined> {
  const cancel = () => completion.cancel();
  let ended = false;
  signal.addEventListener('abort', cancel, { once: true });
  try {
    if (signal.aborted) cancel();
    yield start;
    const assembler = new TextAssembler(stops);
    for await (const batch of completion) {
      const text = assembler.push(batch);
      // Before the text is handed on, so that the engine does not run ahead meanwhile.
      if (assembler.stopped) completion.cancel(assembler.tokens);
      if (text !== '') yield { type: 'text', text };
      if (assembler.stopped) break;
    }
    const rest = assembler.end();
    // An unfinished character at the very end can complete a stop string with its U+FFFD.
    const stopped = assembler.stopped;
    const result = await completion.result;
    ended = true;
    throwIfGone(signal);
    if (rest !== '') yield { type: 'text', text: rest };
    yield endOf(lease, result, stopped ? assembler.tokens : null);
  } finally {
    signal.removeEventListener('abort', cancel);
    if (!ended) {
      cancel();
      await settled(completion);
    }
  }
}

/** The last event. `stoppedAt`: tokens up to the end of a stop string, null without one. */
function endOf(lease: Lease, result: CompletionResult, stoppedAt: number | null): ChatEvent {
  if (result.reason === 'cancelled' && stoppedAt === null) {
    // Nobody here asked for it: the server is ending its engines.
    throw new HoshikageError('shutting_down');
  }
  return {
    type: 'end',
    finishReason: stoppedAt !== null || result.reason === 'eog' ? 'stop' : 'length',
    usage: {
      promptTokens: result.promptTokens,
      cachedTokens: result.cachedTokens,
      completionTokens: stoppedAt ?? result.generatedTokens,
    },
    timings: {
      queueMs: lease.queuedMs,
      loadMs: lease.loadMs,
      prefillMs: result.prefillMs,
      generationMs: result.generationMs,
    },
  };
}

/** Waits until the slot is free, so that the lease is not given back before; bounded. */
async function settled(completion: EngineCompletion): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, SETTLE_LIMIT_MS);
  });
  const ended = completion.result.then(
    () => {},
    () => {},
  );
  try {
    await Promise.race([ended, limit]);
  } finally {
    clearTimeout(timer);
  }
}

function tokenize(engine: Engine, text: PromptText): Promise<Int32Array> {
  return engine.tokenize(text.segments, text.addSpecial);
}

/** A prompt must leave room for one token at least. */
function checkLength(prompt: Int32Array, contextTokens: number): void {
  if (prompt.length < contextTokens) return;
  throw new HoshikageError('context_length_exceeded', {
    n_prompt_tokens: prompt.length,
    n_ctx: contextTokens,
    param: 'messages',
  });
}

/** The schema knows no vocabulary, and native code must not be the first to look. */
function checkBiases({ logitBias = [] }: SamplingRequest, vocabularySize: number): void {
  const unknown = logitBias.find(([token]) => token >= vocabularySize);
  if (!unknown) return;
  throw new HoshikageError('invalid_value', {
    param: `logit_bias.${unknown[0]}`,
    reason: `the vocabulary has ${vocabularySize} tokens`,
    reason_ja: `語彙は ${vocabularySize} トークンです`,
  });
}

function maxTokensOf(config: ChatSettings, entry: ModelEntry, request: ChatRequest): number {
  const limit = request.maxTokens ?? entry.settings.maxTokens ?? config.maxTokens;
  return limit > 0 ? limit : -1;
}

function samplingOf(
  config: ChatSettings,
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

/** What `work` gives; when the client goes first, `cancelled`, and nobody waits for the rest. */
async function unlessGone<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let leave = () => {};
  const gone = new Promise<never>((_, reject) => {
    leave = () => reject(new HoshikageError('cancelled'));
  });
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  try {
    return await Promise.race([work, gone]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

function throwIfGone(signal: AbortSignal): void {
  if (signal.aborted) throw new HoshikageError('cancelled');
}
