/** When the server gives its own memory back, and when it must not. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { EventBus, type ResourceFact } from '../../src/events.js';
import { restAfterUse } from '../../src/resources/rest.js';
import { until } from '../helpers/waiting.js';

const GONE: ResourceFact = { type: 'unload', model: 'm', reason: 'idle', residentMs: 1 };
const CRASHED: ResourceFact = {
  type: 'crash',
  model: 'm',
  code: 'engine_crashed',
  detail: 'SIGSEGV',
  pid: 1,
  restartInMs: 0,
  held: false,
};
const LOADED: ResourceFact = { type: 'load', model: 'm', state: 'ready', path: '/m' };
const FAILED: ResourceFact = { type: 'load', model: 'm', state: 'failed', path: '/m' };

/** A server at rest, with a clock of its own. */
function resting(context: TestContext) {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const events = new EventBus();
  const server = { busy: false };
  const done: string[] = [];
  const stop = restAfterUse({
    events,
    busy: () => server.busy,
    putDown: async () => void done.push('put down'),
    collect: async () => void done.push('collected'),
    afterMs: 1000,
  });
  context.after(stop);
  const pass = async (ms: number): Promise<void> => {
    context.mock.timers.tick(ms);
    await new Promise(setImmediate);
  };
  return { events, server, done, stop, pass };
}

describe('after the last model has gone the server', () => {
  for (const fact of [GONE, CRASHED, FAILED]) {
    it(`puts down what it can, then collects, once: ${fact.type}`, async (context) => {
      const { events, done, pass } = resting(context);
      events.emit(fact);
      await pass(999);
      assert.deepEqual(done, []);
      await pass(1);
      assert.deepEqual(done, ['put down', 'collected']);
      await pass(100_000);
      assert.equal(done.length, 2);
    });
  }

  it('waits for the last of several to go', async (context) => {
    const { events, done, pass } = resting(context);
    events.emit(GONE);
    await pass(600);
    events.emit(GONE);
    await pass(600);
    assert.deepEqual(done, []);
    await pass(400);
    assert.equal(done.length, 2);
  });

  it('does nothing while there is another model, or somebody waits for one', async (context) => {
    const { events, server, done, pass } = resting(context);
    server.busy = true;
    events.emit(GONE);
    await pass(2000);
    assert.deepEqual(done, []);
  });

  it('does nothing when a model came, nor after it was stopped', async (context) => {
    const { events, done, stop, pass } = resting(context);
    events.emit(LOADED);
    await pass(2000);
    events.emit(GONE);
    stop();
    events.emit(GONE);
    await pass(2000);
    assert.deepEqual(done, []);
  });
});

describe('collecting', () => {
  it('frees what nobody holds any more', async (context) => {
    let freed = 0;
    const registry = new FinalizationRegistry(() => {
      freed += 1;
    });
    (() => registry.register({}, null))();
    const events = new EventBus();
    const rest = { busy: () => false, putDown: async () => {}, afterMs: 1 };
    context.after(restAfterUse({ events, ...rest }));
    events.emit(GONE);
    await until('an object without a holder is freed', () => freed === 1);
  });
});
