/** Which saved state serves a prompt, which is replaced by another, and which goes first. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  commonPrefix,
  type KeptState,
  LEAST_TOKENS,
  reusable,
  StateIndex,
} from '../../src/states/state-index.js';

/** `count` token ids from `from` on. */
const run = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => from + i);

const ids = (...parts: number[][]): Int32Array => Int32Array.from(parts.flat());

function kept(tokens: Int32Array, more: Partial<KeptState> = {}): KeptState {
  return { path: '/s', key: 'k', model: 'm', bytes: tokens.length, usedAt: 0, ...more, tokens };
}

test('two sequences have in common what they begin with alike', () => {
  assert.equal(commonPrefix(ids(), ids([1])), 0);
  assert.equal(commonPrefix(ids([1, 2, 3]), ids([1, 2, 4])), 2);
  assert.equal(commonPrefix(ids([1, 2]), ids([1, 2, 3])), 2);
});

test('the last token of a prompt is always computed, so no cache saves it', () => {
  const trims = true;
  assert.equal(reusable(ids([1, 2, 3]), { prompt: ids([1, 2, 3]), trims }), 2);
  assert.equal(reusable(ids([1, 2]), { prompt: ids([1, 2, 3]), trims }), 2);
  assert.equal(reusable(ids([1]), { prompt: ids([1]), trims }), 0);
  assert.equal(reusable(ids([1]), { prompt: ids(), trims }), 0);
});

test('a cache that cannot be shortened is of use only where the prompt goes on from its end', () => {
  const trims = false;
  assert.equal(reusable(ids([1, 2]), { prompt: ids([1, 2, 3]), trims }), 2);
  assert.equal(reusable(ids([1, 2, 9]), { prompt: ids([1, 2, 3, 4]), trims }), 0);
  assert.equal(reusable(ids([1, 2, 3]), { prompt: ids([1, 2, 3]), trims }), 0);
});

test('the state that saves most of a prompt is chosen, only among those of its key', () => {
  const index = new StateIndex();
  const long = kept(ids(run(0, 80), run(500, 40)));
  const short = kept(ids(run(0, 40)));
  const other = kept(ids(run(0, 120)), { key: 'other' });
  for (const state of [long, short, other]) index.add(state);
  const reuse = { prompt: ids(run(0, 120)), trims: true };
  assert.deepEqual(index.best('k', reuse), { state: long, tokens: 80 });
  assert.deepEqual(index.best('k', { ...reuse, trims: false }), { state: short, tokens: 40 });
  assert.equal(index.best('k', { ...reuse, prompt: ids([7, 8, 9]) }), null);
  assert.equal(index.best('nobody', reuse), null);
  assert.equal(index.bytes, 280);
  assert.equal(index.size, 3);
});

test('of two that save as much, the smaller one is chosen', () => {
  const index = new StateIndex();
  const large = kept(ids(run(0, 50), run(900, 100)));
  const small = kept(ids(run(0, 50), run(500, 50)));
  index.add(large);
  index.add(small);
  assert.equal(index.best('k', { prompt: ids(run(0, 60)), trims: true })?.state, small);
});

test('the next turn of a conversation takes the place of the one before, another does not', () => {
  const index = new StateIndex();
  const first = kept(ids(run(0, 100)));
  const elsewhere = kept(ids(run(0, 100)), { key: 'other' });
  const apart = kept(ids(run(0, 50), run(700, LEAST_TOKENS)));
  for (const state of [first, elsewhere, apart]) index.add(state);
  const next = kept(ids(run(0, 150)));
  assert.deepEqual(index.add(next), [first]);
  assert.deepEqual(index.of('k'), [apart, next]);
  // Told again with another end: the old end is too short to be worth its place.
  const again = kept(ids(run(0, 151 - LEAST_TOKENS), run(900, 5)));
  assert.deepEqual(index.add(again), [next]);
  assert.equal(index.size, 3);
});

test('exactly what is saved already need not be saved again', () => {
  const index = new StateIndex();
  const state = kept(ids(run(0, 100)));
  index.add(state);
  assert.equal(index.covering('k', ids(run(0, 100))), state);
  assert.equal(index.covering('k', ids(run(0, 99))), null);
  assert.equal(index.covering('k', ids(run(0, 99), [7])), null);
  assert.equal(index.covering('other', ids(run(0, 100))), null);
});

test('the one unused for longest is the first to go; there are 256 at most', () => {
  const index = new StateIndex();
  const states = Array.from({ length: 256 }, (_, i) =>
    kept(ids(run(1000 * i, 40)), { usedAt: (i * 7) % 256 }),
  );
  for (const state of states) assert.deepEqual(index.add(state), []);
  assert.deepEqual(
    index.olderThan(3).map(({ usedAt }) => usedAt),
    [0, 1, 2],
  );
  const newest = kept(ids(run(1_000_000, 40)), { usedAt: 999 });
  assert.deepEqual(index.add(newest), [states[0]]);
  assert.equal(index.size, 256);
  assert.equal(index.delete(newest), true);
  assert.equal(index.delete(newest), false);
  assert.equal(index.has(newest), false);
});
