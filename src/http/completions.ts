/**
 * POST /v1/completions on the wire: raw prompts continued, in OpenAI's legacy shape. Runs in the server.
 */
import { randomUUID } from 'node:crypto';
import type { Context } from 'hono';
import { completeText } from '../text/complete.js';
import type { TextEvent } from '../text/request.js';
import { answer } from './answer.js';
import { type TextAnswer, TextChunks, textCompletion } from './completions-shape.js';
import type { AppDeps, AppEnv } from './deps.js';
import { ignoredHeader } from './note-headers.js';
import { parseCompletion } from './schema/completions.js';
import { turnOf } from './schema/turn.js';

/** Answers one request. Codes: those of readJson, parseCompletion and completeText. */
export function handleCompletions(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  return answer<TextEvent>(c, deps, ({ body, headers, signal }) => {
    const call = parseCompletion(body, deps.config.strictFields);
    const { request, stream, includeUsage } = call;
    const turn = turnOf(headers, call.keepAliveMs);
    const common: TextAnswer = {
      id: `cmpl-${randomUUID()}`,
      created: Math.floor(Date.now() / 1000),
      model: request.model,
      withLogprobs: request.topLogprobs !== undefined,
    };
    return {
      model: request.model,
      stream,
      events: completeText(deps, request, { ...turn, signal, whole: !stream }),
      writer: new TextChunks(common, { includeUsage }),
      headersOf: () => ignoredHeader(call.ignored),
      bodyOf: (start, events) => textCompletion(common, start, events),
    };
  });
}
