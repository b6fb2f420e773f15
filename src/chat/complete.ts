/**
 * One chat completion from end to end: a lease, the prompt, the generation, its text as events.
 * Runs in the server, one call per request. It must give the lease back however it ends, and must
 * never start a decode for a prompt that does not fit.
 */
import type { CompletionResult, Engine, EngineCompletion } from '../engine/engine.js';
import { tokensWithin } from '../engine/long-text.js';
import { HoshikageError } from '../errors.js';
import type { ModelCatalog } from '../models/catalog.js';
import { isEngineLoss } from '../resources/engine-loss.js';
import { throwIfGone, unlessGone } from '../resources/gone.js';
import type { AcquireOptions, Lease } from '../resources/lease.js';
import { type EngineSettings, engineOptionsOf } from '../resources/options.js';
import type { ModelPool } from '../resources/pool.js';
import { fingerprintOf } from './fingerprint.js';
import type { ChatRequest } from './message.js';
import { buildPrompt, CHATML, type PromptText } from './prompt.js';
import { checkBiases, maxTokensOf, type SamplingSettings, samplingOf } from './sampling.js';
import type { TemplateRenderer } from './template.js';
import { stopList, TextAssembler } from './text.js';

/** The settings a chat needs; a Config has them all. */
export interface ChatSettings extends EngineSettings, SamplingSettings {
  /** Whether a request that had sent nothing is run again when its engine was lost. */
  readonly retryOnCrash: boolean;
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
  /** Spent on bringing back a saved conversation; 0 where none was. */
  readonly recallMs: number;
  readonly prefillMs: number;
  readonly generationMs: number;
  /** Spent on an engine that was lost, where the request was run again; else 0. */
  readonly retriedMs: number;
}

/**
 * What happens in a completion: `start` once, `text` any number of times, `end` once. A second `start`
 * begins anew after the engine was lost: what was said before it counts no more.
 */
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

/** How one request is served; the signal ends it in every phase. */
export interface ChatRun extends Omit<AcquireOptions, 'need' | 'again'> {
  /** Nobody is told a word before the end, so that a lost engine can be made good until then. */
  readonly whole?: boolean;
}

/**
 * Runs one completion; cancelled by `signal` in every phase. With `retryOnCrash` one that has said
 * nothing yet is run again, once, when its engine is lost. Codes: model_not_found, those of
 * ModelPool.acquire, invalid_value (logit_bias), template_failed, context_length_exceeded,
 * decode_failed, engine_crashed, engine_hung, engine_out_of_memory, cancelled.
 */
export async function* completeChat(
  deps: ChatDeps,
  request: ChatRequest,
  { whole = false, ...asked }: ChatRun,
): AsyncGenerator<ChatEvent, void, undefined> {
  const entry = deps.catalog.get(request.model);
  if (!entry) {
    throw new HoshikageError('model_not_found', { model: request.model, param: 'model' });
  }
  // While the model is waited for.
  deps.renderer.warm();
  const { signal } = asked;
  let spent = { queueMs: 0, loadMs: 0, retriedMs: 0 };
  for (let again = false; ; again = true) {
    const isLast = again || !deps.config.retryOnCrash;
    let begun = performance.now();
    let lease: Lease | null = null;
    let isSaid = false;
    try {
      lease = await deps.pool.acquire(entry, { ...asked, ...(again && { again }) });
      begun = performance.now();
      for await (const event of runWithLease(deps, request, { lease, signal })) {
        if (event.type === 'text') isSaid = !whole;
        yield event.type === 'end' ? { ...event, timings: sum(event.timings, spent) } : event;
      }
      return;
    } catch (thrown) {
      if (isLast || isSaid || signal.aborted || !isEngineLoss(thrown)) throw thrown;
    } finally {
      lease?.release();
    }
    const { queuedMs: queueMs = 0, loadMs = 0 } = lease ?? {};
    spent = { queueMs, loadMs, retriedMs: performance.now() - begun };
  }
}

function sum(
  timings: ChatTimings,
  { queueMs, loadMs, retriedMs }: Pick<ChatTimings, 'queueMs' | 'loadMs' | 'retriedMs'>,
): ChatTimings {
  const [queue, load] = [timings.queueMs + queueMs, timings.loadMs + loadMs];
  return { ...timings, queueMs: queue, loadMs: load, retriedMs };
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
  const recallMs = request.cachePrompt ? await recall(lease, prompt, signal) : 0;
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
    recallMs,
    signal,
  });
}

/** Has a saved conversation brought back that the prompt begins with; gives the time it took, ms. */
async function recall(lease: Lease, prompt: Int32Array, signal: AbortSignal): Promise<number> {
  const begun = performance.now();
  const tokens = await lease.recall(prompt, signal);
  return tokens > 0 ? performance.now() - begun : 0;
}

interface Generation {
  readonly start: ChatEvent;
  readonly stops: readonly string[];
  readonly lease: Lease;
  readonly recallMs: number;
  readonly signal: AbortSignal;
}

/** Events of a running completion; when left early, the completion is cancelled and waited for. */
async function* generate(
  completion: EngineCompletion,
  { start, stops, lease, recallMs, signal }: Generation,
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
    const { queuedMs: queueMs, loadMs } = lease;
    yield endOf({ queueMs, loadMs, recallMs }, result, stopped ? assembler.tokens : null);
  } finally {
    signal.removeEventListener('abort', cancel);
    if (!ended) {
      cancel();
      await settled(completion);
    }
  }
}

/** The last event. `stoppedAt`: tokens up to the end of a stop string, null without one. */
function endOf(
  before: Pick<ChatTimings, 'queueMs' | 'loadMs' | 'recallMs'>,
  result: CompletionResult,
  stoppedAt: number | null,
): ChatEvent {
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
      ...before,
      prefillMs: result.prefillMs,
      generationMs: result.generationMs,
      retriedMs: 0,
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
  const { addSpecial } = text;
  return tokensWithin(engine, text.segments, { addSpecial, limit: engine.info.contextTokens });
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
