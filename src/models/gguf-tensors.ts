/**
 * The tensor section of a GGUF header: shapes that can be, types that are, and extents that lie in the
 * file one beside the other. Any process, file access through libuv. What it does not know of a type it
 * does not check: a newer library may know it.
 */
import type { HeaderReader } from './gguf-reader.js';
import { shown, Unsound } from './gguf-reasons.js';
import { REMOVED_TYPES, TENSOR_TYPES, UNMULTIPLIED_TYPES } from './gguf-types.js';

const MAX_NAME_BYTES = 255;
/** Tables and matrices that every build multiplies or looks rows up in, whatever their type. */
const MATRIX =
  /^(blk\.\d+\.(attn_(q|k|v|qkv|output)|ffn_(gate|up|down)(_exps|_shexp)?|ssm_(in|out|x|dt)|shortconv\.(in|out)_proj)|output|token_embd)\.weight$/;

/** One row of the tensor section. `bytes`: null for a type this build does not know. */
export interface Tensor {
  readonly name: string;
  readonly type: number;
  /** The row length first; empty = a single number. */
  readonly dimensions: readonly number[];
  readonly elements: number;
  readonly bytes: number | null;
  /** From where the weights begin. */
  readonly offset: number;
}

/** Reads `count` tensors, each name of which must be there once. */
export async function readTensors(reader: HeaderReader, count: number): Promise<readonly Tensor[]> {
  const tensors: Tensor[] = [];
  const seen = new Set<string>();
  for (let index = 0; index < count; index++) {
    const name = await reader.name(MAX_NAME_BYTES);
    if (seen.has(name)) throw new Unsound('tensor_twice', { tensor: shown(name) });
    seen.add(name);
    tensors.push(await readTensor(reader, name));
  }
  return tensors;
}

async function readTensor(reader: HeaderReader, name: string): Promise<Tensor> {
  const tensor = shown(name);
  const count = await reader.u32();
  if (count > 4) throw new Unsound('dimension_count', { tensor, count });
  const dimensions: number[] = [];
  let elements = 1;
  for (let index = 0; index < count; index++) {
    const length = await reader.count();
    dimensions.push(length);
    elements *= length;
    if (length < 1 || elements > Number.MAX_SAFE_INTEGER) {
      throw new Unsound('dimensions', { tensor });
    }
  }
  const type = await reader.u32();
  const removed = REMOVED_TYPES.get(type);
  if (removed !== undefined) throw new Unsound('removed_type', { tensor, type: removed });
  const known = TENSOR_TYPES.get(type);
  if (known && (dimensions[0] ?? 1) % known.blockElements !== 0) {
    throw new Unsound('block', { tensor, type: known.name });
  }
  if (known && UNMULTIPLIED_TYPES.has(type) && MATRIX.test(name)) {
    throw new Unsound('matrix_type', { tensor, type: known.name });
  }
  const bytes = known ? (elements / known.blockElements) * known.blockBytes : null;
  return { name, type, dimensions, elements, bytes, offset: await reader.count() };
}

/** Where the weights begin and what they must be multiples of, in bytes. */
export interface DataPlace {
  readonly start: number;
  readonly alignment: number;
  readonly fileBytes: number;
}

/** Refuses weights that reach out of the file, or into each other. */
export function checkExtents(tensors: readonly Tensor[], place: DataPlace): void {
  const { start, alignment, fileBytes } = place;
  for (const { name, bytes, offset } of tensors) {
    const tensor = shown(name);
    if (offset % alignment !== 0) throw new Unsound('not_aligned', { tensor });
    const end = start + offset + (bytes ?? 1);
    if (end > fileBytes) throw new Unsound('beyond_end', { tensor, end, size: fileBytes });
  }
  const sorted = [...tensors].sort((a, b) => a.offset - b.offset);
  for (const [index, { name, offset }] of sorted.entries()) {
    const before = sorted[index - 1];
    if (before && before.offset + (before.bytes ?? 1) > offset) {
      throw new Unsound('overlap', { tensor: shown(before.name), other: shown(name) });
    }
  }
}
