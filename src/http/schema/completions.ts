/**
 * The body of POST /v1/completions: from unknown JSON to a TextRequest, every number in its range, or an
 * error that names the field. Runs in the server; pure. null means the default.
 */
import { z } from 'zod';
import type { TextRequest } from '../../text/request.js';
import {
  type FieldRule,
  IgnoredFields,
  isRecord,
  never,
  type Refusal,
  SAMPLING_FIELDS,
  SERVICE_FIELDS,
  STREAM_OPTION_FIELDS,
} from './fields.js';
import { grammar } from './form.js';
import { invalidValue, parseWith } from './issue.js';
import { listOf } from './list.js';
import { withFields } from './notes.js';
import { given, idleFields, samplingShape, stopsOf, toSampling } from './sampling.js';
import { MAX_TEXT, modelName, someTokens } from './tokens.js';
import { keepAlive } from './turn.js';

const MAX_PROMPTS = 32;
const MAX_CHOICES = 8;
/** Answers to all prompts together, also those that best_of throws away. */
const MAX_ANSWERS = 64;

const plainText: Refusal = Object.assign(
  (value: unknown) => isRecord(value) && value.type === 'text',
  { accepts: { type: 'object', properties: { type: { const: 'text' } }, required: ['type'] } },
);

/** POST /v1/completions. null is neutral everywhere: it asks for the default. */
export const COMPLETION_FIELDS: Readonly<Record<string, FieldRule>> = {
  model: 'honoured',
  prompt: 'honoured',
  suffix: 'honoured',
  stream: 'honoured',
  stream_options: 'honoured',
  max_tokens: 'honoured',
  n: 'honoured',
  best_of: 'honoured',
  echo: 'honoured',
  logprobs: 'honoured',
  grammar: 'honoured',
  keep_alive: 'honoured',
  ...SAMPLING_FIELDS,

  response_format: plainText,
  json_schema: never,

  ...SERVICE_FIELDS,
};

/** A request for texts and how it is to be answered. */
export interface CompletionCall {
  readonly request: TextRequest;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** How long the model stays after it; absent or null: as its entry or the settings say. */
  readonly keepAliveMs: number | null | undefined;
  /** For `x-hoshikage-ignored`. */
  readonly ignored: readonly string[];
}

const streamOptions = z.looseObject({ include_usage: z.boolean().nullish() });
withFields('stream_options', STREAM_OPTION_FIELDS, streamOptions);

const completionBody = z.looseObject({
  model: modelName,
  prompt: z.unknown().optional(),
  suffix: z.string().max(MAX_TEXT).nullish(),
  stream: z.boolean().nullish(),
  stream_options: streamOptions.nullish(),
  max_tokens: z.int().min(0).nullish(),
  n: z.int().min(1).max(MAX_CHOICES).nullish(),
  best_of: z.int().min(1).max(MAX_CHOICES).nullish(),
  echo: z.boolean().nullish(),
  logprobs: z.int().min(0).max(20).nullish(),
  grammar,
  keep_alive: keepAlive,
  ...samplingShape,
});

type CompletionBody = z.output<typeof completionBody>;

const promptText = z.string().max(MAX_TEXT);
/** The form of `prompt` is told by its first item, so that an error is about the form that was meant. */
const promptForms = {
  text: z.looseObject({ prompt: promptText }),
  tokens: z.looseObject({ prompt: someTokens }),
  texts: z.looseObject({ prompt: limited(promptText) }),
  tokenLists: z.looseObject({ prompt: limited(someTokens) }),
};

function limited<S extends z.ZodType>(item: S) {
  return z.array(z.unknown()).min(1).max(MAX_PROMPTS).pipe(listOf(item));
}

/** The body with all forms of `prompt` at once, for the document of the API. */
export const completionForm = completionBody.extend({
  prompt: z.union([promptText, someTokens, limited(promptText), limited(someTokens)]),
});

/**
 * Reads the body. `strict`: fields without effect are refused. Codes: missing_required_parameter,
 * invalid_value, unsupported_parameter, unknown_parameter.
 */
export function parseCompletion(body: unknown, strict: boolean): CompletionCall {
  const ignored = new IgnoredFields(strict);
  ignored.check(body, COMPLETION_FIELDS);
  const call = parseWith(completionBody, body);
  for (const name of idleFields(call)) ignored.add(name);
  ignored.check(call.stream_options, STREAM_OPTION_FIELDS, 'stream_options');
  const stream = call.stream ?? false;
  if (call.stream_options && !stream) {
    throw invalidValue('stream_options', {
      ja: 'stream が true のときだけ使えます',
      en: 'only allowed when stream is true',
    });
  }
  return {
    request: toRequest(call, body),
    stream,
    includeUsage: call.stream_options?.include_usage ?? false,
    keepAliveMs: call.keep_alive,
    ignored: ignored.names,
  };
}

function toRequest(call: CompletionBody, body: unknown): TextRequest {
  const { prompts, isSingle } = promptsOf(call.prompt, body);
  const { suffix } = call;
  const echo = call.echo ?? false;
  checkEcho(call, echo);
  return {
    model: call.model,
    // An empty suffix asks for nothing.
    prompts: suffix ? prompts.map((before) => ({ before, after: suffix, extra: [] })) : prompts,
    nameOf: (index) => (isSingle ? 'prompt' : `prompt[${index}]`),
    gapParam: 'suffix',
    ...choicesOf(call, prompts.length),
    echo,
    sampling: toSampling(call),
    ...given({ maxTokens: call.max_tokens, topLogprobs: call.logprobs }),
    stop: stopsOf(call),
    ...(call.grammar && { grammar: call.grammar }),
    cachePrompt: call.cache_prompt ?? true,
  };
}

function promptsOf(
  prompt: unknown,
  body: unknown,
): { readonly prompts: readonly (string | Int32Array)[]; readonly isSingle: boolean } {
  if (!Array.isArray(prompt)) {
    return { prompts: [parseWith(promptForms.text, body).prompt], isSingle: true };
  }
  const first: unknown = prompt[0];
  if (typeof first === 'number') {
    return { prompts: [parseWith(promptForms.tokens, body).prompt], isSingle: true };
  }
  const form = Array.isArray(first) ? promptForms.tokenLists : promptForms.texts;
  return { prompts: parseWith(form, body).prompt, isSingle: false };
}

function checkEcho({ max_tokens: maxTokens }: CompletionBody, echo: boolean): void {
  if (maxTokens === 0 && !echo) {
    throw invalidValue('max_tokens', {
      ja: '0 は echo が true のときだけ使えます',
      en: '0 is only allowed when echo is true',
    });
  }
}

function choicesOf(
  { n, best_of: asked, stream }: CompletionBody,
  prompts: number,
): Pick<TextRequest, 'choices' | 'bestOf'> {
  const choices = n ?? 1;
  const bestOf = asked ?? choices;
  if (bestOf < choices) {
    throw invalidValue('best_of', { ja: 'n 以上にしてください', en: 'must be at least n' });
  }
  if (bestOf > choices && stream) {
    throw invalidValue('best_of', {
      ja: 'n より大きい値は、stream と一緒には使えません',
      en: 'more than n cannot be used together with stream',
    });
  }
  if (bestOf * prompts > MAX_ANSWERS) {
    throw invalidValue(bestOf > choices ? 'best_of' : 'n', {
      ja: `プロンプトの数との積は ${MAX_ANSWERS} までです`,
      en: `times the number of prompts it may be ${MAX_ANSWERS} at most`,
    });
  }
  return { choices, bestOf };
}
