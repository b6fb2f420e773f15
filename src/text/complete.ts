/**
 * Raw prompts continued: a lease, the prompts as tokens, their answers as events. Server's main thread,
 * one call per request. It must never start a decode where one of the prompts does not fit.
 */
import type { SamplingOptions, TokenLogprob } from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import { type ChoiceEnd, type ChoicePlan, runChoice } from '../generate/choice.js';
import { fingerprintOf } from '../generate/fingerprint.js';
import { logprobsOf } from '../generate/logprobs.js';
import {
  checkBiases,
  maxTokensOf,
  type SamplingSettings,
  samplingOf,
} from '../generate/sampling.js';
import { recall, type ServeDeps, type ServeRun, serve, Tally } from '../generate/serve.js';
import { sideBySide, type Work } from '../generate/side-by-side.js';
import { stopList } from '../generate/text.js';
import { throwIfGone } from '../resources/gone.js';
import type { Lease } from '../resources/lease.js';
import { type EngineSettings, engineOptionsOf } from '../resources/options.js';
import { checkTold, type Echo, echoOf, placedAt } from './echo.js';
import { PlacedReader, type PlacedText } from './placed.js';
import { promptsOf, type TokenPrompt, tellsPrompts } from './prompt.js';
import type { Ending, PlacedLogprob, TextEvent, TextRequest } from './request.js';

/** What completeText works with; a Config has all the settings. */
export interface TextDeps extends ServeDeps {
  readonly config: ServeDeps['config'] & EngineSettings & SamplingSettings;
}

type TextEvents = AsyncGenerator<TextEvent, void, undefined>;
/** What is said of one choice. */
type ChoiceEvent = Extract<TextEvent, { readonly choice: number }>;
type ChoiceEvents<R = void> = AsyncGenerator<ChoiceEvent, R, undefined>;

/**
 * Continues the prompts; cancelled by the run's signal in every phase. Codes: model_not_found, those of
 * ModelPool.acquire, invalid_value (a prompt, logit_bias, a gap), context_length_exceeded,
 * grammar_invalid, decode_failed, engine_crashed, engine_hung, engine_out_of_memory, cancelled.
 */
export function completeText(deps: TextDeps, request: TextRequest, run: ServeRun): TextEvents {
  const { signal } = run;
  return serve<TextEvent>(deps, { model: request.model, run }, (lease) =>
    answerAll(deps, request, { lease, signal }),
  );
}

interface Turn {
  readonly lease: Lease;
  readonly signal: AbortSignal;
}

async function* answerAll(deps: TextDeps, request: TextRequest, turn: Turn): TextEvents {
  const { lease, signal } = turn;
  const { engine, entry } = lease;
  checkBiases(request.sampling, engine.info.model.vocabularySize);
  const grammar = await grammarFor(request);
  const prompts = await promptsOf(engine, request, signal);
  if (tellsPrompts(request)) checkTold(request, prompts);
  const fingerprint = await fingerprintOf(engine, engineOptionsOf(deps.config, entry));
  throwIfGone(signal);
  yield { type: 'start', fingerprint };

  const sampling: SamplingOptions = {
    ...samplingOf(deps.config, entry, request.sampling),
    ...(grammar !== undefined && { grammar }),
    ...logprobsFor(request),
  };
  const tally = new Tally();
  let recallMs = 0;
  for (const [index, prompt] of prompts.entries()) {
    // What tells of the whole prompt computes all of it.
    const isReusing = (request.maxTokens !== 0 || request.warms) && !tellsPrompts(request);
    if (request.cachePrompt && isReusing) recallMs += await recall(lease, prompt.tokens, signal);
    throwIfGone(signal);
    const writer = new Writer(deps, request, { ...turn, prompt, sampling, tally });
    yield* writer.answers(index * request.choices);
  }
  yield tally.end(lease, { recallMs });
}

async function grammarFor({ grammar }: TextRequest): Promise<SamplingOptions['grammar']> {
  // Most prompts come without one, and need none of that room.
  return grammar === undefined ? undefined : (await import('./bind.js')).grammarOf(grammar);
}

/** Which answer is the best is told by how likely its tokens are, whether anyone asked for that or not. */
function logprobsFor({ topLogprobs, bestOf, choices }: TextRequest): Partial<SamplingOptions> {
  if (topLogprobs !== undefined) return { logprobs: topLogprobs };
  return bestOf > choices ? { logprobs: 0 } : {};
}

interface WriterOptions extends Turn {
  readonly prompt: TokenPrompt;
  readonly sampling: SamplingOptions;
  readonly tally: Tally;
}

/** One answer that was held back, to be compared with others. */
interface Draft {
  readonly events: ChoiceEvent[];
  likelihood: number;
}

/** Answers one prompt. */
class Writer {
  readonly #deps: TextDeps;
  readonly #request: TextRequest;
  readonly #options: WriterOptions;
  /** Whether how likely the prompt's tokens are is asked, and to be computed. */
  readonly #asksPrompt: boolean;
  /** Of the prompt's tokens from the second one on, as they arrive with the first answer. */
  readonly #found: TokenLogprob[] = [];
  #echo: Promise<Echo> | null = null;

  constructor(deps: TextDeps, request: TextRequest, options: WriterOptions) {
    this.#deps = deps;
    this.#request = request;
    this.#options = options;
    this.#asksPrompt = tellsPrompts(request) && options.prompt.shown[1] > 1;
  }

  /** The answers that are given; the first of them is choice `first`. */
  async *answers(first: number): ChoiceEvents {
    const { choices, bestOf } = this.#request;
    if (bestOf <= choices) {
      const work = (index: number) => (gone: AbortSignal) =>
        this.#answer(first + index, index, gone);
      yield* this.#together(choices, work);
      return;
    }
    // Stable: of two that are equally likely, the one that comes first.
    const drafts = await this.#drafts(bestOf);
    const best = drafts.sort((one, other) => other.likelihood - one.likelihood).slice(0, choices);
    for (const [index, { events }] of best.entries()) {
      for (const event of events) yield { ...event, choice: first + index };
    }
  }

  async #drafts(count: number): Promise<Draft[]> {
    const drafts = Array.from({ length: count }, (): Draft => ({ events: [], likelihood: 0 }));
    const work = (index: number) => (gone: AbortSignal) => this.#draft(drafts, index, gone);
    for await (const event of this.#together(count, work)) drafts[event.choice]?.events.push(event);
    return drafts;
  }

  async *#draft(drafts: readonly Draft[], index: number, gone: AbortSignal): ChoiceEvents {
    const likelihood = yield* this.#answer(index, index, gone);
    const draft = drafts[index];
    if (draft) draft.likelihood = likelihood;
  }

  /** Side by side, unless what the first of them finds out is told with the others. */
  #together(count: number, work: (index: number) => Work<ChoiceEvent>): ChoiceEvents {
    const { lease, signal } = this.#options;
    const isAlone = this.#asksPrompt || this.#request.maxTokens === 0;
    const works = Array.from({ length: count }, (_, index) => work(index));
    return sideBySide(works, isAlone ? { more: () => [] } : lease, signal);
  }

  /** One answer; gives the mean log-probability of its tokens, as far as it is known. */
  async *#answer(choice: number, index: number, gone: AbortSignal): ChoiceEvents<number> {
    const { tally, lease } = this.#options;
    const isShared = index > 0;
    let isFirst = true;
    let sum = 0;
    let count = 0;
    if (this.#request.maxTokens === 0) {
      tally.add(await this.#compute(isShared), { isShared });
      yield* this.#last(choice, { ending: 'limit', tokens: [], isFirst });
      return 0;
    }
    const reader = new PlacedReader({ isWhole: tellsPrompts(this.#request) });
    for await (const news of runChoice(lease.engine, this.#plan(index), gone)) {
      if ('prompt' in news) {
        this.#keep(news.prompt);
        continue;
      }
      if ('end' in news) {
        tally.add(news.end, { isShared });
        const { ending } = news.end;
        const tokens = reader.rest(ending === 'word');
        yield* this.#last(choice, { ending, tokens, isFirst });
        return count > 0 ? sum / count : Number.NEGATIVE_INFINITY;
      }
      for (const { logprob } of news.spoken.tokens) {
        sum += logprob?.logprob ?? 0;
        count += 1;
      }
      const placed = reader.take(news.spoken);
      if (placed.text === '' && placed.tokens.length === 0) continue;
      yield { type: 'text', choice, ...(await this.#shown(placed, isFirst)) };
      isFirst = false;
    }
    // runChoice ends by an end or by throwing.
    throw new HoshikageError('internal_error');
  }

  #keep(found: readonly TokenLogprob[]): void {
    for (const one of found) this.#found.push(one);
  }

  /** The end of an answer, before it what has not been told yet. */
  async *#last(
    choice: number,
    { ending, tokens, isFirst }: Pick<PlacedText, 'tokens'> & { ending: Ending; isFirst: boolean },
  ): ChoiceEvents {
    const shown = await this.#shown({ text: '', tokens }, isFirst);
    if (shown.text !== '' || shown.logprobs?.length) yield { type: 'text', choice, ...shown };
    yield { type: 'finish', choice, ending };
  }

  #plan(index: number, maxTokens = this.#request.maxTokens): ChoicePlan {
    const { config } = this.#deps;
    const { lease, prompt, sampling } = this.#options;
    const { topLogprobs } = this.#request;
    return {
      prompt: prompt.tokens,
      maxTokens: maxTokensOf(config, lease.entry, maxTokens),
      sampling: { ...sampling, seed: (sampling.seed + index) % 2 ** 32 },
      // Answers to one prompt share it, whatever the request says of others' prompts.
      cachePrompt: this.#request.cachePrompt || index > 0,
      stops: stopList(lease.entry.stop, this.#request.stop),
      priority: lease.priority,
      ...(this.#asksPrompt && index === 0 && { promptLogprobs: topLogprobs ?? 0 }),
    };
  }

  /** What it costs to answer nothing: a token that nobody sees where the prompt is to be computed. */
  async #compute(isShared: boolean): Promise<ChoiceEnd> {
    const { prompt, lease, signal } = this.#options;
    const none: ChoiceEnd = {
      ...{ finishReason: 'length', ending: 'limit', promptTokens: prompt.tokens.length },
      ...{ cachedTokens: 0, completionTokens: 0, prefillMs: 0, generationMs: 0 },
      ...{ draftedTokens: 0, acceptedTokens: 0 },
    };
    if (!(this.#request.warms || this.#asksPrompt) || isShared) return none;
    for await (const news of runChoice(lease.engine, this.#plan(0, 1), signal)) {
      if ('prompt' in news) this.#keep(news.prompt);
      if ('end' in news) return { ...news.end, completionTokens: 0, generationMs: 0 };
    }
    return none;
  }

  /** What is told of some text. Before the first of an answer stands the prompt. */
  async #shown(
    { text, tokens }: PlacedText,
    isFirst: boolean,
  ): Promise<{ readonly text: string; readonly logprobs: readonly PlacedLogprob[] | null }> {
    const { lease, signal, prompt } = this.#options;
    const { topLogprobs } = this.#request;
    if (topLogprobs === undefined) {
      return { text: isFirst ? prompt.echoed + text : text, logprobs: null };
    }
    const echo = await this.#echoed();
    const said = tokens.map((token) => token.said);
    const found = await logprobsOf(lease.engine, said, signal);
    const logprobs = found.map((one, at) => placedAt(echo.length + (tokens[at]?.offset ?? 0), one));
    if (!isFirst) return { text, logprobs };
    return { text: echo.text + text, logprobs: [...echo.logprobs, ...logprobs] };
  }

  /** The prompt as it is told with log-probabilities, made once for all its answers. */
  #echoed(): Promise<Echo> {
    const { lease, signal, prompt } = this.#options;
    if (!this.#request.echo) return Promise.resolve({ text: '', logprobs: [], length: 0 });
    this.#echo ??= echoOf(lease.engine, prompt, this.#found, signal);
    return this.#echo;
  }
}
