/**
 * What a conversation and a request for its next turn are, in our own names: the shape http/schema
 * makes and chat/complete takes. Types only.
 */

import type { Tool } from '../dialect/dialect.js';
import type { SamplingRequest } from '../generate/sampling.js';

export type { Tool } from '../dialect/dialect.js';

/** Who speaks. */
export type Role = 'system' | 'developer' | 'user' | 'assistant' | 'tool';

/** A tool call in the history; `arguments` is JSON text, as clients send it. */
export interface ToolCall {
  readonly id?: string;
  readonly type: 'function';
  readonly function: { readonly name: string; readonly arguments: string };
}

/** One turn. Text parts of an array are joined by a line break; no content is ''. */
export interface ChatMessage {
  readonly role: Role;
  readonly content: string;
  readonly name?: string;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly ToolCall[];
  readonly tool_call_id?: string;
}

/** What the answer itself must be, apart from reasoning and calls. */
export type AnswerForm =
  | { readonly kind: 'json_object' }
  /** `schema` is a JSON Schema, as it was sent. */
  | { readonly kind: 'json_schema'; readonly schema: unknown }
  /** GBNF with the start symbol `root`. */
  | { readonly kind: 'grammar'; readonly text: string };

/** Whether an answer may or must call tools; `name`: this very one. */
export type ToolChoice =
  | { readonly kind: 'none' | 'auto' | 'required' }
  | { readonly kind: 'named'; readonly name: string };

/** A checked chat request: every number in its range. */
export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly sampling: SamplingRequest;
  /** How many answers; each has a seed of its own, and the prompt is computed once. */
  readonly choices: number;
  /** Log-probabilities of this many likeliest tokens beside the chosen one's; absent = none. */
  readonly topLogprobs?: number;
  readonly tools: readonly Tool[];
  readonly toolChoice: ToolChoice;
  /** More than one call in an answer. */
  readonly parallelToolCalls: boolean;
  /** Absent = text of any form. */
  readonly form?: AnswerForm;
  /** Tokens the model may think in; absent = no limit. */
  readonly reasoningBudget?: number;
  /** Leave out the oldest turns where the prompt is too long. */
  readonly truncates: boolean;
  /** Tokens to generate at most. */
  readonly maxTokens?: number;
  readonly stop: readonly string[];
  readonly cachePrompt: boolean;
  /** Extra variables for the template, e.g. `enable_thinking`; never one of its own (`messages` …). */
  readonly templateVariables: Readonly<Record<string, unknown>>;
}
