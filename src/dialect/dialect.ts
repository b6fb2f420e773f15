/**
 * What a model family's way of writing is to the rest: how its reasoning and its tool calls stand in
 * its text, how to read them as the text streams, and how to bind a model to them. Types only.
 */
import type { Expression, RuleSet } from '../grammar/expression.js';

/** A stretch of a model's words; `control`: of a control token, which content never shows. */
export interface Run {
  readonly text: string;
  readonly control: boolean;
}

/**
 * What was said. `from`: place of the text's first UTF-16 unit among all that was pushed, so that
 * tokens can be matched to it. `call` begins a call, once its name is known to be one of the tools';
 * `arguments` are parts of the last one begun (JSON text when joined); `called` ends it: `raw` is all
 * of its text, for whoever finds that the arguments are no JSON, `complete` whether its end was seen.
 */
export type Said =
  | { readonly type: 'content'; readonly text: string; readonly from: number }
  | { readonly type: 'reasoning'; readonly text: string; readonly from: number }
  | { readonly type: 'call'; readonly name: string; readonly id: string | null }
  | { readonly type: 'arguments'; readonly text: string }
  | { readonly type: 'called'; readonly raw: string; readonly complete: boolean };

/** Reads one answer as it streams. Whatever it cannot read as a call comes out as content. */
export interface Listener {
  push(run: Run): readonly Said[];
  /** The rest, when the answer has ended; what was held back comes out. */
  end(): readonly Said[];
  /** True while the model thinks: between the marks of its reasoning. */
  readonly isReasoning: boolean;
}

/** A tool as a request offers it. `parameters` is a JSON Schema; null = takes no arguments. */
export interface Tool {
  readonly name: string;
  readonly description: string | null;
  readonly parameters: Readonly<Record<string, unknown>> | null;
  /** Arguments must obey the schema, and a schema that cannot be bound is refused. */
  readonly strict: boolean;
}

/** `open`: the prompt ends inside reasoning; `possible`: the model may begin with it; `none`: it won't. */
export type Thinking = 'open' | 'possible' | 'none';

/** How an answer is to be heard. */
export interface Hearing {
  readonly tools: readonly Tool[];
  readonly thinking: Thinking;
  /** White space before content is not shown: of an answer whose form has none. */
  readonly trims?: boolean;
}

/** Which calls an answer may or must have. */
export interface CallRules {
  readonly tools: readonly Tool[];
  /** `auto`: text, calls or both; `required`: one call at least, and no content. */
  readonly choice: 'auto' | 'required';
  /** More than one call. */
  readonly parallel: boolean;
  readonly thinking: Thinking;
}

/** One family's way of writing. */
export interface Dialect {
  /** E.g. `hermes`, for logs and tests. */
  readonly name: string;
  /** Whether the family writes calls in a way of its own; plain JSON stands in otherwise. */
  readonly hasCalls: boolean;
  /** Whether and how an answer to this rendered prompt begins with reasoning. */
  thinkingAfter(prompt: string): Thinking;
  /** Text that ends reasoning, e.g. `\n</think>\n\n`; '' where there is none to end. */
  readonly endOfReasoning: string;
  /** Reads an answer. Calls are looked for only where there are tools. */
  listen(options: Hearing): Listener;
  /** The whole output where the answer itself is bound: reasoning first, where there may be some. */
  bindAnswer(answer: Expression, thinking: Thinking): Expression;
  /**
   * The whole output where there are tools: every call that is begun is one that `listen` reads, with
   * arguments that obey their schema. Codes: schema_unsupported for a strict tool.
   */
  bindCalls(rules: RuleSet, calls: CallRules): Expression;
}
