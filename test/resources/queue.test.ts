import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomBits } from '../../src/models/prng.js';
import type { Priority } from '../../src/resources/lease.js';
import { overtakes, turnOrder } from '../../src/resources/queue.js';

interface One {
  readonly name: string;
  readonly priority: Priority;
  readonly arrival: number;
  readonly skips: number;
}

/** `A1 b2 B3*2`: capital = interactive, `*n` = overtaken n times; numbered by its place in the line. */
function line(text: string): One[] {
  return text.split(' ').map((word, arrival) => {
    const [name = '', skips = '0'] = word.split('*');
    const priority = name === name.toUpperCase() ? 'interactive' : 'batch';
    return { name, priority, arrival, skips: Number(skips) };
  });
}

/** The order where models named in `resident` are in memory; E and F are of another kind. */
function order(waiters: readonly One[], resident: string, maxSkips = 8): string {
  const model = ({ name }: One) => name.slice(0, 1).toUpperCase();
  const lane = (one: One) => ('EF'.includes(model(one)) ? 'embed' : 'generate');
  const ordered = turnOrder(
    waiters,
    (one) => (resident.includes(model(one)) ? 'served' : { lane: lane(one) }),
    lane,
    maxSkips,
  );
  return ordered.map(({ name }) => name).join(' ');
}

test('without a model in memory the order is that of arrival', () => {
  assert.equal(order(line('A1 B1 A2 C1'), ''), 'A1 B1 A2 C1');
});

test('interactive requests go before all others, whatever is in memory', () => {
  assert.equal(order(line('a1 b1 C1 a2 D1'), 'A'), 'C1 D1 a1 a2 b1');
});

test('requests for a model in memory go first, in the order they came', () => {
  assert.equal(order(line('B1 A1 C1 A2 B2 A3'), 'A'), 'A1 A2 A3 B1 C1 B2');
});

test('but nobody is overtaken more often than he may be', () => {
  assert.equal(order(line('B1 A1 A2 A3 A4'), 'A', 2), 'A1 A2 B1 A3 A4');
  assert.equal(order(line('B1*2 A1 A2'), 'A', 2), 'B1 A1 A2');
  assert.equal(order(line('B1 C1*2 A1'), 'A', 2), 'B1 C1 A1');
  assert.equal(order(line('B1 A1 C1 A2 A3'), 'A', 2), 'A1 A2 B1 A3 C1');
  assert.equal(order(line('B1 A1'), 'A', 0), 'B1 A1');
});

test('models of another kind overtake nobody, and are not overtaken', () => {
  assert.equal(order(line('B1*2 E1 E2'), 'E', 2), 'E1 E2 B1');
  assert.equal(order(line('F1*2 A1'), 'A', 2), 'A1 F1');
});

test('one that stands aside is neither overtaken nor held up', () => {
  const waiters = line('X1*9 A1');
  const ordered = turnOrder(
    waiters,
    ({ name }) => (name === 'X1' ? 'aside' : 'served'),
    () => 'generate',
    2,
  );
  assert.deepEqual(
    ordered.map(({ name }) => name),
    ['X1', 'A1'],
  );
});

test('in any line all are there once, classes are apart, each model keeps its order, and skips are bounded', () => {
  const bits = randomBits(42);
  for (let round = 0; round < 500; round += 1) {
    const maxSkips = bits() % 5;
    const waiters = Array.from({ length: 1 + (bits() % 30) }, (_, arrival): One => {
      const model = 'ABCE'[bits() % 4] ?? 'A';
      const batch = bits() % 4 === 0;
      const name = `${batch ? model.toLowerCase() : model}${arrival}`;
      return { name, priority: batch ? 'batch' : 'interactive', arrival, skips: bits() % 3 };
    });
    const names = order(waiters, 'A', maxSkips).split(' ');
    const ordered = names.map((name) => waiters.find((one) => one.name === name) as One); // by name
    assert.deepEqual([...names].sort(), waiters.map(({ name }) => name).sort());
    const batchAt = ordered.findIndex(({ priority }) => priority === 'batch');
    const lastInteractive = ordered.findLastIndex(({ priority }) => priority === 'interactive');
    assert.ok(batchAt < 0 || lastInteractive < batchAt);
    for (const [place, one] of ordered.entries()) {
      const before = ordered.slice(0, place).filter((other) => overtakes(other, one));
      const same = before.filter(({ name }) => name[0] === one.name[0]);
      assert.deepEqual(same, [], `${one.name} in ${names.join(' ')}`);
      const passed = before.filter(({ name }) => 'aA'.includes(name[0] ?? ''));
      if ('bcBC'.includes(one.name[0] ?? '')) {
        assert.ok(passed.length <= Math.max(0, maxSkips - one.skips), names.join(' '));
      }
    }
  }
});
