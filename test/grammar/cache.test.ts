/** Compiled grammars are kept by what they were compiled from, within bounds. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GrammarCache } from '../../src/grammar/cache.js';

const numbers = (length: number) => (): Int32Array => new Int32Array(length);

describe('the cache of grammars', () => {
  test('gives the same program for the same key', () => {
    const cache = new GrammarCache();
    const first = cache.of('a', numbers(3));
    assert.equal(
      cache.of('a', () => assert.fail('made twice')),
      first,
    );
    assert.notEqual(cache.of('b', numbers(3)), first);
  });

  test('forgets the least recently used', () => {
    const cache = new GrammarCache({ entries: 2, numbers: 1000 });
    const a = cache.of('a', numbers(1));
    const b = cache.of('b', numbers(1));
    assert.equal(cache.of('a', numbers(1)), a);
    cache.of('c', numbers(1));
    assert.equal(cache.of('a', numbers(1)), a);
    assert.notEqual(cache.of('b', numbers(1)), b);
    assert.equal(cache.size, 2);
  });

  test('holds no more numbers than its bound, keys included', () => {
    const cache = new GrammarCache({ entries: 10, numbers: 100 });
    cache.of('a', numbers(60));
    cache.of('b', numbers(60));
    assert.equal(cache.size, 1);
    cache.of('k'.repeat(300), numbers(1));
    cache.of('c', numbers(101));
    assert.equal(cache.size, 1);
  });

  test('keeps nothing of a failure', () => {
    const cache = new GrammarCache();
    assert.throws(() => cache.of('a', () => assert.fail('no')), /no/);
    assert.equal(cache.of('a', numbers(2)).length, 2);
  });
});
