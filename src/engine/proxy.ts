/**
 * The Engine as its users hold it: commands out, messages in, whatever carries them.
 * JavaScript thread of the user. It owns the running completions and pending calls and ends them all
 * when the engine ends; it must never know about processes or native objects.
 */
import { HoshikageError } from '../errors.js';
import { CompletionStream } from './completion.js';
import type {
  CompletionRequest,
  CompletionResult,
  Engine,
  EngineCompletion,
  EngineExit,
  EngineInfo,
  SlotState,
  TextSegment,
} from './engine.js';
import {
  type Command,
  fromWire,
  type Message,
  type ReplyValue,
  type RestoredState,
  type SavedState,
} from './protocol.js';

/** How long a call or a cancel may stay unanswered before the engine counts as hung, ms. */
const ANSWER_LIMIT_MS = 60_000;
/** How much longer per token of all inputs that are being embedded, ms: a slow machine's pace. */
const EMBED_MS_PER_TOKEN = 250;
/** What setTimeout can wait for. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** How long an engine whose libllama has given up may take to end, ms. */
const CRASH_LIMIT_MS = 5000;
/** How much longer a state may take than other calls: gigabytes to and from a disk. */
const STATE_FACTOR = 10;

/** Under which the end of a crashed engine is awaited; calls begin at 1. */
const CRASHED_ID = 0;

interface PendingCall {
  resolve(value: ReplyValue): void;
  reject(error: HoshikageError): void;
}

/** How a proxy reaches its engine. */
export interface EngineLink {
  /** Sends one command; it must not throw. */
  post(command: Command): void;
  /** Ends the engine, gracefully if it can. Resolves when it has ended and `ended` was called. */
  close(): Promise<void>;
  /** The engine no longer answers: ends it at once, where that is possible. */
  abandon(): void;
  readonly pid: number | null;
  /** 60 s by default. */
  readonly hangLimitMs?: number;
}

/** Engine over a link. Made when the engine is `ready`; fed with `receive` and, once, `ended`. */
export class EngineProxy implements Engine {
  readonly info: EngineInfo;
  readonly exited: Promise<EngineExit>;
  readonly #link: EngineLink;
  readonly #calls = new Map<number, PendingCall>();
  readonly #completions = new Map<number, CompletionStream>();
  /** By the id of the call or the cancelled completion. */
  readonly #deadlines = new Map<number, NodeJS.Timeout>();
  #slotStates: readonly SlotState[];
  #memoryBytes: number | null = null;
  #resolveExited: (exit: EngineExit) => void = () => {};
  #exit: EngineExit | null = null;
  #closing: Promise<void> | null = null;
  /** The words with which libllama gave up; all that waits ends when the process has. */
  #crash: string | null = null;
  /** Completions that were done before that. */
  readonly #done = new Map<number, CompletionResult>();
  #lastId = 0;
  /** Of all unanswered embed calls: they run one after the other. */
  #embeddingTokens = 0;

  constructor(link: EngineLink, info: EngineInfo, slots: readonly SlotState[]) {
    this.#link = link;
    this.info = info;
    this.#slotStates = slots;
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
  }

  /** Process id of the engine, null where it is this process. */
  get pid(): number | null {
    return this.#link.pid;
  }

  /** The slots at the last news from the engine: at most some milliseconds old while it works. */
  get slotStates(): readonly SlotState[] {
    return this.#slotStates;
  }

  /** Closed, given up or gone: it takes nothing any more. */
  get ending(): boolean {
    return this.#exit !== null || this.#crash !== null || this.#closing !== null;
  }

  get memoryBytes(): number | null {
    return this.#memoryBytes;
  }

  async tokenize(segments: readonly TextSegment[], addSpecial: boolean): Promise<Int32Array> {
    const value = await this.#call((id) => ({ type: 'tokenize', id, segments, addSpecial }));
    if (!(value instanceof Int32Array)) throw wrongAnswer('tokenize');
    return value;
  }

  async detokenize(tokens: Int32Array): Promise<Uint8Array> {
    const value = await this.#call((id) => ({ type: 'detokenize', id, tokens }));
    if (!(value instanceof Uint8Array)) throw wrongAnswer('detokenize');
    return value;
  }

  async slots(): Promise<readonly SlotState[]> {
    const value = await this.#call((id) => ({ type: 'slots', id }));
    if (!isSlots(value)) throw wrongAnswer('slots');
    return value;
  }

  async embed(
    inputs: readonly Int32Array[],
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<readonly Float32Array[]> {
    const tokens = inputs.reduce((sum, input) => sum + input.length, 0);
    this.#embeddingTokens += tokens;
    let abort = (): void => {};
    try {
      if (signal?.aborted) throw new HoshikageError('cancelled');
      const extraMs = this.#embeddingTokens * EMBED_MS_PER_TOKEN;
      const call = this.#call((id) => {
        abort = () => this.#link.post({ type: 'cancelCall', id });
        return { type: 'embed', id, inputs };
      }, extraMs);
      signal?.addEventListener('abort', abort, { once: true });
      const value = await call;
      if (!isVectors(value, inputs.length)) throw wrongAnswer('embed');
      return value;
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#embeddingTokens -= tokens;
    }
  }

  async saveState(slot: number, path: string, mostBytes?: number): Promise<SavedState | null> {
    const extraMs = this.#answerLimitMs * (STATE_FACTOR - 1);
    const limit = mostBytes === undefined ? {} : { mostBytes };
    const value = await this.#call(
      (id) => ({ type: 'saveState', id, slot, path, ...limit }),
      extraMs,
    );
    if (value !== null && !('bytes' in value)) throw wrongAnswer('saveState');
    return value;
  }

  async restoreState(path: string): Promise<RestoredState | null> {
    const extraMs = this.#answerLimitMs * (STATE_FACTOR - 1);
    const value = await this.#call((id) => ({ type: 'restoreState', id, path }), extraMs);
    if (value !== null && !('slot' in value)) throw wrongAnswer('restoreState');
    return value;
  }

  start(request: CompletionRequest): EngineCompletion {
    const id = this.#nextId();
    const stream = new CompletionStream((keepTokens) => {
      this.#expectAnswer(id);
      this.#link.post({ type: 'cancel', id, keepTokens });
    });
    const refusal = this.#refusal();
    if (refusal) {
      stream.fail(refusal);
    } else {
      this.#completions.set(id, stream);
      this.#link.post({ type: 'start', id, request });
    }
    return stream;
  }

  close(): Promise<void> {
    this.#closing ??= this.#exit ? Promise.resolve() : this.#link.close();
    return this.#closing;
  }

  /** Takes one message of a ready engine. */
  receive(message: Message): void {
    if (message.type === 'crashed') this.#crashed(message.reason);
    else if (message.type === 'pulse') this.#memoryBytes = message.rssBytes;
    else if (message.type === 'ring') this.#ring(message);
    // What has been answered would be asked for again, by somebody who gets this dying engine.
    else if (this.#crash !== null) return;
    else if (message.type === 'reply') this.#take(message.id)?.resolve(message.value);
    else if (message.type === 'refusal') this.#take(message.id)?.reject(fromWire(message.error));
  }

  /** The engine is gone: everything that still waits ends now. */
  ended(exit: EngineExit): void {
    if (this.#exit) return;
    this.#exit = exit;
    this.#slotStates = [];
    // First: whoever gives out engines must know before those who wait ask for the next one.
    this.#resolveExited(exit);
    for (const id of [...this.#deadlines.keys()]) this.#answered(id);
    const completions = [...this.#completions];
    const calls = [...this.#calls.values()];
    this.#completions.clear();
    this.#calls.clear();
    for (const [id, stream] of completions) {
      const result = this.#done.get(id);
      if (result) stream.finish(result);
      else stream.fail(exit.expected ? new HoshikageError('shutting_down') : this.#goneError());
    }
    for (const call of calls) call.reject(this.#goneError());
  }

  /** Nothing is settled before the process has ended, which it does by itself, or else is made to. */
  #crashed(reason: string): void {
    this.#crash ??= reason;
    const timer = setTimeout(() => this.#link.abandon(), CRASH_LIMIT_MS).unref();
    this.#deadlines.set(CRASHED_ID, timer);
  }

  #ring(message: Extract<Message, { type: 'ring' }>): void {
    if (message.slots) this.#slotStates = message.slots;
    for (const { id, batch, end } of message.news) {
      const stream = this.#completions.get(id);
      if (!stream) continue;
      if (batch) stream.push(batch);
      if (!end) continue;
      if (this.#crash !== null) {
        if ('result' in end) this.#done.set(id, end.result);
        continue;
      }
      this.#completions.delete(id);
      this.#answered(id);
      if ('error' in end) stream.fail(fromWire(end.error));
      else stream.finish(end.result);
    }
  }

  #call(command: (id: number) => Command, extraMs = 0): Promise<ReplyValue> {
    const refusal = this.#refusal();
    if (refusal) return Promise.reject(refusal);
    const id = this.#nextId();
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#expectAnswer(id, extraMs);
      this.#link.post(command(id));
    });
  }

  #take(id: number): PendingCall | undefined {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    this.#answered(id);
    return call;
  }

  /** Whoever waits holds a lease: an engine that hangs must not hold it for ever. */
  #expectAnswer(id: number, extraMs = 0): void {
    const limitMs = Math.min(this.#answerLimitMs + extraMs, LONGEST_TIMER_MS);
    this.#deadlines.set(id, setTimeout(() => this.#link.abandon(), limitMs).unref());
  }

  get #answerLimitMs(): number {
    return this.#link.hangLimitMs || ANSWER_LIMIT_MS;
  }

  #answered(id: number): void {
    clearTimeout(this.#deadlines.get(id));
    this.#deadlines.delete(id);
  }

  #refusal(): HoshikageError | null {
    if (this.#exit || this.#crash !== null) return this.#goneError();
    return this.#closing ? new HoshikageError('closed', { what: 'engine' }) : null;
  }

  #goneError(): HoshikageError {
    if (this.#exit?.expected) return new HoshikageError('closed', { what: 'engine' });
    const detail = this.#crash ?? this.#exit?.detail ?? 'no detail';
    return new HoshikageError('engine_crashed', { detail }, { cause: new Error(detail) });
  }

  #nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }
}

function isSlots(value: ReplyValue): value is readonly SlotState[] {
  return Array.isArray(value) && value.every((one) => !(one instanceof Float32Array));
}

function isVectors(value: ReplyValue, count: number): value is readonly Float32Array[] {
  return (
    Array.isArray(value) &&
    value.length === count &&
    value.every((one) => one instanceof Float32Array)
  );
}

function wrongAnswer(call: string): HoshikageError {
  return new HoshikageError('internal_error', {}, { cause: new Error(`wrong answer to ${call}`) });
}
