/**
 * An Engine that passes the canary without a libllama: it says the scripted texts and computes with our
 * own reference. Each fault makes it wrong in one way. Never used outside tests.
 */

import { CANARY_MODELS } from '../../src/canary/canary-numbers.js';
import { CANARY_SAYS } from '../../src/canary/canary-text.js';
import { ReferenceModel, ReferenceSequence } from '../../src/canary/reference.js';
import { CompletionStream } from '../../src/engine/completion.js';
import type {
  CompletionRequest,
  EngineCompletion,
  SlotState,
  TokenLogprob,
} from '../../src/engine/engine.js';
import type { EngineProcessInput } from '../../src/engine/process.js';
import type { RestoredState, SavedState } from '../../src/engine/protocol.js';
import { HoshikageError } from '../../src/errors.js';
import { OP } from '../../src/grammar/program.js';
import { FakeEngine, type Step } from './fake-engine.js';

/** One way to be wrong. */
export type Fault =
  | 'says another text'
  | 'forgets the keyword of a long prompt'
  | 'mixes two completions'
  | 'never ends'
  | 'dies'
  | 'ignores a grammar'
  | 'ignores a broken grammar'
  | 'ignores a cancel'
  | 'saves nothing'
  | 'restores nothing'
  | 'restores other tokens'
  | 'restores but computes anew'
  | 'restores garbage'
  | 'logits a tenth off'
  | 'logits that are no numbers'
  | 'too few tokens'
  | 'embeddings a tenth off'
  | 'embeddings of another length'
  | 'another library';

type Variant = keyof typeof CANARY_MODELS;

const END: Step = { text: '<|im_end|>', control: true, eog: true };
const FIRST_GENERATED = 1000;

export class CanaryEngine extends FakeEngine {
  readonly input: EngineProcessInput;
  readonly #fault: Fault | null;
  readonly #variant: Variant | null;
  readonly #cancels: (() => void)[] = [];
  #running = 0;
  #saved: Int32Array | null = null;
  #restored = false;
  closed = false;

  constructor(input: EngineProcessInput, fault: Fault | null) {
    const variant = /(plain|quantised)\.gguf$/.exec(input.options.modelPath)?.[1];
    const vocabularySize = Number(CANARY_MODELS.plain.metadata['llama.vocab_size']?.[1]);
    super({
      model: { vocabularySize, addBos: true },
      cachedTokens: fault === 'restores but computes anew' ? 0 : 100_000,
    });
    this.input = input;
    this.#fault = fault;
    this.#variant = variant === 'plain' || variant === 'quantised' ? variant : null;
    if (fault === 'another library') Object.assign(this.info.library.layout, { model: 'M9' });
  }

  override start(request: CompletionRequest): EngineCompletion {
    if (this.#variant) return this.#compute(request, this.#variant);
    const { grammar } = request.sampling;
    if (
      grammar !== undefined &&
      grammar.at(-1) !== OP.END &&
      this.#fault !== 'ignores a broken grammar'
    ) {
      const stream = new CompletionStream(() => {});
      stream.fail(new HoshikageError('grammar_invalid', { reason: 'unterminated' }));
      return stream;
    }
    if (grammar !== undefined && this.#fault !== 'ignores a grammar')
      this.script = ['いいえ、123。', END];
    else this.script = this.#scriptFor(request.prompt);
    this.#running += 1;
    const completion = super.start(request);
    completion.result.finally(() => (this.#running -= 1)).catch(() => {});
    const cancel = completion.cancel.bind(completion);
    this.#cancels.push(cancel);
    if (this.#fault === 'ignores a cancel') completion.cancel = () => {};
    return completion;
  }

  override async slots(): Promise<readonly SlotState[]> {
    const state = this.#running > 0 ? 'prefill' : 'idle';
    return [{ id: 0, state, cachedTokens: 0, promptTokens: 0, generatedTokens: 0 }];
  }

  override async saveState(): Promise<SavedState | null> {
    if (this.#fault === 'saves nothing') return null;
    this.#saved = this.started.at(-1)?.request.prompt ?? new Int32Array();
    return { tokens: this.#saved, bytes: 4096 };
  }

  override async restoreState(): Promise<RestoredState | null> {
    if (this.#fault === 'restores nothing' || !this.#saved) return null;
    this.#restored = true;
    const tokens = this.#fault === 'restores other tokens' ? Int32Array.of(1) : this.#saved;
    return { slot: 0, tokens };
  }

  override async embed(inputs: readonly Int32Array[]): Promise<readonly Float32Array[]> {
    return inputs.map((input) => {
      const mean = rightMean(input);
      if (this.#fault === 'embeddings a tenth off')
        return mean.map((x, i) => x * (i % 2 ? 1.1 : 0.9));
      return this.#fault === 'embeddings of another length' ? mean.subarray(1) : mean;
    });
  }

  override async close(): Promise<void> {
    this.closed = true;
    for (const cancel of this.#cancels) cancel();
  }

  #scriptFor(prompt: Int32Array): readonly Step[] {
    if (this.#fault === 'dies') return ['星', { fail: new HoshikageError('engine_crashed') }];
    if (this.#fault === 'never ends') return [{ waitMs: 60_000 }];
    const text = Buffer.from(prompt.filter((token) => token < 256)).toString('utf8');
    const forgets = this.#fault === 'forgets the keyword of a long prompt' && prompt.length > 200;
    const mixes = this.#fault === 'mixes two completions' && this.#running > 0;
    const garbage = this.#fault === 'restores garbage' && this.#restored;
    const topics = [CANARY_SAYS.order, CANARY_SAYS.english, CANARY_SAYS.endless];
    const asked = topics.find(({ keyword }) => text.includes(keyword)) ?? CANARY_SAYS.greeting;
    const said = forgets || mixes || garbage ? CANARY_SAYS.endless : asked;
    if (asked === CANARY_SAYS.endless) {
      const talk: Step[] = Array<string>(100_000).fill(said.text);
      return this.#fault === 'ignores a cancel' ? [...talk, { waitMs: 60_000 }] : talk;
    }
    const already = prompt.filter((token) => token >= FIRST_GENERATED).length;
    const rest = [...(this.#fault === 'says another text' ? 'はい' : said.text)].slice(already);
    return [...rest, END];
  }

  #compute(request: CompletionRequest, variant: Variant): EngineCompletion {
    const stream = new CompletionStream(() => {});
    const count = request.maxTokens - (this.#fault === 'too few tokens' ? 1 : 0);
    for (const { token, logits } of rightSteps(variant, request).slice(0, count)) {
      const batch = { bytes: new Uint8Array(1), ends: Int32Array.of(1), flags: new Uint8Array(1) };
      const spoilt = logprobs(this.#spoilt(logits));
      stream.push({ ...batch, tokens: Int32Array.of(token), logprobs: [spoilt] });
    }
    stream.finish({
      ...{ reason: 'length', promptTokens: request.prompt.length, cachedTokens: 0, slot: 0 },
      ...{ generatedTokens: count, prefillMs: 1, generationMs: 1 },
      ...{ draftedTokens: 0, acceptedTokens: 0 },
    });
    return stream;
  }

  #spoilt(logits: Float64Array): Float64Array {
    if (this.#fault === 'logits a tenth off') return logits.map((x, i) => x * (i % 2 ? 1.1 : 0.9));
    if (this.#fault === 'logits that are no numbers')
      return logits.map((x, i) => (i === 7 ? Number.NaN : x));
    return logits;
  }
}

interface RightStep {
  readonly token: number;
  readonly logits: Float64Array;
}
/** A second of work each, and always the same. */
const known = new Map<string, unknown>();
function once<T>(key: unknown, make: () => T): T {
  const name = JSON.stringify(key);
  if (!known.has(name)) known.set(name, make());
  // Put in by the line above, under the same key.
  return known.get(name) as T;
}

function rightSteps(variant: Variant, request: CompletionRequest): readonly RightStep[] {
  const { prompt, maxTokens } = request;
  return once([variant, maxTokens, ...prompt], () => {
    const model = new ReferenceModel(CANARY_MODELS[variant]);
    const sequence = new ReferenceSequence(model);
    let state = sequence.push(prompt).at(-1) ?? new Float64Array();
    return Array.from({ length: maxTokens }, () => {
      const logits = model.logits(state);
      const token = logits.indexOf(Math.max(...logits));
      state = sequence.push([token])[0] ?? state;
      return { token, logits };
    });
  });
}

function rightMean(input: Int32Array): Float32Array {
  return once(['mean', ...input], () => {
    const states = new ReferenceSequence(new ReferenceModel(CANARY_MODELS.plain)).push(input);
    const mean = new Float32Array(states[0]?.length ?? 0);
    for (const state of states)
      for (const [i, x] of state.entries()) mean[i] = (mean[i] ?? 0) + x / states.length;
    return mean;
  });
}

function logprobs(logits: Float64Array): TokenLogprob {
  const sum = Math.log(logits.reduce((total, x) => total + Math.exp(x), 0));
  const top = Array.from(logits, (x, token) => [token, x - sum] as const);
  return { logprob: Math.max(...top.map(([, x]) => x)), top };
}
