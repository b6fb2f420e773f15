/**
 * POST /tokenize and /detokenize on the wire, in the names of llama.cpp's server. Runs in the server.
 * It must never turn every piece of a long text into text: a million of them are seconds of work.
 */
import type { Context } from 'hono';
import { detokenize, tokenize } from '../embed/tokens.js';
import { askedModel } from './asked-model.js';
import { readJson } from './body.js';
import type { AppDeps, AppEnv } from './deps.js';
import { ignoredHeader } from './note-headers.js';
import { json, jsonRows } from './response.js';
import { parseDetokenize, parseTokenize } from './schema/tokens.js';
import { turnOf } from './schema/turn.js';

/** Answers one request. Codes: those of readJson, parseTokenize and tokenize. */
export async function handleTokenize(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  const { strictFields, maxBodyBytes } = deps.config;
  const { signal, headers } = c.req.raw;
  const call = parseTokenize(await readJson(c.req.raw, maxBodyBytes), strictFields);
  const model = askedModel(deps, call.model);
  c.set('model', model);
  const { content: text, addSpecial, parseSpecial: special, withPieces } = call;
  const run = { ...turnOf(headers, call.keepAliveMs), signal };
  const found = await tokenize(deps, { model, text, special, addSpecial, withPieces }, run);
  const { tokens, pieces } = found;
  const note = ignoredHeader(call.ignored);
  return pieces
    ? jsonRows(pieceRows(tokens, pieces), note)
    : json({ tokens: Array.from(tokens) }, note);
}

/** A row per token; each that occurs is put into words once. */
function* pieceRows(
  tokens: Int32Array,
  pieces: ReadonlyMap<number, Uint8Array>,
): Generator<string> {
  const shown = new Map<number, string>();
  yield '{"tokens":[';
  for (const [index, id] of tokens.entries()) {
    const row = shown.get(id) ?? JSON.stringify({ id, piece: shownPiece(pieces.get(id)) });
    shown.set(id, row);
    yield index > 0 ? `,${row}` : row;
  }
  yield ']}';
}

/** Answers one request. Codes: those of readJson, parseDetokenize and detokenize. */
export async function handleDetokenize(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  const { strictFields, maxBodyBytes } = deps.config;
  const { signal, headers } = c.req.raw;
  const call = parseDetokenize(await readJson(c.req.raw, maxBodyBytes), strictFields);
  const model = askedModel(deps, call.model);
  c.set('model', model);
  const run = { ...turnOf(headers, call.keepAliveMs), signal };
  const bytes = await detokenize(deps, { model, tokens: call.tokens }, run);
  return json(
    { content: new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes) },
    ignoredHeader(call.ignored),
  );
}

/** A piece as text, or as its bytes where it is only part of a character. */
function shownPiece(bytes: Uint8Array | undefined): string | readonly number[] {
  if (!bytes) return '';
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return Array.from(bytes);
  }
}
