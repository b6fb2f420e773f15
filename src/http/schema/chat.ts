/**
 * The body of POST /v1/chat/completions: from unknown JSON to a ChatRequest, every number in its
 * range, or an error that names the field. Runs in the server; pure. null means the default.
 */
import { z } from 'zod';
import type { ChatMessage, ChatRequest, SamplingRequest, ToolCall } from '../../chat/message.js';
import { HoshikageError } from '../../errors.js';
import {
  CHAT_FIELDS,
  CONTENT_PART_FIELDS,
  IgnoredFields,
  isRecord,
  MESSAGE_FIELDS,
  STREAM_OPTION_FIELDS,
  TOOL_CALL_FIELDS,
  TOOL_FUNCTION_FIELDS,
} from './fields.js';
import { because, invalidValue, parseWith } from './issue.js';
import { listOf } from './list.js';
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
const content = z.union([z.string(), listOf(textPart)]).nullish();
const toolCall = z.looseObject({
  id: z.string().nullish(),
  type: z.literal('function').nullish(),
  function: z.looseObject({ name: z.string().min(1), arguments: z.string().nullish() }),
});
const message = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content,
  name: z.string().max(256).nullish(),
  reasoning_content: z.string().nullish(),
  tool_calls: listOf(toolCall).nullish(),
  tool_call_id: z.string().nullish(),
});

const MAX_STOP_BYTES = 256;
const stopText = z
  .string()
  .min(1)
  .refine(
    (stop) => Buffer.byteLength(stop) <= MAX_STOP_BYTES,
    because(`${MAX_STOP_BYTES} バイトまでです`, `at most ${MAX_STOP_BYTES} bytes are allowed`),
  )
  .refine(
    (stop) => !/\p{Surrogate}/u.test(stop),
    because('文字として正しくありません', 'not valid text'),
  );
// The count first: a check of the items keeps an issue for each.
const stopList = z.array(z.unknown()).max(16).pipe(z.array(stopText));
const MAX_BIASES = 1024;
/** Token ids are 32-bit and not negative; whether the vocabulary has them is the engine's to check. */
const isTokenId = (key: string) => /^\d{1,10}$/.test(key) && Number(key) < 2 ** 31;
const logitBias = z
  .record(z.string(), z.unknown())
  .refine(
    (biases) => Object.keys(biases).length <= MAX_BIASES,
    because(`${MAX_BIASES} 個までです`, `at most ${MAX_BIASES} entries are allowed`),
  )
  .pipe(z.record(z.string(), z.number().min(-100).max(100)))
  .refine(
    (biases) => Object.keys(biases).every(isTokenId),
    because('キーは 10 進数のトークン番号にしてください', 'keys must be token ids in decimal'),
  );

/** Names that a template gets from us; a request may not set them. */
const TEMPLATE_NAMES = new Set([
  'messages',
  'add_generation_prompt',
  'bos_token',
  'eos_token',
  'tools',
  'documents',
]);
const templateVariables = z
  .record(z.string(), z.unknown())
  .refine(
    (variables) => Object.keys(variables).every((name) => !TEMPLATE_NAMES.has(name)),
    because('テンプレートが自分で使う名前です', 'a name that belongs to the template itself'),
  );

/** No model's name is longer in any Unicode spelling; what is asked for goes into the log. */
const MAX_MODEL_LENGTH = 1024;

const chatBody = z.looseObject({
  model: z.string().min(1).max(MAX_MODEL_LENGTH),
  messages: listOf(message, { min: 1 }),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(0).max(2_147_483_647).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  seed: z.int().nullish(),
  stop: z.union([stopText, stopList]).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  repeat_penalty: z.number().gt(0).max(10).nullish(),
  repeat_last_n: z.int().min(-1).max(2_147_483_647).nullish(),
  dry_multiplier: z.number().min(0).max(100).nullish(),
  dry_base: z.number().min(1).max(100).nullish(),
  dry_allowed_length: z.int().min(0).max(2_147_483_647).nullish(),
  dry_penalty_last_n: z.int().min(-1).max(2_147_483_647).nullish(),
  dry_sequence_breakers: stopList.nullish(),
  logit_bias: logitBias.nullish(),
  ignore_eos: z.boolean().nullish(),
  cache_prompt: z.boolean().nullish(),
  reasoning_effort: z.string().max(32).nullish(),
  chat_template_kwargs: templateVariables.nullish(),
  keep_alive: keepAlive,
});

type ChatBody = z.output<typeof chatBody>;

/**
 * Reads a chat body. `strict`: fields without effect are refused. Codes: missing_required_parameter,
 * invalid_value, unsupported_parameter, unknown_parameter.
 */
export function parseChat(body: unknown, strict: boolean): ChatCall {
  refuseMediaParts(body);
  const ignored = new IgnoredFields(strict);
  // Before the schema: what is not supported is said by name, also where its form is unknown to us.
  ignored.check(body, CHAT_FIELDS);
  const chat = parseWith(chatBody, body);
  // The body itself, which has this form now, and not zod's copy: that leaves a key __proto__ out.
  checkMembers(ignored, body as ChatBody);
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
  const maxTokens = maxTokensOf(chat);
  return {
    model: chat.model,
    messages: chat.messages.map(toMessage),
    sampling: toSampling(chat),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    stop: typeof chat.stop === 'string' ? [chat.stop] : (chat.stop ?? []),
    cachePrompt: chat.cache_prompt ?? true,
    templateVariables: {
      ...(typeof chat.reasoning_effort === 'string'
        ? { reasoning_effort: chat.reasoning_effort }
        : {}),
      ...chat.chat_template_kwargs,
    },
  };
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

function toSampling(chat: ChatBody): SamplingRequest {
  const bias = chat.logit_bias ?? undefined;
  return given({
    temperature: chat.temperature,
    topP: chat.top_p,
    topK: chat.top_k,
    minP: chat.min_p,
    seed: chat.seed,
    repeatPenalty: chat.repeat_penalty,
    repeatLastN: chat.repeat_last_n,
    dryMultiplier: chat.dry_multiplier,
    dryBase: chat.dry_base,
    dryAllowedLength: chat.dry_allowed_length,
    dryPenaltyLastN: chat.dry_penalty_last_n,
    drySequenceBreakers: chat.dry_sequence_breakers,
    presencePenalty: chat.presence_penalty,
    frequencyPenalty: chat.frequency_penalty,
    logitBias:
      bias && Object.entries(bias).map(([token, value]) => [Number(token), value] as const),
    ignoreEos: chat.ignore_eos,
  });
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
    function: { name: call.function.name, arguments: call.function.arguments ?? '{}' },
  };
}

function textOf(value: z.output<typeof content>): string {
  if (typeof value === 'string') return value;
  return (value ?? []).map((part) => part.text).join('\n');
}

type Given<T> = { [K in keyof T]?: NonNullable<T[K]> };

/** The same record without what is null or undefined. */
function given<T extends object>(record: T): Given<T> {
  const entries = Object.entries(record).filter(
    ([, value]) => value !== null && value !== undefined,
  );
  // Only keys whose value is absent were left out, and they are optional in the result.
  return Object.fromEntries(entries) as Given<T>;
}
