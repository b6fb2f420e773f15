/**
 * Headers of GGUF files that are nearly right: sound ones, changed a little or a lot by a seeded source,
 * so that the same seed makes the same bytes. Changes aim at the fields, since most bytes of a header
 * are texts of tokens, which may be anything. Test code only; it checks nothing.
 */
import { readFileSync } from 'node:fs';
import { randomBits } from '../../src/models/prng.js';

/** A sound file to begin with. */
export interface Base {
  readonly name: string;
  readonly header: Buffer;
  /** Of the whole file. */
  readonly size: number;
  readonly fields: readonly Field[];
}

/** A number in the header that says something of what follows it, or of the model. */
interface Field {
  readonly at: number;
  readonly bytes: 1 | 2 | 4 | 8;
}

/** A changed header and the length of the file that it stands in. */
export interface Mutation {
  /** In words, for whoever has to repeat it. */
  readonly what: string;
  readonly header: Buffer;
  readonly size: number;
}

type Changed = Omit<Mutation, 'what'>;

const SCALAR_BYTES: readonly number[] = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
/** Of a long list only so many items at either end are aimed at. */
const SOME = 3;

/** Reads a sound file as a base. */
export function baseOf(name: string, path: string): Base {
  const file = readFileSync(path);
  const fields: Field[] = [];
  let at = 4;
  const field = (bytes: Field['bytes'], aimed = true): number => {
    if (aimed) fields.push({ at, bytes });
    const value = bytes === 8 ? Number(file.readBigUInt64LE(at)) : file.readUIntLE(at, bytes);
    at += bytes;
    return value;
  };
  const text = (aimed = true): void => {
    const length = field(8, aimed);
    at += length;
  };
  const value = (type: number, aimed: boolean): void => {
    if (type === 8) text(aimed);
    else field((SCALAR_BYTES[type] ?? 1) as Field['bytes'], aimed);
  };
  field(4);
  const tensors = field(8);
  const keys = field(8);
  for (let index = 0; index < keys; index++) {
    text();
    const type = field(4);
    if (type !== 9) value(type, true);
    else {
      const items = field(4);
      const count = field(8);
      for (let item = 0; item < count; item++) value(items, item < SOME || item >= count - SOME);
    }
  }
  for (let index = 0; index < tensors; index++) {
    text();
    const dimensions = field(4);
    for (let dimension = 0; dimension < dimensions; dimension++) field(8);
    field(4);
    field(8);
  }
  return { name, header: file.subarray(0, at), size: file.length, fields };
}

/** Numbers that a reader is likely to stumble over. */
const NUMBERS: readonly bigint[] = [
  ...[0n, 1n, 2n, 3n, 4n, 7n, 8n, 9n, 13n, 31n, 33n, 63n, 64n, 65n, 255n, 256n, 512n, 513n, 4096n],
  ...[2n ** 15n, 2n ** 16n - 1n, 2n ** 16n, 2n ** 20n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n],
  ...[2n ** 32n, 2n ** 53n, 2n ** 62n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n - 32n],
];

/** Makes mutations; the same seed and bases make the same ones in the same order. */
export class HeaderFuzzer {
  readonly #bits: () => number;
  readonly #bases: readonly Base[];
  #made = 0;

  constructor(seed: number, bases: readonly Base[]) {
    this.#bits = randomBits(seed);
    this.#bases = bases;
  }

  next(): Mutation {
    const index = this.#made++;
    const base = this.#bases[index % this.#bases.length];
    if (!base) throw new Error('no base');
    const what = [`#${index} ${base.name}`];
    let mutation: Changed = { header: Buffer.from(base.header), size: base.size };
    for (let count = 1 + (this.#below(3) === 0 ? this.#below(4) : 0); count > 0; count--) {
      mutation = this.#change(mutation, base, what);
    }
    return { ...mutation, what: what.join(', ') };
  }

  #change({ header, size }: Changed, base: Base, what: string[]): Changed {
    const kind = this.#below(20);
    const note = (text: string): void => void what.push(text);
    const place = this.#below(header.length);
    if (kind < 9) return { header: this.#setField(header, base, note), size };
    if (kind < 12) {
      const bit = this.#below(8);
      note(`bit ${bit} of ${place} flipped`);
      header[place] = (header[place] ?? 0) ^ (1 << bit);
    } else if (kind < 14) {
      const byte = this.#below(256);
      note(`byte ${place} set to ${byte}`);
      header[place] = byte;
    } else if (kind === 14) {
      const length = this.#below(size);
      note(`cut to ${length}`);
      return { header: header.subarray(0, Math.min(length, header.length)), size: length };
    } else if (kind === 15) {
      const length = 1 + this.#below(16);
      note(`${length} bytes left out at ${place}`);
      const rest = header.subarray(Math.min(header.length, place + length));
      return { header: Buffer.concat([header.subarray(0, place), rest]), size };
    } else if (kind === 16) {
      const more = Buffer.from(Array.from({ length: 1 + this.#below(16) }, () => this.#below(256)));
      note(`${more.toString('hex')} put in at ${place}`);
      return {
        header: Buffer.concat([header.subarray(0, place), more, header.subarray(place)]),
        size,
      };
    } else if (kind === 17) {
      const [from, length] = [this.#below(header.length), 1 + this.#below(64)];
      note(`${length} bytes of ${from} copied to ${place}`);
      header.copy(header, place, from, Math.min(header.length, from + length));
    } else {
      const [one, other] = [this.#field(base), this.#field(base)];
      note(`${other.bytes} bytes of ${other.at} copied to ${one.at}`);
      header.copy(header, one.at, other.at, other.at + Math.min(one.bytes, other.bytes));
    }
    return { header, size };
  }

  #setField(header: Buffer, base: Base, note: (text: string) => void): Buffer {
    const { at, bytes } = this.#field(base);
    if (at + bytes > header.length) return header;
    const before = bytes === 8 ? header.readBigUInt64LE(at) : BigInt(header.readUIntLE(at, bytes));
    const near = [before + 1n, before - 1n, before * 2n, before / 2n, before ^ (1n << 31n)];
    const numbers = this.#below(2) === 0 ? near : NUMBERS;
    const value = BigInt.asUintN(bytes * 8, numbers[this.#below(numbers.length)] ?? 0n);
    note(`field at ${at} of ${bytes} bytes set from ${before} to ${value}`);
    if (bytes === 8) header.writeBigUInt64LE(value, at);
    else header.writeUIntLE(Number(value), at, bytes);
    return header;
  }

  #field({ fields }: Base): Field {
    return fields[this.#below(fields.length)] ?? { at: 0, bytes: 4 };
  }

  #below(limit: number): number {
    return this.#bits() % Math.max(1, limit);
  }
}
