/**
 * One streamed chat answer: events in, server-sent events out. Runs in the server, one per request.
 * It takes what the engine gives as fast as it comes, so that a slow reader holds no slot; what such
 * a reader has not taken yet is joined into one delta, bounded by what one completion may say. It
 * must end every stream: by [DONE], or by an error event without it.
 */
import type { ChatEvent } from '../chat/complete.js';
import type { WaitState } from '../resources/lease.js';
import {
  type ChatAnswer,
  ChunkWriter,
  endParts,
  noteHeaders,
  type StartEvent,
} from './chat-shape.js';
import { errorBody, told } from './error.js';
import { SseStream } from './response.js';
import type { ChatCall } from './schema/chat.js';

/** What one stream is made of. Times in ms. */
export interface ChatStreamOptions {
  readonly answer: ChatAnswer;
  readonly call: ChatCall;
  /** The reader has gone. */
  readonly onCancel: () => void;
  /** The stream ended by an error that only its last event tells. */
  readonly onFailure: (thrown: unknown) => void;
  /** Where its request stands while it waits for its turn or its model, else null. */
  readonly waitOf: () => WaitState | null;
  /** How long an error may still have its own status, and how often a wait is told; 5 s by default. */
  readonly patienceMs?: number;
  readonly keepAliveMs?: number;
}

const PATIENCE_MS = 5000;

export class ChatStream {
  /** Settles when the stream has ended, also where it never began. */
  readonly finished: Promise<void>;
  readonly #options: ChatStreamOptions;
  #settle: () => void = () => {};
  #sse: SseStream | null = null;
  #start: StartEvent | null = null;
  #writer: ChunkWriter | null = null;
  #isRoleSent = false;
  #pending = '';

  constructor(options: ChatStreamOptions) {
    this.#options = options;
    this.finished = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /**
   * Resolves with the response once there is text, or after 5 s; rejects with what went wrong
   * before that.
   */
  run(events: AsyncIterable<ChatEvent>): Promise<Response> {
    return new Promise((resolve, reject) => {
      const open = () => resolve(this.#open().response);
      const timer = setInterval(() => {
        open();
        this.#tellWait();
      }, this.#options.patienceMs ?? PATIENCE_MS);
      const speak = () => {
        clearInterval(timer);
        open();
      };
      this.#pump(events, speak)
        .catch((thrown: unknown) => {
          if (this.#sse) this.#fail(thrown);
          else reject(thrown);
        })
        .finally(() => {
          clearInterval(timer);
          this.#sse?.close();
          this.#settle();
        });
    });
  }

  async #pump(events: AsyncIterable<ChatEvent>, speak: () => void): Promise<void> {
    for await (const event of events) {
      if (event.type === 'start') this.#begin(event);
      else {
        speak();
        this.#sendRole();
        if (event.type === 'text') this.#sendText(event.text);
        else this.#finish(event);
      }
    }
  }

  /** The stream, its headers on their way from now on. */
  #open(): SseStream {
    if (this.#sse) return this.#sse;
    const { call, onCancel, keepAliveMs } = this.#options;
    this.#sse = new SseStream({
      headers: noteHeaders(call.ignored, this.#start),
      onDrain: () => this.#sendPending(),
      onCancel,
      ...(keepAliveMs !== undefined && { keepAliveMs }),
    });
    this.#sendRole();
    return this.#sse;
  }

  #tellWait(): void {
    const wait = this.#options.waitOf();
    if (wait && this.#sse && !this.#sse.full) this.#sse.comment(waitWords(wait));
  }

  #begin(start: StartEvent): void {
    const { answer, call } = this.#options;
    this.#start = start;
    this.#writer = new ChunkWriter(answer, start.fingerprint, call.includeUsage);
    // Where the headers had to go before the model was there, and so without what only it can tell.
    if (!this.#sse || this.#isRoleSent) return;
    for (const [name, value] of Object.entries(noteHeaders([], start))) {
      this.#sse.comment(`${name}: ${value}`);
    }
    this.#sendRole();
  }

  #sendRole(): void {
    if (this.#isRoleSent || !this.#writer) return;
    this.#isRoleSent = true;
    this.#sse?.send(this.#writer.role());
  }

  #sendText(text: string): void {
    this.#pending += text;
    if (this.#sse && !this.#sse.full) this.#sendPending();
  }

  #sendPending(): void {
    if (this.#pending === '' || !this.#writer) return;
    const text = this.#pending;
    this.#pending = '';
    this.#sse?.send(this.#writer.text(text));
  }

  #finish(event: Extract<ChatEvent, { type: 'end' }>): void {
    if (!this.#sse || !this.#writer) return;
    this.#sendPending();
    const end = endParts(event);
    this.#sse.send(this.#writer.finish(end));
    if (this.#options.call.includeUsage) this.#sse.send(this.#writer.usage(end));
    this.#sse.send('[DONE]');
  }

  #fail(thrown: unknown): void {
    this.#options.onFailure(thrown);
    this.#sendPending();
    this.#sse?.send(JSON.stringify(errorBody(told(thrown))));
  }
}

/** Where a request stands, as a comment that no client need understand. */
function waitWords({ state, position, waitedMs, progress }: WaitState): string {
  const waited = `waited_ms=${Math.round(waitedMs)}`;
  if (state === 'queued') return `queued position=${position} ${waited}`;
  return `loading progress=${(progress ?? 0).toFixed(2)} ${waited}`;
}
