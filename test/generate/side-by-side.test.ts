import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sideBySide, type Work } from '../../src/generate/side-by-side.js';
import { entryNamed, FakePool } from '../helpers/fake-pool.js';
import { until } from '../helpers/waiting.js';

const never = (): AbortSignal => new AbortController().signal;

/** A pool with so many slots besides that of the lease. */
async function leaseOf(spare: number) {
  const pool = new FakePool();
  pool.spareSlots = spare;
  return { pool, lease: await pool.acquire(entryNamed('m'), { signal: never() }) };
}

/** Works that say `name`1, `name`2, ... a turn apart, and how many of them ran at most. */
function scripted(...counts: readonly number[]) {
  const seen = { running: 0, most: 0, signals: [] as AbortSignal[] };
  const works = counts.map(
    (count, name): Work<string> =>
      async function* (signal) {
        seen.signals.push(signal);
        seen.running += 1;
        seen.most = Math.max(seen.most, seen.running);
        try {
          for (let part = 1; part <= count; part += 1) {
            await new Promise(setImmediate);
            if (signal.aborted) throw new Error('aborted');
            yield `${name}${part}`;
          }
        } finally {
          seen.running -= 1;
        }
      },
  );
  return { works, seen };
}

async function allOf(events: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = [];
  for await (const event of events) all.push(event);
  return all;
}

describe('choices', () => {
  it('run one after the other where there is one slot', async () => {
    const { pool, lease } = await leaseOf(0);
    const { works, seen } = scripted(2, 2);
    assert.deepEqual(await allOf(sideBySide(works, lease, never())), ['01', '02', '11', '12']);
    assert.deepEqual([seen.most, pool.takenSlots], [1, 0]);
  });

  it('run side by side where there are more, each in its own order, and give the slots back', async () => {
    const { pool, lease } = await leaseOf(5);
    const { works, seen } = scripted(3, 3, 3);
    const events = await allOf(sideBySide(works, lease, never()));
    assert.equal(seen.most, 3);
    assert.deepEqual(events.slice(0, 3).sort(), ['01', '11', '21'], 'all begin at once');
    for (const name of ['0', '1', '2']) {
      const own = events.filter((event) => event.startsWith(name));
      assert.deepEqual(own, [`${name}1`, `${name}2`, `${name}3`]);
    }
    assert.equal(pool.takenSlots, 0);
  });

  it('take the next slot that becomes free where there are fewer slots than choices', async () => {
    const { pool, lease } = await leaseOf(1);
    const { works, seen } = scripted(1, 20, 1, 1);
    const events = await allOf(sideBySide(works, lease, never()));
    assert.equal(seen.most, 2);
    assert.equal(events.at(-1), '120', 'the short ones went past the long one');
    assert.equal(pool.takenSlots, 0);
  });

  it('leave a slot that somebody waits for when theirs is done, and go on with the others', async () => {
    const { pool, lease } = await leaseOf(2);
    const { works, seen } = scripted(30, 2, 4, 2, 2);
    const taken: number[] = [];
    const events: string[] = [];
    for await (const event of sideBySide(works, lease, never())) {
      events.push(event);
      taken.push(pool.takenSlots);
      if (event === '11') pool.isAwaited = true;
    }
    assert.equal(seen.most, 3);
    assert.equal(taken.at(-1), 0);
    assert.deepEqual(events.slice(-5), ['030', '31', '32', '41', '42'], 'on the slot of the lease');
  });

  it('all end by the first error, which is the one that is thrown', async () => {
    const { pool, lease } = await leaseOf(3);
    const { works, seen } = scripted(1000, 1000);
    const failing: Work<string> = async function* () {
      yield 'f';
      throw new Error('the first');
    };
    const events = sideBySide([...works, failing], lease, never());
    await assert.rejects(allOf(events), /^Error: the first$/);
    assert.deepEqual([seen.running, pool.takenSlots], [0, 0]);
  });

  it('all end when their reader leaves, before the reader goes on', async () => {
    const { pool, lease } = await leaseOf(3);
    const { works, seen } = scripted(1000, 1000);
    for await (const event of sideBySide(works, lease, never())) if (event === '02') break;
    assert.deepEqual([seen.running, pool.takenSlots], [0, 0]);
  });

  it('all end when the client goes', async () => {
    const { pool, lease } = await leaseOf(3);
    const gone = new AbortController();
    const { works, seen } = scripted(1000, 1000, 1000);
    const reading = allOf(sideBySide(works, lease, gone.signal));
    reading.catch(() => {});
    await until('three at work', () => seen.running === 3);
    gone.abort();
    await assert.rejects(reading);
    assert.deepEqual([seen.running, pool.takenSlots], [0, 0]);
  });

  it('of which none has begun do not begin when the client has gone', async () => {
    const { pool, lease } = await leaseOf(3);
    const { works, seen } = scripted(1, 1);
    const events = sideBySide(works, lease, AbortSignal.abort());
    await assert.rejects(allOf(events), { code: 'cancelled' });
    assert.deepEqual([seen.signals.length, pool.takenSlots], [0, 0]);
  });
});
