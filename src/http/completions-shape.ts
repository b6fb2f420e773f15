/**
 * The JSON shapes of POST /v1/completions, OpenAI's legacy keys in OpenAI's order. Runs in the server;
 * pure but for what one writer has written. Every key is always there: null says that there is nothing
 * to say.
 */
import type { PieceLogprob } from '../generate/logprobs.js';
import type { PlacedLogprob, TextEvent } from '../text/request.js';
import type { AnswerWriter, StartOf } from './answer-stream.js';
import { timingsOf, usageOf } from './usage.js';

/** What all parts of one answer have in common. `created`: epoch time in s. */
export interface TextAnswer {
  readonly id: string;
  readonly created: number;
  /** As asked for. */
  readonly model: string;
  readonly withLogprobs: boolean;
}

type TextOf<T extends TextEvent['type']> = Extract<TextEvent, { type: T }>;
type End = TextOf<'end'>;

/** Joining copies log-probabilities, so only so many are joined. */
const MOST_JOINED = 256;

/** One text of two neighbours of a choice; null where they stay two. */
export function joinText(last: TextEvent, next: TextEvent): TextEvent | null {
  if (last.type !== 'text' || next.type !== 'text' || last.choice !== next.choice) return null;
  const count = (last.logprobs?.length ?? 0) + (next.logprobs?.length ?? 0);
  if (count > MOST_JOINED) return null;
  const logprobs =
    last.logprobs || next.logprobs ? [...(last.logprobs ?? []), ...(next.logprobs ?? [])] : null;
  return { ...next, text: last.text + next.text, logprobs };
}

/** OpenAI's old rows: one list per column; null for a token before which none stands. */
export function legacyLogprobs(logprobs: readonly PlacedLogprob[]): object {
  return {
    tokens: logprobs.map(shown),
    token_logprobs: logprobs.map(({ logprob }) => logprob),
    top_logprobs: logprobs.map(({ top, logprob, ...own }) =>
      top && logprob !== null ? byText([...top, { ...own, logprob }]) : null,
    ),
    text_offset: logprobs.map(({ offset }) => offset),
  };
}

/** Of tokens with the same text the likelier one, which comes first. */
function byText(pieces: readonly PieceLogprob[]): object {
  const rows = new Map<string, number>();
  for (const piece of pieces) {
    const text = shown(piece);
    if (!rows.has(text)) rows.set(text, piece.logprob);
  }
  // A key like any other, also where it is called __proto__.
  return Object.fromEntries(rows);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A token's text; of a part of a character its bytes, in OpenAI's form `bytes:\xe3\x81`. */
function shown({ bytes }: Pick<PieceLogprob, 'bytes'>): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
  }
}

function finishReasonOf({ ending }: TextOf<'finish'>): 'stop' | 'length' {
  return ending === 'limit' ? 'length' : 'stop';
}

/** The whole answer, of all its events after `start`. */
export function textCompletion(
  { id, created, model, withLogprobs }: TextAnswer,
  start: StartOf<TextEvent>,
  events: readonly TextEvent[],
): object {
  const end = events.find((event) => event.type === 'end');
  // Those that were made side by side end in any order.
  const finishes = events
    .filter((event) => event.type === 'finish')
    .sort((one, other) => one.choice - other.choice);
  const choices = finishes.map((finish) => {
    const said = events.flatMap((event) =>
      event.type === 'text' && event.choice === finish.choice ? [event] : [],
    );
    const logprobs = said.flatMap((event) => event.logprobs ?? []);
    return {
      text: said.map(({ text }) => text).join(''),
      index: finish.choice,
      logprobs: withLogprobs ? legacyLogprobs(logprobs) : null,
      finish_reason: finishReasonOf(finish),
    };
  });
  return {
    id,
    object: 'text_completion',
    created,
    model,
    system_fingerprint: start.fingerprint,
    choices,
    usage: end ? usageOf(end.usage) : null,
    timings: end ? timingsOf(end.timings, end.usage) : null,
  };
}

/** Writes the chunks of one streamed answer. */
export class TextChunks implements AnswerWriter<TextEvent> {
  readonly #answer: TextAnswer;
  readonly #includeUsage: boolean;
  #head = '';
  /** Held back until the end is known: the last chunk with a choice says where the time went. */
  #finish: TextOf<'finish'> | null = null;

  constructor(answer: TextAnswer, options: { readonly includeUsage: boolean }) {
    this.#answer = answer;
    this.#includeUsage = options.includeUsage;
  }

  join(last: TextEvent, next: TextEvent): TextEvent | null {
    return joinText(last, next);
  }

  lines(event: TextEvent): readonly string[] {
    const before = this.#finish;
    this.#finish = null;
    const ended = before ? [this.#finished(before, event.type === 'end' ? event : null)] : [];
    switch (event.type) {
      case 'start': {
        const { id, created, model } = this.#answer;
        const object = 'text_completion';
        const common = { id, object, created, model, system_fingerprint: event.fingerprint };
        this.#head = JSON.stringify(common).slice(0, -1);
        return [];
      }
      case 'text': {
        const logprobs = event.logprobs ? JSON.stringify(legacyLogprobs(event.logprobs)) : 'null';
        return [...ended, this.#choice(event.choice, { text: event.text, logprobs })];
      }
      case 'finish':
        this.#finish = event;
        return ended;
      case 'end':
        return [...ended, ...(this.#includeUsage ? [this.#usage(event)] : []), '[DONE]'];
    }
  }

  #finished(finish: TextOf<'finish'>, end: End | null): string {
    const more = end ? `,"timings":${JSON.stringify(timingsOf(end.timings, end.usage))}` : '';
    return this.#choice(finish.choice, { finish: `"${finishReasonOf(finish)}"`, more });
  }

  #usage({ usage }: End): string {
    return `${this.#head},"choices":[],"usage":${JSON.stringify(usageOf(usage))}}`;
  }

  #choice(
    index: number,
    {
      text = '',
      logprobs = 'null',
      finish = 'null',
      more = '',
    }: {
      readonly text?: string;
      readonly logprobs?: string;
      readonly finish?: string;
      readonly more?: string;
    },
  ): string {
    const said = JSON.stringify(text);
    const choice = `{"text":${said},"index":${index},"logprobs":${logprobs},"finish_reason":${finish}}`;
    const usage = this.#includeUsage ? ',"usage":null' : '';
    return `${this.#head},"choices":[${choice}]${usage}${more}}`;
  }
}
