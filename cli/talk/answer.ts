/**
 * One answer from the question to its end: heard as it comes, with a picture of what goes on before its
 * first word. Runs in the CLI process. What came before an error or a stop stays in the answer.
 */
import { loadPicture, type Picture, watchServer } from '../load-watch.js';
import { type Fields, fieldsAt, numberAt, type ServerView } from '../server-view.js';
import type { Shell } from '../shell.js';
import { streamChat } from './chat-stream.js';
import type { ModelServer } from './model-server.js';

/** What was heard so far. */
export interface Answer {
  text: string;
  reasoning: string;
  finishReason: string | null;
  usage: Fields;
  timings: Fields;
  /** From the question to the first word, reasoning included, ms; null before there is one. */
  firstTokenMs: number | null;
  /** Fields of the request that had no effect. */
  ignored: readonly string[];
}

/** Nothing heard yet. */
export function noAnswer(): Answer {
  return {
    ...{ text: '', reasoning: '', finishReason: null, usage: {}, timings: {} },
    ...{ firstTokenMs: null, ignored: [] },
  };
}

/** Who asks, and who hears the words. */
export interface Asking {
  readonly server: ModelServer;
  /** Of /v1/chat/completions; `model` is a text. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
  readonly shell: Shell;
  hear(type: 'text' | 'reasoning', words: string): Promise<void>;
}

/** Asks and fills `answer`. Codes: those of streamChat. */
export async function ask(answer: Answer, asking: Asking): Promise<void> {
  const { server, body, signal, shell } = asking;
  const model = String(body.model);
  const heard = new AbortController();
  const picture = (view: ServerView) => waitPicture(view, model, shell);
  const watching = watchServer(
    { server: server.address, config: server.config, picture, patienceMs: patience() },
    AbortSignal.any([signal, heard.signal]),
  );
  const askedAt = performance.now();
  try {
    for await (const part of streamChat(server.address, body, signal)) {
      if (part.type === 'start') answer.ignored = part.ignored;
      else if (part.type === 'end') {
        const { finishReason, usage, timings } = part;
        Object.assign(answer, { finishReason, usage, timings });
      } else {
        answer.firstTokenMs ??= performance.now() - askedAt;
        heard.abort();
        answer[part.type] += part.text;
        await asking.hear(part.type, part.text);
      }
    }
  } finally {
    heard.abort();
    await watching;
  }
}

/** A line in a log is worth it for a long wait only. */
function patience(): number {
  return process.stderr.isTTY ? 0 : 3000;
}

/** Nothing of a model that nobody loads; in use, most likely by us: the prompt is being read. */
function waitPicture(view: ServerView, model: string, shell: Shell): Picture | null {
  const one = view.residents.find(({ id }) => id === model);
  const isWaiting = view.waiting.some((other) => other.model === model);
  if (one?.state !== 'ready' || isWaiting) {
    return one || isWaiting ? loadPicture(view, model, shell) : null;
  }
  const what = shell.say({ ja: 'プロンプトを読んでいます', en: 'Reading the prompt' });
  return { what, done: null };
}

/** The counts and times of an answer, by what people ask; null = not known. */
export interface AnswerFigures {
  readonly promptTokens: number | null;
  readonly cachedTokens: number | null;
  readonly completionTokens: number | null;
  readonly tokensPerSecond: number | null;
  readonly firstTokenMs: number | null;
  /** Tokens of old turns that had to be left out. */
  readonly truncatedTokens: number;
}

/** Reads them out of what the server said. */
export function figuresOf({ usage, timings, firstTokenMs }: Answer): AnswerFigures {
  const details = fieldsAt(usage, 'prompt_tokens_details');
  return {
    promptTokens: numberAt(usage, 'prompt_tokens'),
    cachedTokens: numberAt(details, 'cached_tokens'),
    completionTokens: numberAt(usage, 'completion_tokens'),
    tokensPerSecond: numberAt(timings, 'generation_tokens_per_second'),
    firstTokenMs,
    truncatedTokens: numberAt(details, 'truncated_tokens') ?? 0,
  };
}
