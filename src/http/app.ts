/**
 * The HTTP application: routes, the checks in front of them, errors in OpenAI's shape, one access-log
 * line per request. Runs in the server; listens to nothing by itself. It must never write what a
 * request says to the log.
 */
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { type Context, Hono, type MiddlewareHandler } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { requestId } from 'hono/request-id';
import { describe, HoshikageError } from '../errors.js';
import type { Figures, Outcome } from '../figures.js';
import type { Log } from '../log.js';
import type { AppDeps, AppEnv, AppFront } from './deps.js';
import { errorResponse, failureOf } from './error.js';
import { adminEvents } from './events.js';
import { adminGuard, hostGuard, keyGuard, originGuard } from './guard.js';
import { idFromPath, listModels, oneModel } from './models.js';
import { json } from './response.js';
import { statusOf } from './status.js';

export type { AppDeps } from './deps.js';

/** One route; `{id}` in a path is any rest of it, `/` included. */
interface Route<D> {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  handle(c: Context<AppEnv>, deps: D): Response | Promise<Response>;
}

const MODELS = '/v1/models/';
const ADMIN_MODELS = '/admin/models/';

/** They answer while the rooms are still being built. */
const FRONT: readonly Route<AppFront>[] = [
  { method: 'GET', path: '/', handle: (c, { version }) => c.text(`星影 Hoshikage ${version}\n`) },
  { method: 'GET', path: '/health', handle: () => json({ status: 'ok' }) },
  { method: 'GET', path: '/v1/api/version', handle: (_, { version }) => json({ version }) },
  {
    method: 'GET',
    path: '/openapi.json',
    handle: async (c, front) => (await openapi()).handleOpenApi(c, front),
  },
  { method: 'GET', path: '/docs', handle: async () => (await docs()).docsPage() },
];

// A request brings what only it needs (zod is most of it): a server nobody asks stays small.
const chat = once(() => import('./chat.js'));
const completions = once(() => import('./completions.js'));
const infill = once(() => import('./infill.js'));
const embeddings = once(() => import('./embeddings.js'));
const rerank = once(() => import('./rerank.js'));
const tokens = once(() => import('./tokens.js'));
const admin = once(() => import('./admin.js'));
const openapi = once(() => import('./openapi.js'));
const docs = once(() => import('./docs-page.js'));

const TABLE: readonly Route<AppDeps>[] = [
  { method: 'GET', path: '/v1/status', handle: (_, deps) => json(statusOf(deps)) },
  { method: 'GET', path: '/v1/models', handle: async (_, deps) => json(await listModels(deps)) },
  {
    method: 'GET',
    path: `${MODELS}{id}`,
    handle: async (c, deps) => json(await oneModel(deps, idFromPath(c.req.url, MODELS))),
  },
  {
    method: 'POST',
    path: '/v1/chat/completions',
    handle: async (c, deps) => (await chat()).handleChat(c, deps),
  },
  {
    method: 'POST',
    path: '/v1/chat/completions/input_tokens',
    handle: async (c, deps) => (await chat()).handleInputTokens(c, deps),
  },
  {
    method: 'POST',
    path: '/v1/completions',
    handle: async (c, deps) => (await completions()).handleCompletions(c, deps),
  },
  {
    method: 'POST',
    path: '/infill',
    handle: async (c, deps) => (await infill()).handleInfill(c, deps),
  },
  {
    method: 'POST',
    path: '/v1/embeddings',
    handle: async (c, deps) => (await embeddings()).handleEmbeddings(c, deps),
  },
  {
    method: 'POST',
    path: '/v1/rerank',
    handle: async (c, deps) => (await rerank()).handleRerank(c, deps),
  },
  {
    method: 'POST',
    path: '/tokenize',
    handle: async (c, deps) => (await tokens()).handleTokenize(c, deps),
  },
  {
    method: 'POST',
    path: '/detokenize',
    handle: async (c, deps) => (await tokens()).handleDetokenize(c, deps),
  },
  {
    method: 'GET',
    path: '/admin/models',
    handle: async (_, deps) => (await admin()).adminList(deps),
  },
  {
    method: 'POST',
    path: '/admin/models',
    handle: async (c, deps) => (await admin()).adminAdd(c, deps),
  },
  {
    method: 'DELETE',
    path: `${ADMIN_MODELS}{id}`,
    handle: async (c, deps) => {
      return (await admin()).adminRemove(idFromPath(c.req.url, ADMIN_MODELS), deps);
    },
  },
  {
    method: 'POST',
    path: `${ADMIN_MODELS}{id}/load`,
    handle: async (c, deps) => {
      const id = idFromPath(c.req.url, ADMIN_MODELS, '/load');
      return (await admin()).adminLoad(c, id, deps);
    },
  },
  {
    method: 'POST',
    path: '/admin/reload',
    handle: async (_, deps) => (await admin()).adminReload(deps),
  },
  {
    method: 'POST',
    path: '/admin/unload',
    handle: async (c, deps) => (await admin()).adminUnload(c, deps),
  },
  { method: 'GET', path: '/admin/events', handle: adminEvents },
  {
    method: 'GET',
    path: '/admin/library',
    handle: async (_, deps) => (await admin()).adminLibrary(deps),
  },
  {
    method: 'POST',
    path: '/admin/library',
    handle: async (c, deps) => (await admin()).adminUse(c, deps),
  },
];

/** Every route there is, e.g. `{ method: 'GET', path: '/v1/models/{id}' }`. */
export const ROUTES: readonly Pick<Route<never>, 'method' | 'path'>[] = [...FRONT, ...TABLE];

/** Calls `load` when the result is first asked for, and never again. */
function once<T>(load: () => Promise<T>): () => Promise<T> {
  let loading: Promise<T> | undefined;
  return () => {
    loading ??= load();
    return loading;
  };
}

/** The application; what needs the rooms below waits until they are there. */
export function createApp(front: AppFront, rooms: Promise<AppDeps>): Hono<AppEnv> {
  const { config, log, figures } = front;
  // Each stream of events listens, and there may be any number of them.
  setMaxListeners(0, front.ending);
  // The path as it was sent: decoded, it would no longer be the one that a name is cut out of.
  const app = new Hono<AppEnv>({ getPath: pathOf });
  app.use(requestId({ generator: newRequestId }));
  app.use(accessLog(log, figures));
  app.use(hostGuard(config), originGuard(config), keyGuard(config));
  app.use('/admin/*', adminGuard(config, front.adminToken));
  const offer = <D>(routes: readonly Route<D>[], deps: D | Promise<D>): void => {
    for (const route of routes) {
      const path = route.path.replace('{id}', ':id{.+}');
      app.on(route.method, path, async (c) => route.handle(c, await deps));
    }
  };
  offer(FRONT, front);
  offer(TABLE, rooms);
  app.notFound((c) => notFound(c));
  app.onError((thrown, c) => {
    // The bearer check's own answers, already in our shape.
    if (thrown instanceof HTTPException) return thrown.getResponse();
    const failure = failureOf(thrown, c.req.raw.signal);
    c.set('failure', failure);
    return errorResponse(failure);
  });
  return app;
}

function pathOf(request: Request): string {
  return new URL(request.url).pathname;
}

/** 404, or for a path that other methods have 405 with `Allow`; a bare OPTIONS gets just that. */
function notFound(c: Context<AppEnv>): Response {
  const { method, path } = c.req;
  const methods = ROUTES.filter((route) => isAt(route, path)).map((route) => route.method);
  if (methods.length === 0) throw new HoshikageError('route_not_found', { path });
  const all = [...new Set([...methods, ...(methods.includes('GET') ? ['HEAD'] : []), 'OPTIONS'])];
  const allow = { allow: all.join(', ') };
  if (method === 'OPTIONS') return new Response(null, { status: 204, headers: allow });
  const failure = new HoshikageError('method_not_allowed', { method, path });
  c.set('failure', failure);
  return errorResponse(failure, allow);
}

function isAt(route: Pick<Route<never>, 'path'>, path: string): boolean {
  const [before = '', after] = route.path.split('{id}');
  if (after === undefined) return path === before;
  const hasRest = path.length > before.length + after.length;
  return hasRest && path.startsWith(before) && path.endsWith(after);
}

/**
 * What a request gets that no route can see, since its address cannot be read (a Host of two words,
 * `OPTIONS *`): our error shape and a line in the log, as every other.
 */
export function answerUnreadable(cause: unknown, log: Log): Response {
  const failure = new HoshikageError('invalid_value', UNREADABLE, { cause });
  const request = newRequestId();
  logFailure(log, failure, { request });
  return errorResponse(failure, { 'x-request-id': request });
}

const UNREADABLE = {
  param: 'request',
  reason: 'its Host header or its address cannot be read',
  reason_ja: 'Host ヘッダーかアドレスを読み取れません',
};

function newRequestId(): string {
  return `req-${randomUUID()}`;
}

/** One line per request when it has ended, a stream's when the stream has; and it is counted. */
function accessLog(log: Log, figures: Figures): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const begun = performance.now();
    // Whoever only looks is not counted: a monitor would be most of it.
    const count = c.req.method === 'POST' ? figures.begin() : () => {};
    await next();
    // Here and not before: an answer that a handler made by itself knows nothing of this context.
    c.res.headers.set('x-request-id', c.get('requestId'));
    const { status } = c.res;
    const end = (): void => {
      count(outcomeOf(status, c.get('failure')));
      logRequest(log, c, { status, begun });
    };
    const finished = c.get('finished');
    if (finished) void finished.then(end);
    else end();
  };
}

/** `status`: as it was sent, perhaps before the failure. */
function outcomeOf(status: number, failure: HoshikageError | undefined): Outcome {
  if (failure?.code === 'cancelled') return 'cancelled';
  const told = failure ? describe(failure.code).status : status;
  if (told >= 500) return 'failed';
  return told >= 400 ? 'refused' : 'done';
}

function logRequest(
  log: Log,
  c: Context<AppEnv>,
  { status, begun }: { readonly status: number; readonly begun: number },
): void {
  const { method, path } = c.req;
  const ms = Math.round(performance.now() - begun);
  const request = c.get('requestId');
  const model = c.get('model');
  const fields = { request, method, path, status, ms, ...(model !== undefined && { model }) };
  log.info('request', fields);
  const failure = c.get('failure');
  if (failure) logFailure(log, failure, { request, ...(model !== undefined && { model }) });
}

/** Why a request failed. A refused one's reason may quote the request, so it is left out. */
function logFailure(log: Log, failure: HoshikageError, fields: object): void {
  const { code, details, cause } = failure;
  if (code === 'cancelled') {
    log.info('the client went away', fields);
  } else if (describe(code).status < 500) {
    const { param } = details;
    log.warn('request refused', { ...fields, code, ...(param !== undefined && { param }) });
  } else {
    log.error('request failed', { ...fields, code, ...details, ...(cause ? { cause } : {}) });
  }
}
