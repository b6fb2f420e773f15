/** Which tokens a stretch of text was made of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenLedger } from '../../src/generate/ledger.js';

const token = (id: number, from: number, to: number) => ({
  ...{ token: id, from, to },
  bytes: new Uint8Array(),
});
const ids = (tokens: readonly { token: number }[]) => tokens.map((one) => one.token);

test('a token goes out once, with the first text that it has a part in', () => {
  const ledger = new TokenLedger();
  ledger.push([token(1, 0, 3), token(2, 3, 5), token(3, 5, 9)]);
  assert.deepEqual(ids(ledger.take(0, 4)), [1, 2]);
  assert.deepEqual(ids(ledger.take(4, 1)), []);
  assert.deepEqual(ids(ledger.take(5, 4)), [3]);
});

test('tokens between two texts belong to neither', () => {
  const ledger = new TokenLedger();
  ledger.push([token(1, 0, 2), token(2, 2, 10), token(3, 10, 12)]);
  assert.deepEqual(ids(ledger.take(0, 2)), [1]);
  assert.deepEqual(ids(ledger.take(10, 2)), [3]);
});

test('the tokens of a split character go out with it', () => {
  const ledger = new TokenLedger();
  ledger.push([token(1, 0, 1), token(2, 1, 1), token(3, 1, 1), token(4, 1, 2)]);
  assert.deepEqual(ids(ledger.take(0, 2)), [1, 2, 3, 4]);
});
