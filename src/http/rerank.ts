/**
 * POST /v1/rerank on the wire: documents in the order of how well they answer. Runs in the server.
 */
import type { Context } from 'hono';
import { rerank } from '../embed/rerank.js';
import { readJson } from './body.js';
import type { AppDeps, AppEnv } from './deps.js';
import { ignoredHeader } from './note-headers.js';
import { json } from './response.js';
import { parseRerank } from './schema/rerank.js';
import { turnOf } from './schema/turn.js';

/** Answers one request. Codes: those of readJson, parseRerank and rerank. */
export async function handleRerank(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  const { strictFields, maxBodyBytes } = deps.config;
  const { signal, headers } = c.req.raw;
  const call = parseRerank(await readJson(c.req.raw, maxBodyBytes), strictFields);
  const { model, query, documents, top, withDocuments } = call;
  c.set('model', model);
  const run = { ...turnOf(headers, call.keepAliveMs), signal };
  const { scores, promptTokens } = await rerank(deps, { model, query, documents }, run);
  const results = scores
    .map((score, index) => ({ index, relevance_score: score }))
    // Stable: of two that are equally good, the one that was sent first.
    .sort((one, other) => other.relevance_score - one.relevance_score)
    .slice(0, top ?? scores.length)
    .map((row) => ({ ...row, ...(withDocuments && { document: { text: documents[row.index] } }) }));
  const usage = { prompt_tokens: promptTokens, total_tokens: promptTokens };
  return json({ model, object: 'list', results, usage }, ignoredHeader(call.ignored));
}
