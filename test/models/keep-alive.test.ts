import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { keepAliveMs, MAX_KEEP_ALIVE_MS } from '../../src/models/keep-alive.js';

describe('keep_alive', () => {
  it('is a number of seconds', () => {
    assert.equal(keepAliveMs(300), 300_000);
    assert.equal(keepAliveMs(0.5), 500);
  });

  it('or a text of hours, minutes, seconds and milliseconds', () => {
    const cases = { '5m': 300_000, '1h30m': 5_400_000, '1.5h': 5_400_000, '2m3s4ms': 123_004 };
    for (const [text, ms] of Object.entries(cases)) assert.equal(keepAliveMs(text), ms, text);
    assert.equal(keepAliveMs(' 10s '), 10_000);
  });

  it('or a text of seconds alone', () => {
    assert.equal(keepAliveMs('90'), 90_000);
    assert.equal(keepAliveMs('.5'), 500);
  });

  it('is 0 for a model that goes at once, and negative for one that stays', () => {
    for (const none of [0, -0, '0', '0s', '-0'])
      assert.ok(Object.is(keepAliveMs(none), 0), `${none}`);
    for (const ever of [-1, '-1', '-5m']) assert.equal(keepAliveMs(ever), Number.POSITIVE_INFINITY);
  });

  it('is at most what a timer can wait for', () => {
    assert.equal(keepAliveMs(MAX_KEEP_ALIVE_MS / 1000), MAX_KEEP_ALIVE_MS);
    assert.equal(keepAliveMs(MAX_KEEP_ALIVE_MS / 1000 + 1), null);
    assert.equal(keepAliveMs('1000h'), null);
  });

  it('is nothing else', () => {
    const wrong = ['', 'm', 'five', '5 m', '1m5', '5d', '1e3', '0x10', '--1', 'Infinity', '5m!'];
    for (const text of wrong) assert.equal(keepAliveMs(text), null, text);
    for (const value of [null, undefined, true, [], {}, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.equal(keepAliveMs(value), null);
    }
    assert.equal(keepAliveMs('1'.repeat(100_000)), null);
  });
});
