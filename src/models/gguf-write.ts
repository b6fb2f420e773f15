/**
 * Writes GGUF v3 files: metadata, then tensors in F32, F16 or Q8_0, streamed piece by piece.
 * Any thread; the file appears under its name only when it is complete and on the disk.
 * It must never hold a whole tensor in memory on its own account, nor know what a model means.
 */
import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HoshikageError } from '../errors.js';

/** A metadata value with its GGUF type. */
export type GgufValue =
  | readonly ['u32' | 'i32' | 'f32', number]
  | readonly ['bool', boolean]
  | readonly ['string', string]
  | readonly ['i32s' | 'f32s', readonly number[]]
  | readonly ['strings', readonly string[]];

/** Element types this writer can store. */
export type TensorType = 'f32' | 'f16' | 'q8_0';

/** One tensor; `shape` is in GGUF order, the row length first. */
export interface GgufTensor {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
  /** The encoded data in order, in pieces of any size; null = zeros (a hole in the file). */
  readonly data: (() => Iterable<Uint8Array>) | null;
}

/** What a file holds. */
export interface GgufContent {
  readonly metadata: Readonly<Record<string, GgufValue>>;
  readonly tensors: readonly GgufTensor[];
}

const ALIGNMENT = 32;
const BUFFER_BYTES = 1 << 20;
const TYPES = { f32: 0, f16: 1, q8_0: 8 } as const;
const VALUE_TYPES = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;
const BLOCK = 32;

const bad = (reason: string): HoshikageError => new HoshikageError('invalid_argument', { reason });

/** Bytes one row of `length` elements takes. Code: invalid_argument (Q8_0 rows come in blocks of 32). */
export function rowBytes(type: TensorType, length: number): number {
  if (type === 'f32') return length * 4;
  if (type === 'f16') return length * 2;
  if (length % BLOCK !== 0) throw bad(`a Q8_0 row of ${length} elements`);
  return (length / BLOCK) * 34;
}

const floatWord = new Float32Array(1);
const intWord = new Uint32Array(floatWord.buffer);

/** IEEE half precision bits of a number, rounded to nearest even; too large becomes infinity. */
export function halfBits(value: number): number {
  floatWord[0] = value;
  const bits = intWord[0] ?? 0;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal halves are multiples of 2^-24, which the double can count exactly.
    const steps = Math.abs(floatWord[0] ?? 0) * 2 ** 24;
    const floor = Math.floor(steps);
    const rest = steps - floor;
    return sign | (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor);
  }
  const even = (magnitude >>> 13) & 1;
  return sign | ((magnitude + 0xfff + even - 0x38000000) >>> 13);
}

/** One row in the wanted element type. */
export function encodeRow(type: TensorType, row: Float32Array): Uint8Array {
  const bytes = new Uint8Array(rowBytes(type, row.length));
  const view = new DataView(bytes.buffer);
  if (type === 'f32') {
    row.forEach((value, i) => {
      view.setFloat32(i * 4, value, true);
    });
    return bytes;
  }
  if (type === 'f16') {
    row.forEach((value, i) => {
      view.setUint16(i * 2, value === 0 ? 0 : halfBits(value), true);
    });
    return bytes;
  }
  for (let block = 0; block * BLOCK < row.length; block++) {
    const values = row.subarray(block * BLOCK, (block + 1) * BLOCK);
    const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
    view.setUint16(block * 34, halfBits(scale), true);
    values.forEach((value, i) => {
      view.setInt8(block * 34 + 2 + i, scale === 0 ? 0 : Math.round(value / scale));
    });
  }
  return bytes;
}

/** A matrix tensor whose rows are computed one at a time by `fill`, which gets a zeroed row. */
export function matrix(
  name: string,
  type: TensorType,
  columns: number,
  rows: number,
  fill: ((row: Float32Array, index: number) => void) | null,
): GgufTensor {
  if (fill === null) return { name, type, shape: [columns, rows], data: null };
  const data = function* (): Generator<Uint8Array> {
    const row = new Float32Array(columns);
    for (let index = 0; index < rows; index++) {
      row.fill(0);
      fill(row, index);
      yield encodeRow(type, row);
    }
  };
  return { name, type, shape: [columns, rows], data };
}

/** A one-dimensional F32 tensor, as norms and frequency factors are. */
export function vector(name: string, values: Float32Array): GgufTensor {
  return { name, type: 'f32', shape: [values.length], data: () => [encodeRow('f32', values)] };
}

/** Bytes of a tensor's data, without padding. */
export function tensorBytes(tensor: GgufTensor): number {
  const [columns = 0, ...rest] = tensor.shape;
  return rest.reduce((product, n) => product * n, rowBytes(tensor.type, columns));
}

const padded = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** Grows as things are put in; little-endian as GGUF is. */
class ByteSink {
  #parts: Buffer[] = [];
  u32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32LE(value);
    return this.raw(part);
  }
  i32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeInt32LE(value);
    return this.raw(part);
  }
  f32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeFloatLE(value);
    return this.raw(part);
  }
  u64(value: number): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(BigInt(value));
    return this.raw(part);
  }
  string(text: string): this {
    const bytes = Buffer.from(text, 'utf8');
    return this.u64(bytes.length).raw(bytes);
  }
  raw(bytes: Buffer): this {
    this.#parts.push(bytes);
    return this;
  }
  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

function putValue(sink: ByteSink, value: GgufValue): void {
  switch (value[0]) {
    case 'u32':
    case 'i32':
    case 'f32':
      sink.u32(VALUE_TYPES[value[0]])[value[0]](value[1]);
      return;
    case 'bool':
      sink.u32(VALUE_TYPES.bool).raw(Buffer.from([value[1] ? 1 : 0]));
      return;
    case 'string':
      sink.u32(VALUE_TYPES.string).string(value[1]);
      return;
    case 'strings':
      sink.u32(VALUE_TYPES.array).u32(VALUE_TYPES.string).u64(value[1].length);
      for (const text of value[1]) sink.string(text);
      return;
    case 'i32s':
    case 'f32s': {
      const item = value[0] === 'i32s' ? 'i32' : 'f32';
      sink.u32(VALUE_TYPES.array).u32(VALUE_TYPES[item]).u64(value[1].length);
      for (const number of value[1]) sink[item](number);
    }
  }
}

/** Everything before the tensor data, padded. */
function head(content: GgufContent): Buffer {
  const sink = new ByteSink();
  const metadata = Object.entries(content.metadata);
  sink.raw(Buffer.from('GGUF')).u32(3).u64(content.tensors.length).u64(metadata.length);
  for (const [key, value] of metadata) {
    sink.string(key);
    putValue(sink, value);
  }
  let offset = 0;
  for (const tensor of content.tensors) {
    sink.string(tensor.name).u32(tensor.shape.length);
    for (const n of tensor.shape) sink.u64(n);
    sink.u32(TYPES[tensor.type]).u64(offset);
    offset += padded(tensorBytes(tensor));
  }
  const bytes = sink.bytes();
  return Buffer.concat([bytes, Buffer.alloc(padded(bytes.length) - bytes.length)]);
}

/** Collects small pieces, so that the file is written in large ones. */
class FileSink {
  readonly #file: FileHandle;
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  #filled = 0;
  position = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async put(bytes: Uint8Array): Promise<void> {
    let from = 0;
    while (from < bytes.length) {
      if (this.#filled === BUFFER_BYTES) await this.flush();
      const take = Math.min(bytes.length - from, BUFFER_BYTES - this.#filled);
      this.#buffer.set(bytes.subarray(from, from + take), this.#filled);
      this.#filled += take;
      from += take;
    }
  }

  /** Leaves a hole, which reads as zeros. */
  async skip(bytes: number): Promise<void> {
    await this.flush();
    this.position += bytes;
  }

  async flush(): Promise<void> {
    let from = 0;
    while (from < this.#filled) {
      const { bytesWritten } = await this.#file.write(
        this.#buffer,
        from,
        this.#filled - from,
        this.position,
      );
      from += bytesWritten;
      this.position += bytesWritten;
    }
    this.#filled = 0;
  }
}

async function putTensor(sink: FileSink, tensor: GgufTensor): Promise<void> {
  const bytes = tensorBytes(tensor);
  if (tensor.data === null) {
    await sink.skip(padded(bytes));
    return;
  }
  let given = 0;
  for (const piece of tensor.data()) {
    given += piece.length;
    if (given > bytes) break;
    await sink.put(piece);
  }
  if (given !== bytes) throw bad(`${tensor.name} needs ${bytes} bytes and got ${given} or more`);
  await sink.put(new Uint8Array(padded(bytes) - bytes));
}

async function writeAll(file: FileHandle, content: GgufContent): Promise<void> {
  const sink = new FileSink(file);
  await sink.put(head(content));
  for (const tensor of content.tensors) await putTensor(sink, tensor);
  await sink.flush();
  await file.truncate(sink.position);
  await file.sync();
}

/** The new name must survive a power cut too; some systems cannot open a directory, and then it need not. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r').catch(() => null);
  if (directory === null) return;
  try {
    await directory.sync().catch(() => undefined);
  } finally {
    await directory.close();
  }
}

/**
 * Writes a GGUF file, directories included, under a temporary name first: `path` is either as before
 * or whole. Code: invalid_argument (a tensor's data and shape differ); file system errors as they come.
 */
export async function writeGguf(path: string, content: GgufContent): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.part`;
  try {
    const file = await open(temporary, 'wx');
    try {
      await writeAll(file, content);
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}
