/**
 * One streamed chat request, as the parts of its answer. Runs in the CLI process. It speaks to one server
 * on this machine, never through a proxy; leaving it early closes the connection, by which the server stops
 * the work. No wait is without an end.
 */
import { Agent, type IncomingMessage, request } from 'node:http';
import { HoshikageError } from '../../src/errors.js';
import { isRecord } from '../../src/models/map-file.js';
import { isErrorBody, type RunningServer, refusalOf } from '../admin-client.js';
import { Refusal } from '../fail.js';
import { type Fields, fieldsAt, listAt, NO_KEY, textAt } from '../server-view.js';

/** What comes of an answer. `start` once, `end` last, whatever was said. */
export type AnswerPart =
  | {
      readonly type: 'start';
      /** Fields of the request that have no effect on this model. */
      readonly ignored: readonly string[];
    }
  | { readonly type: 'text' | 'reasoning'; readonly text: string }
  | {
      readonly type: 'end';
      readonly finishReason: string | null;
      /** As the server gives them; empty where it gives none. */
      readonly usage: Fields;
      readonly timings: Fields;
    };

/** A server says something every 15 s, also while a request waits. */
const SILENCE_MS = 120_000;
const MAX_LINE = 16 * 1024 * 1024;
const MAX_ERROR_BYTES = 1024 * 1024;

/**
 * Asks `address` (its token is sent as the key) with a body of /v1/chat/completions.
 * Codes: server_lost, cancelled, model_not_found; a Refusal with the server's words for its other errors.
 */
export async function* streamChat(
  address: RunningServer,
  body: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): AsyncGenerator<AnswerPart> {
  const agent = new Agent({ keepAlive: false });
  let response: IncomingMessage | null = null;
  try {
    response = await send(address, body, { agent, signal });
    if (response.statusCode !== 200) throw await refused(response, String(body.model));
    const ignored = response.headers['x-hoshikage-ignored'];
    yield { type: 'start', ignored: typeof ignored === 'string' ? ignored.split(',') : [] };
    yield* partsOf(response, String(body.model));
  } catch (cause) {
    if (signal.aborted) throw new HoshikageError('cancelled', {}, { cause });
    if (cause instanceof HoshikageError || cause instanceof Refusal) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const { host, port } = address;
    throw new HoshikageError('server_lost', { address: `${host}:${port}`, reason }, { cause });
  } finally {
    response?.destroy();
    agent.destroy();
  }
}

function send(
  { host, port, token }: RunningServer,
  body: object,
  { agent, signal }: { readonly agent: Agent; readonly signal: AbortSignal },
): Promise<IncomingMessage> {
  const payload = JSON.stringify({
    ...body,
    stream: true,
    stream_options: { include_usage: true },
  });
  const headers = {
    ...(token !== '' && { authorization: `Bearer ${token}` }),
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(payload),
  };
  const path = '/v1/chat/completions';
  return new Promise((resolve, reject) => {
    const sent = request({ host, port, path, method: 'POST', headers, agent, signal });
    sent.setTimeout(SILENCE_MS, () => {
      sent.destroy(new Error(`nothing came for ${SILENCE_MS / 1000} s`));
    });
    sent.once('response', resolve);
    // Also after the response has begun: then whoever reads it is told.
    sent.on('error', reject);
    sent.end(payload);
  });
}

/** What the server refuses with, as an error. */
async function refused(response: IncomingMessage, model: string): Promise<Error> {
  if (response.statusCode === 401) return new Refusal(NO_KEY, 1);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_ERROR_BYTES) break;
    chunks.push(chunk);
  }
  const body = parsed(Buffer.concat(chunks).toString('utf8'));
  if (body && isErrorBody(body)) return refusalOf(body.error, { model });
  return new Error(`HTTP ${response.statusCode}`);
}

async function* partsOf(response: IncomingMessage, model: string): AsyncGenerator<AnswerPart> {
  let finishReason: string | null = null;
  let [usage, timings]: Fields[] = [{}, {}];
  for await (const data of dataOf(response)) {
    if (data === '[DONE]') {
      yield { type: 'end', finishReason, usage: usage ?? {}, timings: timings ?? {} };
      return;
    }
    const chunk = parsed(data);
    if (!chunk) throw new Error('the answer is not JSON');
    if (isErrorBody(chunk)) throw refusalOf(chunk.error, { model });
    if (isRecord(chunk.usage)) usage = chunk.usage;
    if (isRecord(chunk.timings)) timings = chunk.timings;
    for (const choice of listAt(chunk, 'choices')) {
      finishReason = textAt(choice, 'finish_reason') ?? finishReason;
      const delta = fieldsAt(choice, 'delta');
      const [reasoning, text] = [textAt(delta, 'reasoning_content'), textAt(delta, 'content')];
      if (reasoning) yield { type: 'reasoning', text: reasoning };
      if (text) yield { type: 'text', text };
    }
  }
  throw new Error('it ended in the middle');
}

/** The data of each event; comments, which only say that somebody is there, are left out. */
async function* dataOf(response: IncomingMessage): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of response as AsyncIterable<Buffer>) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE) throw new Error('a line of it is too long');
    for (const line of lines) {
      if (line.startsWith('data:')) yield line.slice(5).trim();
    }
  }
}

function parsed(text: string): Fields | null {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}
