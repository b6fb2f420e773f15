/**
 * How many tokens the prompt of a chat request has, by the very steps that would answer it. Runs in the
 * server, one call per request; it takes no slot and computes nothing.
 */

import { HoshikageError } from '../errors.js';
import { type ServeRun, serve } from '../generate/serve.js';
import { type ChatDeps, prepareChat, unusedOf } from './complete.js';
import type { ChatRequest } from './message.js';

/** Tokens of a prompt. */
export interface PromptCount {
  readonly type: 'count';
  /** What would go into the model. */
  readonly promptTokens: number;
  /** What would be left out before, where the request allows that. */
  readonly truncatedTokens: number;
  /** Fields and variables without effect, and whether messages had to be changed. */
  readonly unused: readonly string[];
  readonly altered: boolean;
  /** Tokens that one request may use. */
  readonly contextTokens: number;
}

/**
 * Counts. Codes: model_not_found, those of ModelPool.acquire, template_failed,
 * context_length_exceeded, cancelled.
 */
export async function countPrompt(
  deps: ChatDeps,
  request: ChatRequest,
  run: ServeRun,
): Promise<PromptCount> {
  const { signal } = run;
  const counting = serve<PromptCount>(
    deps,
    { model: request.model, run: { ...run, need: 'model' } },
    async function* (lease) {
      const prepared = await prepareChat(deps, request, { lease, signal });
      const { prompt } = prepared;
      yield {
        type: 'count',
        promptTokens: prompt.tokens.length,
        truncatedTokens: prompt.truncatedTokens,
        unused: unusedOf(request, prepared),
        altered: prompt.text.altered,
        contextTokens: lease.engine.info.contextTokens,
      };
    },
  );
  let count: PromptCount | null = null;
  for await (const one of counting) count = one;
  // serve ends by what was counted or by throwing.
  if (!count) throw new HoshikageError('internal_error');
  return count;
}
