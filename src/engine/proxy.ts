/**
 * The Engine as its users hold it: commands out, messages in, whatever carries them.
 * JavaScript thread of the user. It owns the running completions and pending calls and ends them all
 * when the engine ends; it must never know about processes or native objects.
 */
import { HoshikageError } from '../errors.js';
import { CompletionStream } from './completion.js';
import type { EngineCounters } from './counters.js';
import type {
  CompletionRequest,
  CompletionResult,
  Engine,
  EngineCompletion,
  EngineExit,
  EngineInfo,
  ExitCause,
  SlotState,
  TextSegment,
} from './engine.js';
import { HangWatch } from './hang.js';
import {
  type Command,
  fromWire,
  type Message,
  type Picture,
  type Pulse,
  type Ready,
  type ReplyValue,
  type RestoredState,
  type SavedState,
} from './protocol.js';

/** How long an engine whose libllama has given up may take to end, ms. */
const CRASH_LIMIT_MS = 5000;

interface PendingCall {
  readonly embeds: boolean;
  resolve(value: ReplyValue): void;
  reject(error: HoshikageError): void;
}

/** How a proxy reaches its engine. */
export interface EngineLink {
  /** Sends one command; it must not throw. */
  post(command: Command): void;
  /** Ends the engine, gracefully if it can. Resolves when it has ended and `ended` was called. */
  close(): Promise<void>;
  /** The engine has crashed and does not end: ends it at once, where that is possible. */
  abandon(): void;
  readonly pid: number | null;
  /** Told what the engine has to do; absent where nobody could end it. */
  readonly watch?: HangWatch;
}

/** The error of whatever an engine's end cut off. */
export function endError(cause: ExitCause, detail: string, hangLimitMs: number): HoshikageError {
  const options = { cause: new Error(detail) };
  if (cause === 'hang') {
    const seconds = hangLimitMs / 1000;
    return new HoshikageError('engine_hung', { detail, seconds }, options);
  }
  const code = cause === 'memory' ? 'engine_out_of_memory' : 'engine_crashed';
  return new HoshikageError(code, { detail }, options);
}

/** Engine over a link. Made when the engine is `ready`; fed with `receive` and, once, `ended`. */
export class EngineProxy implements Engine {
  readonly info: EngineInfo;
  readonly exited: Promise<EngineExit>;
  readonly #link: EngineLink;
  readonly #calls = new Map<number, PendingCall>();
  readonly #completions = new Map<number, CompletionStream>();
  readonly #watch: HangWatch;
  #picture: Picture;
  #memoryBytes: number | null;
  #resolveExited: (exit: EngineExit) => void = () => {};
  #exit: EngineExit | null = null;
  #closing: Promise<void> | null = null;
  /** The words with which libllama gave up; all that waits ends when the process has. */
  #crash: string | null = null;
  /** Completions that were done before that. */
  readonly #done = new Map<number, CompletionResult>();
  #lastId = 0;
  /** Until a crashed engine must have ended. */
  #crashDeadline: NodeJS.Timeout | null = null;

  constructor(link: EngineLink, { info, picture, rssBytes }: Omit<Ready, 'type'>) {
    this.#link = link;
    this.info = info;
    this.#picture = picture;
    this.#memoryBytes = rssBytes;
    this.#watch = link.watch ?? new HangWatch({ limitMs: 0, onHang: () => {} });
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
    return this.#picture.slots;
  }

  get counters(): EngineCounters {
    return this.#picture.counters;
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
    if (signal?.aborted) throw new HoshikageError('cancelled');
    let abort = (): void => {};
    const call = this.#call((id) => {
      abort = () => this.#link.post({ type: 'cancelCall', id });
      return { type: 'embed', id, inputs };
    });
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const value = await call;
      if (!isVectors(value, inputs.length)) throw wrongAnswer('embed');
      return value;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  async saveState(slot: number, path: string, mostBytes?: number): Promise<SavedState | null> {
    const limit = mostBytes === undefined ? {} : { mostBytes };
    const value = await this.#call((id) => ({ type: 'saveState', id, slot, path, ...limit }));
    if (value !== null && !('bytes' in value)) throw wrongAnswer('saveState');
    return value;
  }

  async restoreState(path: string): Promise<RestoredState | null> {
    const value = await this.#call((id) => ({ type: 'restoreState', id, path }));
    if (value !== null && !('slot' in value)) throw wrongAnswer('restoreState');
    return value;
  }

  start(request: CompletionRequest): EngineCompletion {
    const id = this.#nextId();
    const stream = new CompletionStream((keepTokens) => {
      this.#link.post({ type: 'cancel', id, keepTokens });
    });
    const refusal = this.#refusal();
    if (refusal) {
      stream.fail(refusal);
    } else {
      this.#completions.set(id, stream);
      this.#watch.begin('completions');
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
    else if (message.type === 'pulse') this.#pulse(message);
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
    this.#picture = { ...this.#picture, slots: [] };
    // First: whoever gives out engines must know before those who wait ask for the next one.
    this.#resolveExited(exit);
    this.#watch.stop();
    if (this.#crashDeadline) clearTimeout(this.#crashDeadline);
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
    this.#watch.stop();
    this.#crashDeadline ??= setTimeout(() => this.#link.abandon(), CRASH_LIMIT_MS).unref();
  }

  #pulse(pulse: Pulse): void {
    this.#memoryBytes = pulse.rssBytes;
    this.#watch.pulse(pulse);
  }

  #ring(message: Extract<Message, { type: 'ring' }>): void {
    if (message.picture) this.#picture = message.picture;
    if (message.news.length > 0) this.#watch.heard('completions');
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
      this.#watch.end('completions');
      if ('error' in end) stream.fail(fromWire(end.error));
      else stream.finish(end.result);
    }
  }

  #call(makeCommand: (id: number) => Command): Promise<ReplyValue> {
    const refusal = this.#refusal();
    if (refusal) return Promise.reject(refusal);
    const id = this.#nextId();
    const command = makeCommand(id);
    const embeds = command.type === 'embed';
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject, embeds });
      if (embeds) this.#watch.begin('embeds');
      else this.#watch.beginCall(id);
      this.#link.post(command);
    });
  }

  #take(id: number): PendingCall | undefined {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (call?.embeds) this.#watch.end('embeds');
    else this.#watch.endCall(id);
    return call;
  }

  #refusal(): HoshikageError | null {
    if (this.#exit || this.#crash !== null) return this.#goneError();
    return this.#closing ? new HoshikageError('closed', { what: 'engine' }) : null;
  }

  #goneError(): HoshikageError {
    if (this.#exit?.expected) return new HoshikageError('closed', { what: 'engine' });
    const detail = this.#crash ?? this.#exit?.detail ?? 'no detail';
    return endError(this.#exit?.cause ?? 'crash', detail, this.#watch.limitMs);
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
