/**
 * How many tokens the prompt of a chat request has, by the very steps that would answer it. Runs in the
 * server, one call per request; it takes no slot and computes nothing.
 */
import { type ServeRun, serve } from '../generate/serve.js';
import { type ChatDeps, prepareChat } from './complete.js';
import type { ChatRequest } from './message.js';

/** Tokens of a prompt. */
export interface PromptCount {
  readonly type: 'count';
  /** What would go into the model. */
  readonly promptTokens: number;
  /** What would be left out before, where the request allows that. */
  readonly truncatedTokens: number;
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
      const { prompt } = await prepareChat(deps, request, { lease, signal });
      yield {
        type: 'count',
        promptTokens: prompt.tokens.length,
        truncatedTokens: prompt.truncatedTokens,
        contextTokens: lease.engine.info.contextTokens,
      };
    },
  );
  let count: PromptCount | null = null;
  for await (const one of counting) count = one;
  // serve ends by what was counted or by throwing.
  return count ?? { type: 'count', promptTokens: 0, truncatedTokens: 0, contextTokens: 0 };
}
