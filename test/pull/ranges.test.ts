/** Which bytes are there, and which are not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Range, Ranges, readRanges } from '../../src/pull/ranges.js';

test('ranges join where they touch or overlap, and stay in order', () => {
  const ranges = new Ranges([
    [10, 20],
    [30, 40],
    [0, 5],
    [20, 25],
    [33, 35],
    [7, 7],
  ]);
  assert.deepEqual(ranges.list(), [
    [0, 5],
    [10, 25],
    [30, 40],
  ]);
  assert.equal(ranges.bytes, 30);
});

test('the first gap is what is neither here nor taken', () => {
  const ranges = new Ranges([
    [0, 10],
    [20, 30],
  ]);
  assert.deepEqual(ranges.firstGap(100, 50), [10, 20]);
  assert.deepEqual(ranges.firstGap(100, 5), [10, 15]);
  assert.deepEqual(ranges.firstGap(100, 50, [[10, 20]]), [30, 80]);
  assert.deepEqual(ranges.firstGap(30, 50, [[10, 20]]), null);
  assert.deepEqual(new Ranges().firstGap(5, 50), [0, 5]);
});

test('filling gap after gap gives every byte once, whatever was there', () => {
  const range = fc
    .tuple(fc.nat(60), fc.nat(60))
    .map(([a, b]): Range => [Math.min(a, b), Math.max(a, b)]);
  fc.assert(
    fc.property(fc.array(range), fc.integer({ min: 1, max: 9 }), (there, most) => {
      const ranges = new Ranges(there);
      const before = ranges.bytes;
      let filled = 0;
      for (let gap = ranges.firstGap(60, most); gap; gap = ranges.firstGap(60, most)) {
        const [start, end] = gap;
        assert.ok(start < end && end <= 60 && end - start <= most);
        filled += end - start;
        ranges.add(gap);
      }
      assert.deepEqual(ranges.list(), [[0, 60]]);
      assert.equal(before + filled, 60);
    }),
  );
});

test('what a file says of ranges is only believed where it is right', () => {
  assert.deepEqual(
    readRanges(
      [
        [0, 5],
        [6, 10],
      ],
      10,
    )?.list(),
    [
      [0, 5],
      [6, 10],
    ],
  );
  for (const value of [
    ...[null, {}, 'x', [[0]], [[0, 1, 2]], [['0', 1]], [[5, 5]], [[5, 4]], [[0, 11]], [[-1, 5]]],
    ...[
      [
        [4, 8],
        [6, 9],
      ],
      [
        [6, 9],
        [0, 2],
      ],
      [[0, 1.5]],
      [[0, Number.NaN]],
    ],
  ]) {
    assert.equal(readRanges(value, 10), null, JSON.stringify(value));
  }
});
