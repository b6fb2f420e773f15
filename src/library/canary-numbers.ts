/**
 * What a libllama must compute: logits and embeddings of random models, against our own computation.
 * The models are such that attention decides much, so that wrong positions, heads, masks or kernels
 * move the result by many times the limit. Any process that holds an Engine; it must never compare
 * with numbers that a library has made.
 */
import { join } from 'node:path';
import type { Engine, TokenLogprob } from '../engine/engine.js';
import { type GgufContent, writeGguf } from '../models/gguf-write.js';
import { randomBits } from '../models/prng.js';
import { randomContent } from '../models/random.js';
import type { CanaryEngineOptions } from './canary.js';
import { GREEDY } from './canary-text.js';
import { ReferenceModel, ReferenceSequence } from './reference.js';

/** How far logits (centred) and embeddings may be from the reference, relative to its length. */
const LIMIT = 0.05;
const PROMPT_TOKENS = 300;
const STEPS = 8;
/** Byte tokens: the first of every vocabulary of ours. */
const TOKENS = 256;

/** `plain`: half-precision weights and cache; `quantised`: both in Q8_0. */
type Variant = 'plain' | 'quantised';

const SIZES = {
  ...{ embedding: 256, layers: 2, heads: 4, kvHeads: 2, feedForward: 256, vocabulary: 300 },
  ...{ commonWords: false, attention: 4, contextLength: 1024, seed: 20 },
} as const;

const CONTENTS: Readonly<Record<Variant, GgufContent>> = {
  plain: randomContent({ ...SIZES, type: 'f16' }),
  quantised: randomContent({ ...SIZES, type: 'q8_0' }),
};
const VOCABULARY = Number(CONTENTS.plain.metadata['llama.vocab_size']?.[1]);

/** The number checks with their models, below one directory. */
export class NumberChecks {
  readonly #directory: string;
  readonly #prompt: Int32Array;
  /** Mean of the plain model's states over the prompt: its embedding. */
  #mean: Float64Array | null = null;

  constructor(directory: string) {
    const bits = randomBits(SIZES.seed);
    this.#directory = directory;
    this.#prompt = Int32Array.from({ length: PROMPT_TOKENS }, () => bits() % TOKENS);
  }

  /** Writes the half-precision model; its prompt is read in pieces. */
  async writePlain(): Promise<CanaryEngineOptions> {
    const modelPath = join(this.#directory, 'plain.gguf');
    await writeGguf(modelPath, CONTENTS.plain);
    return { modelPath, contextTokens: 512, slots: 1, batchTokens: 64 };
  }

  /** Writes the quantised model; its prompt is read at once, over a quantised cache. */
  async writeQuantised(): Promise<CanaryEngineOptions> {
    const modelPath = join(this.#directory, 'quantised.gguf');
    await writeGguf(modelPath, CONTENTS.quantised);
    const cache = { cacheTypeK: 'q8_0', cacheTypeV: 'q8_0' } as const;
    return { modelPath, contextTokens: 512, slots: 1, batchTokens: 512, ...cache };
  }

  /** Log-probabilities of the whole vocabulary after the prompt and some generated tokens. */
  async checkLogits(engine: Engine, variant: Variant, signal: AbortSignal): Promise<string> {
    const { tokens, logprobs } = await this.#generate(engine);
    const model = new ReferenceModel(CONTENTS[variant]);
    const sequence = new ReferenceSequence(model);
    const states = await pushAll(sequence, this.#prompt, signal);
    if (variant === 'plain') this.#mean = meanOf(states);
    let state = states.at(-1) ?? new Float64Array();
    let worst = 0;
    for (let step = 0; step < STEPS; step++) {
      const error = distance(centred(logprobs[step]), centredLogits(model.logits(state)));
      // Also where it is no number at all.
      if (!(error <= LIMIT)) {
        throw new Error(`logits are ${percent(error)} off at step ${step} (${variant} weights)`);
      }
      worst = Math.max(worst, error);
      state = sequence.push(tokens[step] ?? -1);
    }
    return `${variant} weights: off by ${percent(worst)} at most`;
  }

  /** Embeddings of a long and a short input. */
  async checkEmbeddings(engine: Engine | null, signal: AbortSignal): Promise<string> {
    if (!engine || !this.#mean) throw new Error('there is no engine with plain weights');
    const short = this.#prompt.subarray(100, 140);
    const vectors = await engine.embed([this.#prompt, short]);
    const sequence = new ReferenceSequence(new ReferenceModel(CONTENTS.plain));
    const wanted = [this.#mean, meanOf(await pushAll(sequence, short, signal))];
    const errors = wanted.map((mean, i) => distance(Float64Array.from(vectors[i] ?? []), mean));
    const worst = Math.max(...errors);
    if (!(worst <= LIMIT)) throw new Error(`embeddings are ${percent(worst)} off`);
    return `off by ${percent(worst)} at most`;
  }

  async #generate(engine: Engine): Promise<{ tokens: number[]; logprobs: TokenLogprob[] }> {
    const sampling = { ...GREEDY, ignoreEos: true, logprobs: engine.info.model.vocabularySize };
    const prompt = this.#prompt;
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

/** States of all tokens; gives way to others now and then. */
async function pushAll(
  sequence: ReferenceSequence,
  tokens: Int32Array,
  signal: AbortSignal,
): Promise<readonly Float64Array[]> {
  const states: Float64Array[] = [];
  for (const token of tokens) {
    if (states.length % 8 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (signal.aborted) throw signal.reason;
    states.push(sequence.push(token));
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
function centred(step: TokenLogprob | undefined): Float64Array {
  const values = new Float64Array(VOCABULARY).fill(Number.NaN);
  for (const [token, logprob] of step?.top ?? []) values[token] = logprob;
  return centredLogits(values);
}

function centredLogits(values: Float64Array): Float64Array {
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
