/**
 * The engine's side of the protocol: one library, one model, one context, driven by commands.
 * JavaScript thread of the engine process (or of the caller, in-process). It owns the native objects;
 * it must never wait inside a doorbell, and never knows about text policy.
 */
import { HoshikageError } from '../errors.js';
import type {
  AbiTable,
  NativeAddon,
  NativeCompletion,
  NativeContext,
  NativeLibrary,
  NativeModel,
} from './addon.js';
import type { CompletionRequest, EngineInfo, EngineOptions, SlotState } from './engine.js';
import {
  nativeContextOptions,
  nativeModelOptions,
  nativeRequest,
  requestTokens,
  toNews,
} from './native.js';
import {
  type Command,
  type CompletionNews,
  type LibraryFiles,
  type LogLine,
  type Message,
  type ReplyValue,
  toWire,
} from './protocol.js';

/** How often at most a ring carries the slots' picture, ms; an ended completion always brings one. */
const SLOTS_EVERY_MS = 25;

/** What a session works with. */
export interface SessionDeps {
  readonly addon: NativeAddon;
  readonly abi: AbiTable;
  /** Takes messages in order; it must not throw. */
  readonly emit: (message: Message) => void;
}

interface Running {
  readonly completion: NativeCompletion;
  readonly roomBound: boolean;
}

/** One engine's native half. `perform` never throws: every outcome is a message. */
export class Session {
  readonly #deps: SessionDeps;
  readonly #running = new Map<number, Running>();
  #model: NativeModel | null = null;
  #context: NativeContext | null = null;
  #tokensPerRequest = 0;
  #cancelLoad: (() => void) | null = null;
  #opening: Promise<void> | null = null;
  #closing: Promise<void> | null = null;
  #slotsSentAt = 0;

  constructor(deps: SessionDeps) {
    this.#deps = deps;
  }

  perform(command: Command): void {
    switch (command.type) {
      case 'open':
        this.#opening ??= this.#open(command.library, command.options);
        break;
      case 'tokenize':
        this.#answer(command.id, () =>
          this.#loadedModel().tokenize(command.segments, command.addSpecial),
        );
        break;
      case 'detokenize':
        this.#answer(command.id, async () => this.#loadedModel().detokenize(command.tokens));
        break;
      case 'slots':
        this.#answer(command.id, async () => this.#slots());
        break;
      case 'start':
        this.#start(command.id, command.request);
        break;
      case 'cancel':
        this.#running.get(command.id)?.completion.cancel(command.keepTokens);
        break;
      case 'close':
        void this.close();
        break;
    }
  }

  /** Cancels what runs or loads, frees everything, then emits `closed`. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #open(library: LibraryFiles, options: EngineOptions): Promise<void> {
    try {
      const { addon, abi, emit } = this.#deps;
      const identity = await addon.openLibrary({ ...library, abi, backends: true });
      if (this.#closing) throw new HoshikageError('cancelled');
      const loading = addon.loadModel(nativeModelOptions(options), (fraction) =>
        emit({ type: 'progress', fraction }),
      );
      this.#cancelLoad = () => loading.cancel();
      this.#model = await loading.promise;
      this.#cancelLoad = null;
      if (this.#closing) throw new HoshikageError('cancelled');
      const info = await this.#createContext(this.#model, identity, options);
      if (this.#closing) throw new HoshikageError('cancelled');
      emit({ type: 'ready', info, slots: this.#slots() });
    } catch (error) {
      this.#deps.emit({ type: 'failed', error: toWire(error, 'model_load_failed') });
    }
  }

  async #createContext(
    model: NativeModel,
    library: NativeLibrary,
    options: EngineOptions,
  ): Promise<EngineInfo> {
    const facts = model.facts();
    const tokens = requestTokens(options.contextTokens, facts.trainedContextTokens);
    if (tokens < options.contextTokens) {
      this.#log('warn', `N_CTX ${options.contextTokens} is capped at the model's ${tokens} tokens`);
    }
    this.#context = await model.createContext(nativeContextOptions(options, tokens), () =>
      this.#ring(),
    );
    const { info } = this.#context;
    this.#tokensPerRequest = Math.min(tokens, info.contextTokensPerSlot);
    return {
      library,
      model: facts,
      contextTokens: this.#tokensPerRequest,
      slots: info.slots,
      batchTokens: info.batchTokens,
      threads: info.threads,
    };
  }

  #start(id: number, request: CompletionRequest): void {
    try {
      if (!this.#context) throw new HoshikageError('closed', { what: 'context' });
      const limit = this.#tokensPerRequest;
      const room = limit - request.prompt.length;
      if (room < 1) {
        const details = { n_prompt_tokens: request.prompt.length, n_ctx: limit };
        throw new HoshikageError('context_length_exceeded', details);
      }
      const roomBound = request.maxTokens < 0 || request.maxTokens > room;
      const native = nativeRequest(request, roomBound ? room : request.maxTokens);
      this.#running.set(id, { completion: this.#context.start(native), roomBound });
    } catch (error) {
      const end = { error: toWire(error, 'internal_error') };
      this.#deps.emit({ type: 'ring', news: [{ id, batch: null, end }], slots: null });
    }
  }

  /** The doorbell: empties every mailbox, and sends what was in them as one message. */
  #ring(): void {
    const news: CompletionNews[] = [];
    for (const [id, { completion, roomBound }] of this.#running) {
      const one = this.#take(id, completion, roomBound);
      if (!one) continue;
      news.push(one);
      if (one.end) this.#running.delete(id);
    }
    const slots = this.#slotsIfDue(news.some((one) => one.end !== null));
    if (news.length > 0 || slots) this.#deps.emit({ type: 'ring', news, slots });
  }

  #take(id: number, completion: NativeCompletion, roomBound: boolean): CompletionNews | null {
    try {
      const batch = completion.take();
      const news = batch && toNews(id, batch, roomBound);
      return news && (news.batch || news.end) ? news : null;
    } catch (error) {
      return { id, batch: null, end: { error: toWire(error, 'internal_error') } };
    }
  }

  #slotsIfDue(now: boolean): readonly SlotState[] | null {
    const at = performance.now();
    if (!now && at - this.#slotsSentAt < SLOTS_EVERY_MS) return null;
    this.#slotsSentAt = at;
    return this.#slots();
  }

  #slots(): readonly SlotState[] {
    return this.#closing || !this.#context ? [] : this.#context.slots();
  }

  #answer(id: number, call: () => Promise<ReplyValue>): void {
    // The call may throw before it returns a promise; both ways must become a message.
    void (async () => call())().then(
      (value) => this.#deps.emit({ type: 'reply', id, value }),
      (error: unknown) =>
        this.#deps.emit({ type: 'refusal', id, error: toWire(error, 'internal_error') }),
    );
  }

  #loadedModel(): NativeModel {
    if (!this.#model || this.#closing) throw new HoshikageError('closed', { what: 'model' });
    return this.#model;
  }

  #log(level: LogLine[0], text: string): void {
    this.#deps.emit({ type: 'log', lines: [[level, text]] });
  }

  async #close(): Promise<void> {
    this.#cancelLoad?.();
    await this.#opening;
    try {
      await this.#context?.close();
      this.#ring();
      await this.#model?.close();
    } catch (error) {
      this.#log('error', `closing failed: ${error instanceof Error ? error.message : error}`);
    }
    this.#deps.emit({ type: 'closed' });
  }
}
