/**
 * A FakeEngine whose answers are given token by token, with log-probabilities where they are asked for;
 * each start() takes the next answer. Never used outside tests.
 */
import { CompletionStream } from '../../src/engine/completion.js';
import {
  type CompletionRequest,
  type EngineCompletion,
  type FinishReason,
  TOKEN_CONTROL,
  TOKEN_EOG,
} from '../../src/engine/engine.js';
import { FakeEngine, type FakeEngineOptions, promptBatches } from './fake-engine.js';

/** One token as it is said. `text` may be bytes that are part of a character. */
export interface SaidPiece {
  readonly token?: number;
  readonly text: string | Uint8Array;
  /** 0 where absent. */
  readonly logprob?: number;
  readonly top?: readonly (readonly [token: number, logprob: number])[];
  /** It ends the generation, and is a control token. */
  readonly eog?: boolean;
  readonly control?: boolean;
}

/** The letters of a text, a token each, of this log-probability. */
export function letters(text: string, logprob = 0): readonly SaidPiece[] {
  return [...text].map((letter) => ({ token: letter.charCodeAt(0), text: letter, logprob }));
}

/** What ends an answer. */
export const EOG: SaidPiece = { token: 301, text: '<|im_end|>', eog: true };

export class SayingEngine extends FakeEngine {
  readonly #answers: readonly (readonly SaidPiece[])[];

  /** The last of `answers` is given again and again. */
  constructor(answers: readonly (readonly SaidPiece[])[], options: FakeEngineOptions = {}) {
    super(options);
    this.#answers = answers;
  }

  override start(request: CompletionRequest): EngineCompletion {
    const answer = this.#answers[this.started.length] ?? this.#answers.at(-1) ?? [];
    const record = { request, cancelled: false, keepTokens: undefined as number | undefined };
    this.started.push(record);
    const { maxTokens, prompt, sampling } = request;
    const said = maxTokens > 0 ? answer.slice(0, maxTokens) : answer;
    const finish = (reason: FinishReason): void => {
      stream.finish({
        ...{ reason, promptTokens: prompt.length, cachedTokens: 0, generatedTokens: said.length },
        ...{ prefillMs: 10, generationMs: 20, slot: 0, draftedTokens: 0, acceptedTokens: 0 },
      });
    };
    const stream = new CompletionStream((keepTokens) => {
      record.cancelled = true;
      record.keepTokens = keepTokens;
    });
    for (const batch of promptBatches(request)) stream.push(batch);
    for (const { token = 1000, text, logprob = 0, top = [], eog = false, control = eog } of said) {
      const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
      stream.push({
        tokens: Int32Array.of(token),
        bytes,
        ends: Int32Array.of(bytes.length),
        flags: Uint8Array.of((control ? TOKEN_CONTROL : 0) | (eog ? TOKEN_EOG : 0)),
        ...(sampling.logprobs !== undefined && {
          logprobs: [{ logprob, top: top.slice(0, sampling.logprobs) }],
        }),
      });
    }
    if (said.at(-1)?.eog) finish('eog');
    else finish(said.length < answer.length || said.length === maxTokens ? 'length' : 'context');
    return stream;
  }
}
