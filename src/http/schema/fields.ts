/**
 * For every field a client may send: what becomes of it. Nothing is silent: a field is honoured, or
 * refused by name unless it says nothing, or ignored and named in `x-hoshikage-ignored`.
 * Data and two pure functions; no field may be honoured without standing here.
 */
import { HoshikageError } from '../../errors.js';
import { shownKey } from './issue.js';

/**
 * `honoured`: the schema takes it. `ignored`: accepted, without effect, named in the answer. A
 * function: refused by name unless the value is neutral, that is, asks for nothing.
 */
export type FieldRule = 'honoured' | 'ignored' | Refusal;

/** True for a neutral value; `accepts` is the same as a JSON Schema, for the document of the API. */
export type Refusal = ((value: unknown) => boolean) & {
  readonly accepts?: Readonly<Record<string, unknown>>;
};

/** Takes these values alone. */
export const only = (...neutral: readonly unknown[]): Refusal =>
  Object.assign((value: unknown) => neutral.includes(value), { accepts: { enum: neutral } });
const emptyList: Refusal = Object.assign(
  (value: unknown) => Array.isArray(value) && value.length === 0,
  { accepts: { type: 'array', maxItems: 0 } },
);
const textOnly: Refusal = Object.assign(
  (value: unknown) => Array.isArray(value) && value.every((kind) => kind === 'text'),
  { accepts: { type: 'array', items: { const: 'text' } } },
);
/** Takes nothing but null. */
export const never: Refusal = Object.assign(() => false, { accepts: { type: 'null' } });

/** How tokens are chosen and where an answer ends: alike in every body that asks for an answer. */
export const SAMPLING_FIELDS = {
  temperature: 'honoured',
  top_p: 'honoured',
  top_k: 'honoured',
  min_p: 'honoured',
  typical_p: 'honoured',
  top_n_sigma: 'honoured',
  xtc_probability: 'honoured',
  xtc_threshold: 'honoured',
  mirostat: 'honoured',
  mirostat_tau: 'honoured',
  mirostat_eta: 'honoured',
  dynatemp_range: 'honoured',
  dynatemp_exponent: 'honoured',
  samplers: 'honoured',
  seed: 'honoured',
  stop: 'honoured',
  presence_penalty: 'honoured',
  frequency_penalty: 'honoured',
  repeat_penalty: 'honoured',
  repeat_last_n: 'honoured',
  dry_multiplier: 'honoured',
  dry_base: 'honoured',
  dry_allowed_length: 'honoured',
  dry_penalty_last_n: 'honoured',
  dry_sequence_breakers: 'honoured',
  logit_bias: 'honoured',
  ignore_eos: 'honoured',
  cache_prompt: 'honoured',
} as const satisfies Readonly<Record<string, FieldRule>>;

/** For the service OpenAI runs; nothing here corresponds to them. */
export const SERVICE_FIELDS = {
  store: 'ignored',
  metadata: 'ignored',
  user: 'ignored',
  service_tier: 'ignored',
  prompt_cache_key: 'ignored',
  prompt_cache_retention: 'ignored',
  safety_identifier: 'ignored',
} as const satisfies Readonly<Record<string, FieldRule>>;

/** POST /v1/chat/completions. null is neutral everywhere: it asks for the default. */
export const CHAT_FIELDS: Readonly<Record<string, FieldRule>> = {
  model: 'honoured',
  messages: 'honoured',
  stream: 'honoured',
  stream_options: 'honoured',
  max_tokens: 'honoured',
  max_completion_tokens: 'honoured',
  n: 'honoured',
  logprobs: 'honoured',
  top_logprobs: 'honoured',
  response_format: 'honoured',
  grammar: 'honoured',
  tools: 'honoured',
  tool_choice: 'honoured',
  parallel_tool_calls: 'honoured',
  reasoning_effort: 'honoured',
  reasoning_budget: 'honoured',
  chat_template_kwargs: 'honoured',
  truncation: 'honoured',
  keep_alive: 'honoured',
  ...SAMPLING_FIELDS,

  functions: emptyList,
  function_call: only('none', 'auto'),
  audio: never,
  modalities: textOnly,
  web_search_options: never,
  verbosity: only('medium'),

  ...SERVICE_FIELDS,
  // A hint that may make an answer faster, and never another one.
  prediction: 'ignored',
};

/** Fields inside `stream_options` and in a message: the schema's, and those without a meaning here. */
export const STREAM_OPTION_FIELDS: Readonly<Record<string, FieldRule>> = {
  include_usage: 'honoured',
  include_obfuscation: 'ignored',
};
export const MESSAGE_FIELDS: Readonly<Record<string, FieldRule>> = {
  role: 'honoured',
  content: 'honoured',
  name: 'honoured',
  tool_calls: 'honoured',
  tool_call_id: 'honoured',
  reasoning_content: 'honoured',
  audio: never,
  function_call: never,
  refusal: 'ignored',
  annotations: 'ignored',
};
export const TOOL_FIELDS: Readonly<Record<string, FieldRule>> = {
  type: 'honoured',
  function: 'honoured',
};
/** `function` of a named `tool_choice`. */
export const CHOSEN_FUNCTION_FIELDS: Readonly<Record<string, FieldRule>> = { name: 'honoured' };
/** `function` of a tool that is offered. */
export const OFFERED_FUNCTION_FIELDS: Readonly<Record<string, FieldRule>> = {
  name: 'honoured',
  description: 'honoured',
  parameters: 'honoured',
  strict: 'honoured',
};
export const RESPONSE_FORMAT_FIELDS: Readonly<Record<string, FieldRule>> = {
  type: 'honoured',
  json_schema: 'honoured',
  schema: 'honoured',
};
/** `strict` changes nothing: every schema is obeyed. */
export const JSON_SCHEMA_FIELDS: Readonly<Record<string, FieldRule>> = {
  name: 'honoured',
  description: 'ignored',
  schema: 'honoured',
  strict: 'honoured',
};
export const CONTENT_PART_FIELDS: Readonly<Record<string, FieldRule>> = {
  type: 'honoured',
  text: 'honoured',
};
export const TOOL_CALL_FIELDS: Readonly<Record<string, FieldRule>> = {
  id: 'honoured',
  type: 'honoured',
  function: 'honoured',
  index: 'ignored',
};
export const TOOL_FUNCTION_FIELDS: Readonly<Record<string, FieldRule>> = {
  name: 'honoured',
  arguments: 'honoured',
};

/** More names than the header has room for; a body within its limit holds a million. */
const MOST_NAMES = 1024;

/** Collects what is ignored in one request; with `strict` the first such field is refused instead. */
export class IgnoredFields {
  readonly #names = new Set<string>();
  readonly #strict: boolean;

  constructor(strict: boolean) {
    this.#strict = strict;
  }

  /** The names, in the order they were met; of very many the first ones. */
  get names(): readonly string[] {
    return [...this.#names];
  }

  /** Notes one field without effect; `list`: the name it gets in the header. Code: unknown_parameter. */
  add(param: string, list = param): void {
    if (this.#strict) throw new HoshikageError('unknown_parameter', { param });
    if (this.#names.size < MOST_NAMES) this.#names.add(list);
  }

  /**
   * Holds an object's fields against a table; what no table knows is ignored too. `at` is the place
   * in a param (`messages[0]`), without its indices the place in the header (`messages`).
   * Codes: unsupported_parameter, unknown_parameter.
   */
  check(value: unknown, rules: Readonly<Record<string, FieldRule>>, at = ''): void {
    if (!isRecord(value)) return;
    // Not by Object.entries(): a million small arrays are seconds of work.
    for (const key of Object.keys(value)) {
      const field = value[key];
      if (field === null || field === undefined) continue;
      const shown = shownKey(key);
      const param = at === '' ? shown : `${at}.${shown}`;
      const rule = Object.hasOwn(rules, key) ? rules[key] : 'ignored';
      if (rule === 'ignored') this.add(param, param.replace(/\[\d+\]/g, ''));
      else if (typeof rule === 'function' && !rule(field)) {
        throw new HoshikageError('unsupported_parameter', { param });
      }
    }
  }
}

/** True for a plain JSON object. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
