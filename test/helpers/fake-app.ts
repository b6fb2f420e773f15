/**
 * The HTTP application over fakes, for tests that ask it by `app.request()`. Settings are the real
 * ones, read from an empty home; the log is kept for a look.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TemplateRenderer } from '../../src/chat/template.js';
import { loadConfig } from '../../src/config.js';
import { HoshikageError } from '../../src/errors.js';
import { EventBus } from '../../src/events.js';
import { Figures } from '../../src/figures.js';
import { type AppDeps, createApp } from '../../src/http/app.js';
import type { LibraryReport } from '../../src/http/deps.js';
import type { ErrorBody } from '../../src/http/error.js';
import { type Log, silentLog } from '../../src/log.js';
import { FakeEngine } from './fake-engine.js';
import { FakeCatalog, FakePool } from './fake-pool.js';

/** What a test may set. */
export interface FakeAppOptions {
  readonly settings?: Readonly<Record<string, string>>;
  readonly engine?: FakeEngine;
  readonly catalog?: FakeCatalog;
  readonly reports?: Pick<AppDeps, 'ramdisk' | 'states'>;
  /** Settles when the rooms below are there; they are at once without it. */
  readonly opening?: Promise<void>;
}

/** One line of the log. */
export interface LogLine {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

const ADMIN_TOKEN = 'run-json-token';

/** The one renderer of a test file; close it after the tests. */
export const renderer = new TemplateRenderer();

/** An application, what is below it, and a short way to ask. */
export function fakeApp(options: FakeAppOptions = {}) {
  const home = mkdtempSync(join(tmpdir(), 'hoshikage-app-'));
  const config = (() => {
    try {
      return loadConfig({ env: { ...options.settings }, home, cwd: home });
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  })();
  const lines: LogLine[] = [];
  const pool = new FakePool(options.engine ?? new FakeEngine());
  const catalog = options.catalog ?? new FakeCatalog();
  const library = new FakeLibrary();
  const events = new EventBus();
  const ending = new AbortController();

  const front = {
    config,
    log: recorder(lines),
    adminToken: ADMIN_TOKEN,
    version: '1.2.3',
    startedAt: Date.now(),
    figures: new Figures(),
    ending: ending.signal,
  };
  const rooms = { ...front, catalog, pool, library, events, ...options.reports, renderer };
  const opening = (options.opening ?? Promise.resolve()).then(() => rooms);
  opening.catch(() => {});
  const app = createApp(front, opening);
  const ask = (path: string, init: RequestInit = {}) => app.request(path, init);
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    app.request(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const chat = (more: object = {}) =>
    post('/v1/chat/completions', {
      model: 'm',
      messages: [{ role: 'user', content: 'Hi' }],
      ...more,
    });
  const { engine } = pool;
  const { figures } = front;
  return { app, ask, post, chat, pool, catalog, library, events, ending, lines, engine, figures };
}

/** A library of which one other is installed and proved. */
export class FakeLibrary {
  report: LibraryReport = {
    state: 'ok',
    path: '/lib/libllama.so',
    origin: 'package',
    reason: 'the package',
    id: null,
    identity: null,
    scan: null,
    error: null,
  };
  readonly store = {
    list: async () => [
      { id: 'other', path: '/lib/other/libllama.so', source: 'npm', version: '1.0', sizeBytes: 5 },
    ],
  };

  status(): LibraryReport {
    return this.report;
  }

  async use(id: string | null): Promise<LibraryReport> {
    if (id !== null && id !== 'other') throw new HoshikageError('library_unknown', { id });
    this.report = { ...this.report, id };
    return this.report;
  }
}

/** Headers that open /admin. */
export const ADMIN = { authorization: `Bearer ${ADMIN_TOKEN}` };

function recorder(lines: LogLine[]): Log {
  const at =
    (level: LogLine['level']) =>
    (message: string, fields: object = {}) => {
      lines.push({ level, message, fields: { ...fields } });
    };
  return {
    ...silentLog,
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
  };
}

/** The error in an answer. */
export async function errorOf(response: Response): Promise<ErrorBody['error']> {
  const body = (await response.json()) as ErrorBody; // each test says what must be in it
  return body.error;
}

/** The events of a stream: parsed `data`, '[DONE]' and comments as they are. */
export async function eventsOf(response: Response): Promise<unknown[]> {
  const text = await response.text();
  return text
    .split('\n\n')
    .filter((event) => event !== '')
    .map((event) => {
      if (!event.startsWith('data: ')) return event;
      const data = event.slice('data: '.length);
      return data === '[DONE]' ? data : JSON.parse(data);
    });
}
