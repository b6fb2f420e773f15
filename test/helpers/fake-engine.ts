/**
 * An Engine without a model: it "generates" the pieces a test scripts. Tokenising gives one token per
 * UTF-8 byte of plain text and one for each control text where special tokens are parsed, so a test
 * can read a prompt back. Never used outside tests.
 */

import {
  type CompletionRequest,
  type CompletionResult,
  type Engine,
  type EngineCompletion,
  type EngineExit,
  type EngineInfo,
  type FinishReason,
  type ModelFacts,
  type SlotState,
  type TextSegment,
  TOKEN_CONTROL,
  TOKEN_EOG,
  type TokenBatch,
  type TokenLogprob,
} from '../../src/engine/engine.js';
import type { HoshikageError } from '../../src/errors.js';

/** What one token says: text, raw bytes, or text with flags. */
export type Piece =
  | string
  | Uint8Array
  | { readonly text: string; readonly control?: boolean; readonly eog?: boolean };

/** One step of a script: a piece, or something that happens in between. */
export type Step = Piece | { readonly waitMs: number } | { readonly fail: HoshikageError };

/** A TokenBatch of these pieces; token ids count from 1000. */
export function batchOf(pieces: readonly Piece[]): TokenBatch {
  const encoder = new TextEncoder();
  const parts = pieces.map((piece) => {
    if (piece instanceof Uint8Array) return { bytes: piece, flags: 0 };
    if (typeof piece === 'string') return { bytes: encoder.encode(piece), flags: 0 };
    const flags = (piece.control ? TOKEN_CONTROL : 0) | (piece.eog ? TOKEN_EOG : 0);
    return { bytes: encoder.encode(piece.text), flags };
  });
  const ends = new Int32Array(parts.length);
  let end = 0;
  for (const [index, part] of parts.entries()) ends[index] = end += part.bytes.length;
  const bytes = new Uint8Array(end);
  for (const [index, part] of parts.entries()) {
    bytes.set(part.bytes, index === 0 ? 0 : (ends[index - 1] ?? 0));
  }
  return {
    tokens: Int32Array.from(parts, (_, index) => 1000 + index),
    bytes,
    ends,
    flags: Uint8Array.from(parts, (part) => part.flags),
  };
}

/**
 * How likely this engine finds a prompt's tokens, from the second one on, a hundredth of its id below
 * certain; the best in its place are 97, 98 and so on, at -1, -2 and so on.
 */
function promptLogprobsOf({ prompt, promptLogprobs: best = 0 }: CompletionRequest): TokenLogprob[] {
  return Array.from(prompt.subarray(1), (token) => ({
    logprob: -token / 100,
    top: Array.from({ length: best }, (_, rank) => [97 + rank, -1 - rank] as const),
  }));
}

/** The batches in which a prompt's log-probabilities come, where they are asked for: half and half. */
export function promptBatches(request: CompletionRequest): readonly TokenBatch[] {
  if (request.promptLogprobs === undefined) return [];
  const found = promptLogprobsOf(request);
  const half = Math.floor(found.length / 2);
  return [found.slice(0, half), found.slice(half)]
    .filter(({ length }) => length > 0)
    .map((promptLogprobs) => ({ ...batchOf([]), promptLogprobs }));
}

/** What a test may set; all have sensible values. */
export interface FakeEngineOptions {
  readonly script?: readonly Step[];
  readonly model?: Partial<ModelFacts>;
  readonly contextTokens?: number;
  readonly cachedTokens?: number;
  /** Of every completion: tokens guessed ahead, and the right ones. */
  readonly drafts?: readonly [drafted: number, accepted: number];
}

/** What was asked of the engine, for a test to look at. */
export interface FakeCompletion {
  readonly request: CompletionRequest;
  cancelled: boolean;
  keepTokens: number | undefined;
}

export class FakeEngine implements Engine {
  readonly info: EngineInfo;
  readonly exited: Promise<EngineExit> = new Promise(() => {});
  /** Every start() so far, the newest last. */
  readonly started: FakeCompletion[] = [];
  /** The segments of every tokenize() so far. */
  readonly tokenized: { segments: readonly TextSegment[]; addSpecial: boolean }[] = [];
  script: readonly Step[];
  readonly #cachedTokens: number;
  readonly #drafts: readonly [number, number];

  constructor(options: FakeEngineOptions = {}) {
    this.script = options.script ?? [
      'Hello',
      ' world',
      { text: '<|im_end|>', control: true, eog: true },
    ];
    this.#cachedTokens = options.cachedTokens ?? 0;
    this.#drafts = options.drafts ?? [0, 0];
    this.info = {
      library: {
        path: '/lib/libllama.so',
        version: 'b1',
        ggmlVersion: null,
        ggmlCommit: null,
        layout: { model: 'M1', context: 'C1' },
        bracket: [1, 2],
        minimal: false,
        unknownSymbols: [],
        samplers: { penalties: null, dry: null },
        devices: [],
      },
      model: { ...FACTS, ...options.model },
      contextTokens: options.contextTokens ?? 4096,
      slots: 1,
      batchTokens: 512,
      threads: 1,
      gpuLayers: 0,
    };
  }

  async tokenize(segments: readonly TextSegment[], addSpecial: boolean): Promise<Int32Array> {
    this.tokenized.push({ segments, addSpecial });
    const tokens: number[] = addSpecial && this.info.model.addBos ? [1] : [];
    const { controlTexts } = this.info.model;
    for (const { text, special } of segments) {
      let rest = text;
      while (rest !== '') {
        const found = special ? controlTexts.findIndex((control) => rest.startsWith(control)) : -1;
        const control = controlTexts[found];
        if (control !== undefined) {
          tokens.push(300 + found);
          rest = rest.slice(control.length);
        } else {
          const character = String.fromCodePoint(rest.codePointAt(0) ?? 0);
          tokens.push(...new TextEncoder().encode(character));
          rest = rest.slice(character.length);
        }
      }
    }
    return Int32Array.from(tokens);
  }

  async detokenize(tokens: Int32Array): Promise<Uint8Array> {
    const { controlTexts } = this.info.model;
    const parts = [...tokens].map((token) =>
      token < 256 ? [token] : [...new TextEncoder().encode(controlTexts[token - 300] ?? '')],
    );
    return Uint8Array.from(parts.flat());
  }

  start(request: CompletionRequest): EngineCompletion {
    const record: FakeCompletion = { request, cancelled: false, keepTokens: undefined };
    this.started.push(record);
    const [draftedTokens, acceptedTokens] = this.#drafts;
    const counts = { cachedTokens: this.#cachedTokens, draftedTokens, acceptedTokens };
    return new ScriptedCompletion(record, this.script, counts);
  }

  async slots(): Promise<readonly SlotState[]> {
    return [{ id: 0, state: 'idle', cachedTokens: 0, promptTokens: 0, generatedTokens: 0 }];
  }

  async embed(
    inputs: readonly Int32Array[],
    _options?: { readonly signal?: AbortSignal },
  ): Promise<readonly Float32Array[]> {
    return inputs.map((input) =>
      new Float32Array(this.info.model.embeddingLength).fill(input.length),
    );
  }

  async saveState(): ReturnType<Engine['saveState']> {
    return null;
  }

  async restoreState(): ReturnType<Engine['restoreState']> {
    return null;
  }

  async close(): Promise<void> {}
}

type Counts = Pick<CompletionResult, 'cachedTokens' | 'draftedTokens' | 'acceptedTokens'>;

/** Plays a script, one token a batch, until it ends, fails or is cancelled. */
class ScriptedCompletion implements EngineCompletion {
  readonly result: Promise<CompletionResult>;
  readonly #record: FakeCompletion;
  readonly #script: readonly Step[];
  readonly #counts: Counts;
  readonly #wake = new AbortController();
  #settle: (result: CompletionResult) => void = () => {};
  #reject: (error: Error) => void = () => {};
  #generated = 0;

  constructor(record: FakeCompletion, script: readonly Step[], counts: Counts) {
    this.#record = record;
    this.#script = script;
    this.#counts = counts;
    this.result = new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#reject = reject;
    });
    // A test that reads only the iteration must not die of the same error twice.
    this.result.catch(() => {});
  }

  cancel(keepTokens?: number): void {
    if (this.#record.cancelled) return;
    this.#record.cancelled = true;
    this.#record.keepTokens = keepTokens;
    this.#wake.abort();
    this.#end('cancelled');
  }

  async *[Symbol.asyncIterator](): AsyncIterator<TokenBatch> {
    const { maxTokens } = this.#record.request;
    yield* promptBatches(this.#record.request);
    for (const step of this.#script) {
      await this.#pause(typeof step === 'object' && 'waitMs' in step ? step.waitMs : 0);
      if (this.#record.cancelled) return;
      if (typeof step === 'object' && 'fail' in step) {
        this.#reject(step.fail);
        throw step.fail;
      }
      if (typeof step === 'object' && 'waitMs' in step) continue;
      this.#generated += 1;
      yield batchOf([step]);
      if (typeof step === 'object' && 'eog' in step && step.eog) return this.#end('eog');
      if (maxTokens > 0 && this.#generated >= maxTokens) return this.#end('length');
    }
    this.#end('context');
  }

  #pause(ms: number): Promise<void> {
    const { signal } = this.#wake;
    if (signal.aborted) return Promise.resolve();
    if (ms === 0) return new Promise((resolve) => setImmediate(resolve));
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      signal.addEventListener('abort', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #end(reason: FinishReason): void {
    this.#settle({
      reason,
      promptTokens: this.#record.request.prompt.length,
      ...this.#counts,
      generatedTokens: this.#generated,
      prefillMs: 10,
      generationMs: 20,
      slot: 0,
    });
  }
}

const FACTS: ModelFacts = {
  description: 'fake',
  sizeBytes: 1000,
  parameters: 1000,
  trainedContextTokens: 4096,
  embeddingLength: 8,
  layers: 1,
  vocabularySize: 400,
  chatTemplate: null,
  bosToken: 1,
  eosToken: 301,
  eotToken: null,
  bosText: '',
  eosText: '<|im_end|>',
  addBos: false,
  controlTexts: ['<|im_start|>', '<|im_end|>'],
  hasEncoder: false,
  isRecurrent: false,
  isDiffusion: false,
};
