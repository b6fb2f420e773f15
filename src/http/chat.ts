/**
 * POST /v1/chat/completions on the wire: a chat request's events as one JSON answer, or handed to a
 * ChatStream. Runs in the server. The client's going away must end the completion in every phase, and
 * an error before the first text must keep its real status.
 */
import { randomUUID } from 'node:crypto';
import type { Context } from 'hono';
import { type ChatEvent, completeChat } from '../chat/complete.js';
import { HoshikageError } from '../errors.js';
import { readJson } from './body.js';
import {
  type ChatAnswer,
  endParts,
  fullCompletion,
  noteHeaders,
  type StartEvent,
} from './chat-shape.js';
import { ChatStream } from './chat-stream.js';
import type { AppDeps, AppEnv } from './deps.js';
import { failureOf } from './error.js';
import { json } from './response.js';
import { type ChatCall, parseChat } from './schema/chat.js';
import { turnOf } from './schema/turn.js';

type ChatEvents = AsyncGenerator<ChatEvent, void, undefined>;

/** Answers one chat request. Codes: those of readJson, parseChat and completeChat. */
export async function handleChat(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  const { strictFields: strict, maxBodyBytes } = deps.config;
  const { signal } = c.req.raw;
  const gone = new AbortController();
  const onGone = () => gone.abort();
  signal.addEventListener('abort', onGone, { once: true });
  const forget = () => signal.removeEventListener('abort', onGone);
  let isStreaming = false;
  try {
    const call = parseChat(await readJson(c.req.raw, maxBodyBytes), strict);
    c.set('model', call.request.model);
    if (signal.aborted) gone.abort();
    const turn = turnOf(c.req.raw.headers, call.keepAliveMs);
    const all = completeChat(deps, call.request, {
      ...turn,
      signal: gone.signal,
      whole: !call.stream,
    });
    const events = strict ? refusingUnused(all) : all;
    const answer: ChatAnswer = {
      id: `chatcmpl-${randomUUID()}`,
      created: Math.floor(Date.now() / 1000),
      model: call.request.model,
    };
    if (!call.stream) return await collect(events, call, answer);
    const stream = new ChatStream({
      answer,
      call,
      waitOf: () => deps.pool.waitOf(gone.signal),
      onCancel: onGone,
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

/** With STRICT_FIELDS a variable that the model's template does not look at is refused as well. */
async function* refusingUnused(events: ChatEvents): ChatEvents {
  for await (const event of events) {
    const unused = event.type === 'start' ? event.unused[0] : undefined;
    if (unused !== undefined) throw new HoshikageError('unknown_parameter', { param: unused });
    yield event;
  }
}

async function collect(events: ChatEvents, call: ChatCall, answer: ChatAnswer): Promise<Response> {
  let start: StartEvent | null = null;
  let text = '';
  for await (const event of events) {
    if (event.type === 'start') [start, text] = [event, ''];
    else if (event.type === 'text') text += event.text;
    else {
      const body = fullCompletion(answer, {
        text,
        fingerprint: start?.fingerprint ?? null,
        end: endParts(event),
      });
      return json(body, noteHeaders(call.ignored, start));
    }
  }
  // completeChat ends by `end` or by throwing.
  throw new HoshikageError('internal_error');
}
