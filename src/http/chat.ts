/**
 * POST /v1/chat/completions and its count of tokens on the wire. Runs in the server, one call per
 * request.
 */
import { randomUUID } from 'node:crypto';
import type { Context } from 'hono';
import { type ChatEvent, completeChat } from '../chat/complete.js';
import { countPrompt } from '../chat/count.js';
import { HoshikageError } from '../errors.js';
import { answer } from './answer.js';
import { readJson } from './body.js';
import { type ChatAnswer, ChatWriter, chatBodyOf } from './chat-shape.js';
import type { AppDeps, AppEnv } from './deps.js';
import { noteHeaders } from './note-headers.js';
import { json } from './response.js';
import { parseChat } from './schema/chat.js';
import { turnOf } from './schema/turn.js';

type ChatEvents = AsyncGenerator<ChatEvent, void, undefined>;

/** Answers one chat request. Codes: those of readJson, parseChat and completeChat. */
export function handleChat(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  const { strictFields: strict } = deps.config;
  return answer<ChatEvent>(c, deps, ({ body, headers, signal }) => {
    const call = parseChat(body, strict);
    const { request, stream, includeUsage, ignored } = call;
    const turn = turnOf(headers, call.keepAliveMs);
    const all = completeChat(deps, request, { ...turn, signal, whole: !stream });
    const common: ChatAnswer = {
      id: `chatcmpl-${randomUUID()}`,
      created: Math.floor(Date.now() / 1000),
      model: request.model,
    };
    const withLogprobs = request.topLogprobs !== undefined;
    return {
      model: request.model,
      stream,
      events: strict ? refusingUnused(all) : all,
      writer: new ChatWriter(common, { includeUsage, withLogprobs }),
      headersOf: (start) => noteHeaders(ignored, start ?? {}),
      bodyOf: (start, events) => chatBodyOf(common, start, { events, withLogprobs }),
    };
  });
}

/** Counts what a chat request would send. Codes: those of readJson, parseChat and countPrompt. */
export async function handleInputTokens(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  const { strictFields: strict, maxBodyBytes } = deps.config;
  const { signal, headers } = c.req.raw;
  const call = parseChat(await readJson(c.req.raw, maxBodyBytes), strict);
  c.set('model', call.request.model);
  const turn = turnOf(headers, call.keepAliveMs);
  const count = await countPrompt(deps, call.request, { ...turn, signal });
  const { promptTokens, contextTokens } = count;
  if (strict) refuseUnused(count.unused);
  return json(
    {
      object: 'chat.completion.input_tokens',
      input_tokens: promptTokens,
      context_length: contextTokens,
    },
    noteHeaders(call.ignored, count),
  );
}

/** With STRICT_FIELDS a variable that the model's template does not look at is refused as well. */
async function* refusingUnused(events: ChatEvents): ChatEvents {
  for await (const event of events) {
    if (event.type === 'start') refuseUnused(event.unused);
    yield event;
  }
}

function refuseUnused([first]: readonly string[]): void {
  if (first !== undefined) throw new HoshikageError('unknown_parameter', { param: first });
}
