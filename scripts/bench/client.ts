/**
 * A client that disturbs as little as it can: while an answer comes it only notes when, and reads it
 * afterwards. Both servers are asked with the same body. It must never parse while a stream runs.
 */
import http from 'node:http';
import { until } from '../../test/helpers/waiting.js';
import type { Chunk, Usage } from '../../test/helpers/wire.js';

/** An answer is given up when nothing has come for this long, ms. */
const SILENCE_MS = 300_000;

/** A streamed answer, heard to its end. Times as of performance.now(). */
export interface Heard {
  readonly asked: number;
  /** When each event with text came; several in one packet have one time. */
  readonly texts: readonly number[];
  readonly text: string;
  readonly ended: number;
  readonly usage: Usage | null;
  /** What a server says it took to load the model for this request, ms. */
  readonly loadMs: number;
}

/** A stream that is coming in. */
export interface Stream {
  /** How many packets have come. */
  packets(): number;
  /** The whole answer, or as much as came before `leave`. Rejects where the server refused or broke. */
  readonly heard: Promise<Heard>;
  /** Closes the connection. */
  leave(): void;
}

/** Where to ask. */
export interface Address {
  readonly url: string;
}

interface Packet {
  readonly at: number;
  readonly bytes: Buffer;
}

/** Asks for a streamed chat. */
export function stream(server: Address, body: object): Stream {
  const packets: Packet[] = [];
  const asked = performance.now();
  const more = { stream: true, stream_options: { include_usage: true } };
  const { request, left } = post(server, { ...body, ...more });
  const heard = received(request, left, packets).then((ended) => heardIn(packets, asked, ended));
  // Whoever leaves does not look at what is left of the answer.
  heard.catch(() => {});
  return {
    packets: () => packets.length,
    heard,
    leave: () => {
      left.yes = true;
      request.destroy();
    },
  };
}

/** Waits until a stream is well under way. */
export async function flowing(one: Stream, packets = 10): Promise<void> {
  const broken = one.heard.then(() => {
    throw new Error('a stream ended before it was to');
  });
  const there = until('packets', () => one.packets() >= packets, { deadlineMs: SILENCE_MS });
  await Promise.race([there, broken]);
}

/** A whole streamed chat. */
export function streamed(server: Address, body: object): Promise<Heard> {
  return stream(server, body).heard;
}

/** A JSON chat that may be left; settles when it has ended, either way. */
export function plain(server: Address, body: object): { done: Promise<string>; leave(): void } {
  const packets: Packet[] = [];
  const { request, left } = post(server, body);
  const done = received(request, left, packets).then(() =>
    Buffer.concat(packets.map(({ bytes }) => bytes)).toString('utf8'),
  );
  done.catch(() => {});
  return {
    done,
    leave: () => {
      left.yes = true;
      request.destroy();
    },
  };
}

function post(server: Address, body: object): { request: http.ClientRequest; left: Left } {
  const text = JSON.stringify(body);
  const request = http.request(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
    agent: false,
  });
  request.setTimeout(SILENCE_MS, () => request.destroy(new Error('a server fell silent')));
  request.end(text);
  return { request, left: { yes: false } };
}

/** Whether the client closed the connection itself. */
interface Left {
  yes: boolean;
}

/** Settles with the time at which the answer ended, or was left. */
function received(request: http.ClientRequest, left: Left, packets: Packet[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => (left.yes ? resolve(performance.now()) : reject(error));
    request.once('error', failed);
    request.once('response', (response) => {
      response.on('data', (bytes: Buffer) => packets.push({ at: performance.now(), bytes }));
      response.once('error', failed);
      response.once('end', () => {
        const ended = performance.now();
        if (response.statusCode === 200) return resolve(ended);
        const text = Buffer.concat(packets.map(({ bytes }) => bytes)).toString('utf8');
        reject(new Error(`${response.statusCode}: ${text}`));
      });
    });
  });
}

type TimedChunk = Chunk & { readonly timings?: { readonly load_ms?: number } };

function heardIn(packets: readonly Packet[], asked: number, ended: number): Heard {
  const texts: number[] = [];
  let [text, loadMs] = ['', 0];
  let usage: Usage | null = null;
  for (const { at, data } of eventsIn(packets)) {
    if (data === '[DONE]') continue;
    const chunk: TimedChunk = JSON.parse(data);
    if (chunk.error) throw new Error(chunk.error.message);
    const content = chunk.choices?.[0]?.delta.content ?? '';
    if (content !== '') texts.push(at);
    text += content;
    usage = chunk.usage ?? usage;
    loadMs = chunk.timings?.load_ms ?? loadMs;
  }
  return { asked, texts, text, ended, usage, loadMs };
}

/** Whole events, each with the time of the packet that completed it. */
function* eventsIn(packets: readonly Packet[]): Generator<{ at: number; data: string }> {
  const decoder = new TextDecoder();
  let rest = '';
  for (const { at, bytes } of packets) {
    rest += decoder.decode(bytes, { stream: true });
    const events = rest.split('\n\n');
    rest = events.pop() ?? '';
    for (const event of events) {
      if (event.startsWith('data: ')) yield { at, data: event.slice(6) };
    }
  }
}

/** From the request to the first text, ms, without a load. */
export function firstTextMs({ asked, texts, loadMs }: Heard): number {
  return (texts[0] ?? Number.NaN) - asked - loadMs;
}

/** Tokens/s from the first text to the last. */
export function tokensPerSecond({ texts, usage }: Heard): number {
  const seconds = ((texts.at(-1) ?? Number.NaN) - (texts[0] ?? Number.NaN)) / 1000;
  return ((usage?.completion_tokens ?? Number.NaN) - 1) / seconds;
}

/** Prompt tokens that had to be computed. */
export function computedTokens({ usage }: Heard): number {
  const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
  return (usage?.prompt_tokens ?? Number.NaN) - cached;
}

/** The longest time without text that has a part between `from` and `to`, ms; ends count as texts. */
export function longestGap(texts: readonly number[], from: number, to: number): number {
  const next = texts.findIndex((at) => at > from);
  const first = next < 0 ? texts.length : next;
  let longest = 0;
  let last = texts[first - 1] ?? from;
  for (const at of texts.slice(first)) {
    longest = Math.max(longest, at - last);
    last = at;
    if (at >= to) return longest;
  }
  return Math.max(longest, to - last);
}
