/**
 * The JSON shapes of a chat answer, OpenAI's keys in OpenAI's order. Runs in the server; pure. What has
 * nothing to say is null; `reasoning_content` and `tool_calls` are there only where they say something.
 */
import type { ChatEvent } from '../chat/complete.js';
import type { EndEvent } from '../generate/events.js';
import type { ChosenLogprob, PieceLogprob } from '../generate/logprobs.js';
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

/** Gathers the events of one request into the answer that goes out whole. */
export class ChatCollector {
  readonly #answer: ChatAnswer;
  readonly #withLogprobs: boolean;
  #start: StartEvent | null = null;
  #choices: Choice[] = [];

  constructor(answer: ChatAnswer, options: { readonly withLogprobs: boolean }) {
    this.#answer = answer;
    this.#withLogprobs = options.withLogprobs;
  }

  /** The last first event. */
  get start(): StartEvent | null {
    return this.#start;
  }

  /** Takes one event; with the last one it gives the answer. */
  take(event: ChatEvent): object | null {
    if (event.type === 'end') return this.#whole(event);
    if (event.type === 'start') [this.#start, this.#choices] = [event, []];
    else {
      this.#choices[event.choice] ??= new Choice();
      this.#choices[event.choice]?.take(event);
    }
    return null;
  }

  #whole({ usage, timings }: EndEvent): object {
    const { id, created, model } = this.#answer;
    return {
      id,
      object: 'chat.completion',
      created,
      model,
      system_fingerprint: this.#start?.fingerprint ?? null,
      choices: this.#choices.map((choice, index) => choice.toJson(index, this.#withLogprobs)),
      usage: usageOf(usage),
      timings: timingsOf(timings, usage),
    };
  }
}

/** OpenAI's rows of `logprobs.content`. A token's text may be a part of a character; its bytes are exact. */
export function logprobRows(logprobs: readonly ChosenLogprob[]): object[] {
  return logprobs.map((chosen) => ({ ...row(chosen), top_logprobs: chosen.top.map(row) }));
}

function row({ bytes, logprob }: PieceLogprob): object {
  return { token: new TextDecoder().decode(bytes), logprob, bytes: [...bytes] };
}

/** Writes the chunks of one streamed answer; what they have in common is made once. */
export class ChunkWriter {
  readonly #head: string;
  readonly #usage: string;
  readonly #withLogprobs: boolean;

  constructor(
    { id, created, model }: ChatAnswer,
    fingerprint: string,
    options: { readonly includeUsage: boolean; readonly withLogprobs: boolean },
  ) {
    const object = 'chat.completion.chunk';
    const common = { id, object, created, model, system_fingerprint: fingerprint };
    this.#head = JSON.stringify(common).slice(0, -1);
    this.#usage = options.includeUsage ? ',"usage":null' : '';
    this.#withLogprobs = options.withLogprobs;
  }

  role(choice: number): string {
    return this.#choice(choice, '{"role":"assistant","content":"","refusal":null}');
  }

  content(choice: number, text: string, logprobs: readonly ChosenLogprob[]): string {
    const rows = this.#withLogprobs
      ? JSON.stringify({ content: logprobRows(logprobs), refusal: null })
      : 'null';
    return this.#choice(choice, `{"content":${JSON.stringify(text)}}`, { logprobs: rows });
  }

  reasoning(choice: number, text: string): string {
    return this.#choice(choice, `{"reasoning_content":${JSON.stringify(text)}}`);
  }

  call({ choice, index, id, name }: Extract<ChatEvent, { type: 'call' }>): string {
    const call = { index, id, type: 'function', function: { name, arguments: '' } };
    return this.#choice(choice, `{"tool_calls":[${JSON.stringify(call)}]}`);
  }

  arguments(choice: number, index: number, text: string): string {
    const part = `{"index":${index},"function":{"arguments":${JSON.stringify(text)}}}`;
    return this.#choice(choice, `{"tool_calls":[${part}]}`);
  }

  finish({ choice, finishReason }: Extract<ChatEvent, { type: 'finish' }>, end?: EndEvent): string {
    const more = end ? `,"timings":${JSON.stringify(timingsOf(end.timings, end.usage))}` : '';
    return this.#choice(choice, '{}', { finish: `"${finishReason}"`, more });
  }

  usage({ usage }: EndEvent): string {
    return `${this.#head},"choices":[],"usage":${JSON.stringify(usageOf(usage))}}`;
  }

  #choice(
    index: number,
    delta: string,
    { logprobs = 'null', finish = 'null', more = '' } = {},
  ): string {
    const choice = `{"index":${index},"delta":${delta},"logprobs":${logprobs},"finish_reason":${finish}}`;
    return `${this.#head},"choices":[${choice}]${this.#usage}${more}}`;
  }
}
