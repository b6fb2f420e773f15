/**
 * The JSON shapes of a chat answer, OpenAI's keys in OpenAI's order. Runs in the server; pure. What has
 * nothing to say is null; `reasoning_content` and `tool_calls` are there only where they say something.
 */
import type { ChatEvent } from '../chat/complete.js';
import type { EndEvent } from '../generate/events.js';
import type { ChosenLogprob, PieceLogprob } from '../generate/logprobs.js';
import type { AnswerWriter } from './answer-stream.js';
import { timingsOf, usageOf } from './usage.js';

/** The first event of a completion. */
export type StartEvent = Extract<ChatEvent, { type: 'start' }>;
type FinishReason = Extract<ChatEvent, { type: 'finish' }>['finishReason'];

/** What all parts of one answer have in common. `created`: epoch time in s. */
export interface ChatAnswer {
  readonly id: string;
  readonly created: number;
  /** As asked for. */
  readonly model: string;
}

interface Call {
  readonly id: string;
  readonly name: string;
  text: string;
}

/** One choice while its events come. */
class Choice {
  readonly #calls = new Map<number, Call>();
  #content = '';
  #reasoning = '';
  readonly #logprobs: object[] = [];
  #finishReason: FinishReason = 'stop';

  take(event: ChatEvent): void {
    switch (event.type) {
      case 'content':
        this.#content += event.text;
        if (event.logprobs) this.#logprobs.push(...logprobRows(event.logprobs));
        break;
      case 'reasoning':
        this.#reasoning += event.text;
        break;
      case 'call':
        this.#calls.set(event.index, { id: event.id, name: event.name, text: '' });
        break;
      case 'arguments': {
        const call = this.#calls.get(event.index);
        if (call) call.text += event.text;
        break;
      }
      case 'called':
        this.#settle(event);
        break;
      case 'finish':
        this.#finishReason = event.finishReason;
        break;
    }
  }

  /** A call whose arguments nobody could read is no call: what the model wrote stays as its words. */
  #settle({ index, raw, complete }: Extract<ChatEvent, { type: 'called' }>): void {
    const call = this.#calls.get(index);
    if (call && complete && isJson(call.text)) return;
    this.#calls.delete(index);
    this.#content += raw;
  }

  toJson(index: number, isAsked: boolean): object {
    const calls = [...this.#calls.values()].map(({ id, name, text }) => ({
      id,
      type: 'function',
      function: { name, arguments: text },
    }));
    const content = this.#content === '' && calls.length > 0 ? null : this.#content;
    const isCalling = calls.length > 0;
    const finishReason =
      this.#finishReason === 'tool_calls' && !isCalling ? 'stop' : this.#finishReason;
    return {
      index,
      message: {
        role: 'assistant',
        content,
        refusal: null,
        ...(this.#reasoning !== '' && { reasoning_content: this.#reasoning }),
        ...(isCalling && { tool_calls: calls }),
      },
      logprobs: isAsked ? { content: this.#logprobs, refusal: null } : null,
      finish_reason: finishReason,
    };
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** The whole answer: of all events after the last `start`. */
export function chatBodyOf(
  { id, created, model }: ChatAnswer,
  start: StartEvent,
  {
    events,
    withLogprobs,
  }: { readonly events: readonly ChatEvent[]; readonly withLogprobs: boolean },
): object {
  const choices: Choice[] = [];
  let last: EndEvent | null = null;
  for (const event of events) {
    if (event.type === 'end') last = event;
    else if (event.type !== 'start') {
      choices[event.choice] ??= new Choice();
      choices[event.choice]?.take(event);
    }
  }
  return {
    id,
    object: 'chat.completion',
    created,
    model,
    system_fingerprint: start.fingerprint,
    choices: choices.map((choice, index) => choice.toJson(index, withLogprobs)),
    ...(last && { usage: usageOf(last.usage), timings: timingsOf(last.timings, last.usage) }),
  };
}

/** OpenAI's rows of `logprobs.content`. A token's text may be a part of a character; its bytes are exact. */
export function logprobRows(logprobs: readonly ChosenLogprob[]): object[] {
  return logprobs.map((chosen) => ({ ...row(chosen), top_logprobs: chosen.top.map(row) }));
}

function row({ bytes, logprob }: PieceLogprob): object {
  return { token: new TextDecoder().decode(bytes), logprob, bytes: [...bytes] };
}

/** Joining copies log-probabilities, so only so many are joined. */
const MOST_JOINED = 256;

const NONE: readonly string[] = [];

/** How a streamed answer is written. */
export interface ChunkOptions {
  readonly includeUsage: boolean;
  readonly withLogprobs: boolean;
}

/** Writes the chunks of one streamed answer; what they have in common is made once. */
export class ChatWriter implements AnswerWriter<ChatEvent> {
  readonly #answer: ChatAnswer;
  readonly #options: ChunkOptions;
  #head = '';
  /** By choice, what stands before and behind the text in a chunk. */
  readonly #contents: string[][] = [];
  /** The choices whose role has been told. */
  readonly #told = new Set<number>();
  /** Told with what comes behind it: the last one brings the times. */
  #finish: Extract<ChatEvent, { type: 'finish' }> | null = null;

  constructor(answer: ChatAnswer, options: ChunkOptions) {
    this.#answer = answer;
    this.#options = options;
  }

  join(last: ChatEvent, next: ChatEvent): ChatEvent | null {
    if (last.type === 'content' && next.type === 'content' && last.choice === next.choice) {
      const count = (last.logprobs?.length ?? 0) + (next.logprobs?.length ?? 0);
      if (count > MOST_JOINED) return null;
      const logprobs = next.logprobs && [...(last.logprobs ?? []), ...next.logprobs];
      return { ...last, text: last.text + next.text, logprobs };
    }
    if (last.type === 'reasoning' && next.type === 'reasoning' && last.choice === next.choice) {
      return { ...last, text: last.text + next.text };
    }
    if (last.type === 'arguments' && next.type === 'arguments' && last.index === next.index) {
      return last.choice === next.choice ? { ...last, text: last.text + next.text } : null;
    }
    return null;
  }

  lines(event: ChatEvent): readonly string[] {
    if (event.type === 'start') return this.#begin(event);
    if (event.type === 'end') return [...this.#ended(event), ...this.#usageLine(event), '[DONE]'];
    // The role first, also of a choice that says nothing.
    const before =
      this.#told.has(event.choice) && !this.#finish ? NONE : this.#before(event.choice);
    if (event.type === 'finish') {
      this.#finish = event;
      return before;
    }
    const delta = this.#delta(event);
    if (delta === null) return before;
    return before.length === 0 ? [delta] : [...before, delta];
  }

  /** The first chunk goes with the headers, so that a reader knows that it was heard. */
  #begin({ fingerprint }: StartEvent): readonly string[] {
    const { id, created, model } = this.#answer;
    const object = 'chat.completion.chunk';
    const common = { id, object, created, model, system_fingerprint: fingerprint };
    const isAgain = this.#head !== '';
    this.#head = JSON.stringify(common).slice(0, -1);
    this.#contents.length = 0;
    return isAgain ? [] : this.#before(0);
  }

  /** What a choice's next words stand behind: the end of another, its own role. */
  #before(choice: number): readonly string[] {
    const finished = this.#ended(null);
    if (this.#told.has(choice)) return finished;
    this.#told.add(choice);
    return [...finished, this.#chunk(choice, '{"role":"assistant","content":"","refusal":null}')];
  }

  #delta(event: Exclude<ChatEvent, { type: 'start' | 'end' | 'finish' }>): string | null {
    const { choice } = event;
    switch (event.type) {
      case 'content': {
        if (!this.#options.withLogprobs) return this.#contentChunk(choice, event.text);
        const rows = JSON.stringify({ content: logprobRows(event.logprobs ?? []), refusal: null });
        const delta = `{"content":${JSON.stringify(event.text)}}`;
        return this.#chunk(choice, delta, { logprobs: rows });
      }
      case 'reasoning':
        return this.#chunk(choice, `{"reasoning_content":${JSON.stringify(event.text)}}`);
      case 'call': {
        const { index, id, name } = event;
        const call = { index, id, type: 'function', function: { name, arguments: '' } };
        return this.#chunk(choice, `{"tool_calls":[${JSON.stringify(call)}]}`);
      }
      case 'arguments': {
        const text = JSON.stringify(event.text);
        const part = `{"index":${event.index},"function":{"arguments":${text}}}`;
        return this.#chunk(choice, `{"tool_calls":[${part}]}`);
      }
      case 'called':
        return null;
    }
  }

  /** What nearly every chunk is: only the text in it is made anew. */
  #contentChunk(choice: number, text: string): string {
    const mark = '"\u0000"';
    this.#contents[choice] ??= this.#chunk(choice, `{"content":${mark}}`).split(mark);
    const [before = '', after = ''] = this.#contents[choice];
    return before + JSON.stringify(text) + after;
  }

  /** The last chunk of a choice. */
  #ended(end: EndEvent | null): readonly string[] {
    if (!this.#finish) return [];
    const { choice, finishReason } = this.#finish;
    this.#finish = null;
    const more = end ? `,"timings":${JSON.stringify(timingsOf(end.timings, end.usage))}` : '';
    return [this.#chunk(choice, '{}', { finish: `"${finishReason}"`, more })];
  }

  #usageLine({ usage }: EndEvent): readonly string[] {
    if (!this.#options.includeUsage) return [];
    return [`${this.#head},"choices":[],"usage":${JSON.stringify(usageOf(usage))}}`];
  }

  #chunk(
    index: number,
    delta: string,
    { logprobs = 'null', finish = 'null', more = '' } = {},
  ): string {
    const usage = this.#options.includeUsage ? ',"usage":null' : '';
    const choice = `{"index":${index},"delta":${delta},"logprobs":${logprobs},"finish_reason":${finish}}`;
    return `${this.#head},"choices":[${choice}]${usage}${more}}`;
  }
}
