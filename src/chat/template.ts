/**
 * Renders chat templates in one warm worker thread, which is killed when a template takes too long or
 * nobody needs it, and started again for the next one. Owned by the server; runs on its main thread.
 * It must never render there itself: a hostile template would stop every other request.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { HoshikageError } from '../errors.js';
import type { RenderLimits } from './jinja.js';
import { BesidesClock } from './template-clock.js';
import type { RenderJob, RenderReply } from './template-worker.js';

/** Times in ms. */
export interface RendererOptions {
  /** How long one render may compute; 1 s by default. */
  readonly timeoutMs?: number;
  /** How long the worker may take to start; 20 s by default. */
  readonly startTimeoutMs?: number;
}

const MAX_REASON_LENGTH = 500;
/** How often a render that is late is looked at before it is given up in any case. */
const MOST_LOOKS = 20;

interface Pending {
  readonly job: RenderJob;
  readonly resolve: (text: string) => void;
  readonly reject: (error: HoshikageError) => void;
  /** Whether the caller has gone while this waited. */
  readonly gone: () => boolean;
}

/** One render at a time, in the order of the calls. */
export class TemplateRenderer {
  readonly #timeoutMs: number;
  readonly #startTimeoutMs: number;
  readonly #waiting: Pending[] = [];
  #running: Pending | null = null;
  #worker: Worker | null = null;
  #ready = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: RendererOptions = {}) {
    this.#timeoutMs = options.timeoutMs ?? 1000;
    this.#startTimeoutMs = options.startTimeoutMs ?? 20_000;
  }

  /** The rendered text. Codes: template_failed (with the template's own words), closed, cancelled. */
  render(
    template: string,
    variables: Readonly<Record<string, unknown>>,
    options: { readonly limits: RenderLimits; readonly signal?: AbortSignal },
  ): Promise<string> {
    const { limits, signal } = options;
    if (this.#closed) return Promise.reject(closed());
    if (signal?.aborted) return Promise.reject(new HoshikageError('cancelled'));
    return new Promise((resolve, reject) => {
      const job = { template, variables, limits };
      this.#waiting.push({ job, resolve, reject, gone: () => signal?.aborted ?? false });
      this.#next();
    });
  }

  /** Starts the worker, so that it is ready when it is needed; costs nothing where it runs. */
  warm(): void {
    if (!this.#closed) this.#worker ??= this.#spawn();
  }

  /** Ends the worker where nothing is rendered: it is a heap of its own, and the next one starts soon. */
  async rest(): Promise<void> {
    if (!this.#running) await this.#drop();
  }

  /** Ends the worker; what waits is refused. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const pending of this.#waiting.splice(0)) pending.reject(closed());
    this.#finish((pending) => pending.reject(closed()));
    await this.#drop();
  }

  #next(): void {
    if (this.#running) return;
    const pending = this.#waiting.shift();
    if (!pending) return;
    if (pending.gone()) {
      pending.reject(new HoshikageError('cancelled'));
      this.#next();
      return;
    }
    this.#running = pending;
    this.#worker ??= this.#spawn();
    this.#worker.ref();
    if (this.#ready) this.#post(pending);
    else this.#deadline(this.#startTimeoutMs, 'the template worker did not start');
  }

  #post(pending: Pending): void {
    try {
      this.#worker?.postMessage(pending.job);
      this.#watch(pending);
    } catch (cause) {
      // Nested deeper than a message can hold.
      this.#finish(({ reject }) => reject(failed('the conversation cannot be handed over', cause)));
    }
  }

  /**
   * Gives the render up when it has computed for too long. Time alone does not tell: this thread may
   * have been held up, or the machine asleep or busy with others, for which no client is to blame.
   */
  #watch(pending: Pending): void {
    const clock = new BesidesClock();
    let looks = 0;
    const wait = (ms: number): void => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(look, ms);
    };
    const look = (): void => {
      const leftMs = this.#timeoutMs - clock.elapsedMs();
      looks += 1;
      if (leftMs > 0 && looks < MOST_LOOKS) {
        wait(Math.max(leftMs, this.#timeoutMs / 10));
        return;
      }
      // An answer that lies ready is read first.
      setImmediate(() => {
        if (this.#running === pending) this.#giveUp(`it took longer than ${this.#timeoutMs} ms`);
      });
    };
    wait(this.#timeoutMs);
  }

  #deadline(ms: number, reason: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#giveUp(reason), ms);
  }

  #giveUp(reason: string): void {
    void this.#drop();
    this.#finish(({ reject }) => reject(failed(reason)));
  }

  #finish(settle: (pending: Pending) => void): void {
    clearTimeout(this.#timer);
    const pending = this.#running;
    this.#running = null;
    this.#worker?.unref();
    if (pending) settle(pending);
    if (!this.#closed) this.#next();
  }

  async #drop(): Promise<void> {
    const worker = this.#worker;
    this.#worker = null;
    this.#ready = false;
    await worker?.terminate();
  }

  #spawn(): Worker {
    const worker = startWorker();
    worker.on('message', (reply: RenderReply) => {
      if (worker === this.#worker) this.#receive(reply);
    });
    worker.on('error', (error) => this.#lost(worker, error));
    worker.on('exit', () => this.#lost(worker));
    // Only a render in progress keeps the process alive.
    worker.unref();
    return worker;
  }

  #receive(reply: RenderReply): void {
    if (reply.kind === 'ready') {
      this.#ready = true;
      if (this.#running) this.#post(this.#running);
    } else if (reply.kind === 'text') {
      this.#finish(({ resolve }) => resolve(reply.text));
    } else {
      const refusal = failed(reply.reason);
      refusals.add(refusal);
      this.#finish(({ reject }) => reject(refusal));
    }
  }

  /** The worker ended by itself: out of memory, or its entry could not be loaded. */
  #lost(worker: Worker, cause?: unknown): void {
    if (worker !== this.#worker) return;
    this.#worker = null;
    this.#ready = false;
    const reason = isOutOfMemory(cause) ? 'it used too much memory' : 'the template worker ended';
    this.#finish(({ reject }) => reject(failed(reason, cause)));
  }
}

const refusals = new WeakSet<Error>();

/**
 * Whether a template itself refused what it was given, or broke on it, as it always will: not that it
 * took too long or that its worker was lost.
 */
export function isRefusal(error: unknown): boolean {
  return error instanceof HoshikageError && refusals.has(error);
}

/** The worker from beside this file: .js when built, .ts when run from the sources. */
function startWorker(): Worker {
  const limits = { resourceLimits: { maxOldGenerationSizeMb: 512 } };
  const extension = extname(import.meta.url);
  const entry = new URL(`./template-worker${extension}`, import.meta.url);
  if (extension === '.js') return new Worker(entry, limits);
  // Node 20 does not hand tsx's loader on to a thread, so the thread registers it by itself.
  const loader = JSON.stringify(import.meta.resolve('tsx/esm/api'));
  const start = `import(${loader}).then((tsx) => { tsx.register(); return import('${entry.href}'); })`;
  return new Worker(start, { ...limits, eval: true });
}

function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
}

function failed(reason: string, cause?: unknown): HoshikageError {
  const short = reason.slice(0, MAX_REASON_LENGTH);
  return new HoshikageError('template_failed', { reason: short, param: 'messages' }, { cause });
}

function closed(): HoshikageError {
  return new HoshikageError('closed', { what: 'template renderer' });
}
