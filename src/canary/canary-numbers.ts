/**
 * What a libllama must compute: logits and embeddings of random models, against our own computation.
 * The models are such that attention decides much, so that wrong positions, heads, masks or kernels
 * move the result by many times the limit. Any process that holds an Engine; it must never compare
 * with numbers that a library has made.
 */
import { join } from 'node:path';
import type { Engine, TokenLogprob } from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import { type GgufContent, writeGguf } from '../models/gguf-write.js';
import { randomBits } from '../models/prng.js';
import { randomContent } from '../models/random.js';
import type { CanaryEngineOptions } from './canary.js';
import type { Seen } from './canary-report.js';
import { GREEDY } from './canary-text.js';
import { ReferenceModel, ReferenceSequence } from './reference.js';

/** How far logits (centred) and embeddings may be from the reference, relative to its length. */
const LIMIT = 0.05;
const STEPS = 8;
/** Byte tokens: the first of every vocabulary of ours. */
const TOKENS = 256;

/** `plain`: half-precision weights and cache; `quantised`: Q8_0 weights and, where it may be, cache. */
type Variant = 'plain' | 'quantised';

const SIZES = {
  ...{ embedding: 256, layers: 2, heads: 4, kvHeads: 2, feedForward: 256, vocabulary: 300 },
  ...{ commonWords: false, attention: 4, contextLength: 1024, seed: 20 },
} as const;

/** What the files of the random models hold. */
export const CANARY_MODELS: Readonly<Record<Variant, GgufContent>> = {
  plain: randomContent({ ...SIZES, type: 'f16' }),
  quantised: randomContent({ ...SIZES, type: 'q8_0' }),
};
const VOCABULARY = Number(CANARY_MODELS.plain.metadata['llama.vocab_size']?.[1]);

/** The plain model's prompt is read in pieces, the quantised one's at once. */
const ENGINES = {
  plain: { contextTokens: 512, slots: 1, batchTokens: 64 },
  quantised: { contextTokens: 512, slots: 1, batchTokens: 512 },
} as const;
const PROMPTS: Readonly<Record<Variant, Int32Array>> = {
  plain: randomTokens(300),
  quantised: randomTokens(160),
};

function randomTokens(length: number): Int32Array {
  const bits = randomBits(length);
  return Int32Array.from({ length }, () => bits() % TOKENS);
}

/** One random model: its file, what is right for it, and the checks on an engine that loaded it. */
export class NumberChecks {
  readonly #variant: Variant;
  readonly #path: string;
  #right: RightNumbers | null = null;

  /** The file is made below `directory`. */
  constructor(variant: Variant, directory: string) {
    this.#variant = variant;
    this.#path = join(directory, `${variant}.gguf`);
  }

  /** Writes the model; gives the options its engine needs. */
  async write(): Promise<CanaryEngineOptions> {
    await writeGguf(this.#path, CANARY_MODELS[this.#variant]);
    return { modelPath: this.#path, ...ENGINES[this.#variant] };
  }

  /** Computes what is right for the prompt: a second of work. */
  async prepare(signal: AbortSignal): Promise<void> {
    const model = new ReferenceModel(CANARY_MODELS[this.#variant]);
    const sequence = new ReferenceSequence(model);
    const states = await pushAll(sequence, PROMPTS[this.#variant], signal);
    this.#right = { model, sequence, states };
  }

  /** Log-probabilities of the whole vocabulary after the prompt and some generated tokens. */
  async checkLogits(engine: Engine): Promise<Seen> {
    const { model, sequence, states } = this.#prepared();
    const { tokens, logprobs } = await this.#generate(engine);
    let state = states.at(-1) ?? new Float64Array();
    let worst = 0;
    for (let step = 0; step < STEPS; step++) {
      const error = distance(logitsOf(logprobs[step]), centred(model.logits(state)));
      // Also where it is no number at all.
      if (!(error <= LIMIT)) {
        throw new Error(`logits are ${percent(error)} off at step ${step} (${this.#variant})`);
      }
      worst = Math.max(worst, error);
      state = sequence.push([tokens[step] ?? -1])[0] ?? state;
    }
    return {
      en: `${this.#variant} weights off by ${percent(worst)}`,
      ja: `${this.#variant === 'plain' ? 'F16' : 'Q8_0'} の重みで誤差 ${percent(worst)}`,
    };
  }

  /** Embeddings of the prompt and of a short part of it: the mean of their states. */
  async checkEmbeddings(engine: Engine, signal: AbortSignal): Promise<Seen> {
    const { model, states } = this.#prepared();
    const prompt = PROMPTS[this.#variant];
    const part = prompt.subarray(100, 140);
    const vectors = await engine.embed([prompt, part]);
    const partStates = await pushAll(new ReferenceSequence(model), part, signal);
    const errors = [states, partStates].map((right, i) =>
      distance(Float64Array.from(vectors[i] ?? []), meanOf(right)),
    );
    const worst = Math.max(...errors);
    if (!(worst <= LIMIT)) throw new Error(`embeddings are ${percent(worst)} off`);
    return { en: `off by ${percent(worst)}`, ja: `誤差 ${percent(worst)}` };
  }

  #prepared(): RightNumbers {
    if (this.#right) return this.#right;
    throw new HoshikageError('internal_error', {}, { cause: new Error('checked unprepared') });
  }

  async #generate(engine: Engine): Promise<{ tokens: number[]; logprobs: TokenLogprob[] }> {
    const sampling = { ...GREEDY, ignoreEos: true, logprobs: engine.info.model.vocabularySize };
    const prompt = PROMPTS[this.#variant];
    const completion = engine.start({ prompt, maxTokens: STEPS, cachePrompt: false, sampling });
    const [tokens, logprobs]: [number[], TokenLogprob[]] = [[], []];
    for await (const batch of completion) {
      tokens.push(...batch.tokens);
      logprobs.push(...(batch.logprobs ?? []));
    }
    const { reason } = await completion.result;
    if (tokens.length === STEPS && logprobs.length === STEPS) return { tokens, logprobs };
    throw new Error(`${tokens.length} tokens (${reason}) instead of ${STEPS}`);
  }
}

/** The reference after the prompt. */
interface RightNumbers {
  readonly model: ReferenceModel;
  readonly sequence: ReferenceSequence;
  readonly states: readonly Float64Array[];
}

/** States of all tokens; gives way to others now and then. */
async function pushAll(
  sequence: ReferenceSequence,
  tokens: Int32Array,
  signal: AbortSignal,
): Promise<readonly Float64Array[]> {
  const states: Float64Array[] = [];
  while (states.length < tokens.length) {
    await new Promise((resolve) => setImmediate(resolve));
    if (signal.aborted) throw signal.reason;
    states.push(...sequence.push(tokens.subarray(states.length, states.length + 16)));
  }
  return states;
}

function meanOf(states: readonly Float64Array[]): Float64Array {
  const mean = new Float64Array(states[0]?.length ?? 0);
  for (const state of states) {
    for (const [i, value] of state.entries()) mean[i] = (mean[i] ?? 0) + value / states.length;
  }
  return mean;
}

/** Log-probabilities differ from logits by one number for all of them. */
function logitsOf(step: TokenLogprob | undefined): Float64Array {
  const values = new Float64Array(VOCABULARY).fill(Number.NaN);
  for (const [token, logprob] of step?.top ?? []) values[token] = logprob;
  return centred(values);
}

function centred(values: Float64Array): Float64Array {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => value - mean);
}

/** Length of the difference, relative to the length of what is wanted. NaN where sizes differ. */
function distance(got: Float64Array, wanted: Float64Array): number {
  if (got.length !== wanted.length) return Number.NaN;
  const length = (values: Float64Array): number =>
    Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return length(got.map((value, i) => value - (wanted[i] ?? 0))) / length(wanted);
}

function percent(share: number): string {
  return `${(share * 100).toPrecision(2)} %`;
}
