/**
 * A prompt that fits into the context: as it is, or with the oldest turns left out where the request
 * allows that. Runs in the server. It must never leave out a system message, the last turn, or a half
 * of a turn, since a tool's result without its call means nothing.
 */
import type { Engine } from '../engine/engine.js';
import { tokensWithin } from '../engine/long-text.js';
import { HoshikageError } from '../errors.js';
import { unlessGone } from '../resources/gone.js';
import type { ChatMessage } from './message.js';
import { buildPrompt, type PromptRequest, type PromptText } from './prompt.js';

/** A prompt as text and as tokens. */
export interface FittingPrompt {
  readonly text: PromptText;
  readonly tokens: Int32Array;
  /** Tokens that the turns left out would have taken; 0 where none were. */
  readonly truncatedTokens: number;
}

/** How a prompt has to fit. */
export interface FitOptions {
  readonly engine: Pick<Engine, 'tokenize' | 'info'>;
  /** Leave out the oldest turns rather than refuse. */
  readonly truncates: boolean;
  /** Tokens that the answer is to have room for, where turns are left out; absent = a quarter. */
  readonly answerTokens: number | undefined;
  /** Text behind the rendered prompt. */
  readonly after: (rendered: string) => string;
}

/**
 * The prompt of a conversation. Codes: context_length_exceeded (with its numbers, also where the last
 * turn alone is too long), template_failed, cancelled, closed.
 */
export async function fitPrompt(
  request: PromptRequest,
  options: FitOptions,
): Promise<FittingPrompt> {
  const whole = await renderOne(request, options);
  const limit = options.engine.info.contextTokens;
  // Half of the context at most is kept free: a prompt matters more than a long answer.
  const room = Math.min(options.answerTokens ?? Math.floor(limit / 4), Math.floor(limit / 2));
  const isTight = options.truncates && options.answerTokens !== undefined;
  if (whole.tokens.length <= limit - (isTight ? Math.max(1, room) : 1)) {
    return { ...whole, truncatedTokens: 0 };
  }
  const droppable = options.truncates ? turnsOf(request.messages).slice(0, -1) : [];
  const fitting = await fewestDropped(droppable.length, async (count) => {
    const gone = new Set(droppable.slice(0, count).flat());
    const messages = request.messages.filter((_, index) => !gone.has(index));
    const one = await renderOne({ ...request, messages }, options);
    // With everything dropped that may be dropped, whatever fits will do.
    const isLast = count === droppable.length;
    return one.tokens.length <= limit - (isLast ? 1 : Math.max(1, room)) ? one : null;
  });
  if (!fitting && whole.tokens.length < limit) return { ...whole, truncatedTokens: 0 };
  if (fitting) {
    return { ...fitting, truncatedTokens: whole.tokens.length - fitting.tokens.length };
  }
  throw new HoshikageError('context_length_exceeded', {
    n_prompt_tokens: whole.tokens.length,
    n_ctx: limit,
    param: 'messages',
  });
}

async function renderOne(
  request: PromptRequest,
  { engine, after }: FitOptions,
): Promise<Omit<FittingPrompt, 'truncatedTokens'>> {
  const rendered = await unlessGone(buildPrompt(request), request.signal);
  const more = after(rendered.segments.map(({ text }) => text).join(''));
  const segments =
    more === '' ? rendered.segments : [...rendered.segments, { text: more, special: true }];
  const { addSpecial } = rendered;
  const limit = engine.info.contextTokens;
  const tokens = await unlessGone(
    tokensWithin(engine, segments, { addSpecial, limit }),
    request.signal,
  );
  return { text: { ...rendered, segments }, tokens };
}

/**
 * What `attempt` gives for the smallest count, from 1 to `most`, for which it gives anything; null
 * where none does. More dropped is never longer, so halving finds it.
 */
async function fewestDropped<T>(
  most: number,
  attempt: (count: number) => Promise<T | null>,
): Promise<T | null> {
  if (most === 0) return null;
  let best = await attempt(most);
  if (best === null) return null;
  let low = 1;
  let high = most;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const one = await attempt(middle);
    if (one === null) low = middle + 1;
    else [best, high] = [one, middle];
  }
  return best;
}

/**
 * The turns of a conversation as indices of messages: what a user said and all up to the next time,
 * without system messages, which belong to none. What stands before the first user message is one too.
 */
export function turnsOf(messages: readonly ChatMessage[]): readonly (readonly number[])[] {
  const turns: number[][] = [];
  let isInAnswer = true;
  for (const [index, { role }] of messages.entries()) {
    if (role === 'system' || role === 'developer') continue;
    // Several user messages in a row are one turn.
    if (turns.length === 0 || (role === 'user' && isInAnswer)) turns.push([]);
    isInAnswer = role !== 'user';
    turns.at(-1)?.push(index);
  }
  return turns;
}
