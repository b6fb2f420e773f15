/**
 * HTTP as tests speak it: plain node:http, a connection per request, any header allowed, and every
 * byte checked to be valid UTF-8. It must never reuse a connection: tests count descriptors.
 */
import http from 'node:http';

/** What to send. `json` is sent as application/json. */
export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly body?: string | Uint8Array;
  readonly signal?: AbortSignal;
  /** Given up when nothing comes for so long, ms; 20 s by default. */
  readonly silenceMs?: number;
}

/** An answer whose body has not been read yet. */
export interface Reply {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly bytes: AsyncIterable<Uint8Array>;
}

const SILENCE_MS = 20_000;

/** Sends a request; settles when the answer's headers have come. */
export function ask(url: string, what: Ask = {}): Promise<Reply> {
  const { json, signal, silenceMs = SILENCE_MS } = what;
  const body = json === undefined ? what.body : JSON.stringify(json);
  const headers: Record<string, string> = { ...what.headers };
  if (json !== undefined) headers['content-type'] ??= 'application/json';
  if (body !== undefined) headers['content-length'] ??= String(Buffer.byteLength(body));
  const method = what.method ?? (body === undefined ? 'GET' : 'POST');
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers, agent: false, ...(signal && { signal }) });
    request.once('error', reject);
    request.setTimeout(silenceMs, () => {
      request.destroy(new Error(`${method} ${url}: nothing came for ${silenceMs} ms`));
    });
    request.once('response', (response) => {
      // A broken connection is told to whoever reads the body.
      response.on('error', () => {});
      resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes: response });
    });
    request.end(body);
  });
}

/** The whole body of an answer. */
export async function textOf(reply: Reply): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of reply.bytes) parts.push(part);
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts));
}

/** A whole exchange with a JSON answer. */
export async function getJson(
  url: string,
  what: Ask = {},
): Promise<{ status: number; headers: http.IncomingHttpHeaders; body: unknown }> {
  const reply = await ask(url, what);
  const text = await textOf(reply);
  return { status: reply.status, headers: reply.headers, body: JSON.parse(text) };
}

/** A chat request with one user message; anything may be set or replaced by `more`. */
export function chatBody(model: string, user: string, more: object = {}): object {
  return { model, messages: [{ role: 'user', content: user }], ...more };
}

/** One chunk of a streamed answer, as far as tests look at it. */
export interface Chunk {
  readonly id?: string;
  readonly model?: string;
  readonly choices?: readonly {
    readonly delta: { readonly role?: string; readonly content?: string };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: Usage | null;
  readonly error?: ErrorBody;
}

/** Token counts of an answer. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details?: { readonly cached_tokens: number };
}

/** OpenAI's error shape. */
export interface ErrorBody {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string;
}

/** A JSON answer, as far as tests look at it. */
export interface Answer {
  readonly id: string;
  readonly object: string;
  readonly model: string;
  readonly choices: readonly {
    readonly index: number;
    readonly message: { readonly role: string; readonly content: string };
    readonly finish_reason: string;
  }[];
  readonly usage: Usage;
  readonly error?: ErrorBody;
}

/** The `data:` of each event of a stream; comments are left out. Throws on bytes that are not UTF-8. */
export async function* eventsOf(reply: Reply): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  for await (const part of reply.bytes) {
    rest += decoder.decode(part, { stream: true });
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const event = rest.slice(0, end);
      rest = rest.slice(end + 2);
      const data = event.split('\n').filter((line) => line.startsWith('data: '));
      if (data.length > 0) yield data.map((line) => line.slice(6)).join('\n');
    }
  }
  if (rest !== '') throw new Error(`the stream ends in mid-event: ${JSON.stringify(rest)}`);
}

/** A JSON chat. */
export async function chat(
  server: { readonly url: string },
  body: object,
  more: Ask = {},
): Promise<{ status: number; headers: http.IncomingHttpHeaders; body: Answer }> {
  const reply = await getJson(`${server.url}/v1/chat/completions`, { ...more, json: body });
  // Its fields are what the tests assert.
  return { ...reply, body: reply.body as Answer };
}

/** What came of a streamed chat. */
export interface Streamed {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly chunks: readonly Chunk[];
  readonly text: string;
  readonly finish: string | null;
  readonly usage: Usage | null;
  readonly error: ErrorBody | null;
  /** Whether `[DONE]` ended it. */
  readonly done: boolean;
}

/** Opens a streamed chat without reading it. */
export function openStream(
  server: { readonly url: string },
  body: object,
  more: Ask = {},
): Promise<Reply> {
  return ask(`${server.url}/v1/chat/completions`, { ...more, json: { ...body, stream: true } });
}

/** Chunks of a stream as they come, without `[DONE]`. */
export async function* chunksOf(reply: Reply): AsyncGenerator<Chunk> {
  for await (const data of eventsOf(reply)) if (data !== '[DONE]') yield JSON.parse(data);
}

/** A whole streamed chat; a status other than 200 gives its error. */
export async function streamChat(
  server: { readonly url: string },
  body: object,
  more: Ask = {},
): Promise<Streamed> {
  const reply = await openStream(server, body, more);
  const { status, headers } = reply;
  if (status !== 200) {
    const { error } = JSON.parse(await textOf(reply));
    return {
      ...{ status, headers, chunks: [], text: '', finish: null, usage: null },
      ...{ error, done: false },
    };
  }
  const data: string[] = [];
  for await (const event of eventsOf(reply)) data.push(event);
  const done = data.at(-1) === '[DONE]';
  const chunks: Chunk[] = (done ? data.slice(0, -1) : data).map((line) => JSON.parse(line));
  const choices = chunks.flatMap((chunk) => chunk.choices ?? []);
  return {
    ...{ status, headers, chunks, done },
    text: choices.map((choice) => choice.delta.content ?? '').join(''),
    finish: choices.at(-1)?.finish_reason ?? null,
    usage: chunks.at(-1)?.usage ?? null,
    error: chunks.at(-1)?.error ?? null,
  };
}
