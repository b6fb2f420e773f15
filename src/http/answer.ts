/**
 * A request that is answered by a generation, whatever its route: its body, its client's going away,
 * and its events as one JSON answer or as a stream. Runs in the server. The client's going away must end
 * the generation in every phase, and an error before the first word must keep its real status.
 */
import type { Context } from 'hono';
import { HoshikageError } from '../errors.js';
import type { Figures } from '../figures.js';
import { type GenerationEvent, isEnd } from '../generate/events.js';
import { AnswerStream, type AnswerWriter, addTo, type StartOf } from './answer-stream.js';
import { readJson } from './body.js';
import type { AppDeps, AppEnv } from './deps.js';
import { failureOf } from './error.js';
import { json } from './response.js';

/** What a route wants done for one request. */
export interface AnswerPlan<E extends GenerationEvent> {
  /** For the access log. */
  readonly model: string;
  readonly stream: boolean;
  /** Nothing may happen before they are asked for. */
  readonly events: AsyncIterable<E>;
  readonly writer: AnswerWriter<E>;
  /** The headers as far as they are known; null before the first `start`. */
  readonly headersOf: (start: StartOf<E> | null) => Readonly<Record<string, string>>;
  /** The whole answer: of all events after the last `start`, neighbours joined by the writer. */
  readonly bodyOf: (start: StartOf<E>, events: readonly E[]) => object;
}

/** What a route makes its plan of. */
export interface AnswerRequest {
  readonly body: unknown;
  readonly headers: Headers;
  /** Aborted when the client goes; waiting for a turn is known by it. */
  readonly signal: AbortSignal;
}

/** Answers one request. Codes: those of readJson, of `plan` and of its events. */
export async function answer<E extends GenerationEvent>(
  c: Context<AppEnv>,
  deps: Pick<AppDeps, 'config' | 'pool' | 'figures'>,
  plan: (request: AnswerRequest) => AnswerPlan<E>,
): Promise<Response> {
  const { signal, headers } = c.req.raw;
  const gone = new AbortController();
  const onGone = () => gone.abort();
  signal.addEventListener('abort', onGone, { once: true });
  const forget = () => signal.removeEventListener('abort', onGone);
  const onEvent = counting(deps.figures);
  let isStreaming = false;
  try {
    const body = await readJson(c.req.raw, deps.config.maxBodyBytes);
    const planned = plan({ body, headers, signal: gone.signal });
    c.set('model', planned.model);
    if (signal.aborted) gone.abort();
    if (!planned.stream) return await whole(planned, onEvent);
    const { writer, headersOf, events } = planned;
    const stream = new AnswerStream({
      writer,
      headersOf,
      waitOf: () => deps.pool.waitOf(gone.signal),
      onCancel: onGone,
      onEvent,
      figures: deps.figures,
      onFailure: (thrown) => c.set('failure', failureOf(thrown, gone.signal)),
    });
    c.set('finished', stream.finished.finally(forget));
    isStreaming = true;
    return await stream.run(events);
  } catch (thrown) {
    throw failureOf(thrown, gone.signal);
  } finally {
    if (!isStreaming) forget();
  }
}

/** Tells the figures of one answer, which begins now, event by event. */
function counting(figures: Figures): (event: GenerationEvent) => void {
  const begun = performance.now();
  let isSaid = false;
  return (event) => {
    if (event.type === 'start') return;
    if (!isSaid) figures.firstToken.add(performance.now() - begun);
    isSaid = true;
    if (isEnd(event)) figures.finished({ ...event.usage, ...event.timings });
  };
}

async function whole<E extends GenerationEvent>(
  plan: AnswerPlan<E>,
  onEvent: (event: E) => void,
): Promise<Response> {
  let start: StartOf<E> | null = null;
  let said: E[] = [];
  for await (const event of plan.events) {
    onEvent(event);
    if (event.type === 'start') {
      // The one event of this type.
      [start, said] = [event as StartOf<E>, []];
      continue;
    }
    addTo(said, event, plan.writer);
  }
  // A generation begins by `start` and ends by `end`, or by throwing.
  if (!start) throw new HoshikageError('internal_error');
  return json(plan.bodyOf(start, said), plan.headersOf(start));
}
