/** Decoding is the inverse of encoding. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { halfBits, matrix } from '../../src/models/gguf-write.js';
import { halfValue, tensorValues } from '../../src/models/tensor-values.js';

describe('tensor values', () => {
  it('are every half-precision number exactly', () => {
    for (let bits = 0; bits < 65536; bits++) {
      const value = halfValue(bits);
      if (Number.isNaN(value)) assert.ok((bits & 0x7c00) === 0x7c00 && (bits & 1023) !== 0);
      else assert.equal(halfBits(value), bits, String(bits));
    }
  });

  it('come back as they were written, as exactly as their type allows', () => {
    const rows = [0, 1, 2].map((row) =>
      Float32Array.from({ length: 64 }, (_, i) => Math.sin(row + i)),
    );
    for (const [type, most] of [
      ['f32', 0],
      ['f16', 5e-4],
      ['q8_0', 5e-3],
    ] as const) {
      const values = tensorValues(matrix('m', type, 64, 3, (row, i) => row.set(rows[i] ?? [])));
      assert.equal(values.length, 192);
      for (const [i, value] of values.entries()) {
        const wanted = rows[i >> 6]?.[i & 63] ?? Number.NaN;
        assert.ok(Math.abs(value - wanted) <= most, `${type}: ${value} for ${wanted}`);
      }
    }
  });

  it('are zeros for a hole, and refused where data and shape differ', () => {
    assert.deepEqual(tensorValues(matrix('m', 'f16', 4, 2, null)), new Float64Array(8));
    const tensor = matrix('m', 'f32', 4, 2, () => {});
    const cases = [[new Uint8Array(16)], [new Uint8Array(8)], Array(3).fill(new Uint8Array(16))];
    for (const pieces of cases) {
      assert.throws(() => tensorValues({ ...tensor, data: () => pieces }), {
        code: 'invalid_argument',
      });
    }
  });
});
