/**
 * GET /openapi.json: the document of the API, made when it is first asked for and kept. Runs in the
 * server. It must never be loaded before somebody asks: zod comes with it.
 */
import { createHash } from 'node:crypto';
import type { Context } from 'hono';
import type { Config } from '../config.js';
import type { AppEnv, AppFront } from './deps.js';
import { JSON_HEADERS } from './response.js';
import { openApiDocument } from './schema/openapi.js';

interface Kept {
  readonly text: string;
  readonly tag: string;
}

const kept = new WeakMap<Config, Kept>();

/** The document, or 304 to who has this very one. */
export function handleOpenApi(c: Context<AppEnv>, { config, version }: AppFront): Response {
  const { text, tag } = keptOf({ config, version });
  const headers = { ...JSON_HEADERS, 'cache-control': 'no-cache', etag: tag };
  if (c.req.header('if-none-match') === tag) return new Response(null, { status: 304, headers });
  return new Response(text, { headers });
}

function keptOf(source: Pick<AppFront, 'config' | 'version'>): Kept {
  const known = kept.get(source.config);
  if (known) return known;
  const text = JSON.stringify(openApiDocument(source));
  const made = { text, tag: `"${createHash('sha256').update(text).digest('base64url')}"` };
  kept.set(source.config, made);
  return made;
}
