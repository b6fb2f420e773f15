/**
 * The body of POST /v1/chat/completions: from unknown JSON to a ChatRequest, every number in its
 * range, or an error that names the field. Runs in the server; pure. null means the default.
 */
import { z } from 'zod';
import type { ChatMessage, ChatRequest, ToolCall } from '../../chat/message.js';
import { HoshikageError } from '../../errors.js';
import {
  CHAT_FIELDS,
  CHOSEN_FUNCTION_FIELDS,
  CONTENT_PART_FIELDS,
  IgnoredFields,
  isRecord,
  JSON_SCHEMA_FIELDS,
  MESSAGE_FIELDS,
  OFFERED_FUNCTION_FIELDS,
  RESPONSE_FORMAT_FIELDS,
  STREAM_OPTION_FIELDS,
  TOOL_CALL_FIELDS,
  TOOL_FIELDS,
  TOOL_FUNCTION_FIELDS,
} from './fields.js';
import { grammar, responseFormat, toForm } from './form.js';
import { because, invalidValue, parseWith } from './issue.js';
import { listOf } from './list.js';
import { withFields } from './notes.js';
import { given, idleFields, samplingShape, stopsOf, toSampling } from './sampling.js';
import { refuseOtherTools, toolChoice, toolList, toToolChoice, toTools } from './tools.js';
import { keepAlive } from './turn.js';

/** A chat request and how it is to be answered. */
export interface ChatCall {
  readonly request: ChatRequest;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** How long the model stays after it; absent or null: as its entry or the settings say. */
  readonly keepAliveMs: number | null | undefined;
  /** For `x-hoshikage-ignored`. */
  readonly ignored: readonly string[];
}

const textPart = z.looseObject({ type: z.literal('text'), text: z.string() });
withFields('part', CONTENT_PART_FIELDS, textPart);
const content = z.union([z.string(), listOf(textPart)]).nullish();
const called = z.looseObject({ name: z.string().min(1), arguments: z.string().nullish() });
const toolCall = z.looseObject({
  id: z.string().nullish(),
  type: z.literal('function').nullish(),
  function: withFields('called_function', TOOL_FUNCTION_FIELDS, called),
});
withFields('tool_call', TOOL_CALL_FIELDS, toolCall);
const message = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content,
  name: z.string().max(256).nullish(),
  reasoning_content: z.string().nullish(),
  tool_calls: listOf(toolCall).nullish(),
  tool_call_id: z.string().nullish(),
});
withFields('message', MESSAGE_FIELDS, message);

const streamOptions = z.looseObject({ include_usage: z.boolean().nullish() });
withFields('stream_options', STREAM_OPTION_FIELDS, streamOptions);

/** Names that a template gets from us; a request may not set them. */
const TEMPLATE_NAMES = new Set([
  'messages',
  'add_generation_prompt',
  'bos_token',
  'eos_token',
  'tools',
  'documents',
]);
/** Each is looked for in the template. */
const MAX_TEMPLATE_VARIABLES = 256;
const templateVariables = z
  .record(z.string(), z.unknown())
  .refine(
    (variables) => Object.keys(variables).length <= MAX_TEMPLATE_VARIABLES,
    because(
      `${MAX_TEMPLATE_VARIABLES} 個までです`,
      `at most ${MAX_TEMPLATE_VARIABLES} entries are allowed`,
    ),
  )
  .refine(
    (variables) => Object.keys(variables).every((name) => !TEMPLATE_NAMES.has(name)),
    because('テンプレートが自分で使う名前です', 'a name that belongs to the template itself'),
  )
  .meta({ propertyNames: { not: { enum: [...TEMPLATE_NAMES] } } });

/** No model's name is longer in any Unicode spelling; what is asked for goes into the log. */
const MAX_MODEL_LENGTH = 1024;

const MAX_CHOICES = 8;
/** OpenAI's limit. */
const MAX_TOP_LOGPROBS = 20;

/** The body of POST /v1/chat/completions. */
export const chatBody = z.looseObject({
  model: z.string().min(1).max(MAX_MODEL_LENGTH),
  messages: listOf(message, { min: 1 }),
  stream: z.boolean().nullish(),
  stream_options: streamOptions.nullish(),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  n: z.int().min(1).max(MAX_CHOICES).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(MAX_TOP_LOGPROBS).nullish(),
  response_format: responseFormat,
  grammar,
  tools: toolList,
  tool_choice: toolChoice,
  parallel_tool_calls: z.boolean().nullish(),
  reasoning_effort: z.string().max(32).nullish(),
  reasoning_budget: z.int().min(-1).nullish(),
  chat_template_kwargs: templateVariables.nullish(),
  truncation: z.enum(['auto', 'disabled']).nullish(),
  keep_alive: keepAlive,
  ...samplingShape,
});

type ChatBody = z.output<typeof chatBody>;

/**
 * Reads a chat body. `strict`: fields without effect are refused. Codes: missing_required_parameter,
 * invalid_value, unsupported_parameter, unknown_parameter.
 */
export function parseChat(body: unknown, strict: boolean): ChatCall {
  refuseMediaParts(body);
  refuseOtherTools(body);
  const ignored = new IgnoredFields(strict);
  // Before the schema: what is not supported is said by name, also where its form is unknown to us.
  ignored.check(body, CHAT_FIELDS);
  const chat = parseWith(chatBody, body);
  // The body itself, which has this form now, and not zod's copy: that leaves a key __proto__ out.
  checkMembers(ignored, body as ChatBody);
  for (const name of idleFields(chat)) ignored.add(name);
  const stream = chat.stream ?? false;
  if (chat.stream_options && !stream) {
    throw invalidValue('stream_options', {
      ja: 'stream が true のときだけ使えます',
      en: 'only allowed when stream is true',
    });
  }
  return {
    request: toRequest(chat),
    stream,
    includeUsage: chat.stream_options?.include_usage ?? false,
    keepAliveMs: chat.keep_alive,
    ignored: ignored.names,
  };
}

function checkMembers(ignored: IgnoredFields, chat: ChatBody): void {
  ignored.check(chat.stream_options, STREAM_OPTION_FIELDS, 'stream_options');
  // The one name that zod's records leave out.
  if (chat.chat_template_kwargs && Object.hasOwn(chat.chat_template_kwargs, '__proto__')) {
    ignored.add('chat_template_kwargs.__proto__');
  }
  ignored.check(chat.response_format, RESPONSE_FORMAT_FIELDS, 'response_format');
  const schemaAt = 'response_format.json_schema';
  ignored.check(chat.response_format?.json_schema, JSON_SCHEMA_FIELDS, schemaAt);
  // The member of another type than the one that was chosen.
  const { type, json_schema: named, schema: own } = chat.response_format ?? {};
  if (named && type !== 'json_schema') ignored.add(schemaAt);
  if (own && type !== 'json_object') ignored.add('response_format.schema');
  ignored.check(chat.tool_choice, TOOL_FIELDS, 'tool_choice');
  if (isRecord(chat.tool_choice)) {
    ignored.check(chat.tool_choice.function, CHOSEN_FUNCTION_FIELDS, 'tool_choice.function');
  }
  for (const [index, one] of (chat.tools ?? []).entries()) {
    ignored.check(one, TOOL_FIELDS, `tools[${index}]`);
    ignored.check(one.function, OFFERED_FUNCTION_FIELDS, `tools[${index}].function`);
  }
  for (const [index, one] of chat.messages.entries()) {
    const at = `messages[${index}]`;
    ignored.check(one, MESSAGE_FIELDS, at);
    if (Array.isArray(one.content)) {
      for (const [place, part] of one.content.entries()) {
        ignored.check(part, CONTENT_PART_FIELDS, `${at}.content[${place}]`);
      }
    }
    for (const [place, call] of (one.tool_calls ?? []).entries()) {
      ignored.check(call, TOOL_CALL_FIELDS, `${at}.tool_calls[${place}]`);
      ignored.check(call.function, TOOL_FUNCTION_FIELDS, `${at}.tool_calls[${place}].function`);
    }
  }
}

/** Image, audio and file parts by their place: valid for OpenAI, so not "a wrong value". */
function refuseMediaParts(body: unknown): void {
  if (!isRecord(body) || !Array.isArray(body.messages)) return;
  for (const [index, one] of body.messages.entries()) {
    if (!isRecord(one) || !Array.isArray(one.content)) continue;
    for (const [place, part] of one.content.entries()) {
      if (!isRecord(part) || typeof part.type !== 'string' || part.type === 'text') continue;
      if (!['image_url', 'input_audio', 'file', 'refusal'].includes(part.type)) continue;
      const param = `messages[${index}].content[${place}]`;
      throw new HoshikageError('unsupported_parameter', { param });
    }
  }
}

function toRequest(chat: ChatBody): ChatRequest {
  const tools = toTools(chat.tools);
  const effort = chat.reasoning_effort ?? undefined;
  return {
    model: chat.model,
    messages: chat.messages.map(toMessage),
    sampling: toSampling(chat),
    choices: chat.n ?? 1,
    ...given({
      maxTokens: maxTokensOf(chat),
      topLogprobs: topLogprobsOf(chat),
      form: toForm(chat),
      reasoningBudget: reasoningBudgetOf(chat),
    }),
    tools,
    toolChoice: toToolChoice(chat.tool_choice, tools),
    parallelToolCalls: chat.parallel_tool_calls ?? true,
    truncates: chat.truncation === 'auto',
    stop: stopsOf(chat),
    cachePrompt: chat.cache_prompt ?? true,
    templateVariables: {
      ...(effort !== undefined && { reasoning_effort: effort }),
      ...chat.chat_template_kwargs,
    },
  };
}

function topLogprobsOf({ logprobs, top_logprobs: top }: ChatBody): number | undefined {
  if (logprobs) return top ?? 0;
  if (typeof top === 'number' && top > 0) {
    throw invalidValue('top_logprobs', {
      ja: 'logprobs が true のときだけ使えます',
      en: 'only allowed when logprobs is true',
    });
  }
  return undefined;
}

/** No reasoning at all is a budget of nothing, whatever the template makes of the word. */
function reasoningBudgetOf(chat: ChatBody): number | undefined {
  const { reasoning_budget: budget, reasoning_effort: effort } = chat;
  if (typeof budget === 'number') return budget < 0 ? undefined : budget;
  return effort === 'none' ? 0 : undefined;
}

function maxTokensOf(chat: ChatBody): number | undefined {
  const { max_tokens: older, max_completion_tokens: newer } = chat;
  if (typeof older === 'number' && typeof newer === 'number' && older !== newer) {
    throw invalidValue('max_completion_tokens', {
      ja: 'max_tokens と違う値です。どちらか一つにしてください',
      en: 'differs from max_tokens; send one of them',
    });
  }
  return newer ?? older ?? undefined;
}

function toMessage(one: ChatBody['messages'][number]): ChatMessage {
  const calls = one.tool_calls?.map(toToolCall);
  return {
    role: one.role,
    content: textOf(one.content),
    ...given({
      name: one.name,
      reasoning_content: one.reasoning_content,
      tool_calls: calls && calls.length > 0 ? calls : undefined,
      tool_call_id: one.tool_call_id,
    }),
  };
}

function toToolCall(call: z.output<typeof toolCall>): ToolCall {
  return {
    ...given({ id: call.id }),
    type: 'function',
    // Many clients send nothing where there are none.
    function: { name: call.function.name, arguments: call.function.arguments?.trim() || '{}' },
  };
}

function textOf(value: z.output<typeof content>): string {
  if (typeof value === 'string') return value;
  return (value ?? []).map((part) => part.text).join('\n');
}
