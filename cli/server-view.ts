/**
 * The running server as /v1/status shows it, read with care: whatever an older or newer server leaves
 * out is null or empty here. Runs in the CLI process. Looking wakes no model.
 */
import type { Config } from '../src/config.js';
import { HoshikageError } from '../src/errors.js';
import { isRecord } from '../src/models/map-file.js';
import { askOnce, findServer, findStopping, type RunningServer } from './admin-client.js';
import { Refusal } from './fail.js';
import { ownCommand, type Words } from './print.js';

/** What came as JSON, before anything is known of it. */
export type Fields = Readonly<Record<string, unknown>>;

/** One model in memory. Times in ms, memory in bytes; null = not known, or there is none. */
export interface ResidentView {
  readonly id: string;
  readonly state: string;
  readonly purpose: string;
  readonly progress: number | null;
  readonly pid: number | null;
  readonly memory: number | null;
  readonly idleMs: number | null;
  readonly unloadInMs: number | null;
  /** Requests that use it now, with or without a slot. */
  readonly active: number;
  readonly slots: number;
  /** Their number was measured. */
  readonly isAuto: boolean;
  readonly busy: number;
}

/** One request that waits. */
export interface WaitingView {
  readonly model: string;
  readonly position: number;
  readonly waitedMs: number;
  readonly priority: string;
  readonly state: string;
}

/** What the server holds and does. */
export interface ServerView {
  readonly version: string;
  readonly uptimeS: number;
  readonly rss: number | null;
  readonly free: number | null;
  readonly total: number | null;
  readonly residents: readonly ResidentView[];
  readonly queued: number;
  readonly queueLimit: number | null;
  readonly waiting: readonly WaitingView[];
  readonly held: readonly { readonly model: string; readonly crashes: number }[];
  readonly copies: readonly { readonly source: string; readonly bytes: number }[];
  readonly copying: string | null;
  readonly states: {
    readonly count: number;
    readonly bytes: number;
    readonly limit: number;
  } | null;
}

/** Said where the server wants a key that is not known here. */
export const NO_KEY: Words = {
  ja: 'サーバーが API_KEY を求めています。このシェルか .env に、サーバーと同じ API_KEY を設定してください',
  en: "The server wants its API_KEY: set the server's own in this shell or in .env",
};

/**
 * The server that can be asked.
 * Codes: server_missing, server_stopping.
 */
export function runningServer(config: Pick<Config, 'runFile'>): RunningServer {
  const server = findServer(config);
  if (server) return server;
  const stopping = findStopping(config);
  if (stopping) throw new HoshikageError('server_stopping', { pid: stopping.pid });
  throw new HoshikageError('server_missing', { command: ownCommand() });
}

/** What is thrown where a server that should be there says nothing; `so` completes the sentence. */
export function silent(
  { pid }: RunningServer,
  { runFile }: Pick<Config, 'runFile'>,
  so: Words,
): HoshikageError {
  const details = { pid, path: runFile, what: so.en, what_ja: so.ja };
  return new HoshikageError('server_silent', details);
}

/**
 * Asks for the status, with the key where there is one (run.json's token opens /admin only).
 * Throws server_silent, or a Refusal where the server wants a key that is not known here.
 */
export async function readStatus(
  server: RunningServer,
  config: Pick<Config, 'runFile' | 'apiKey'>,
  signal?: AbortSignal,
): Promise<Fields> {
  const asked = { ...server, token: config.apiKey ?? server.token };
  const options = signal ? { signal } : {};
  const { status, body } = await askOnce(asked, 'GET', '/v1/status', options).catch(() => ({
    status: 0,
    body: null,
  }));
  if (status === 401) throw new Refusal(NO_KEY, 1);
  if (status === 200 && body) return body;
  throw silent(server, config, {
    ja: '様子が分かりません',
    en: 'nobody knows what it does',
  });
}

/** The status in our own shape. */
export function viewOf(status: Fields): ServerView {
  const memory = fieldsAt(status, 'memory');
  const queue = fieldsAt(status, 'queue');
  const disk = fieldsAt(status, 'ramdisk');
  const states = fieldsAt(status, 'states');
  const copying = disk.copying;
  return {
    version: textAt(status, 'version') ?? '?',
    uptimeS: numberAt(status, 'uptime_s') ?? 0,
    rss: numberAt(memory, 'rss'),
    free: numberAt(memory, 'free'),
    total: numberAt(memory, 'total'),
    residents: listAt(status, 'residents').map(residentOf),
    queued: numberAt(queue, 'length') ?? 0,
    queueLimit: numberAt(queue, 'limit'),
    waiting: listAt(queue, 'waiting').map(waitingOf),
    held: listAt(status, 'held').map((one) => ({
      model: textAt(one, 'model') ?? '?',
      crashes: numberAt(one, 'crashes') ?? 0,
    })),
    copies: listAt(disk, 'copies').map((one) => ({
      source: textAt(one, 'source') ?? '?',
      bytes: numberAt(one, 'bytes') ?? 0,
    })),
    copying: isRecord(copying) ? (textAt(copying, 'source') ?? '?') : null,
    states: isRecord(status.states)
      ? {
          count: numberAt(states, 'states') ?? 0,
          bytes: numberAt(states, 'bytes') ?? 0,
          limit: numberAt(states, 'limit_bytes') ?? 0,
        }
      : null,
  };
}

function residentOf(one: Fields): ResidentView {
  const slots = listAt(one, 'slots');
  return {
    id: textAt(one, 'id') ?? '?',
    state: textAt(one, 'state') ?? '?',
    purpose: textAt(one, 'purpose') ?? 'generate',
    progress: numberAt(one, 'progress'),
    pid: numberAt(one, 'pid'),
    memory: numberAt(one, 'memory'),
    idleMs: numberAt(one, 'idle_ms'),
    unloadInMs: numberAt(one, 'unload_in_ms'),
    active: numberAt(one, 'active') ?? 0,
    slots: slots.length,
    isAuto: typeof one.slot_choice === 'string',
    busy: slots.filter(({ state }) => state !== 'idle').length,
  };
}

function waitingOf(one: Fields): WaitingView {
  return {
    model: textAt(one, 'model') ?? '?',
    position: numberAt(one, 'position') ?? 0,
    waitedMs: numberAt(one, 'waited_ms') ?? 0,
    priority: textAt(one, 'priority') ?? 'interactive',
    state: textAt(one, 'state') ?? 'queued',
  };
}

/** The text at a key; null where there is none. */
export function textAt(fields: Fields, key: string): string | null {
  const value = fields[key];
  return typeof value === 'string' ? value : null;
}

/** The finite number at a key; null where there is none. */
export function numberAt(fields: Fields, key: string): number | null {
  const value = fields[key];
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** The object at a key; an empty one where there is none. */
export function fieldsAt(fields: Fields, key: string): Fields {
  const value = fields[key];
  return isRecord(value) ? value : {};
}

/** The objects of the list at a key; none where there is no list. */
export function listAt(fields: Fields, key: string): readonly Fields[] {
  const value = fields[key];
  return Array.isArray(value) ? value.filter(isRecord) : [];
}
