/**
 * Who may ask: checks of Host, Origin and key before any handler. Runs in the server.
 * It must never tell apart in its answers, or in the time they take, why a key was wrong.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { bearerAuth } from 'hono/bearer-auth';
import { cors } from 'hono/cors';
import { type Config, isLoopback } from '../config.js';
import { type ErrorCode, HoshikageError } from '../errors.js';
import type { AppEnv } from './deps.js';
import { errorResponse } from './error.js';

type Guard = MiddlewareHandler<AppEnv>;

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);
const EXPOSED = ['x-request-id', 'x-hoshikage-ignored', 'x-hoshikage-altered', 'retry-after'];

/**
 * On a loopback address only loopback names and ALLOWED_HOSTS may be asked for: a web page whose
 * name was pointed at 127.0.0.1 sends its own name. Code: host_not_allowed.
 */
export function hostGuard({ host: bound, allowedHosts }: Config): Guard {
  const allowed = new Set(allowedHosts.map((name) => name.toLowerCase()));
  return async (c, next) => {
    const asked = c.req.header('host') ?? new URL(c.req.url).host;
    const name = hostName(asked);
    const passes =
      !isLoopback(bound) ||
      isLoopback(name) ||
      allowed.has(name) ||
      allowed.has(asked.toLowerCase());
    if (!passes) throw new HoshikageError('host_not_allowed', { host: asked });
    await next();
  };
}

/** The name in a Host header, without port and brackets, in lower case. */
function hostName(host: string): string {
  const name = /^\[(.*)\](?::\d+)?$/.exec(host)?.[1] ?? host.replace(/:\d+$/, '');
  return name.toLowerCase();
}

/**
 * Pages of other origins: those in CORS_ORIGINS get CORS headers, all others may change nothing and
 * not use /admin at all. Code: origin_not_allowed.
 */
export function originGuard({ corsOrigins }: Config): Guard {
  const named = new Set(corsOrigins);
  const share = cors({
    origin: (origin) => origin,
    allowHeaders: [],
    exposeHeaders: EXPOSED,
    maxAge: 600,
  });
  return async (c, next) => {
    const origin = c.req.header('origin');
    if (origin === undefined) return next();
    if (named.has(origin) || named.has('*')) return share(c, next);
    const isPreflight =
      c.req.method === 'OPTIONS' && c.req.header('access-control-request-method') !== undefined;
    const matters =
      isPreflight || !SAFE_METHODS.has(c.req.method) || c.req.path.startsWith('/admin/');
    if (matters && !isOwn(origin, c)) throw new HoshikageError('origin_not_allowed', { origin });
    await next();
  };
}

/** A page this server itself would have sent; the scheme may differ behind a proxy. */
function isOwn(origin: string, c: Context<AppEnv>): boolean {
  const asked = c.req.header('host') ?? new URL(c.req.url).host;
  return /^https?:\/\//.test(origin) && origin.replace(/^https?:\/\//, '') === asked.toLowerCase();
}

/** With API_KEY every route but `/`, `/health` and /admin (which has its own guard) wants it. */
export function keyGuard({ apiKey }: Config): Guard {
  if (apiKey === null) return (_, next) => next();
  const check = bearer([apiKey], 'invalid_api_key');
  return (c, next) => {
    const { path } = c.req;
    const isFree = path === '/' || path === '/health' || path.startsWith('/admin/');
    return isFree ? next() : check(c, next);
  };
}

/** /admin wants the token of run.json or the API key. Code: admin_not_allowed. */
export function adminGuard({ apiKey }: Config, adminToken: string): Guard {
  return bearer(apiKey === null ? [adminToken] : [adminToken, apiKey], 'admin_not_allowed');
}

/** Any of some bearer tokens, compared in constant time. */
function bearer(tokens: readonly string[], code: ErrorCode): Guard {
  const known = tokens.map(digest);
  const message = (c: Context<AppEnv>) => {
    const failure = new HoshikageError(code);
    c.set('failure', failure);
    return errorResponse(failure);
  };
  return bearerAuth({
    verifyToken: (token: string) => {
      const sent = digest(token);
      return known.map((one) => timingSafeEqual(one, sent)).includes(true);
    },
    noAuthenticationHeader: { message },
    invalidAuthenticationHeader: { message },
    invalidToken: { message },
  });
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
