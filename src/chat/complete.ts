/**
 * One chat completion from end to end: a lease, the prompt, the answers as events. Runs in the server,
 * one call per request. It must never start a decode for a prompt that does not fit, nor answer freely
 * where a form or a call was asked for.
 */

import { dialectOf } from '../dialect/detect.js';
import type { Dialect, Thinking } from '../dialect/dialect.js';
import type { SamplingOptions } from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import { type ChoiceEnd, type ChoicePlan, runChoice, type Steer } from '../generate/choice.js';
import type { EndEvent } from '../generate/events.js';
import { fingerprintOf } from '../generate/fingerprint.js';
import { type ChosenLogprob, logprobsOf } from '../generate/logprobs.js';
import {
  checkBiases,
  maxTokensOf,
  type SamplingSettings,
  samplingOf,
} from '../generate/sampling.js';
import { recall, type ServeDeps, type ServeRun, serve, Tally } from '../generate/serve.js';
import { sideBySide } from '../generate/side-by-side.js';
import { stopList } from '../generate/text.js';
import { throwIfGone } from '../resources/gone.js';
import type { Lease } from '../resources/lease.js';
import { type EngineSettings, engineOptionsOf } from '../resources/options.js';
import { Answer, type AnswerEvent } from './answer.js';
import { bindingOf, hasLeadingSpace, toolsFor } from './bind.js';
import { wantsShortIds, withoutThinking } from './conversation.js';
import { type FittingPrompt, fitPrompt } from './fit.js';
import type { ChatRequest } from './message.js';
import { CHATML } from './prompt.js';
import { isRefusal, type TemplateRenderer } from './template.js';
import { namesIn } from './template-names.js';

/** The settings a chat needs; a Config has them all. */
export interface ChatSettings extends EngineSettings, SamplingSettings {
  /** Whether a request that had sent nothing is run again when its engine was lost. */
  readonly retryOnCrash: boolean;
}

/** What completeChat works with. */
export interface ChatDeps extends ServeDeps {
  readonly config: ChatSettings;
  readonly renderer: TemplateRenderer;
}

/** How one request is served. */
export type ChatRun = ServeRun;

/** An event of one of the answers, `choice` counting them. */
type OfChoice<E> = E & { readonly choice: number };

/**
 * What happens in a completion: `start` once, then the choices, each with its `finish` at its end and
 * those that are made side by side mixed, then `end`. A second `start` begins anew after the engine was lost: what was said before it
 * counts no more.
 */
export type ChatEvent =
  | {
      readonly type: 'start';
      readonly fingerprint: string;
      /** Request variables that the model's template does not look at. */
      readonly unused: readonly string[];
      /** Whether messages had to be changed to keep control texts in them harmless. */
      readonly altered: boolean;
      /** Tokens of turns that were left out. */
      readonly truncatedTokens: number;
    }
  | OfChoice<{
      readonly type: 'content';
      readonly text: string;
      /** Null unless they were asked for. */
      readonly logprobs: readonly ChosenLogprob[] | null;
    }>
  | OfChoice<Exclude<AnswerEvent, { type: 'content' }>>
  | OfChoice<{
      readonly type: 'finish';
      readonly finishReason: 'stop' | 'length' | 'tool_calls';
    }>
  | EndEvent;

/**
 * Runs one completion; cancelled by the run's signal in every phase. With `retryOnCrash` one that has
 * said nothing yet is run again, once, when its engine is lost. Codes: model_not_found, those of
 * ModelPool.acquire, invalid_value (logit_bias), template_failed, context_length_exceeded,
 * grammar_invalid, schema_unsupported, decode_failed, engine_crashed, engine_hung,
 * engine_out_of_memory, cancelled.
 */
export function completeChat(
  deps: ChatDeps,
  request: ChatRequest,
  run: ChatRun,
): AsyncGenerator<ChatEvent, void, undefined> {
  // While the model is waited for.
  if (deps.catalog.get(request.model)) deps.renderer.warm();
  const { signal } = run;
  return serve<ChatEvent>(deps, { model: request.model, run }, (lease) =>
    answerAll(deps, request, { lease, signal }),
  );
}

/** What all choices of a request have in common. */
export interface Preparation {
  readonly template: string;
  readonly dialect: Dialect;
  readonly thinking: Thinking;
  readonly prompt: FittingPrompt;
}

interface Turn {
  readonly lease: Pick<Lease, 'engine' | 'entry'>;
  readonly signal: AbortSignal;
}

/** The prompt of a request as it would be answered. Codes: as completeChat. */
export async function prepareChat(
  deps: Pick<ChatDeps, 'renderer' | 'config'>,
  request: ChatRequest,
  { lease: { engine, entry }, signal }: Turn,
): Promise<Preparation> {
  const { model } = engine.info;
  const tools = request.toolChoice.kind === 'none' ? [] : request.tools;
  const withTools = tools.length > 0 ? (model.toolTemplate ?? null) : null;
  const template = entry.settings.chatTemplate ?? withTools ?? model.chatTemplate ?? CHATML;
  const family = dialectOf(template);
  const { messages, reasoningBudget } = request;
  const quiet = reasoningBudget === 0 ? withoutThinking(template) : {};
  const variables = { ...quiet, ...request.templateVariables };
  const { renderer } = deps;
  // A model that is not to think does not, where the prompt would have had it begin.
  const after = (rendered: string): string =>
    reasoningBudget === 0 && family.thinkingAfter(rendered) === 'open' ? family.endOfReasoning : '';
  const fit = (given: Readonly<Record<string, unknown>>): Promise<FittingPrompt> =>
    fitPrompt(
      { renderer, template, model, messages, tools, variables: given, signal },
      { engine, truncates: request.truncates, answerTokens: request.maxTokens, after },
    );
  const prompt = await fit(variables).catch((error: unknown) => {
    // Some templates have no word for no effort, and need none: the budget of nothing sees to it.
    const { reasoning_effort: effort, ...others } = variables as Record<string, unknown>;
    if (effort === 'none' && isRefusal(error)) return fit(others);
    throw error;
  });
  const rendered = prompt.text.segments.map(({ text }) => text).join('');
  const { toolsInWords } = prompt.text;
  const dialect = toolsInWords ? dialectOf(template, { toolsInWords }) : family;
  return { template, dialect, thinking: dialect.thinkingAfter(rendered), prompt };
}

async function* answerAll(
  deps: ChatDeps,
  request: ChatRequest,
  { lease, signal }: Turn & { readonly lease: Lease },
): AsyncGenerator<ChatEvent, void, undefined> {
  const { engine, entry } = lease;
  checkBiases(request.sampling, engine.info.model.vocabularySize);
  const prepared = await prepareChat(deps, request, { lease, signal });
  const { dialect, thinking, prompt } = prepared;
  const grammar = bindingOf(request, dialect, thinking);
  const fingerprint = await fingerprintOf(engine, engineOptionsOf(deps.config, entry));
  const recallMs = request.cachePrompt ? await recall(lease, prompt.tokens, signal) : 0;
  throwIfGone(signal);
  const { truncatedTokens } = prompt;
  const unused = unusedOf(request, prepared);
  yield { type: 'start', fingerprint, unused, altered: prompt.text.altered, truncatedTokens };

  const base = samplingOf(deps.config, entry, request.sampling);
  const tally = new Tally();
  let reasoningTokens = 0;
  const works = Array.from(
    { length: request.choices },
    (_, choice) =>
      async function* (gone: AbortSignal): AsyncGenerator<ChatEvent, void, undefined> {
        const sampling: SamplingOptions = {
          ...{ ...base, seed: (base.seed + choice) % 2 ** 32 },
          ...(grammar && { grammar }),
          ...(request.topLogprobs !== undefined && { logprobs: request.topLogprobs }),
        };
        const { plan, answer } = planOf(deps, request, { prepared, lease, sampling, choice });
        const end = yield* answerOne(plan, answer, { choice, lease, signal: gone });
        tally.add(end, { isShared: choice > 0 });
        reasoningTokens += answer.reasoningTokens;
      },
  );
  yield* sideBySide(works, lease, signal);
  yield tally.end(lease, { recallMs, reasoningTokens, truncatedTokens });
}

/** How one of the choices is made, and what listens to it. */
function planOf(
  deps: ChatDeps,
  request: ChatRequest,
  { prepared, lease, sampling, choice }: ChoiceParts,
): { readonly plan: ChoicePlan; readonly answer: Answer } {
  const { template, dialect, thinking, prompt } = prepared;
  const { entry, priority } = lease;
  const tools = toolsFor(request);
  const listener = dialect.listen({ tools, thinking, trims: hasLeadingSpace(request.form) });
  // Where an answer has more than content, a client's stop strings are looked for in that alone.
  const isSorted = dialect.endOfReasoning !== '' || tools.length > 0;
  const stops = isSorted ? stopList(request.stop) : [];
  const answer = new Answer(listener, { shortIds: wantsShortIds(template), stops });
  const plan: ChoicePlan = {
    prompt: prompt.tokens,
    maxTokens: maxTokensOf(deps.config, entry, request.maxTokens),
    sampling,
    // Answers to one prompt share it, whatever the request says of others' prompts.
    cachePrompt: request.cachePrompt || choice > 0,
    stops: isSorted ? stopList(entry.stop) : stopList(entry.stop, request.stop),
    priority,
    ...(isSorted && { steer: steering(request, { dialect, answer, sampling }) }),
  };
  return { plan, answer };
}

/** What one choice is made of. */
interface ChoiceParts {
  readonly prepared: Preparation;
  readonly lease: Lease;
  readonly sampling: SamplingOptions;
  readonly choice: number;
}

/** Fields and variables that have no effect with this template, or beside each other. */
export function unusedOf(
  request: ChatRequest,
  { template, dialect, prompt }: Preparation,
): string[] {
  const names = namesIn(template);
  const { templateVariables, messages, form, reasoningBudget, toolChoice } = request;
  const isQuiet = templateVariables.reasoning_effort === 'none';
  const unused = Object.keys(templateVariables).flatMap((name) => {
    const isField = name === 'reasoning_effort';
    if (names.has(name) || (isQuiet && isField)) return [];
    return isField ? [name] : [`chat_template_kwargs.${name}`];
  });
  // No thought at all is what a model without thoughts gives; a limit is nothing to it.
  const isThoughtless = dialect.endOfReasoning === '';
  if (isThoughtless && (reasoningBudget ?? 0) > 0) unused.push('reasoning_budget');
  if (form && (toolChoice.kind === 'required' || toolChoice.kind === 'named')) {
    unused.push(form.kind === 'grammar' ? 'grammar' : 'response_format');
  }
  for (const member of ['name', 'reasoning_content'] as const) {
    const isSent = messages.some((message) => message[member] !== undefined);
    // Thoughts go where the template looks for them.
    const name = member === 'name' ? member : prompt.text.reasoningKey;
    if (isSent && !names.has(name)) unused.push(`messages.${member}`);
  }
  return unused;
}

/** Stops an answer at a client's stop string, and ends reasoning that has used up its tokens, once. */
function steering(
  request: ChatRequest,
  {
    dialect,
    answer,
    sampling,
  }: {
    readonly dialect: Dialect;
    readonly answer: Answer;
    readonly sampling: SamplingOptions;
  },
): () => Steer | null {
  const { reasoningBudget: budget = Number.POSITIVE_INFINITY } = request;
  let isOver = dialect.endOfReasoning === '';
  return () => {
    if (answer.stopped) return 'stop';
    if (isOver || !answer.isReasoning || answer.reasoningTokens < budget) return null;
    isOver = true;
    const { grammar: _, ...free } = sampling;
    const grammar = bindingOf(request, dialect, 'none');
    return { text: dialect.endOfReasoning, sampling: { ...free, ...(grammar && { grammar }) } };
  };
}

/** The events of one choice; gives how it ended. */
async function* answerOne(
  plan: ChoicePlan,
  answer: Answer,
  { choice, lease, signal }: Turn & { readonly choice: number },
): AsyncGenerator<ChatEvent, ChoiceEnd, undefined> {
  const { engine } = lease;
  const isAsked = plan.sampling.logprobs !== undefined;
  const toEvent = (event: AnswerEvent): ChatEvent | Promise<ChatEvent> => {
    if (event.type !== 'content') return { ...event, choice };
    const { text, tokens } = event;
    if (!isAsked) return { type: 'content', choice, text, logprobs: null };
    return logprobsOf(engine, tokens, signal).then((logprobs) => ({
      ...{ type: 'content' as const, choice, text, logprobs },
    }));
  };
  for await (const news of runChoice(engine, plan, signal)) {
    if ('prompt' in news) continue;
    const events = 'spoken' in news ? answer.take(news.spoken) : answer.end();
    for (const event of events) yield toEvent(event);
    if (!('end' in news)) continue;
    const { end } = news;
    const finishReason =
      end.finishReason === 'stop' && answer.hasCalls ? 'tool_calls' : end.finishReason;
    yield { type: 'finish', choice, finishReason };
    return end;
  }
  // runChoice ends by an end or by throwing.
  throw new HoshikageError('internal_error');
}
