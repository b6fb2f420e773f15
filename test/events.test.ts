import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventBus, type ResourceEvent } from '../src/events.js';

const unload = { type: 'unload', model: 'm', reason: 'idle', residentMs: 5 } as const;

test('every listener is told everything, with the time, until it stops listening', () => {
  const bus = new EventBus();
  const told: ResourceEvent[][] = [[], []];
  const stops = told.map((events) => bus.subscribe((event) => events.push(event)));
  const before = Date.now();
  bus.emit(unload);
  stops[0]?.();
  stops[0]?.();
  bus.emit({ ...unload, reason: 'switch' });
  assert.deepEqual(
    told.map((events) => events.map((event) => event.type === 'unload' && event.reason)),
    [['idle'], ['idle', 'switch']],
  );
  const at = told[1]?.[0]?.at ?? 0;
  assert.ok(at >= before && at <= Date.now());
});

test('one that fails, or leaves while it is told, costs nobody else an event', () => {
  const bus = new EventBus();
  let told = 0;
  bus.subscribe(() => {
    throw new Error('a listener');
  });
  const stop = bus.subscribe(() => stop());
  bus.subscribe(() => {
    told += 1;
  });
  bus.emit(unload);
  bus.emit(unload);
  assert.equal(told, 2);
});
