/** The random source of made models. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { randomBits } from '../../src/models/prng.js';

describe('the random source', () => {
  it('repeats itself for a seed and differs between seeds', () => {
    const take = (seed: number): number[] => {
      const bits = randomBits(seed);
      return Array.from({ length: 1000 }, bits);
    };
    assert.deepEqual(take(7), take(7));
    const all = [0, 1, 2, -1, 2 ** 31].flatMap(take);
    assert.ok(new Set(all).size > 4990);
    const mean = all.reduce((sum, n) => sum + n / 2 ** 32, 0) / all.length;
    assert.ok(Math.abs(mean - 0.5) < 0.02, `mean ${mean}`);
  });
});
