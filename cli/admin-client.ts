/**
 * How a command changes the models: it asks the running server, which run.json names, and changes
 * the map under its lock where none runs or none answers. Runs in the CLI process. It speaks to this
 * machine only, never through a proxy, and no wait is without an end.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../src/config.js';
import { describe, HoshikageError, isErrorCode } from '../src/errors.js';
import { guidePath, modelNotFound } from '../src/models/guide.js';
import { isRecord } from '../src/models/map-file.js';
import { isAlive } from '../src/models/pid-file.js';
import { Refusal } from './fail.js';
import type { Words } from './print.js';

/** What run.json says of the running server. */
export interface RunningServer {
  readonly pid: number;
  readonly host: string;
  readonly port: number;
  readonly token: string;
}

/** A server's answer; `retried`: an earlier try may have been carried out without an answer. */
export interface Answer {
  readonly body: Readonly<Record<string, unknown>>;
  readonly status: number;
  readonly retried: boolean;
}

/** Said when a server should be there but the file had to be changed without it. */
export const NO_ANSWER: Words = {
  ja: 'サーバーが応答しないため、モデルの台帳を直接扱います',
  en: 'The server does not answer; working on the model map itself',
};

const TRIES = 3;
const PAUSE_MS = 500;
const TRY_LIMIT_MS = 2000;
/** A stopping server ends that long after its grace, whatever happens. */
const STOP_MARGIN_MS = 60_000;
const MAX_RUN_FILE_BYTES = 64 * 1024;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** The first server that run.json names whose process is there; null where there is none. */
export function findServer(config: Pick<Config, 'runFile'>): RunningServer | null {
  for (const { pid, host, port, token } of readRunFile(config)) {
    if (!isPid(pid) || typeof host !== 'string' || typeof token !== 'string') continue;
    if (typeof port !== 'number' || !Number.isInteger(port)) continue;
    if (port < 1 || port > 65_535 || !isAlive(pid)) continue;
    return { pid, host: reachable(host), port, token };
  }
  return null;
}

/** A server that takes no more requests and lets the running ones finish. */
export interface StoppingServer {
  readonly pid: number;
  /** How long they may still take, ms. */
  readonly leftMs: number;
}

/** The first server that run.json says is stopping and whose process is there; null where there is none. */
export function findStopping(config: Pick<Config, 'runFile'>): StoppingServer | null {
  for (const { pid, stopping } of readRunFile(config)) {
    if (!isPid(pid) || !isRecord(stopping) || !isAlive(pid)) continue;
    const { since, grace_ms: graceMs } = stopping;
    if (typeof since !== 'number' || typeof graceMs !== 'number') continue;
    const leftMs = since + graceMs - Date.now();
    // It would be long gone: the number belongs to another process now.
    if (leftMs >= -STOP_MARGIN_MS) return { pid, leftMs: Math.max(0, leftMs) };
  }
  return null;
}

/** Its records, those to ask first in front. Whatever lies there is no reason to wait, or to read for long. */
function readRunFile({
  runFile,
}: Pick<Config, 'runFile'>): readonly Readonly<Record<string, unknown>>[] {
  let file: number | null = null;
  try {
    file = openSync(runFile, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const facts = fstatSync(file);
    if (!facts.isFile() || facts.size > MAX_RUN_FILE_BYTES) return [];
    const found: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (!isRecord(found)) return [];
    return [found, ...(Array.isArray(found.before) ? found.before.filter(isRecord) : [])];
  } catch {
    return [];
  } finally {
    if (file !== null) closeSync(file);
  }
}

function isPid(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0;
}

/** An address to connect to: "all addresses" is none. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}

/** What goes with a question. */
export interface AskOptions {
  readonly body?: object;
  /** What fills the words of a refusal. */
  readonly details?: Readonly<Record<string, string>>;
  /** How long one try may take; 2 s by default, Infinity = as long as it takes. */
  readonly limitMs?: number;
  /** Ends the waiting; what the server does meanwhile is its own matter. */
  readonly signal?: AbortSignal;
}

/**
 * Asks the server, three times at most: again only where no answer came, or one that says "in a moment".
 * Gives null where it does not answer or is not ours, so that
 * the caller may change the file; throws HoshikageError or Refusal where it refuses.
 * Code besides the server's: cancelled.
 */
export async function ask(
  server: RunningServer,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  options: AskOptions = {},
): Promise<Answer | null> {
  let retried = false;
  for (let attempt = 1; ; attempt += 1) {
    const { status, body } = await askOnce(server, method, path, options).catch(() => ({
      status: 0,
      body: null,
    }));
    if (options.signal?.aborted) throw new HoshikageError('cancelled');
    if (body && status >= 200 && status < 300) return { body, status, retried };
    if (!isPassing(status, body) || attempt === TRIES) {
      // 401 and 403: run.json is not this server's. Without our error shape: another program.
      if (!body || status === 401 || status === 403 || !isErrorBody(body)) return null;
      if (status === 404 && retried && body.error.code === 'model_not_found') {
        return { body, status, retried };
      }
      throw refusalOf(body.error, options.details ?? {});
    }
    // Something was sent and no answer came: it may have been done.
    retried ||= status === 0;
    await sleep(PAUSE_MS, undefined, { signal: options.signal });
  }
}

/** Whether the next try may end otherwise; what a server has thought about and refused will not. */
function isPassing(status: number, body: object | null): boolean {
  if (status === 0 || status === 502 || status === 504) return true;
  if (!body || !isErrorBody(body)) return false;
  return body.error.code === 'library_locked' || body.error.code === 'map_locked';
}

/** A body in our error shape. */
export interface ErrorBody {
  readonly error: { readonly code?: unknown; readonly message?: unknown };
}

/** Whether an answer has our error shape. */
export function isErrorBody(body: object): body is ErrorBody {
  return 'error' in body && typeof body.error === 'object' && body.error !== null;
}

/** What is thrown for an error of the server; `details` fill the words of those the command knows more of. */
export function refusalOf(
  { code, message }: ErrorBody['error'],
  details: Readonly<Record<string, string>>,
): Error {
  // Only these read well with what the command itself knows; the server has words for the others.
  if (code === 'model_not_found') return modelNotFound(details.model ?? '', details, guidePath());
  if (code === 'model_exists') return new HoshikageError(code, details);
  const exitCode = isErrorCode(code) ? describe(code).exit : 1;
  return new Refusal(typeof message === 'string' ? inWords(message) : String(code), exitCode);
}

/** A server's message is Japanese, then English; a name in it may hold what stands between them. */
function inWords(message: string): Words | string {
  const [ja, en, ...more] = message.split(' / ');
  return ja && en && more.length === 0 ? { ja, en } : message;
}

/** What came back of one request. */
export interface RawAnswer {
  readonly status: number;
  /** null where the answer is no JSON object. */
  readonly body: Record<string, unknown> | null;
}

/** One request with one deadline for everything. Rejects on transport errors. */
export function askOnce(
  { host, port, token }: RunningServer,
  method: string,
  path: string,
  { body, limitMs = TRY_LIMIT_MS, signal: leaving }: AskOptions,
): Promise<RawAnswer> {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  // An agent of its own: the global one follows proxy variables where Node was told to.
  const agent = new Agent({ keepAlive: false });
  // Not AbortSignal.timeout: behind AbortSignal.any nothing holds it, and once it is collected it never fires.
  const late = new AbortController();
  const timer = Number.isFinite(limitMs)
    ? setTimeout(() => late.abort(new Error(`no answer within ${limitMs} ms`)), limitMs)
    : undefined;
  const signal = leaving ? AbortSignal.any([late.signal, leaving]) : late.signal;
  const headers = {
    authorization: `Bearer ${token}`,
    accept: 'application/json',
    ...(payload !== undefined && {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(payload),
    }),
  };
  return new Promise<RawAnswer>((resolve, reject) => {
    const sent = request({ host, port, path, method, headers, agent, signal }, (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > MAX_ANSWER_BYTES) sent.destroy(new Error('the answer is too long'));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: response.statusCode ?? 0, body: parseObject(text) });
      });
    });
    sent.on('error', reject);
    sent.end(payload);
  }).finally(() => {
    clearTimeout(timer);
    agent.destroy();
  });
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : null; // an object has string keys
  } catch {
    return null;
  }
}
