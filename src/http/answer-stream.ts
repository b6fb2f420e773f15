/**
 * One streamed answer, of whatever kind: events in, server-sent events out. Runs in the server, one per
 * request. It takes what the engine gives as fast as it comes, so that a slow reader holds no slot; what
 * such a reader has not taken yet is joined, bounded by what one answer may say. It must end every
 * stream: by its writer's last line, or by an error event without it.
 */
import type { Figures } from '../figures.js';
import type { GenerationEvent } from '../generate/events.js';
import type { WaitState } from '../resources/lease.js';
import { errorBody, told } from './error.js';
import { SseStream } from './response.js';

/** The event by which an answer begins. */
export type StartOf<E extends GenerationEvent> = Extract<E, { readonly type: 'start' }>;

/** Turns events into what the wire says. One per answer; it may remember what it has written. */
export interface AnswerWriter<E extends GenerationEvent> {
  /** One event that says what two neighbours say, for a reader that is behind; null: they stay two. */
  join(last: E, next: E): E | null;
  /**
   * The data of an event, line by line; the last event's end with whatever ends such a stream. A second
   * `start` comes where nothing but `start` was said before.
   */
  lines(event: E): readonly string[];
}

/** What one stream is made of. Times in ms. */
export interface AnswerStreamOptions<E extends GenerationEvent> {
  readonly writer: AnswerWriter<E>;
  /** The headers as far as they are known; null before the first `start`. */
  readonly headersOf: (start: StartOf<E> | null) => Readonly<Record<string, string>>;
  /** The reader has gone. */
  readonly onCancel: () => void;
  /** The stream ended by an error that only its last event tells. */
  readonly onFailure: (thrown: unknown) => void;
  /** Where its request stands while it waits for its turn or its model, else null. */
  readonly waitOf: () => WaitState | null;
  /** Told every event as it comes. */
  readonly onEvent: (event: E) => void;
  readonly figures: Pick<Figures, 'streams'>;
  /** How long an error may still have its own status, and how often a wait is told; 5 s by default. */
  readonly patienceMs?: number;
  readonly keepAliveMs?: number;
}

const PATIENCE_MS = 5000;

export class AnswerStream<E extends GenerationEvent> {
  /** Settles when the stream has ended, also where it never began. */
  readonly finished: Promise<void>;
  readonly #options: AnswerStreamOptions<E>;
  #settle: () => void = () => {};
  #sse: SseStream | null = null;
  #start: StartOf<E> | null = null;
  /** The headers that have gone, and what was said of them since. */
  #headers: Readonly<Record<string, string>> = {};
  #pending: E[] = [];

  constructor(options: AnswerStreamOptions<E>) {
    this.#options = options;
    this.finished = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /**
   * Resolves with the response once there is more than a `start`, or after 5 s; rejects with what went
   * wrong before that.
   */
  run(events: AsyncIterable<E>): Promise<Response> {
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
          if (this.#sse) this.#options.figures.streams.open -= 1;
          this.#sse?.close();
          this.#settle();
        });
    });
  }

  async #pump(events: AsyncIterable<E>, speak: () => void): Promise<void> {
    let isSpeaking = false;
    for await (const event of events) {
      this.#options.onEvent(event);
      if (isStart(event)) this.#begin(event);
      else if (!isSpeaking) {
        isSpeaking = true;
        speak();
      }
      this.#add(event);
      if (this.#sse && !this.#sse.full) this.#sendPending();
    }
    // An answer without a word is one too.
    speak();
    this.#sendPending();
  }

  /** The stream, its headers on their way from now on. */
  #open(): SseStream {
    if (this.#sse) return this.#sse;
    const { headersOf, onCancel, keepAliveMs, figures } = this.#options;
    this.#headers = headersOf(this.#start);
    figures.streams.open += 1;
    this.#sse = new SseStream({
      headers: this.#headers,
      sent: figures.streams,
      onDrain: () => this.#sendPending(),
      onCancel,
      ...(keepAliveMs !== undefined && { keepAliveMs }),
    });
    this.#sendPending();
    return this.#sse;
  }

  #tellWait(): void {
    const wait = this.#options.waitOf();
    if (wait && this.#sse && !this.#sse.full) this.#sse.comment(waitWords(wait));
  }

  /** Where the headers had to go before the model was there, and so without what only it can tell. */
  #begin(start: StartOf<E>): void {
    this.#start = start;
    if (!this.#sse) return;
    const headers = this.#options.headersOf(start);
    for (const [name, value] of Object.entries(headers)) {
      if (this.#headers[name] !== value) this.#sse.comment(`${name}: ${value}`);
    }
    this.#headers = headers;
  }

  #add(event: E): void {
    if (addTo(this.#pending, event, this.#options.writer)) {
      this.#options.figures.streams.joined += 1;
    }
  }

  #sendPending(): void {
    if (!this.#sse) return;
    const events = this.#pending;
    this.#pending = [];
    for (const event of events) {
      for (const line of this.#options.writer.lines(event)) this.#sse.send(line);
    }
  }

  #fail(thrown: unknown): void {
    this.#options.onFailure(thrown);
    this.#sendPending();
    this.#sse?.send(JSON.stringify(errorBody(told(thrown))));
  }
}

/** Adds an event, as a part of the last one of its choice where the writer joins them: true. */
export function addTo<E extends GenerationEvent>(
  events: E[],
  event: E,
  writer: Pick<AnswerWriter<E>, 'join'>,
): boolean {
  const choice = choiceOf(event);
  // What others say in between does not matter: choices that are made side by side take turns.
  const at = events.findLastIndex((other) => choiceOf(other) === choice);
  const last = events[at];
  const both = last === undefined ? null : writer.join(last, event);
  if (both) events[at] = both;
  else events.push(event);
  return both !== null;
}

function choiceOf(event: GenerationEvent): unknown {
  return 'choice' in event ? event.choice : null;
}

function isStart<E extends GenerationEvent>(event: E): event is StartOf<E> {
  return event.type === 'start';
}

/** Where a request stands, as a comment that no client need understand. */
function waitWords({ state, position, waitedMs, progress }: WaitState): string {
  const waited = `waited_ms=${Math.round(waitedMs)}`;
  if (state === 'queued') return `queued position=${position} ${waited}`;
  return `loading progress=${(progress ?? 0).toFixed(2)} ${waited}`;
}
