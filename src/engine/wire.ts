/**
 * Messages of an engine as frames on a pipe of their own. Pure; both processes. Node's IPC channel makes
 * objects of every array in a message, at both ends, which costs more than all else that is done with a
 * token; here what nearly every message is, tokens and nothing else, is numbers and bytes. All that an
 * engine says takes this one way, so that nothing overtakes anything.
 *
 * A frame: length (u32, of what follows), kind (u8), body. Little-endian, as every platform we run on.
 */
import { deserialize, serialize } from 'node:v8';
import type { TokenBatch } from './engine.js';
import type { CompletionNews, Message } from './protocol.js';

/** The body is a message as V8 writes it. */
const MESSAGE = 0;
/** The body is a ring of tokens: per completion a head, tokens, ends, flags, bytes. */
const TOKENS = 1;

const HEAD_BYTES = 5;
/** A completion's id, its number of tokens, and of bytes: u32 each. */
const ENTRY_BYTES = 12;
/** Per token: its id and its end, i32 each, and its flags. */
const TOKEN_BYTES = 9;

/** Tokens and nothing else. */
type PlainNews = CompletionNews & { readonly batch: TokenBatch };

function isPlain({ batch, end }: CompletionNews): boolean {
  return batch !== null && end === null && !batch.logprobs && !batch.promptLogprobs;
}

/** One message as bytes: a frame, or two where a ring has more than tokens. */
export function encode(message: Message): Buffer {
  if (message.type !== 'ring') return messageFrame(message);
  // Of one completion all is in the one or in the other, so that its order stays.
  const plain = message.news.filter(isPlain) as PlainNews[];
  const others = message.news.filter((one) => !isPlain(one));
  const isRest = others.length > 0 || message.picture !== null;
  if (plain.length === 0) return messageFrame(message);
  if (!isRest) return tokensFrame(plain);
  return Buffer.concat([tokensFrame(plain), messageFrame({ ...message, news: others })]);
}

function messageFrame(message: Message): Buffer {
  const body = serialize(message);
  return Buffer.concat([head(MESSAGE, body.length), body]);
}

function head(kind: number, bodyBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES);
  writeHead(bytes, kind, bodyBytes);
  return bytes;
}

function writeHead(bytes: Buffer, kind: number, bodyBytes: number): void {
  bytes.writeUInt32LE(bodyBytes + 1, 0);
  bytes[4] = kind;
}

function tokensFrame(news: readonly PlainNews[]): Buffer {
  let size = HEAD_BYTES;
  for (const { batch } of news) {
    size += ENTRY_BYTES + batch.tokens.length * TOKEN_BYTES + batch.bytes.length;
  }
  const frame = Buffer.allocUnsafe(size);
  writeHead(frame, TOKENS, size - HEAD_BYTES);
  let at = HEAD_BYTES;
  for (const { id, batch } of news) {
    const { tokens, bytes, ends, flags } = batch;
    at = frame.writeUInt32LE(id, at);
    at = frame.writeUInt32LE(tokens.length, at);
    at = frame.writeUInt32LE(bytes.length, at);
    for (const token of tokens) at = frame.writeInt32LE(token, at);
    for (const end of ends) at = frame.writeInt32LE(end, at);
    frame.set(flags, at);
    frame.set(bytes, at + flags.length);
    at += flags.length + bytes.length;
  }
  return frame;
}

function readTokens(frame: Buffer, from: number, to: number): readonly CompletionNews[] {
  const news: CompletionNews[] = [];
  for (let at = from; at < to; ) {
    const id = frame.readUInt32LE(at);
    const count = frame.readUInt32LE(at + 4);
    const length = frame.readUInt32LE(at + 8);
    at += ENTRY_BYTES;
    const next = at + count * TOKEN_BYTES + length;
    if (next > to) throw new RangeError('a frame is shorter than it says');
    const tokens = new Int32Array(count);
    const ends = new Int32Array(count);
    for (let index = 0; index < count; index += 1) {
      tokens[index] = frame.readInt32LE(at + 4 * index);
      ends[index] = frame.readInt32LE(at + 4 * (count + index));
    }
    at += 8 * count;
    // Copies: a few bytes would keep all that was read with them.
    const flags = Uint8Array.prototype.slice.call(frame, at, at + count);
    const bytes = Uint8Array.prototype.slice.call(frame, at + count, next);
    news.push({ id, batch: { tokens, bytes, ends, flags }, end: null });
    at = next;
  }
  return news;
}

/** Puts a stream of bytes together to messages again. One per pipe. */
export class FrameReader {
  readonly #onMessage: (message: Message) => void;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** How many bytes there must be before looking at them is worth it. */
  #wanted = HEAD_BYTES;

  constructor(onMessage: (message: Message) => void) {
    this.#onMessage = onMessage;
  }

  /** Takes what has arrived; throws where it is not what `encode` makes. */
  push(chunk: Buffer): void {
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes < this.#wanted) return;
    const bytes = this.#held.length === 1 ? chunk : Buffer.concat(this.#held);
    let at = 0;
    this.#wanted = HEAD_BYTES;
    while (bytes.length - at >= HEAD_BYTES) {
      const end = at + 4 + bytes.readUInt32LE(at);
      if (end > bytes.length) {
        this.#wanted = end - at;
        break;
      }
      this.#read(bytes, at, end);
      at = end;
    }
    const rest = bytes.subarray(at);
    this.#held = rest.length > 0 ? [rest] : [];
    this.#heldBytes = rest.length;
  }

  #read(bytes: Buffer, at: number, end: number): void {
    const body = at + HEAD_BYTES;
    const kind = bytes[at + 4];
    if (kind === TOKENS) {
      this.#onMessage({ type: 'ring', news: readTokens(bytes, body, end), picture: null });
    } else if (kind === MESSAGE) {
      // What serialize() made of a Message, in a process of ours.
      this.#onMessage(deserialize(bytes.subarray(body, end)) as Message);
    } else throw new RangeError(`a frame of kind ${kind}`);
  }
}
