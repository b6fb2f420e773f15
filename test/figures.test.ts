import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Figures, Times } from '../src/figures.js';

const finished = {
  ...{ promptTokens: 10, cachedTokens: 4, completionTokens: 5 },
  ...{ queueMs: 60, loadMs: 0, generationMs: 40 },
};

describe('times', () => {
  it('are counted, added up, and sorted by the bound they do not exceed', () => {
    const times = new Times([10, 20]);
    for (const ms of [0, 10, 10.5, 20, 21, 500]) times.add(ms);
    assert.deepEqual(times.counts, [2, 2, 2]);
    assert.deepEqual([times.count, times.sumMs, times.maxMs], [6, 561.5, 500]);
  });

  it('below zero, as two clocks may give, are zero', () => {
    const times = new Times([10]);
    times.add(-3);
    assert.deepEqual([times.counts, times.sumMs], [[1, 0], 0]);
  });

  it('tell within which bound a share of them lies, and never more than the longest', () => {
    const times = new Times([10, 20]);
    assert.equal(times.within(0.99), 0);
    for (let turn = 0; turn < 99; turn += 1) times.add(4);
    assert.equal(times.within(0.99), 4);
    times.add(15);
    assert.deepEqual([times.within(0.99), times.within(1)], [10, 15]);
    times.add(700);
    assert.equal(times.within(1), 700);
  });
});

describe('figures', () => {
  it('count requests while they run, and then by how they ended', () => {
    const figures = new Figures();
    const [one, other] = [figures.begin(), figures.begin()];
    assert.equal(figures.running, 2);
    one('cancelled');
    assert.deepEqual([figures.running, figures.requests.cancelled], [1, 1]);
    other('done');
    assert.deepEqual(
      [figures.running, figures.requests],
      [0, { done: 1, refused: 0, failed: 0, cancelled: 1 }],
    );
  });

  it('add up what finished generations took', () => {
    const figures = new Figures();
    figures.finished(finished);
    figures.finished({ ...finished, completionTokens: 0, queueMs: 40 });
    assert.deepEqual(figures.tokens, { prompt: 20, cached: 8, completion: 5 });
    assert.deepEqual([figures.queueWait.count, figures.queueWait.sumMs], [2, 100]);
    assert.deepEqual(
      [figures.perToken.count, figures.perToken.sumMs],
      [1, 8],
      'of one with tokens',
    );
  });

  it('look at the event loop while something runs, and keep no timer afterwards', (t) => {
    let now = 0;
    t.mock.timers.enable({ apis: ['setInterval'] });
    t.mock.method(performance, 'now', () => now);
    const pass = (ms: number, late = 0): void => {
      now += ms + late;
      t.mock.timers.tick(ms);
    };
    const figures = new Figures();
    pass(1000);
    assert.equal(figures.loopDelay.count, 0);
    const [one, other] = [figures.begin(), figures.begin()];
    pass(20);
    pass(20, 30);
    assert.deepEqual([figures.loopDelay.count, figures.loopDelay.maxMs], [2, 30]);
    one('done');
    pass(20);
    assert.equal(figures.loopDelay.count, 3, 'the other still runs');
    other('done');
    pass(1000);
    assert.equal(figures.loopDelay.count, 3);
    figures.begin();
    pass(20);
    assert.deepEqual([figures.loopDelay.count, figures.loopDelay.maxMs], [4, 30]);
  });
});
