/**
 * One answer to a prompt: a completion of the engine as text, or several one after the other where
 * somebody puts words in between. Server's main thread, one call per choice, on a lease that the
 * caller holds. It must leave no completion running when it is left early.
 */
import {
  type CompletionResult,
  type Engine,
  type EngineCompletion,
  type Priority,
  type SamplingOptions,
  TOKEN_EOG,
  type TokenBatch,
  type TokenLogprob,
} from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import { throwIfGone, unlessGone } from '../resources/gone.js';
import { type Spoken, TextAssembler } from './text.js';

/** What to answer, and how. */
export interface ChoicePlan {
  readonly prompt: Int32Array;
  /** Tokens to generate at most; -1 = until the context is full. */
  readonly maxTokens: number;
  readonly sampling: SamplingOptions;
  readonly cachePrompt: boolean;
  readonly stops: readonly string[];
  /** Tell how likely the prompt's tokens were, and this many of the likeliest in their places. */
  readonly promptLogprobs?: number;
  /** `interactive` where absent. */
  readonly priority?: Priority;
  /**
   * Asked after every token, whose text has reached the reader of the events: whether it goes on. Where
   * it is there, every token is told by itself, also where several arrive at once.
   */
  readonly steer?: () => Steer | null;
}

/** What a reader may want: that the choice stops here, or that other words are put in before it goes on. */
export type Steer = 'stop' | Interjection;

/** Words that the model is made to have said, and how it goes on behind them. */
export interface Interjection {
  readonly text: string;
  readonly sampling: SamplingOptions;
}

/** How a choice ended; tokens and ms. */
export interface ChoiceEnd {
  readonly finishReason: 'stop' | 'length';
  /** The same more closely: the model's own end, a stop string, or no more room. */
  readonly ending: 'eog' | 'word' | 'limit';
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly prefillMs: number;
  readonly generationMs: number;
  /** Tokens that were guessed ahead, and those of them that were right. */
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
}

/**
 * What a choice tells: how likely the prompt's tokens were, where that is asked for, in parts and from
 * the second token on; then words any number of times, then how it ended.
 */
export type ChoiceNews =
  | { readonly prompt: readonly TokenLogprob[] }
  | { readonly spoken: Spoken }
  | { readonly end: ChoiceEnd };

/** An engine that does not let go of a slot for this long after a cancel is not waited for. */
const SETTLE_LIMIT_MS = 30_000;

/**
 * Runs one choice; a signal that aborts ends it within a step. Codes: grammar_invalid, decode_failed,
 * shutting_down, engine_crashed, engine_hung, engine_out_of_memory, cancelled.
 */
export async function* runChoice(
  engine: Pick<Engine, 'start' | 'tokenize' | 'info'>,
  plan: ChoicePlan,
  signal: AbortSignal,
): AsyncGenerator<ChoiceNews, void, undefined> {
  const assembler = new TextAssembler(plan.stops);
  let { prompt, maxTokens, sampling, cachePrompt } = plan;
  const { priority } = plan;
  let before: ChoiceEnd | null = null;
  for (;;) {
    throwIfGone(signal);
    const asked = before ? undefined : plan.promptLogprobs;
    const completion = engine.start({
      ...{ prompt, maxTokens, sampling, cachePrompt },
      ...(asked !== undefined && { promptLogprobs: asked }),
      ...(priority !== undefined && { priority }),
    });
    const leg = yield* runLeg(completion, { plan, assembler, signal });
    const end = sum(before, leg);
    const said = leg.interjection ? await tokensOf(engine, leg.interjection, signal) : null;
    const used = joined(prompt, leg.generated, said ?? new Int32Array());
    const limit = plan.maxTokens < 0 ? -1 : plan.maxTokens - end.completionTokens;
    // The words, and one token behind them: else there is nothing to put them in for.
    const hasRoom =
      said !== null &&
      used.length < engine.info.contextTokens &&
      (limit < 0 || limit > said.length);
    if (!leg.interjection || !hasRoom) {
      if (leg.interjection) yield { spoken: { runs: assembler.end(), tokens: [] } };
      yield { end: leg.interjection ? { ...end, finishReason: 'length', ending: 'limit' } : end };
      return;
    }
    yield { spoken: { runs: assembler.interject(leg.interjection.text), tokens: [] } };
    before = { ...end, completionTokens: end.completionTokens + said.length };
    prompt = used;
    ({ sampling } = leg.interjection);
    cachePrompt = true;
    if (limit >= 0) maxTokens = limit - said.length;
  }
}

function tokensOf(
  engine: Pick<Engine, 'tokenize'>,
  { text }: Interjection,
  signal: AbortSignal,
): Promise<Int32Array> {
  return unlessGone(engine.tokenize([{ text, special: true }], false), signal);
}

/** How one completion ended. `interjection`: it was broken off for these words. */
interface Leg extends ChoiceEnd {
  readonly interjection: Interjection | null;
  /** The tokens that count; kept only where words may be put in between. */
  readonly generated: Int32Array;
}

interface LegInput {
  readonly plan: ChoicePlan;
  readonly assembler: TextAssembler;
  readonly signal: AbortSignal;
}

async function* runLeg(
  completion: EngineCompletion,
  { plan: { steer }, assembler, signal }: LegInput,
): AsyncGenerator<ChoiceNews, Leg, undefined> {
  const cancel = () => completion.cancel();
  const atStart = assembler.tokens;
  const generated: number[] = [];
  let steered: Steer | null = null;
  let isAtEog = false;
  let ended = false;
  signal.addEventListener('abort', cancel, { once: true });
  try {
    if (signal.aborted) cancel();
    reading: for await (const batch of completion) {
      if (batch.promptLogprobs) yield { prompt: batch.promptLogprobs };
      for (const part of steer && batch.tokens.length > 1 ? oneByOne(batch) : [batch]) {
        const spoken = assembler.push(part);
        isAtEog = isEog(part, spoken.tokens.length);
        // Before the text is handed on, so that the engine does not run ahead meanwhile.
        if (assembler.stopped) completion.cancel(assembler.tokens - atStart);
        if (steer) generated.push(...part.tokens);
        if (spoken.runs.length > 0 || spoken.tokens.length > 0) yield { spoken };
        if (assembler.stopped) break reading;
        // Behind the end there is nothing to go on with.
        steered = isAtEog ? null : (steer?.() ?? null);
        if (!steered) continue;
        completion.cancel(generated.length);
        break reading;
      }
    }
    const rest = steered ? [] : assembler.end();
    // An unfinished character at the very end can complete a stop string with its U+FFFD.
    const stopped = assembler.stopped || steered === 'stop';
    const result = await completion.result;
    ended = true;
    throwIfGone(signal);
    if (rest.length > 0) yield { spoken: { runs: rest, tokens: [] } };
    const broken = stopped || steered !== null;
    const counted = broken ? assembler.tokens - atStart : result.generatedTokens;
    const interjection = steered === 'stop' ? null : steered;
    return {
      ...endOf(result, broken, counted),
      ...(stopped && { ending: isAtEog ? 'eog' : 'word' }),
      interjection,
      generated: Int32Array.from(generated),
    };
  } finally {
    signal.removeEventListener('abort', cancel);
    if (!ended) {
      cancel();
      await settled(completion);
    }
  }
}

/** Whether the last of the first `count` tokens of a batch ends a generation. */
const isEog = ({ flags }: TokenBatch, count: number): boolean =>
  ((flags[count - 1] ?? 0) & TOKEN_EOG) !== 0;

/** A batch in parts of one token. */
function* oneByOne(batch: TokenBatch): Generator<TokenBatch> {
  const { tokens, bytes, ends, flags, logprobs } = batch;
  for (let index = 0; index < tokens.length; index++) {
    const start = index === 0 ? 0 : (ends[index - 1] ?? 0);
    const end = ends[index] ?? start;
    yield {
      tokens: tokens.subarray(index, index + 1),
      bytes: bytes.subarray(start, end),
      ends: Int32Array.of(end - start),
      flags: flags.subarray(index, index + 1),
      ...(logprobs && { logprobs: logprobs.slice(index, index + 1) }),
    };
  }
}

/** `broken`: we ended it ourselves, for a stop string or an interjection. */
function endOf(result: CompletionResult, broken: boolean, completionTokens: number): ChoiceEnd {
  if (result.reason === 'cancelled' && !broken) {
    // Nobody here asked for it: the server is ending its engines.
    throw new HoshikageError('shutting_down');
  }
  const { promptTokens, cachedTokens, prefillMs, generationMs } = result;
  const { draftedTokens, acceptedTokens } = result;
  const isEnd = result.reason === 'eog';
  return {
    finishReason: broken || isEnd ? 'stop' : 'length',
    ending: isEnd ? 'eog' : 'limit',
    ...{ promptTokens, cachedTokens, completionTokens, prefillMs, generationMs },
    ...{ draftedTokens, acceptedTokens },
  };
}

/** A choice so far: the prompt is that of its first leg. */
function sum(before: ChoiceEnd | null, leg: Leg): ChoiceEnd {
  const { finishReason, ending } = leg;
  if (!before) {
    const { interjection: _, generated: __, ...end } = leg;
    return end;
  }
  return {
    ...before,
    finishReason,
    ending,
    completionTokens: before.completionTokens + leg.completionTokens,
    prefillMs: before.prefillMs + leg.prefillMs,
    generationMs: before.generationMs + leg.generationMs,
    draftedTokens: before.draftedTokens + leg.draftedTokens,
    acceptedTokens: before.acceptedTokens + leg.acceptedTokens,
  };
}

function joined(...parts: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
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
