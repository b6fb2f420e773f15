/**
 * The JSON shapes of a chat answer, OpenAI's keys in OpenAI's order. Runs in the server; pure.
 * Every key is always there: null says that there is nothing to say.
 */
import type { ChatEvent, ChatTimings, ChatUsage } from '../chat/complete.js';

/** The first and the last event of a completion. */
export type StartEvent = Extract<ChatEvent, { type: 'start' }>;
export type EndEvent = Extract<ChatEvent, { type: 'end' }>;

/** What all parts of one answer have in common. `created`: epoch time in s. */
export interface ChatAnswer {
  readonly id: string;
  readonly created: number;
  /** As asked for. */
  readonly model: string;
}

/** How an answer ended, in the wire's names. */
export interface EndParts {
  readonly finishReason: 'stop' | 'length';
  readonly usage: object;
  readonly timings: object;
}

/** The wire's form of the last event. */
export function endParts({ finishReason, usage, timings }: EndEvent): EndParts {
  return { finishReason, usage: usageOf(usage), timings: timingsOf(timings, usage) };
}

function usageOf({ promptTokens, cachedTokens, completionTokens }: ChatUsage): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
}

/** Times in ms; tokens/s are null where there was nothing to measure. */
function timingsOf(timings: ChatTimings, usage: ChatUsage): object {
  const { queueMs, loadMs, recallMs, prefillMs, generationMs, retriedMs } = timings;
  return {
    queue_ms: rounded(queueMs),
    load_ms: rounded(loadMs),
    recall_ms: rounded(recallMs),
    prefill_ms: rounded(prefillMs),
    generation_ms: rounded(generationMs),
    retried_ms: rounded(retriedMs),
    prefill_tokens_per_second: perSecond(usage.promptTokens - usage.cachedTokens, prefillMs),
    generation_tokens_per_second: perSecond(usage.completionTokens, generationMs),
  };
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function perSecond(tokens: number, ms: number): number | null {
  return ms > 0 && tokens > 0 ? rounded((tokens / ms) * 1000) : null;
}

/** The whole answer at once. */
export function fullCompletion(
  { id, created, model }: ChatAnswer,
  parts: { readonly text: string; readonly fingerprint: string | null; readonly end: EndParts },
): object {
  const { text, fingerprint, end } = parts;
  return {
    id,
    object: 'chat.completion',
    created,
    model,
    system_fingerprint: fingerprint,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: text, refusal: null },
        logprobs: null,
        finish_reason: end.finishReason,
      },
    ],
    usage: end.usage,
    timings: end.timings,
  };
}

/** Writes the chunks of one streamed answer; what they have in common is made once. */
export class ChunkWriter {
  readonly #head: string;
  readonly #usage: string;

  constructor({ id, created, model }: ChatAnswer, fingerprint: string, includeUsage: boolean) {
    const object = 'chat.completion.chunk';
    const common = { id, object, created, model, system_fingerprint: fingerprint };
    this.#head = JSON.stringify(common).slice(0, -1);
    this.#usage = includeUsage ? ',"usage":null' : '';
  }

  role(): string {
    return this.#choice('{"role":"assistant","content":"","refusal":null}', 'null');
  }

  text(text: string): string {
    return this.#choice(`{"content":${JSON.stringify(text)}}`, 'null');
  }

  finish({ finishReason, timings }: EndParts): string {
    const end = `,"timings":${JSON.stringify(timings)}`;
    return this.#choice('{}', `"${finishReason}"`, end);
  }

  usage({ usage }: EndParts): string {
    return `${this.#head},"choices":[],"usage":${JSON.stringify(usage)}}`;
  }

  #choice(delta: string, finish: string, more = ''): string {
    const choice = `{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}`;
    return `${this.#head},"choices":[${choice}]${this.#usage}${more}}`;
  }
}

const MAX_HEADER_LENGTH = 1000;

/** Headers that name what had no effect or was changed; as much as is known so far. */
export function noteHeaders(
  ignored: readonly string[],
  start: StartEvent | null,
): Record<string, string> {
  const names = [...ignored, ...(start?.unused ?? [])];
  return {
    ...ignoredHeader(names),
    ...(start?.altered && { 'x-hoshikage-altered': 'messages' }),
  };
}

/** `x-hoshikage-ignored`, where there is something to name. */
export function ignoredHeader(names: readonly string[]): Record<string, string> {
  if (names.length === 0) return {};
  // A field's name may be any text; a header may not.
  const list = names.map((name) => name.replace(/[^\w.[\]-]/gu, encodeSafely)).join(',');
  const isLong = list.length > MAX_HEADER_LENGTH;
  return { 'x-hoshikage-ignored': isLong ? `${list.slice(0, MAX_HEADER_LENGTH)}...` : list };
}

function encodeSafely(character: string): string {
  return /\p{Surrogate}/u.test(character) ? '%EF%BF%BD' : encodeURIComponent(character);
}
