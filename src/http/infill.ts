/**
 * POST /infill on the wire: a gap filled, in the shape of llama.cpp's server, which editors' plugins
 * read. Runs in the server.
 */
import type { Context } from 'hono';
import type { EndEvent } from '../generate/events.js';
import { completeText } from '../text/complete.js';
import type { Ending, TextEvent } from '../text/request.js';
import { answer } from './answer.js';
import type { AnswerWriter } from './answer-stream.js';
import { askedModel } from './asked-model.js';
import { joinText } from './completions-shape.js';
import type { AppDeps, AppEnv } from './deps.js';
import { ignoredHeader } from './note-headers.js';
import { parseInfill } from './schema/infill.js';
import { turnOf } from './schema/turn.js';
import { draftsOf } from './usage.js';

/** Answers one request. Codes: those of readJson, parseInfill and completeText. */
export function handleInfill(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  return answer<TextEvent>(c, deps, ({ body, headers, signal }) => {
    const call = parseInfill(body, deps.config.strictFields);
    const { stream } = call;
    const model = askedModel(deps, call.request.model || null);
    const request = { ...call.request, model };
    const turn = turnOf(headers, call.keepAliveMs);
    return {
      model,
      stream,
      events: completeText(deps, request, { ...turn, signal, whole: !stream }),
      writer: new InfillLines(model),
      headersOf: () => ignoredHeader(call.ignored),
      bodyOf: (_, events) => wholeOf(model, events),
    };
  });
}

const STOP_TYPES: Readonly<Record<Ending, string>> = { eog: 'eos', word: 'word', limit: 'limit' };

function wholeOf(model: string, events: readonly TextEvent[]): object {
  const content = events.map((event) => (event.type === 'text' ? event.text : '')).join('');
  const lines = new InfillLines(model);
  const last = events.map((event) => lines.last(event)).at(-1) ?? {};
  return { ...last, content };
}

/** Writes a stream; it ends by `stop`, without a mark behind it. */
class InfillLines implements AnswerWriter<TextEvent> {
  readonly #model: string;
  #ending: Ending = 'limit';

  constructor(model: string) {
    this.#model = model;
  }

  join(last: TextEvent, next: TextEvent): TextEvent | null {
    return joinText(last, next);
  }

  lines(event: TextEvent): readonly string[] {
    if (event.type === 'text') {
      return [JSON.stringify({ index: 0, content: event.text, stop: false })];
    }
    const last = this.last(event);
    return last ? [JSON.stringify(last)] : [];
  }

  /** What stands at the end, where this is the event for it. */
  last(event: TextEvent): object | null {
    if (event.type === 'finish') this.#ending = event.ending;
    if (event.type !== 'end') return null;
    const { usage } = event;
    return {
      index: 0,
      content: '',
      stop: true,
      model: this.#model,
      tokens_predicted: usage.completionTokens,
      tokens_evaluated: usage.promptTokens,
      tokens_cached: usage.cachedTokens,
      truncated: false,
      stop_type: STOP_TYPES[this.#ending],
      timings: timingsOf(event),
    };
  }
}

/** The names of llama.cpp's server, and the time before the work; ms. */
function timingsOf({ usage, timings }: EndEvent): object {
  const { queueMs, loadMs, prefillMs, generationMs } = timings;
  const read = usage.promptTokens - usage.cachedTokens;
  const written = usage.completionTokens;
  return {
    prompt_n: read,
    prompt_ms: prefillMs,
    prompt_per_token_ms: ratio(prefillMs, read),
    prompt_per_second: ratio(read * 1000, prefillMs),
    predicted_n: written,
    predicted_ms: generationMs,
    predicted_per_token_ms: ratio(generationMs, written),
    predicted_per_second: ratio(written * 1000, generationMs),
    queue_ms: queueMs,
    load_ms: loadMs,
    ...draftsOf(usage),
  };
}

/** 0 where there is nothing to divide by: plugins calculate with these. */
function ratio(value: number, by: number): number {
  return by > 0 ? value / by : 0;
}
