/**
 * What happens in every generation, whatever is asked of it. Types, and how the last event is told.
 */

/** Tokens of one request. */
export interface Usage {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  /** All choices together. */
  readonly completionTokens: number;
  /** Of those, the ones the model thought in. */
  readonly reasoningTokens: number;
  /** Tokens of turns that were left out to make the prompt fit. */
  readonly truncatedTokens: number;
  /** Tokens that were guessed ahead, and those of them that were right. */
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
}

/** Where the time went, in ms. */
export interface Timings {
  readonly queueMs: number;
  readonly loadMs: number;
  /** Spent on bringing back a saved conversation; 0 where none was. */
  readonly recallMs: number;
  /** Computing prompts, of all choices; not what they waited for each other. */
  readonly prefillMs: number;
  readonly generationMs: number;
  /** Spent on an engine that was lost, where the request was run again; else 0. */
  readonly retriedMs: number;
}

/** The last event of every generation. */
export interface EndEvent {
  readonly type: 'end';
  readonly usage: Usage;
  readonly timings: Timings;
}

/** What is common to the events of all generations. */
export type GenerationEvent = EndEvent | { readonly type: string };

/** Whether it is the last one. */
export function isEnd<E extends GenerationEvent>(event: E): event is E & EndEvent {
  return event.type === 'end';
}
