/**
 * Reads forward through the header of a GGUF file, one chunk in memory at a time. Main thread of any
 * process, file access through libuv. It knows the format's primitives and no keys; it never goes
 * beyond the file's end, or beyond what we accept as the length of a header.
 */
import type { FileHandle } from 'node:fs/promises';
import { shown, Unsound } from './gguf-reasons.js';

const MAX_HEADER_BYTES = 256 * 1024 * 1024;
/** What is read at once: at first little, since many headers have no more; then much. */
const FIRST_CHUNK_BYTES = 64 * 1024;
const CHUNK_BYTES = 1024 * 1024;

/** Bytes of the scalar value types, by type number; 8 is a string, 9 an array. */
const SCALAR_BYTES: readonly number[] = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
/** Type numbers of values that are told apart here and there. */
export const VALUE_U16 = 2;
export const VALUE_U32 = 4;
export const VALUE_BOOL = 7;
export const VALUE_STRING = 8;
export const VALUE_ARRAY = 9;
/** Bytes of a text of many that are looked at; of a longer one the rest is passed over. */
const TEXT_LOOK_BYTES = 64 * 1024;

/** What an array is of, before its items. */
export interface ArrayHead {
  readonly type: number;
  readonly count: number;
}

/** Bytes of one item where items are all alike; 0 for texts. */
export const itemBytes = (type: number): number => SCALAR_BYTES[type] ?? 0;

/** A forward reader over the header, one chunk in memory at a time. */
export class HeaderReader {
  readonly #handle: FileHandle;
  readonly #end: number;
  #chunk = Buffer.allocUnsafe(FIRST_CHUNK_BYTES);
  #chunkStart = 0;
  #chunkBytes = 0;
  /** Where the next byte is read, from the file's beginning. */
  position = 0;

  constructor(handle: FileHandle, sizeBytes: number) {
    this.#handle = handle;
    this.#end = Math.min(sizeBytes, MAX_HEADER_BYTES);
  }

  /** Bytes left before the file, or what we accept as a header, ends. */
  get remaining(): number {
    return this.#end - this.position;
  }

  async u32(): Promise<number> {
    return this.#chunk.readUInt32LE(await this.#take(4));
  }

  /** An unsigned 64-bit number that must be small enough to be exact. */
  async count(): Promise<number> {
    return this.#exact(await this.#take(8));
  }

  /** A name: never empty, and without a zero byte, at which libllama would take it to end. */
  async name(maxBytes: number): Promise<string> {
    const bytes = await this.count();
    if (bytes < 1 || bytes > maxBytes) throw new Unsound('name_length', { bytes });
    const at = await this.#take(bytes);
    const text = this.#chunk.toString('utf8', at, at + bytes);
    if (text.includes('\0')) throw new Unsound('zero_byte', { text: shown(text) });
    return text;
  }

  /** A string, or null (skipped) where it is longer than `maxBytes`. */
  async textUpTo(maxBytes: number): Promise<string | null> {
    const length = await this.count();
    if (length > maxBytes) {
      this.#skip(length);
      return null;
    }
    const at = await this.#take(length);
    return this.#chunk.toString('utf8', at, at + length);
  }

  async skipText(): Promise<void> {
    this.#skip(await this.count());
  }

  /** The value where it is an integer that fits, else null. */
  async scalar(type: number): Promise<number | null> {
    const bytes = SCALAR_BYTES[type];
    if (!bytes) throw new Unsound('value_type', { type });
    const at = await this.#take(bytes);
    if (type === 6 || type === 12 || type === VALUE_BOOL) return null;
    const signed = type === 1 || type === 3 || type === 5 || type === 11;
    if (bytes < 8) {
      return signed ? this.#chunk.readIntLE(at, bytes) : this.#chunk.readUIntLE(at, bytes);
    }
    const wide = signed ? this.#chunk.readBigInt64LE(at) : this.#chunk.readBigUInt64LE(at);
    const value = Number(wide);
    return Number.isSafeInteger(value) ? value : null;
  }

  /** Begins an array: what it is of, and how long it is, which fits into what is left. */
  async array(): Promise<ArrayHead> {
    const type = await this.u32();
    const count = await this.count();
    if (type === VALUE_ARRAY) throw new Unsound('nested_array');
    const bytes = type === VALUE_STRING ? 8 : SCALAR_BYTES[type];
    if (!bytes) throw new Unsound('array_type', { type });
    if (count > this.remaining / bytes) throw new Unsound('array_length', { count });
    return { type, count };
  }

  /** Passes an array's items. */
  async skipItems({ type, count }: ArrayHead): Promise<void> {
    if (type === VALUE_STRING) await this.texts(count, () => {});
    else this.#skip(count * itemBytes(type));
  }

  /** An array's items where they are integers, at most `most`; else null, and they are passed. */
  async integersUpTo(head: ArrayHead, most: number): Promise<readonly number[] | null> {
    if (head.type === VALUE_STRING || head.count > most) {
      await this.skipItems(head);
      return null;
    }
    const values: (number | null)[] = [];
    for (let index = 0; index < head.count; index++) values.push(await this.scalar(head.type));
    const integers = values.filter((value) => value !== null);
    return integers.length === head.count ? integers : null;
  }

  /**
   * Shows `count` strings one after the other, as bytes of a buffer that is used again, with where each
   * begins in the file.
   */
  async texts(
    count: number,
    each: (buffer: Buffer, from: number, to: number, position: number, index: number) => void,
  ): Promise<void> {
    for (let index = 0; index < count; index++) {
      const position = this.position;
      let at = position - this.#chunkStart;
      // No await while it is all at hand: a vocabulary has 150 000 of them.
      const isHere = at >= 0 && at + 8 <= this.#chunkBytes;
      if (isHere) this.position += 8;
      const length = isHere ? this.#exact(at) : await this.count();
      const looked = Math.min(length, TEXT_LOOK_BYTES);
      at = this.position - this.#chunkStart;
      if (at >= 0 && at + looked <= this.#chunkBytes) this.position += looked;
      else at = await this.#take(looked);
      each(this.#chunk, at, at + looked, position, index);
      if (length > looked) this.#skip(length - looked);
    }
  }

  #exact(at: number): number {
    const high = this.#chunk.readUInt32LE(at + 4);
    if (high > 0x1fffff) throw new Unsound('too_large');
    return high * 2 ** 32 + this.#chunk.readUInt32LE(at);
  }

  #skip(bytes: number): void {
    this.#fits(bytes);
    this.position += bytes;
  }

  #fits(bytes: number): void {
    if (bytes > this.remaining) throw new Unsound('cut_off', { bytes, left: this.remaining });
  }

  /** Makes `bytes` available, passes them, and gives where they begin in the chunk. */
  async #take(bytes: number): Promise<number> {
    this.#fits(bytes);
    let at = this.position - this.#chunkStart;
    if (at < 0 || at + bytes > this.#chunkBytes) {
      await this.#fill();
      at = 0;
      if (bytes > this.#chunkBytes) throw new Unsound('shrank');
    }
    this.position += bytes;
    return at;
  }

  async #fill(): Promise<void> {
    const isFirst = this.#chunkBytes === 0;
    if (!isFirst && this.#chunk.length < CHUNK_BYTES) this.#chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const wanted = Math.min(this.#chunk.length, this.remaining);
    this.#chunkStart = this.position;
    this.#chunkBytes = 0;
    while (this.#chunkBytes < wanted) {
      const { bytesRead } = await this.#handle.read(
        this.#chunk,
        this.#chunkBytes,
        wanted - this.#chunkBytes,
        this.#chunkStart + this.#chunkBytes,
      );
      if (bytesRead === 0) return;
      this.#chunkBytes += bytesRead;
    }
  }
}
