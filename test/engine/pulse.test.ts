/** What an engine's pulses say of counters that stand still, and when there are any. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NativeProgress } from '../../src/engine/addon.js';
import type { Pulse } from '../../src/engine/protocol.js';
import { Heart, PulseMaker } from '../../src/engine/pulse.js';

const calm = { count: 0, inLongCall: false };

/** A maker over figures that a test changes; work alone counts for three pulses in a row. */
function maker() {
  const figures = {
    progress: { steps: calm, embeds: calm, other: calm, othersCpuMs: 0 } as NativeProgress,
    usage: { majorPageFault: 0, fsRead: 0, fsWrite: 0 },
    pieces: 0,
  };
  const source = {
    progress: () => figures.progress,
    pieces: () => figures.pieces,
    usage: () => figures.usage,
    rssBytes: () => 77,
  };
  const made = new PulseMaker(source, 3);
  const set = (changes: Partial<NativeProgress>): void => {
    figures.progress = { ...figures.progress, ...changes };
  };
  return { figures, set, make: () => made.make() };
}

test('a pulse adds up what the addon and the state files got done, and tells the memory held', () => {
  const { figures, set, make } = maker();
  set({ steps: { count: 5, inLongCall: false }, embeds: { count: 3, inLongCall: false } });
  figures.pieces = 2;
  assert.deepEqual(make(), { type: 'pulse', progress: 10, steps: 5, embeds: 3, rssBytes: 77 });
});

test('computing is no progress by itself: a stuck step may spin', () => {
  const { set, make } = maker();
  for (let ms = 0; ms < 10_000; ms += 1000) {
    set({ othersCpuMs: ms });
    assert.equal(make().progress, 0);
  }
});

test('in a call that tells nothing, computing and reading are progress of that kind of work', () => {
  const { figures, set, make } = maker();
  set({ other: { count: 0, inLongCall: true } });
  assert.equal(make().progress, 0);
  set({ othersCpuMs: 19 });
  assert.equal(make().progress, 0);
  set({ othersCpuMs: 21 });
  assert.deepEqual([make().progress, make().progress], [1, 1]);
  figures.usage = { ...figures.usage, majorPageFault: 1 };
  const { progress, steps } = make();
  assert.deepEqual([progress, steps], [2, 0]);
});

test('but not for ever, until the call tells something', () => {
  const { set, make } = maker();
  const work = (from: number, count: number): number[] =>
    Array.from({ length: 6 }, (_, index) => {
      set({ steps: { count, inLongCall: true }, othersCpuMs: from + index * 100 });
      return make().steps;
    });
  assert.deepEqual(work(100, 0), [1, 2, 3, 3, 3, 3]);
  assert.deepEqual(work(1000, 1), [5, 6, 7, 7, 7, 7]);
});

test('an engine sends pulses while it works and one more after it, then none', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const pass = (seconds: number): void => {
    for (let second = 0; second < seconds; second += 1) t.mock.timers.tick(1000);
  };
  let busy = true;
  const sent: Pulse[] = [];
  const { make } = maker();
  const heart = new Heart({
    make,
    busy: () => busy,
    send: (pulse) => sent.push(pulse),
    everyMs: 1000,
  });
  pass(5);
  assert.equal(sent.length, 0);
  heart.wake();
  heart.wake();
  pass(3);
  assert.equal(sent.length, 3);
  busy = false;
  pass(9);
  assert.equal(sent.length, 4);
  heart.wake();
  pass(1);
  assert.equal(sent.length, 5);
});
