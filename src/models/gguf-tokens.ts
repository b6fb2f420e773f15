/**
 * The token list of a GGUF header: read once without keeping it, so that what libllama would stumble
 * over is found. Any process, file access through libuv. It must never hold the texts of a vocabulary.
 */
import type { HeaderReader } from './gguf-reader.js';
import { shown, Unsound } from './gguf-reasons.js';

/** Far more than any vocabulary has; what is kept while it is read is 16 bytes per token. */
const MOST_TOKENS = 2 ** 22;
const MOST_TEXT_BYTES = 64 * 1024;
/** Different texts with equal hashes, before somebody is taken to have made them so. */
const MOST_COLLISIONS = 16;

/** Keys `tokenizer.ggml.ROLE_token_id`, and what libllama takes each for. */
export const TOKEN_ROLES = [
  ...['bos', 'eos', 'eot', 'eom', 'unknown', 'seperator', 'padding', 'cls', 'mask'],
  ...['prefix', 'suffix', 'middle', 'fim_pre', 'fim_suf', 'fim_mid', 'fim_pad', 'fim_rep'],
  'fim_sep',
] as const;

/** A token that has a part to play. */
export interface SpecialToken {
  /** As its key says: `bos`, `eos` … */
  readonly role: string;
  readonly id: number;
  /** As the file writes it; null where the vocabulary has no such token, or a very long one. */
  readonly text: string | null;
}

/** Where each token lies in the file. */
export class TokenList {
  readonly #positions: Float64Array;

  private constructor(positions: Float64Array) {
    this.#positions = positions;
  }

  get count(): number {
    return this.#positions.length;
  }

  /** Reads `count` tokens, each of which must be there once: libllama gives up where two are alike. */
  static async read(reader: HeaderReader, count: number): Promise<TokenList> {
    if (count < 1) throw new Unsound('no_tokens');
    if (count > MOST_TOKENS) throw new Unsound('token_count', { count });
    const list = new TokenList(new Float64Array(count));
    const hashes = new Float64Array(count);
    await reader.texts(count, (buffer, from, to, position, index) => {
      list.#positions[index] = position;
      hashes[index] = hashOf(buffer, from, to, index);
    });
    await list.#checkTwins(reader, hashes);
    return list;
  }

  /** The text of a token, as the file writes it. Leaves the reader where it was. */
  async text(reader: HeaderReader, index: number): Promise<string | null> {
    const position = this.#positions[index];
    if (position === undefined) return null;
    const before = reader.position;
    reader.position = position;
    try {
      return await reader.textUpTo(MOST_TEXT_BYTES);
    } finally {
      reader.position = before;
    }
  }

  /** Equal hashes are nearly always equal texts: those are looked at again. */
  async #checkTwins(reader: HeaderReader, hashes: Float64Array): Promise<void> {
    const sorted = hashes.slice().sort();
    let differing = 0;
    for (let index = 1; index < sorted.length; index++) {
      const hash = sorted[index] ?? 0;
      if (hash !== sorted[index - 1]) continue;
      const first = hashes.indexOf(hash);
      const second = hashes.indexOf(hash, first + 1);
      const [one, other] = [await this.#called(reader, first), await this.#called(reader, second)];
      if (one === other || ++differing > MOST_COLLISIONS) {
        throw new Unsound('token_twice', { token: shown(one), first, second });
      }
    }
  }

  /** What libllama calls a token: its text up to a zero, or else its number. */
  async #called(reader: HeaderReader, index: number): Promise<string> {
    const text = await this.text(reader, index);
    // Of very long ones only the beginning was looked at: where that is alike, they are.
    return text === null ? '…' : text.split('\0', 1)[0] || nameless(index);
  }
}

const nameless = (index: number): string => `[EMPTY_${index}]`;

/** 53 bits of two hashes: of 150 000 different texts, two have the same once in a million vocabularies. */
function hashOf(buffer: Buffer, from: number, to: number, index: number): number {
  const bytes = from === to || buffer[from] === 0 ? Buffer.from(nameless(index)) : buffer;
  const [start, end] = bytes === buffer ? [from, to] : [0, bytes.length];
  let one = 0x811c9dc5;
  let two = 0x2c1b3c6d;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === 0) break;
    one = Math.imul(one ^ byte, 0x01000193);
    two = Math.imul(two ^ byte, 0x297a2d39) ^ (two >>> 15);
  }
  return (one >>> 0) * 2 ** 21 + ((two ^ (two >>> 11)) & 0x1fffff);
}
