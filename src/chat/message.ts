/**
 * What a conversation and a request for its next turn are, in our own names: the shape http/schema
 * makes and chat/complete takes. Types only.
 */

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

/** What a request sets of the sampling; what is absent comes from the registry entry or the settings. */
export interface SamplingRequest {
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly seed?: number;
  readonly repeatPenalty?: number;
  readonly repeatLastN?: number;
  readonly dryMultiplier?: number;
  readonly dryBase?: number;
  readonly dryAllowedLength?: number;
  readonly dryPenaltyLastN?: number;
  readonly drySequenceBreakers?: readonly string[];
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly logitBias?: readonly (readonly [token: number, bias: number])[];
  readonly ignoreEos?: boolean;
}

/** A checked chat request: every number in its range. */
export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly sampling: SamplingRequest;
  /** Tokens to generate at most. */
  readonly maxTokens?: number;
  readonly stop: readonly string[];
  readonly cachePrompt: boolean;
  /** Extra variables for the template, e.g. `enable_thinking`; never one of its own (`messages` …). */
  readonly templateVariables: Readonly<Record<string, unknown>>;
}
