/**
 * The numbers in a tensor's bytes: what gguf-write.ts encodes, read back.
 * Pure, any thread. It must never read a file; a foreign one may hold types this does not know.
 */
import { HoshikageError } from '../errors.js';
import { type GgufTensor, rowBytes } from './gguf-write.js';

/** The value that IEEE half precision bits stand for. */
export function halfValue(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/**
 * All values of a tensor, row by row. Code: invalid_argument (data that does not come in whole rows,
 * or is shorter or longer than the shape says).
 */
export function tensorValues(tensor: GgufTensor): Float64Array {
  const [columns = 0, ...rest] = tensor.shape;
  const rows = rest.reduce((product, n) => product * n, 1);
  const values = new Float64Array(columns * rows);
  if (tensor.data === null) return values;
  const size = rowBytes(tensor.type, columns);
  let at = 0;
  for (const piece of tensor.data()) {
    if (piece.length !== size || at === values.length) {
      throw new HoshikageError('invalid_argument', { reason: `${tensor.name} has other rows` });
    }
    decodeRow(tensor.type, piece, values.subarray(at, at + columns));
    at += columns;
  }
  if (at < values.length) {
    throw new HoshikageError('invalid_argument', { reason: `${tensor.name} is too short` });
  }
  return values;
}

function decodeRow(type: GgufTensor['type'], bytes: Uint8Array, row: Float64Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < row.length; i++) {
    if (type === 'f32') row[i] = view.getFloat32(i * 4, true);
    else if (type === 'f16') row[i] = halfValue(view.getUint16(i * 2, true));
    else {
      // Q8_0: blocks of a half-precision scale and 32 signed bytes.
      const block = (i >> 5) * 34;
      row[i] = halfValue(view.getUint16(block, true)) * view.getInt8(block + 2 + (i & 31));
    }
  }
}
