/**
 * For every field a client may send: what becomes of it. Nothing is silent: a field is honoured, or
 * refused by name unless it says nothing, or ignored and named in `x-hoshikage-ignored`.
 * Data and two pure functions; no field may be honoured without standing here.
 */
import { HoshikageError } from '../../errors.js';

/**
 * `honoured`: the schema takes it. `ignored`: accepted, without effect, named in the answer. A
 * function: refused by name unless the value is neutral, that is, asks for nothing.
 */
export type FieldRule = 'honoured' | 'ignored' | ((value: unknown) => boolean);

const only =
  (...neutral: readonly unknown[]): FieldRule =>
  (value) =>
    neutral.includes(value);
const emptyList: FieldRule = (value) => Array.isArray(value) && value.length === 0;
const textOnly: FieldRule = (value) =>
  Array.isArray(value) && value.every((kind) => kind === 'text');
const textFormat: FieldRule = (value) => isRecord(value) && value.type === 'text';
const never: FieldRule = () => false;

/** POST /v1/chat/completions. null is neutral everywhere: it asks for the default. */
export const CHAT_FIELDS: Readonly<Record<string, FieldRule>> = {
  model: 'honoured',
  messages: 'honoured',
  stream: 'honoured',
  stream_options: 'honoured',
  max_tokens: 'honoured',
  max_completion_tokens: 'honoured',
  temperature: 'honoured',
  top_p: 'honoured',
  top_k: 'honoured',
  min_p: 'honoured',
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
  reasoning_effort: 'honoured',
  chat_template_kwargs: 'honoured',
  keep_alive: 'honoured',

  n: only(1),
  logprobs: only(false),
  top_logprobs: only(0),
  typical_p: only(1),
  xtc_probability: only(0),
  response_format: textFormat,
  grammar: only(''),
  tools: emptyList,
  tool_choice: only('none', 'auto'),
  functions: emptyList,
  function_call: only('none', 'auto'),
  audio: never,
  modalities: textOnly,
  web_search_options: never,
  verbosity: only('medium'),

  // Without effect while what they belong to is off, which their rows above see to.
  xtc_threshold: 'ignored',
  parallel_tool_calls: 'ignored',
  // For the service OpenAI runs; nothing here corresponds to them.
  store: 'ignored',
  metadata: 'ignored',
  user: 'ignored',
  service_tier: 'ignored',
  prompt_cache_key: 'ignored',
  prompt_cache_retention: 'ignored',
  safety_identifier: 'ignored',
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
      const param = at === '' ? key : `${at}.${key}`;
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
