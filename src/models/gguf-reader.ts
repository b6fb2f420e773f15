/**
 * Reads forward through the header of a GGUF file, one chunk in memory at a time. Main thread of any
 * process, file access through libuv. It knows the format's primitives and no keys; it never goes
 * beyond the file's end, or beyond what we accept as the length of a header.
 */
import type { FileHandle } from 'node:fs/promises';

const MAX_HEADER_BYTES = 256 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;

/** Bytes of the scalar value types, by type number; 8 is a string, 9 an array. */
const SCALAR_BYTES: readonly number[] = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
/** Type numbers of the values that are no scalars. */
export const VALUE_STRING = 8;
export const VALUE_ARRAY = 9;

/** Why a header is refused; becomes `reason` of model_file_invalid. */
export class Unsound extends Error {}

/** A forward reader over the header, one chunk in memory at a time. */
export class HeaderReader {
  readonly #handle: FileHandle;
  readonly #end: number;
  readonly #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
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

  async text(maxBytes: number, what: string): Promise<string> {
    const length = await this.count();
    if (length < 1 || length > maxBytes) throw new Unsound(`a ${what} of ${length} bytes`);
    const at = await this.#take(length);
    return this.#chunk.toString('utf8', at, at + length);
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
    if (!bytes) throw new Unsound(`a value of the unknown type ${type}`);
    const at = await this.#take(bytes);
    if (type === 6 || type === 12 || type === 7) return null;
    const signed = type === 1 || type === 3 || type === 5 || type === 11;
    if (bytes < 8) {
      return signed ? this.#chunk.readIntLE(at, bytes) : this.#chunk.readUIntLE(at, bytes);
    }
    const wide = signed ? this.#chunk.readBigInt64LE(at) : this.#chunk.readBigUInt64LE(at);
    const value = Number(wide);
    return Number.isSafeInteger(value) ? value : null;
  }

  /** Passes an array without decoding it; gives its length. */
  async skipArray(): Promise<number> {
    return (await this.#arrayUpTo(0)).count;
  }

  /** The integers of an array; null (skipped) where there are more than `most`, or other things. */
  async integersUpTo(most: number): Promise<readonly number[] | null> {
    return (await this.#arrayUpTo(most)).integers;
  }

  async #arrayUpTo(
    most: number,
  ): Promise<{ readonly count: number; readonly integers: readonly number[] | null }> {
    const type = await this.u32();
    const count = await this.count();
    if (type === VALUE_ARRAY) throw new Unsound('an array of arrays');
    const bytes = type === VALUE_STRING ? 8 : SCALAR_BYTES[type];
    if (!bytes) throw new Unsound(`an array of the unknown type ${type}`);
    if (count > this.remaining / bytes) throw new Unsound(`an array of ${count} does not fit`);
    if (type === VALUE_STRING) await this.#skipTexts(count);
    else if (count <= most) return { count, integers: await this.#integers(type, count) };
    else this.#skip(count * bytes);
    return { count, integers: null };
  }

  async #integers(type: number, count: number): Promise<readonly number[] | null> {
    const values: (number | null)[] = [];
    for (let index = 0; index < count; index++) values.push(await this.scalar(type));
    const integers = values.filter((value) => value !== null);
    return integers.length === count ? integers : null;
  }

  async #skipTexts(count: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      const at = this.position - this.#chunkStart;
      // No await while the length is at hand: a vocabulary has 150 000 of them.
      if (at >= 0 && at + 8 <= this.#chunkBytes) {
        this.position += 8;
        this.#skip(this.#exact(at));
      } else {
        this.#skip(await this.count());
      }
    }
  }

  #exact(at: number): number {
    const high = this.#chunk.readUInt32LE(at + 4);
    if (high > 0x1fffff) throw new Unsound('a number beyond 2^53');
    return high * 2 ** 32 + this.#chunk.readUInt32LE(at);
  }

  #skip(bytes: number): void {
    if (bytes > this.remaining)
      throw new Unsound(`${bytes} bytes announced, ${this.remaining} left`);
    this.position += bytes;
  }

  /** Makes `bytes` available, passes them, and gives where they begin in the chunk. */
  async #take(bytes: number): Promise<number> {
    if (bytes > this.remaining)
      throw new Unsound(`${bytes} bytes announced, ${this.remaining} left`);
    let at = this.position - this.#chunkStart;
    if (at < 0 || at + bytes > this.#chunkBytes) {
      await this.#fill();
      at = 0;
      if (bytes > this.#chunkBytes) throw new Unsound('the file ended while it was read');
    }
    this.position += bytes;
    return at;
  }

  async #fill(): Promise<void> {
    const wanted = Math.min(CHUNK_BYTES, this.remaining);
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
