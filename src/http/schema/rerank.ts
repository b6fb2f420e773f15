/**
 * The body of POST /v1/rerank, in the names that Jina's and Cohere's APIs share. Runs in the server; pure.
 */
import { z } from 'zod';
import { type FieldRule, IgnoredFields } from './fields.js';
import { parseWith } from './issue.js';
import { listOf } from './list.js';
import { withFields } from './notes.js';
import { MAX_INPUTS, modelName, someText } from './tokens.js';
import { keepAlive } from './turn.js';

/** POST /v1/rerank. */
export const RERANK_FIELDS: Readonly<Record<string, FieldRule>> = {
  model: 'honoured',
  query: 'honoured',
  documents: 'honoured',
  top_n: 'honoured',
  return_documents: 'honoured',
  keep_alive: 'honoured',
  user: 'ignored',
};
/** A document that is an object. */
export const DOCUMENT_FIELDS: Readonly<Record<string, FieldRule>> = { text: 'honoured' };

/** Documents to put in order. */
export interface RerankCall {
  readonly model: string;
  readonly query: string;
  readonly documents: readonly string[];
  /** How many of the best are given; null = all. */
  readonly top: number | null;
  readonly withDocuments: boolean;
  readonly keepAliveMs: number | null | undefined;
  /** For `x-hoshikage-ignored`. */
  readonly ignored: readonly string[];
}

const textObject = z.looseObject({ text: someText });
const document = z.union([someText, withFields('document', DOCUMENT_FIELDS, textObject)]);

/** The body of POST /v1/rerank. */
export const rerankBody = z.looseObject({
  model: modelName,
  query: someText,
  documents: z.array(z.unknown()).min(1).max(MAX_INPUTS).pipe(listOf(document)),
  top_n: z.int().min(1).nullish(),
  return_documents: z.boolean().nullish(),
  keep_alive: keepAlive,
});

/** Reads the body. Codes: missing_required_parameter, invalid_value, unknown_parameter. */
export function parseRerank(body: unknown, strict: boolean): RerankCall {
  const ignored = new IgnoredFields(strict);
  ignored.check(body, RERANK_FIELDS);
  const call = parseWith(rerankBody, body);
  for (const [index, one] of call.documents.entries()) {
    ignored.check(one, DOCUMENT_FIELDS, `documents[${index}]`);
  }
  return {
    model: call.model,
    query: call.query,
    documents: call.documents.map((one) => (typeof one === 'string' ? one : one.text)),
    top: call.top_n ?? null,
    withDocuments: call.return_documents ?? false,
    keepAliveMs: call.keep_alive,
    ignored: ignored.names,
  };
}
