/**
 * POST /v1/embeddings on the wire: OpenAI's list of vectors. Runs in the server. Its body is made row
 * by row as it is read: thousands of vectors are hundreds of megabytes of digits.
 */
import type { Context } from 'hono';
import { type Embedded, embed } from '../embed/embed.js';
import { readJson } from './body.js';
import type { AppDeps, AppEnv } from './deps.js';
import { ignoredHeader } from './note-headers.js';
import { jsonRows } from './response.js';
import { type EmbeddingCall, parseEmbedding } from './schema/tokens.js';
import { turnOf } from './schema/turn.js';

/** Digits that tell any two 32-bit floats apart. */
const FLOAT_DIGITS = 9;

/** Answers one request. Codes: those of readJson, parseEmbedding and embed. */
export async function handleEmbeddings(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  const { strictFields, maxBodyBytes } = deps.config;
  const { signal, headers } = c.req.raw;
  const call = parseEmbedding(await readJson(c.req.raw, maxBodyBytes), strictFields);
  const { model, inputs, isSingle, dimensions } = call;
  c.set('model', model);
  const nameOf = (index: number) => (isSingle ? 'input' : `input[${index}]`);
  const run = { ...turnOf(headers, call.keepAliveMs), signal };
  const embedded = await embed(deps, { model, inputs, nameOf, dimensions }, run);
  return jsonRows(rowsOf(call, embedded), ignoredHeader(call.ignored));
}

function* rowsOf(call: EmbeddingCall, { vectors, promptTokens }: Embedded): Generator<string> {
  yield '{"object":"list","data":[';
  for (const [index, vector] of vectors.entries()) {
    const shown = call.encoding === 'base64' ? base64(vector) : floats(vector);
    yield `${index > 0 ? ',' : ''}{"object":"embedding","index":${index},"embedding":${shown}}`;
  }
  const usage = { prompt_tokens: promptTokens, total_tokens: promptTokens };
  yield `],"model":${JSON.stringify(call.model)},"usage":${JSON.stringify(usage)}}`;
}

function floats(vector: Float32Array): string {
  return `[${Array.from(vector, (value) => Number(value.toPrecision(FLOAT_DIGITS))).join(',')}]`;
}

/** 32-bit floats, the lowest byte first, as every machine here has them. */
function base64(vector: Float32Array): string {
  const { buffer, byteOffset, byteLength } = vector;
  return `"${Buffer.from(buffer, byteOffset, byteLength).toString('base64')}"`;
}
