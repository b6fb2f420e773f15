/**
 * The shapes of an answer: JSON, whole or row by row, and a stream of server-sent events. Runs in the
 * server. Written to be cheap per event: text is gathered and handed on once per turn of the event
 * loop. It must never write to a stream whose reader has gone, nor keep a timer after its end.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** The headers of a JSON answer. */
export const JSON_HEADERS = { 'content-type': 'application/json; charset=utf-8' } as const;
/** The headers of every event stream. */
export const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
} as const;
/** Bytes a slow reader may leave waiting before `full`. */
const HIGH_WATER_BYTES = 64 * 1024;
const KEEP_ALIVE_MS = 15_000;
/** Characters of a long JSON answer that are made at once. */
const PART_LENGTH = 16 * 1024;

/** A JSON answer. */
export function json(
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
  status = 200,
): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { ...JSON_HEADERS, ...headers },
  });
}

/**
 * A JSON answer too long to be made at once: as fast as it is read, a part per turn of the event loop.
 * `rows`, which must not throw, are its text.
 */
export function jsonRows(
  rows: Iterator<string>,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await nextTurn();
      let part = '';
      for (let row = rows.next(); ; row = rows.next()) {
        part += row.done ? '' : row.value;
        if (row.done || part.length >= PART_LENGTH) break;
      }
      if (part === '') controller.close();
      else controller.enqueue(encoder.encode(part));
    },
  });
  return new Response(body, { headers: { ...JSON_HEADERS, ...headers } });
}

/** What an event stream tells its writer. */
export interface SseOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** The reader has made room after `full`. */
  readonly onDrain: () => void;
  /** The reader has gone. */
  readonly onCancel: () => void;
  /** Silence after which a comment is sent, in ms; 15 s by default. */
  readonly keepAliveMs?: number;
  /** What is sent is added to it. */
  readonly sent?: { bytes: number };
}

/** One event stream. */
export class SseStream {
  readonly response: Response;
  /** Settles when no more will be written: after close() or when the reader has gone. */
  readonly finished: Promise<void>;
  readonly #keepAlive: NodeJS.Timeout;
  readonly #sent: { bytes: number };
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  #settle: () => void = () => {};
  #buffer = '';
  #isScheduled = false;
  #closed = false;

  constructor(options: SseOptions) {
    const { headers, onDrain, onCancel, keepAliveMs = KEEP_ALIVE_MS } = options;
    this.#sent = options.sent ?? { bytes: 0 };
    this.finished = new Promise((resolve) => {
      this.#settle = resolve;
    });
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: onDrain,
        cancel: () => {
          this.#end();
          onCancel();
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: HIGH_WATER_BYTES }),
    );
    this.response = new Response(body, { headers: { ...SSE_HEADERS, ...headers } });
    this.#keepAlive = setInterval(() => {
      if (!this.full) this.#write(':\n\n');
    }, keepAliveMs);
    this.#keepAlive.unref();
  }

  /** True while the reader is behind: send no more than must be sent. */
  get full(): boolean {
    return this.#closed || (this.#controller?.desiredSize ?? 0) - this.#buffer.length <= 0;
  }

  /** Sends one event; `data` and the event's name are one line each. */
  send(data: string, event?: string): void {
    this.#write(event === undefined ? `data: ${data}\n\n` : `event: ${event}\ndata: ${data}\n\n`);
  }

  /** Sends a line that clients pass over. */
  comment(text: string): void {
    this.#write(`: ${text}\n\n`);
  }

  /** Ends the stream after what was sent. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#flush();
    this.#controller?.close();
    this.#end();
  }

  #write(text: string): void {
    if (this.#closed) return;
    this.#buffer += text;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#isScheduled = false;
    if (this.#closed || this.#buffer === '') return;
    // Small ones lie in a pool of Node's, where an encoder would make a buffer for each.
    const bytes = Buffer.from(this.#buffer);
    this.#buffer = '';
    this.#sent.bytes += bytes.length;
    this.#controller?.enqueue(bytes);
    this.#keepAlive.refresh();
  }

  #end(): void {
    this.#closed = true;
    this.#buffer = '';
    clearInterval(this.#keepAlive);
    this.#settle();
  }
}
