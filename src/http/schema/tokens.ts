/**
 * The bodies of POST /v1/embeddings, /tokenize and /detokenize. Runs in the server; pure. Token ids
 * are checked in one plain loop: a body within its limit holds millions.
 */
import { z } from 'zod';
import { type FieldRule, IgnoredFields } from './fields.js';
import { because, parseWith } from './issue.js';
import { listOf } from './list.js';
import { shownAs } from './notes.js';
import { keepAlive } from './turn.js';

/** OpenAI's limit: texts in one request. */
export const MAX_INPUTS = 2048;
/** More than any context holds. */
const MAX_TOKENS = 1 << 20;
/** Characters of one text: some tokenizers take a time that grows with the square of it. */
export const MAX_TEXT = 1 << 20;
/** No model's name is longer in any Unicode spelling; what is asked for goes into the log. */
const MAX_MODEL_LENGTH = 1024;

/** POST /v1/embeddings. */
export const EMBEDDING_FIELDS: Readonly<Record<string, FieldRule>> = {
  model: 'honoured',
  input: 'honoured',
  encoding_format: 'honoured',
  dimensions: 'honoured',
  keep_alive: 'honoured',
  user: 'ignored',
};
/** POST /tokenize. */
export const TOKENIZE_FIELDS: Readonly<Record<string, FieldRule>> = {
  model: 'honoured',
  content: 'honoured',
  add_special: 'honoured',
  parse_special: 'honoured',
  with_pieces: 'honoured',
  keep_alive: 'honoured',
};
/** POST /detokenize. */
export const DETOKENIZE_FIELDS: Readonly<Record<string, FieldRule>> = {
  model: 'honoured',
  tokens: 'honoured',
  keep_alive: 'honoured',
};

/** What all three calls have in common. */
interface Call {
  readonly keepAliveMs: number | null | undefined;
  /** For `x-hoshikage-ignored`. */
  readonly ignored: readonly string[];
}

/** Texts, or token ids that stand for them, to turn into vectors. */
export interface EmbeddingCall extends Call {
  readonly model: string;
  readonly inputs: readonly (string | Int32Array)[];
  /** Whether `input` was one text or one token array, so that errors name it without an index. */
  readonly isSingle: boolean;
  readonly dimensions: number | null;
  readonly encoding: 'float' | 'base64';
}

/** A text to turn into tokens. `model` is null where the request names none. */
export interface TokenizeCall extends Call {
  readonly model: string | null;
  readonly content: string;
  readonly addSpecial: boolean;
  readonly parseSpecial: boolean;
  readonly withPieces: boolean;
}

/** Tokens to turn into text. */
export interface DetokenizeCall extends Call {
  readonly model: string | null;
  readonly tokens: Int32Array;
}

/** A model's name as a body may have it. */
export const modelName = z.string().min(1).max(MAX_MODEL_LENGTH);

/** Ids are 32-bit and not negative; whether the vocabulary has them is the model's to say. */
const isTokenId = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 31;
/** The same for the document; as a check of every item it would keep an issue for each. */
const tokenIds = z.array(
  z
    .int()
    .min(0)
    .max(2 ** 31 - 1),
);

/** An array of token ids; only the first that is none is reported. */
const anyTokens = z
  .array(z.unknown())
  .max(MAX_TOKENS)
  .transform((values, context) => {
    const wrong = values.findIndex((value) => !isTokenId(value));
    if (wrong < 0) return Int32Array.from(values as number[]); // all of them, by the check
    const { error, params } = because(
      'トークン番号(0 以上の整数)にしてください',
      'must be a token id (an integer, not negative)',
    );
    context.addIssue({ code: 'custom', path: [wrong], message: error, params });
    return z.NEVER;
  });
/** Token ids, also none. */
export const tokens = shownAs(tokenIds.max(MAX_TOKENS), anyTokens);

/** A text that is not empty. */
export const someText = z.string().min(1).max(MAX_TEXT);
/** Token ids, one at least. */
export const someTokens = shownAs(
  tokenIds.min(1).max(MAX_TOKENS),
  anyTokens.refine((list) => list.length > 0, because('空にはできません', 'must not be empty')),
);

const embeddingBody = z.looseObject({
  model: modelName,
  input: z.unknown().optional(),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z
    .int()
    .min(1)
    .max(2 ** 24)
    .nullish(),
  keep_alive: keepAlive,
});
/** The form of `input` is told by its first item, so that an error is about the form that was meant. */
const inputForms = {
  text: z.looseObject({ input: someText }),
  tokens: z.looseObject({ input: someTokens }),
  texts: z.looseObject({ input: limited(someText) }),
  tokenLists: z.looseObject({ input: limited(someTokens) }),
};

/** The body of POST /v1/embeddings with all forms of `input` at once, for the document of the API. */
export const embeddingForm = embeddingBody.extend({
  input: z.union([someText, someTokens, limited(someText), limited(someTokens)]),
});

function limited<S extends z.ZodType>(item: S) {
  return z.array(z.unknown()).min(1).max(MAX_INPUTS).pipe(listOf(item));
}

/** Reads the body. Codes: missing_required_parameter, invalid_value, unknown_parameter. */
export function parseEmbedding(body: unknown, strict: boolean): EmbeddingCall {
  const ignored = new IgnoredFields(strict);
  ignored.check(body, EMBEDDING_FIELDS);
  const call = parseWith(embeddingBody, body);
  return {
    model: call.model,
    ...inputsOf(call.input, body),
    dimensions: call.dimensions ?? null,
    encoding: call.encoding_format ?? 'float',
    keepAliveMs: call.keep_alive,
    ignored: ignored.names,
  };
}

function inputsOf(input: unknown, body: unknown): Pick<EmbeddingCall, 'inputs' | 'isSingle'> {
  if (!Array.isArray(input)) {
    return { inputs: [parseWith(inputForms.text, body).input], isSingle: true };
  }
  const first: unknown = input[0];
  if (typeof first === 'number') {
    return { inputs: [parseWith(inputForms.tokens, body).input], isSingle: true };
  }
  const form = Array.isArray(first) ? inputForms.tokenLists : inputForms.texts;
  return { inputs: parseWith(form, body).input, isSingle: false };
}

/** The body of POST /tokenize. */
export const tokenizeBody = z.looseObject({
  model: modelName.nullish(),
  content: z.string().max(MAX_TEXT),
  add_special: z.boolean().nullish(),
  parse_special: z.boolean().nullish(),
  with_pieces: z.boolean().nullish(),
  keep_alive: keepAlive,
});

/** Reads the body. Codes: missing_required_parameter, invalid_value, unknown_parameter. */
export function parseTokenize(body: unknown, strict: boolean): TokenizeCall {
  const ignored = new IgnoredFields(strict);
  ignored.check(body, TOKENIZE_FIELDS);
  const call = parseWith(tokenizeBody, body);
  return {
    model: call.model ?? null,
    content: call.content,
    addSpecial: call.add_special ?? false,
    parseSpecial: call.parse_special ?? true,
    withPieces: call.with_pieces ?? false,
    keepAliveMs: call.keep_alive,
    ignored: ignored.names,
  };
}

/** The body of POST /detokenize. */
export const detokenizeBody = z.looseObject({
  model: modelName.nullish(),
  tokens,
  keep_alive: keepAlive,
});

/** Reads the body. Codes: missing_required_parameter, invalid_value, unknown_parameter. */
export function parseDetokenize(body: unknown, strict: boolean): DetokenizeCall {
  const ignored = new IgnoredFields(strict);
  ignored.check(body, DETOKENIZE_FIELDS);
  const call = parseWith(detokenizeBody, body);
  return {
    model: call.model ?? null,
    tokens: call.tokens,
    keepAliveMs: call.keep_alive,
    ignored: ignored.names,
  };
}
