/**
 * What is asked where raw prompts are to be continued, in our own names, and what comes of it. Types
 * only.
 */
import type { EndEvent } from '../generate/events.js';
import type { ChosenLogprob } from '../generate/logprobs.js';
import type { SamplingRequest } from '../generate/sampling.js';

/** A gap in a text that the model is to fill. Control texts in it stay text. */
export interface Gap {
  readonly before: string | Int32Array;
  readonly after: string;
  /** Other texts that the model is to know, the farthest first. */
  readonly extra: readonly ExtraText[];
}

/** Another text that belongs to the one with the gap. */
export interface ExtraText {
  /** '' = it has none. */
  readonly name: string;
  readonly text: string;
}

/** A text whose control texts are parsed, token ids taken as they are, or a gap. */
export type RawPrompt = string | Int32Array | Gap;

/** A checked request. */
export interface TextRequest {
  readonly model: string;
  readonly prompts: readonly RawPrompt[];
  /** The name of a prompt in errors. */
  readonly nameOf: (index: number) => string;
  /** What the error names where a gap was asked of a model that cannot fill any. */
  readonly gapParam: string;
  /** Answers per prompt; each has a seed of its own, and the prompt is computed once. */
  readonly choices: number;
  /** Answers that are made per prompt, `choices` or more; the likeliest ones are given. */
  readonly bestOf: number;
  /** The prompt stands before each answer. */
  readonly echo: boolean;
  readonly sampling: SamplingRequest;
  /** Tokens to generate at most; 0 = none. */
  readonly maxTokens?: number;
  /** With `maxTokens` 0 the prompt is computed all the same, so that the next one finds it cached. */
  readonly warms?: boolean;
  readonly stop: readonly string[];
  /**
   * Log-probabilities of this many likeliest tokens beside the chosen one's; absent = none. With `echo`
   * also of the prompt's tokens, and of those of an answer that say nothing.
   */
  readonly topLogprobs?: number;
  /** GBNF with the start symbol `root`. */
  readonly grammar?: string;
  readonly cachePrompt: boolean;
}

/**
 * A log-probability, and where its token begins in the text, in characters. Null where no token stands
 * before it.
 */
export interface PlacedLogprob extends Omit<ChosenLogprob, 'logprob' | 'top'> {
  readonly logprob: number | null;
  readonly top: ChosenLogprob['top'] | null;
  readonly offset: number;
}

/** How an answer ended. */
export type Ending = 'eog' | 'word' | 'limit';

/**
 * What happens: `start` once, then the choices one after the other, each with its `finish`, then `end`.
 * `choice` counts over all prompts: a prompt's place × choices + the answer's. A second `start` begins
 * anew after the engine was lost.
 */
export type TextEvent =
  | { readonly type: 'start'; readonly fingerprint: string }
  | {
      readonly type: 'text';
      readonly choice: number;
      readonly text: string;
      /** Null unless they were asked for. */
      readonly logprobs: readonly PlacedLogprob[] | null;
    }
  | { readonly type: 'finish'; readonly choice: number; readonly ending: Ending }
  | EndEvent;
