/** The GGUF writer, read back byte by byte and by an independent reader. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gguf } from '@huggingface/gguf';
import fc from 'fast-check';
import { encodeRow, halfBits, matrix, vector, writeGguf } from '../../src/models/gguf-write.js';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hoshikage-gguf-'));
});
after(() => rm(folder, { recursive: true, force: true }));

/** What half precision bits stand for. */
function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return (sign * fraction) / 2 ** 24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

describe('encoding', () => {
  it('keeps every half precision number as it is', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = halfValue(bits);
      if (Number.isNaN(value)) assert.ok(Number.isNaN(halfValue(halfBits(value))));
      else assert.equal(halfBits(value), bits);
    }
  });

  it('rounds to the nearest half, to the even one when both are as near', () => {
    for (let bits = 0; bits < 0x7bff; bits++) {
      const [low, high] = [halfValue(bits), halfValue(bits + 1)];
      const even = bits % 2 === 0 ? bits : bits + 1;
      assert.equal(halfBits((low + high) / 2), even);
      assert.equal(halfBits(low + (high - low) * 0.25), bits);
      assert.equal(halfBits(-(low + (high - low) * 0.75)), (bits + 1) | 0x8000);
    }
    assert.equal(halfBits(65520), 0x7c00);
    assert.equal(halfBits(65519), 0x7bff);
  });

  it('keeps a Q8_0 value within half a step of its block', () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ noNaN: true, min: -100, max: 100 }), { minLength: 32, maxLength: 32 }),
        (values) => {
          const bytes = encodeRow('q8_0', Float32Array.from(values));
          const view = new DataView(bytes.buffer);
          const step = halfValue(view.getUint16(0, true));
          const most = Math.max(...values.map(Math.abs));
          for (const [i, value] of values.entries()) {
            const got = view.getInt8(2 + i) * step;
            // Half a step by rounding, and what the step lost as a half precision number.
            assert.ok(Math.abs(got - value) <= step / 2 + most / 1024 + 127 / 2 ** 24);
          }
        },
      ),
    );
  });

  it('refuses a Q8_0 row that is no whole number of blocks', () => {
    assert.throws(() => encodeRow('q8_0', new Float32Array(33)), { code: 'invalid_argument' });
  });
});

describe('files', () => {
  it('are read by an independent reader as they were meant', async () => {
    const path = join(folder, 'one.gguf');
    await writeGguf(path, {
      metadata: {
        'general.architecture': ['string', 'llama'],
        'a.text': ['string', '星影'],
        'a.count': ['u32', 4_000_000_000],
        'a.below': ['i32', -7],
        'a.real': ['f32', 0.5],
        'a.flag': ['bool', true],
        'a.texts': ['strings', ['', 'い', 'ab']],
        'a.numbers': ['i32s', [1, -2, 3]],
        'a.reals': ['f32s', [0.25, -1]],
      },
      tensors: [
        vector('v', Float32Array.of(1, 2, 3)),
        matrix('m', 'f16', 3, 2, (row, index) => row.set([index, 0.5, -1])),
        matrix('zeros', 'q8_0', 64, 5, null),
        matrix('q', 'q8_0', 32, 1, (row) => row.set([127, -127])),
      ],
    });
    const read = await gguf(path, { allowLocalFile: true });
    const metadata: Record<string, unknown> = { ...read.metadata };
    assert.equal(metadata['a.text'], '星影');
    assert.equal(metadata['a.count'], 4_000_000_000);
    assert.equal(metadata['a.below'], -7);
    assert.equal(metadata['a.real'], 0.5);
    assert.equal(metadata['a.flag'], true);
    assert.deepEqual(metadata['a.texts'], ['', 'い', 'ab']);
    assert.deepEqual(metadata['a.numbers'], [1, -2, 3]);
    assert.deepEqual(metadata['a.reals'], [0.25, -1]);
    assert.deepEqual(
      read.tensorInfos.map(({ name, shape, dtype }) => [name, shape.map(Number), dtype]),
      [
        ['v', [3], 0],
        ['m', [3, 2], 1],
        ['zeros', [64, 5], 8],
        ['q', [32, 1], 8],
      ],
    );
    const bytes = await readFile(path);
    const start = Number(read.tensorDataOffset);
    const at = (i: number): number => start + Number(read.tensorInfos[i]?.offset);
    assert.equal(start % 32, 0);
    assert.equal(bytes.readFloatLE(at(0) + 8), 3);
    assert.equal(at(1), start + 32);
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5].map((i) => halfValue(bytes.readUInt16LE(at(1) + 2 * i))),
      [0, 0.5, -1, 1, 0.5, -1],
    );
    assert.ok(bytes.subarray(at(2), at(3)).every((byte) => byte === 0));
    assert.equal(at(3) - at(2), 352);
    assert.deepEqual([...bytes.subarray(at(3) + 2, at(3) + 5)], [127, 129, 0]);
    assert.equal(bytes.length, at(3) + 64);
  });

  it('do not take disk space for tensors of zeros', {
    skip: process.platform === 'win32' && 'holes are made otherwise there',
  }, async () => {
    const path = join(folder, 'holes.gguf');
    await writeGguf(path, { metadata: {}, tensors: [matrix('zeros', 'f16', 1024, 16384, null)] });
    const { size, blocks } = await stat(path);
    assert.ok(size >= 32 * 2 ** 20);
    assert.ok(blocks * 512 < 2 ** 20);
  });

  it('appear whole or not at all, and leave nothing else behind', async () => {
    const path = join(folder, 'sub', 'atomic.gguf');
    await writeGguf(path, { metadata: {}, tensors: [vector('v', Float32Array.of(1))] });
    const before = await readFile(path);
    const broken = matrix('m', 'f32', 4, 4, (row, index) => {
      if (index === 2) throw new Error('no more');
      row.fill(1);
    });
    await assert.rejects(writeGguf(path, { metadata: {}, tensors: [broken] }), /no more/);
    assert.deepEqual(await readFile(path), before);
    assert.deepEqual(await readdir(join(folder, 'sub')), ['atomic.gguf']);
  });

  it('are refused when a tensor has less or more data than its shape says', async () => {
    for (const bytes of [15, 17]) {
      const tensor = {
        name: 't',
        type: 'f32',
        shape: [4],
        data: () => [new Uint8Array(bytes)],
      } as const;
      await assert.rejects(
        writeGguf(join(folder, 'wrong.gguf'), { metadata: {}, tensors: [tensor] }),
        {
          code: 'invalid_argument',
        },
      );
    }
    assert.ok(!(await readdir(folder)).some((name) => name.startsWith('wrong')));
  });

  it('replace an old file of the same name', async () => {
    const path = join(folder, 'old.gguf');
    await writeFile(path, 'x'.repeat(10_000));
    await writeGguf(path, { metadata: {}, tensors: [] });
    assert.equal((await readFile(path)).subarray(0, 4).toString(), 'GGUF');
  });
});
