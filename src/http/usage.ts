/**
 * Tokens and times of an answer in the wire's names, alike in every answer that is generated. Runs in
 * the server; pure.
 */
import type { Timings, Usage } from '../generate/events.js';

/** OpenAI's `usage`; `truncated_tokens` is ours, and there only where turns were left out. */
export function usageOf(usage: Usage): object {
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens, truncatedTokens } = usage;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: {
      cached_tokens: cachedTokens,
      ...(truncatedTokens > 0 && { truncated_tokens: truncatedTokens }),
    },
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
  };
}

/** Times in ms; tokens/s are null where there was nothing to measure. */
export function timingsOf(timings: Timings, usage: Usage): object {
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
    ...draftsOf(usage),
  };
}

/** Tokens guessed ahead, by the names of llama.cpp's server; nothing where there were none. */
export function draftsOf({ draftedTokens, acceptedTokens }: Usage): object {
  if (draftedTokens === 0) return {};
  return { draft_n: draftedTokens, draft_n_accepted: acceptedTokens };
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function perSecond(tokens: number, ms: number): number | null {
  return ms > 0 && tokens > 0 ? rounded((tokens / ms) * 1000) : null;
}
