import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ggmlContradiction } from '../../src/library/ggml-version.js';

const NO_END = 2 ** 31 - 1;

function contradiction(ggmlVersion: string | null, from: number, to: number): string | null {
  return ggmlContradiction({ ggmlVersion, bracket: [from, to] })?.reason ?? null;
}

test('the pairs of real builds are no contradiction', () => {
  for (const [version, from, to] of [
    ['0.0.1', 6396, 6685],
    ['0.9.4', 7151, 7407],
    ['0.9.5', 7748, 8049],
    ['0.9.7', 8238, 8517],
    ['0.17.0', 9860, 10_105],
    ['0.19.0', 10_355, 10_394],
    ['0.23.0', 10_394, 11_000],
    ['0.25.1', 11_000, NO_END],
  ] as const) {
    assert.equal(contradiction(version, from, to), null, version);
  }
});

test('an old libllama on a newer libggml is told by both, and the other way round', () => {
  assert.match(
    String(contradiction('0.25.1', 8238, 8517)),
    /is of b8238–b8516, but the libggml beside it is 0\.25\.1.*mixed/,
  );
  assert.match(String(contradiction('0.9.7', 10_355, 10_394)), /libggml beside it is 0\.9\.7/);
});

test('neighbouring versions may be a distribution’s pair', () => {
  assert.equal(contradiction('0.9.8', 8238, 8300), null);
  assert.equal(contradiction('0.9.5', 8100, 8300), null);
});

test('a libggml newer than the table is let pass with a libllama that may be, too', () => {
  assert.equal(contradiction('0.99.0', 11_000, NO_END), null);
  assert.equal(contradiction('0.26.0-dev', 11_000, NO_END), null);
});

test('without a version there is nothing to contradict', () => {
  assert.equal(contradiction(null, 8238, 8517), null);
  assert.equal(contradiction('unknown', 8238, 8517), null);
});
