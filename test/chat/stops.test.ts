/** Stop strings in the content of an answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentStops } from '../../src/chat/stops.js';

test('content comes out with its places, but for what may become a stop string', () => {
  const stops = new ContentStops(['END']);
  assert.deepEqual(stops.push({ text: 'a E', from: 5 }), [{ text: 'a ', from: 5 }]);
  assert.deepEqual(stops.push({ text: 'N', from: 20 }), []);
  assert.deepEqual(stops.push({ text: 'x', from: 21 }), [
    { text: 'E', from: 7 },
    { text: 'N', from: 20 },
    { text: 'x', from: 21 },
  ]);
  assert.equal(stops.stopped, false);
});

test('nothing of a stop string and nothing behind it comes out', () => {
  const stops = new ContentStops(['END']);
  assert.deepEqual(stops.push({ text: 'a EN', from: 0 }), [{ text: 'a ', from: 0 }]);
  assert.deepEqual(stops.push({ text: 'D b', from: 4 }), []);
  assert.equal(stops.stopped, true);
  assert.deepEqual(stops.push({ text: 'c', from: 7 }), []);
  assert.deepEqual(stops.end(), []);
});

test('what was held back comes out where nothing can complete it any more', () => {
  const stops = new ContentStops(['END']);
  stops.push({ text: 'E', from: 3 });
  assert.deepEqual(stops.end(), [{ text: 'E', from: 3 }]);
  assert.deepEqual(stops.end(), []);
});
