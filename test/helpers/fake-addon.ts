/**
 * An in-memory NativeAddon for tests above the native boundary: its model repeats the prompt, one token
 * a step, then ends by itself. Ids are byte values. It behaves at the seams (doorbell, cancel, close,
 * closed methods) as addon.ts says; it decodes nothing.
 */
import type {
  AbiTable,
  NativeAddon,
  NativeBatch,
  NativeCompletion,
  NativeContext,
  NativeContextOptions,
  NativeDone,
  NativeEmbedder,
  NativeLibrary,
  NativeModel,
  NativeModelFacts,
  NativeModelOptions,
  NativeProgress,
  NativeRequest,
  NativeState,
} from '../../src/engine/addon.js';

export const emptyAbi: AbiTable = {
  floor: 0,
  samplers: { namesTell: 0, penalties5: 0, dry7: 0 },
  modelParams: [],
  contextParams: [],
  symbols: [],
  alwaysThere: [],
};

export const fakeFacts: NativeModelFacts = {
  description: 'fake 1B F16',
  sizeBytes: 1024,
  parameters: 1000,
  trainedContextTokens: 64,
  embeddingLength: 8,
  layers: 2,
  vocabularySize: 256,
  chatTemplate: null,
  bosToken: null,
  eosToken: 0,
  eotToken: null,
  bosText: '',
  eosText: '',
  addBos: false,
  controlTexts: [],
  hasEncoder: false,
  isRecurrent: false,
  isDiffusion: false,
  fim: { prefix: null, suffix: null, middle: null, repository: null, separator: null },
  sepToken: null,
  toolTemplate: null,
  rerankTemplate: null,
};

/** What a test may look at or bend. */
export interface FakeAddon extends NativeAddon {
  readonly calls: string[];
  readonly modelOptions: NativeModelOptions[];
  readonly contextOptions: NativeContextOptions[];
  readonly embedderOptions: NativeContextOptions[];
  readonly requests: NativeRequest[];
}

export interface FakeBehaviour {
  readonly facts?: Partial<NativeModelFacts>;
  /** Called in loadModel; may wait, throw, or end the process. */
  readonly onLoad?: (options: NativeModelOptions, cancelled: Promise<void>) => Promise<void> | void;
  /** Called in createContext. */
  readonly onContext?: (options: NativeContextOptions) => void;
  /** What the counters say; all zero by default. */
  readonly progress?: () => NativeProgress;
  /** What measureSteps answers; may throw. All sizes take 1 ms by default. */
  readonly onMeasure?: (cancelled: Promise<void>) => Promise<readonly (number | null)[]>;
  /** Called in embed; may wait or throw. */
  readonly onEmbed?: () => Promise<void> | void;
  /** Called before each step; may throw an error with a code, or end the process. */
  readonly onStep?: (step: number) => void;
  /** Never steps while this is true. */
  readonly stalled?: () => boolean;
}

/** Counters of an addon in which nothing has ever happened. */
const still: NativeProgress = {
  steps: { count: 0, inLongCall: false },
  embeds: { count: 0, inLongCall: false },
  other: { count: 0, inLongCall: false },
  othersCpuMs: 0,
};

export function coded(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

class FakeCompletion implements NativeCompletion {
  tokens: number[] = [];
  done: NativeDone | null = null;
  generated = 0;
  cancelled = false;
  taken = false;
  promptTold = false;
  readonly request: NativeRequest;

  constructor(request: NativeRequest) {
    this.request = request;
  }

  cancel(): void {
    this.cancelled = true;
  }

  take(): NativeBatch | null {
    if (this.taken || (this.tokens.length === 0 && !this.done)) return null;
    const tokens = Int32Array.from(this.tokens);
    this.tokens = [];
    this.taken = this.done !== null;
    const best = this.request.logprobs;
    return {
      tokens,
      bytes: Uint8Array.from(tokens),
      ends: Int32Array.from(tokens, (_, index) => index + 1),
      flags: new Uint8Array(tokens.length),
      logprobs: best < 0 ? null : new Float32Array(tokens.length * (best + 1)).fill(-0.5),
      topTokens: best < 0 ? null : new Int32Array(tokens.length * best).fill(7),
      ...this.#takePrompt(),
      prefilledTokens: this.request.prompt.length,
      done: this.done,
    };
  }

  /** All of the prompt's at once: the token's number as a quarter, the best below it. */
  #takePrompt(): Pick<NativeBatch, 'promptLogprobs' | 'promptTopTokens'> {
    const { prompt, promptLogprobs: best } = this.request;
    if (best < 0) return { promptLogprobs: null, promptTopTokens: null };
    const told = [...(this.promptTold ? [] : prompt.subarray(1))];
    this.promptTold = true;
    const values = told.flatMap((token) => [-token / 4, ...Array<number>(best).fill(-0.25)]);
    return {
      promptLogprobs: Float32Array.from(values),
      promptTopTokens: new Int32Array(told.length * best).fill(7),
    };
  }

  end(reason: NativeDone['reason'], code: string | null = null): void {
    this.done = {
      reason,
      code,
      message: code && 'scripted failure',
      promptTokens: this.request.prompt.length,
      cachedTokens: 0,
      generatedTokens: this.generated,
      ...{ draftedTokens: 0, acceptedTokens: 0 },
      prefillMs: 1,
      generationMs: 1,
      slot: 0,
    };
  }

  step(): void {
    const next = this.request.prompt[this.generated];
    if (this.cancelled) this.end('cancelled');
    else if (next === undefined) this.end('eog');
    else {
      this.tokens.push(next);
      this.generated += 1;
      if (this.generated === this.request.maxTokens) this.end('length');
    }
  }
}

class FakeContext implements NativeContext {
  readonly info: NativeContext['info'];
  readonly #running = new Set<FakeCompletion>();
  readonly #fake: FakeAddon;
  readonly #behaviour: FakeBehaviour;
  readonly #onWake: () => void;
  /** What the one slot that ever caches holds: the last prompt. */
  #cached = new Int32Array();
  #steps = 0;
  #ticking = false;
  #closed = false;

  constructor(
    fake: FakeAddon,
    behaviour: FakeBehaviour,
    options: NativeContextOptions,
    onWake: () => void,
  ) {
    this.#fake = fake;
    this.#behaviour = behaviour;
    this.#onWake = onWake;
    this.info = {
      contextTokens: options.contextTokens,
      contextTokensPerSlot: options.contextTokens / options.slots,
      slots: options.slots,
      batchTokens: options.batchTokens,
      threads: options.threads ?? 1,
    };
  }

  start(request: NativeRequest): NativeCompletion {
    if (this.#closed) throw coded('closed', 'the context is closed');
    if (request.prompt.length === 0) throw coded('invalid_argument', 'the prompt is empty');
    this.#fake.requests.push(request);
    const completion = new FakeCompletion(request);
    this.#running.add(completion);
    this.#cached = request.prompt.slice();
    this.#tick();
    return completion;
  }

  slots(): ReturnType<NativeContext['slots']> {
    const running = [...this.#running];
    return Array.from({ length: this.info.slots }, (_, id) => ({
      id,
      state: running[id] ? ('generation' as const) : ('idle' as const),
      cachedTokens: 0,
      promptTokens: running[id]?.request.prompt.length ?? 0,
      generatedTokens: running[id]?.generated ?? 0,
    }));
  }

  counters(): ReturnType<NativeContext['counters']> {
    return {
      ...{ steps: this.#steps, rings: this.#steps, promptTokens: 0, cachedTokens: 0 },
      ...{ sharedTokens: 0, storedTokens: 0, generatedTokens: 0, longestStepMs: 0 },
    };
  }

  async saveState(slot: number, mostBytes: number): Promise<NativeState | null> {
    if (this.#closed) throw coded('closed', 'the context is closed');
    if (slot !== 0 || this.#running.size > 0 || this.#cached.length === 0) return null;
    if (this.#cached.length > mostBytes) return null;
    const parts = [Uint8Array.from(this.#cached, (token) => 255 - token)];
    return { tokens: this.#cached, ends: Int32Array.of(this.#cached.length), parts };
  }

  async restoreState(state: NativeState): Promise<number | null> {
    if (this.#closed) throw coded('closed', 'the context is closed');
    if (this.#running.size > 0 || state.parts[0]?.length !== state.tokens.length) return null;
    this.#cached = state.tokens.slice();
    return 0;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#fake.calls.push('context.close');
    for (const completion of this.#running) completion.end('cancelled');
    this.#running.clear();
    await new Promise(setImmediate);
  }

  #tick(): void {
    if (this.#ticking || this.#closed || this.#running.size === 0) return;
    this.#ticking = true;
    setImmediate(() => {
      this.#ticking = false;
      if (this.#closed) return;
      if (!this.#behaviour.stalled?.() || [...this.#running].some((one) => one.cancelled)) {
        this.#step();
      }
      this.#tick();
    });
  }

  #step(): void {
    this.#steps += 1;
    let failure: string | null = null;
    try {
      this.#behaviour.onStep?.(this.#steps);
    } catch (error) {
      failure = error instanceof Error && 'code' in error ? String(error.code) : 'decode_failed';
    }
    for (const completion of this.#running) {
      if (failure) completion.end('error', failure);
      else if (completion.cancelled || !this.#behaviour.stalled?.()) completion.step();
      if (completion.done) this.#running.delete(completion);
    }
    this.#onWake();
  }
}

class FakeModel implements NativeModel {
  readonly #fake: FakeAddon;
  readonly #behaviour: FakeBehaviour;
  #closed = false;

  constructor(fake: FakeAddon, behaviour: FakeBehaviour) {
    this.#fake = fake;
    this.#behaviour = behaviour;
  }

  facts(): NativeModelFacts {
    return { ...fakeFacts, ...this.#behaviour.facts };
  }

  async tokenize(segments: readonly { readonly text: string }[]): Promise<Int32Array> {
    return Int32Array.from(Buffer.from(segments.map((segment) => segment.text).join('')));
  }

  detokenize(tokens: Int32Array): Uint8Array {
    if (tokens.some((token) => token < 0 || token > 255)) {
      throw coded('invalid_argument', 'token id out of range');
    }
    return Uint8Array.from(tokens);
  }

  async createContext(options: NativeContextOptions, onWake: () => void): Promise<NativeContext> {
    if (this.#closed) throw coded('closed', 'the model is closed');
    this.#fake.contextOptions.push(options);
    this.#behaviour.onContext?.(options);
    return new FakeContext(this.#fake, this.#behaviour, options, onWake);
  }

  createEmbedder(options: NativeContextOptions): NativeEmbedder {
    if (this.#closed) throw coded('closed', 'the model is closed');
    this.#fake.embedderOptions.push(options);
    let closed = false;
    return {
      embed: (inputs) => {
        let cancel = (): void => {};
        const cancelled = new Promise<never>((_, reject) => {
          cancel = () => reject(coded('cancelled', 'the embedding was cancelled'));
        });
        const embed = async (): Promise<Float32Array[]> => {
          await this.#behaviour.onEmbed?.();
          if (closed) throw coded('closed', 'the embedder is closed');
          const { embeddingLength } = this.facts();
          return inputs.map((input) => new Float32Array(embeddingLength).fill(input.length));
        };
        return { promise: Promise.race([embed(), cancelled]), cancel };
      },
      close: async () => {
        if (!closed) this.#fake.calls.push('embedder.close');
        closed = true;
      },
    };
  }

  measureSteps(_: NativeContextOptions, counts: readonly number[]) {
    if (this.#closed) throw coded('closed', 'the model is closed');
    this.#fake.calls.push('measureSteps');
    let cancel = (): void => {};
    const cancelled = new Promise<void>((resolve) => {
      cancel = resolve;
    });
    const measure = async (): Promise<readonly (number | null)[]> =>
      this.#behaviour.onMeasure?.(cancelled) ?? counts.map(() => 1);
    return { promise: measure(), cancel };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#fake.calls.push('model.close');
  }
}

export function createFakeAddon(behaviour: FakeBehaviour = {}): FakeAddon {
  let logged: Parameters<NativeAddon['onLog']>[0] = () => {};
  const fake: FakeAddon = {
    build: { napiVersion: 8, sanitizer: '' },
    calls: [],
    modelOptions: [],
    contextOptions: [],
    embedderOptions: [],
    requests: [],
    tryLock: () => true,
    dieWithParent: () => true,
    endNow: (code) => {
      fake.calls.push(`endNow ${code}`);
    },
    crashed: () => null,
    progress: () => behaviour.progress?.() ?? still,
    onLog: (callback) => {
      logged = callback;
    },
    openLibrary: async ({ path }): Promise<NativeLibrary> => {
      fake.calls.push('openLibrary');
      return {
        path,
        version: 'fake',
        ggmlVersion: null,
        ggmlCommit: null,
        layout: { model: 'M0', context: 'C0' },
        bracket: [1, 2],
        minimal: false,
        unknownSymbols: [],
        samplers: { penalties: null, dry: null },
        devices: [],
      };
    },
    loadModel: (options, onProgress) => {
      fake.calls.push('loadModel');
      fake.modelOptions.push(options);
      logged('info', `loading ${options.path}`);
      let cancel = (): void => {};
      const cancelled = new Promise<void>((resolve) => {
        cancel = resolve;
      });
      const promise = (async () => {
        onProgress?.(0.5);
        await behaviour.onLoad?.(options, cancelled);
        return new FakeModel(fake, behaviour);
      })();
      return { promise, cancel };
    },
  };
  return fake;
}
