/**
 * The engine's side of the protocol: one library, one model, one context, driven by commands.
 * JavaScript thread of the engine process (or of the caller, in-process). It owns the native objects;
 * it must never wait inside a doorbell, and never knows about text policy.
 */
import { constants } from 'node:buffer';
import { basename } from 'node:path';
import { type ErrorCode, HoshikageError } from '../errors.js';
import type {
  AbiTable,
  NativeAddon,
  NativeCompletion,
  NativeContext,
  NativeContextOptions,
  NativeEmbedder,
  NativeLibrary,
  NativeModel,
} from './addon.js';
import { countersOf } from './counters.js';
import { loadDrafter } from './drafter.js';
import type { CompletionRequest, EngineInfo, EngineOptions, SlotState } from './engine.js';
import {
  decodeThreads,
  layersOnGpus,
  nativeContextOptions,
  nativeModelOptions,
  nativeRequest,
  physicalCores,
  requestTokens,
  toNews,
} from './native.js';
import { openContext } from './open-context.js';
import { speaksOfMemory } from './out-of-memory.js';
import { placed } from './placement.js';
import {
  type Command,
  type CompletionNews,
  type LibraryFiles,
  type LogLine,
  type Message,
  type Picture,
  type ReplyValue,
  type RestoredState,
  type SavedState,
  toWire,
  type WireError,
} from './protocol.js';
import { checkSealed } from './sealed.js';
import { modelIdentity, readState, stateKey, writeState } from './state-file.js';

/** How often at most a ring carries a picture, ms; an ended completion always brings one. */
const PICTURE_EVERY_MS = 25;

/** What a session works with. */
export interface SessionDeps {
  readonly addon: NativeAddon;
  readonly abi: AbiTable;
  /** Takes messages in order; it must not throw. */
  readonly emit: (message: Message) => void;
  /** Main memory that the process holds; absent where it is the caller's own. */
  readonly rssBytes?: () => number;
}

type SaveCommand = Extract<Command, { type: 'saveState' }>;

interface Running {
  readonly completion: NativeCompletion;
  readonly roomBound: boolean;
}

/** An error as plain data. One that was for want of memory says so, whatever failed by it. */
function wireOf(thrown: unknown, fallback: ErrorCode): WireError {
  const wire = toWire(thrown, fallback);
  const vague = wire.code === 'model_load_failed' || wire.code === 'decode_failed';
  return vague && speaksOfMemory(wire.reason) ? { ...wire, code: 'engine_out_of_memory' } : wire;
}

/** One engine's native half. `perform` never throws: every outcome is a message. */
export class Session {
  readonly #deps: SessionDeps;
  readonly #running = new Map<number, Running>();
  #model: NativeModel | null = null;
  #drafter: NativeModel | null = null;
  #context: NativeContext | null = null;
  #embedder: NativeEmbedder | null = null;
  #contextOptions: NativeContextOptions | null = null;
  /** What a saved state must belong to; null where that cannot be said. */
  #stateKey: string | null = null;
  #modelIdentity: Awaited<ReturnType<typeof modelIdentity>> = null;
  #modelPath = '';
  #tokensPerRequest = 0;
  #cancelLoad: (() => void) | null = null;
  #opening: Promise<void> | null = null;
  #closing: Promise<void> | null = null;
  /** Ends the saves that run when the session is closed. */
  readonly #closed = new AbortController();
  readonly #saves = new Set<Promise<unknown>>();
  /** What ends calls that run, by their ids. */
  readonly #cancelCalls = new Map<number, () => void>();
  /** Calls without an answer yet. */
  #calls = 0;
  #loading = false;
  #pieces = 0;
  #pictureSentAt = 0;
  #counters = countersOf();

  constructor(deps: SessionDeps) {
    this.#deps = deps;
  }

  /** Whether anything loads, runs or is called. */
  get busy(): boolean {
    return this.#loading || this.#calls > 0 || this.#running.size > 0;
  }

  /** How many pieces of state files have been written and read; only ever grows. */
  get pieces(): number {
    return this.#pieces;
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
      case 'embed':
        this.#answer(command.id, () => this.#embed(command.id, command.inputs));
        break;
      case 'saveState':
        this.#answer(command.id, () => this.#saved(this.#saveState(command)));
        break;
      case 'restoreState':
        this.#answer(command.id, () => this.#restoreState(command.path));
        break;
      case 'start':
        this.#start(command.id, command.request);
        break;
      case 'cancel':
        this.#running.get(command.id)?.completion.cancel(command.keepTokens);
        break;
      case 'cancelCall':
        this.#cancelCalls.get(command.id)?.();
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

  async #open(library: LibraryFiles, asked: EngineOptions): Promise<void> {
    this.#loading = true;
    try {
      const { addon, abi, emit } = this.#deps;
      const files = { ...library, abi, proveSamplers: false, backends: true };
      const identity = await addon.openLibrary(files);
      if (this.#closing) throw new HoshikageError('cancelled');
      const options = await placed(asked, {
        devices: identity.devices,
        // Asked for again, the open one tells its devices anew.
        look: async () => (await addon.openLibrary(files)).devices,
        signal: this.#closed.signal,
      });
      if (asked.gpuLayers !== options.gpuLayers) {
        this.#log(
          'info',
          `N_GPU_LAYERS=${asked.gpuLayers}: ${options.gpuLayers} layers on devices`,
        );
      }
      this.#modelIdentity = await modelIdentity(options.sourcePath ?? options.modelPath);
      await checkSealed(options.sealed ?? []);
      const loading = addon.loadModel(nativeModelOptions(options), (fraction) =>
        emit({ type: 'progress', fraction }),
      );
      this.#cancelLoad = () => loading.cancel();
      this.#model = await loading.promise;
      this.#cancelLoad = null;
      if (this.#closing) throw new HoshikageError('cancelled');
      const info = await this.#prepare(this.#model, identity, options);
      if (this.#closing) throw new HoshikageError('cancelled');
      const rssBytes = this.#deps.rssBytes?.() ?? null;
      emit({ type: 'ready', info, picture: this.#picture(), rssBytes });
    } catch (error) {
      this.#deps.emit({ type: 'failed', error: wireOf(error, 'model_load_failed') });
    } finally {
      this.#loading = false;
    }
  }

  /** Makes what the model is loaded for. */
  async #prepare(
    model: NativeModel,
    library: NativeLibrary,
    options: EngineOptions,
  ): Promise<EngineInfo> {
    const facts = model.facts();
    const tokens = requestTokens(options.contextTokens, facts.trainedContextTokens);
    if (tokens < options.contextTokens) {
      this.#log('info', `N_CTX ${options.contextTokens} is capped at the model's ${tokens} tokens`);
    }
    // For embeddings, which have no slots.
    this.#contextOptions = nativeContextOptions({ ...options, slots: 1 }, tokens);
    this.#modelPath = options.modelPath;
    this.#tokensPerRequest = tokens;
    const common = { library, model: facts, gpuLayers: layersOnGpus(options, library, facts) };
    if (options.purpose === 'embed') {
      const threads = decodeThreads(options.threads, physicalCores());
      return { ...common, contextTokens: tokens, slots: 0, batchTokens: 0, threads };
    }
    const onStart = (cancel: () => void): void => {
      this.#cancelLoad = cancel;
      if (this.#closing) cancel();
    };
    const drafter = await loadDrafter(this.#deps.addon, options, onStart);
    this.#drafter = drafter;
    const { context, native, choice } = await openContext({
      ...{ model, drafter, library, options, tokens, gpuLayers: common.gpuLayers },
      ...{ onWake: () => this.#ring(), onStart },
      isOver: () => this.#closing !== null || this.#deps.addon.crashed() !== null,
      log: (level, text) => this.#log(level, text),
    });
    this.#context = context;
    const { contextTokensPerSlot, slots, batchTokens, threads } = context.info;
    this.#tokensPerRequest = Math.min(tokens, contextTokensPerSlot);
    const [identity, tokensPerSlot] = [this.#modelIdentity, contextTokensPerSlot];
    this.#stateKey = await stateKey({ model: identity, library, context: native, tokensPerSlot });
    const numbers = { contextTokens: this.#tokensPerRequest, slots, batchTokens, threads };
    return { ...common, ...numbers, ...(choice && { slotChoice: choice }) };
  }

  async #embed(id: number, inputs: readonly Int32Array[]): Promise<readonly Float32Array[]> {
    const model = this.#loadedModel();
    const options = this.#contextOptions;
    if (!options) throw new HoshikageError('closed', { what: 'model' });
    for (const [index, { length }] of inputs.entries()) {
      if (length === 0) {
        throw new HoshikageError('invalid_value', {
          param: 'input',
          reason: `the text at index ${index} has no tokens`,
          reason_ja: `${index} 番目の文がトークンになりません`,
        });
      }
      if (length > this.#tokensPerRequest) {
        const details = { n_prompt_tokens: length, n_ctx: this.#tokensPerRequest };
        throw new HoshikageError('context_length_exceeded', details);
      }
    }
    const contextTokens = this.#tokensPerRequest;
    this.#embedder ??= model.createEmbedder({ ...options, contextTokens, slots: 1 });
    const call = this.#embedder.embed(inputs);
    this.#cancelCalls.set(id, () => call.cancel());
    try {
      return await call.promise;
    } finally {
      this.#cancelCalls.delete(id);
    }
  }

  async #saveState({ slot, path, mostBytes }: SaveCommand): Promise<SavedState | null> {
    const context = this.#openContext();
    const key = this.#stateKey;
    if (key === null) {
      this.#log('warn', 'no state is saved: the model or library file is gone');
      return null;
    }
    const most = Math.min(mostBytes ?? constants.MAX_LENGTH, constants.MAX_LENGTH);
    const state = await context.saveState(slot, most);
    if (!state) return null;
    const bytes = await writeState(path, key, state, this.#closed.signal, this.#onPiece);
    return { tokens: state.tokens, bytes };
  }

  readonly #onPiece = (): void => {
    this.#pieces += 1;
  };

  /** Awaited before the session is closed, so that no half-written file stays behind. */
  #saved<T>(save: Promise<T>): Promise<T> {
    this.#saves.add(save);
    const forget = (): void => void this.#saves.delete(save);
    save.then(forget, forget);
    return save;
  }

  async #restoreState(path: string): Promise<RestoredState | null> {
    const context = this.#openContext();
    const ignored = (why: string): null => {
      this.#log('warn', `the saved state ${path} is not used: ${why}`);
      return null;
    };
    if (this.#stateKey === null) return ignored('the model or library file is gone');
    const read = await readState(path, this.#stateKey, this.#onPiece);
    if ('problem' in read) return ignored(read.problem);
    const { tokens } = read.state;
    if (tokens.length === 0 || tokens.length > this.#tokensPerRequest) {
      return ignored('it does not fit into a slot');
    }
    const slot = await context.restoreState(read.state);
    return slot === null ? ignored('no slot is idle, or it does not fit') : { slot, tokens };
  }

  #openContext(): NativeContext {
    if (this.#context && !this.#closing) return this.#context;
    if (this.#model && !this.#closing) throw this.#notGenerative();
    throw new HoshikageError('closed', { what: 'context' });
  }

  #notGenerative(): HoshikageError {
    return new HoshikageError('model_not_generative', { model: basename(this.#modelPath) });
  }

  #start(id: number, request: CompletionRequest): void {
    try {
      const context = this.#openContext();
      const limit = this.#tokensPerRequest;
      const room = limit - request.prompt.length;
      if (room < 1) {
        const details = { n_prompt_tokens: request.prompt.length, n_ctx: limit };
        throw new HoshikageError('context_length_exceeded', details);
      }
      const roomBound = request.maxTokens < 0 || request.maxTokens > room;
      const native = nativeRequest(request, roomBound ? room : request.maxTokens);
      this.#running.set(id, { completion: context.start(native), roomBound });
    } catch (error) {
      const end = { error: toWire(error, 'internal_error') };
      this.#deps.emit({ type: 'ring', news: [{ id, batch: null, end }], picture: null });
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
    const picture = this.#pictureIfDue(news.some((one) => one.end !== null));
    if (news.length > 0 || picture) this.#deps.emit({ type: 'ring', news, picture });
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

  #pictureIfDue(now: boolean): Picture | null {
    const at = performance.now();
    if (!now && at - this.#pictureSentAt < PICTURE_EVERY_MS) return null;
    this.#pictureSentAt = at;
    return this.#picture();
  }

  #picture(): Picture {
    const context = this.#closing ? null : this.#context;
    // One that is closed tells no more; what it has done stays done.
    if (context) this.#counters = countersOf(context.counters());
    return { slots: context?.slots() ?? [], counters: this.#counters };
  }

  #slots(): readonly SlotState[] {
    return this.#closing || !this.#context ? [] : this.#context.slots();
  }

  #answer(id: number, call: () => Promise<ReplyValue>): void {
    this.#calls += 1;
    const answer = (message: Message): void => {
      this.#calls -= 1;
      this.#deps.emit(message);
    };
    // The call may throw before it returns a promise; both ways must become a message.
    void (async () => call())().then(
      (value) => answer({ type: 'reply', id, value }),
      (error: unknown) => answer({ type: 'refusal', id, error: wireOf(error, 'internal_error') }),
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
    this.#closed.abort();
    await this.#opening;
    try {
      await this.#context?.close();
      this.#ring();
      await Promise.allSettled(this.#saves);
      await this.#embedder?.close();
      await this.#model?.close();
      await this.#drafter?.close();
    } catch (error) {
      this.#log('error', `closing failed: ${error instanceof Error ? error.message : error}`);
    }
    this.#deps.emit({ type: 'closed' });
  }
}
