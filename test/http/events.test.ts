import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { ResourceFact } from '../../src/events.js';
import { ADMIN, fakeApp, renderer } from '../helpers/fake-app.js';
import { entryNamed } from '../helpers/fake-pool.js';

after(() => renderer.close());

interface Event {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

const unload: ResourceFact = { type: 'unload', model: 'm', reason: 'idle', residentMs: 12.6 };

/** An application one may listen to, and how many do. */
function listened() {
  const set = fakeApp();
  const subscribe = set.events.subscribe.bind(set.events);
  const count = { listeners: 0 };
  set.events.subscribe = (listener) => {
    const stop = subscribe(listener);
    count.listeners += 1;
    return () => {
      count.listeners -= 1;
      stop();
    };
  };
  const open = (init: RequestInit = {}) => set.ask('/admin/events', { headers: ADMIN, ...init });
  return { ...set, count, open };
}

function eventsIn(wire: string): Event[] {
  return wire
    .split('\n\n')
    .filter((one) => one.startsWith('event: '))
    .map((one) => {
      const [name = '', data = ''] = one.split('\n');
      return { name: name.slice('event: '.length), data: JSON.parse(data.slice('data: '.length)) };
    });
}

describe('events', () => {
  it('begin with what is there, and are told as they happen, in the names of the wire', async () => {
    const { open, events, ending, pool } = listened();
    await pool.load(entryNamed('m'), { signal: new AbortController().signal });
    const response = await open();
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    events.emit(unload);
    events.emit({ type: 'load', model: 'm', state: 'ready', path: '/m.gguf', ms: 3.4, pid: 7 });
    ending.abort();
    const [hello, first, second, ...rest] = eventsIn(await response.text());
    assert.equal(hello?.name, 'hello');
    assert.deepEqual(Object.keys(hello?.data ?? {}), ['at', 'residents', 'queue', 'held']);
    assert.match(JSON.stringify(hello?.data.residents), /^\[\{"id":"m","state":"ready"/);
    const { at, ...said } = first?.data ?? {};
    assert.equal(first?.name, 'unload');
    assert.ok(typeof at === 'number');
    assert.deepEqual(said, { type: 'unload', model: 'm', reason: 'idle', resident_ms: 13 });
    assert.deepEqual([second?.name, second?.data.pid, second?.data.ms], ['load', 7, 3]);
    assert.deepEqual(rest, []);
  });

  it('want the right to manage', async () => {
    assert.equal((await listened().open({ headers: {} })).status, 403);
  });

  it('end when their reader goes, when the request is given up, and when the server ends', async () => {
    const { open, count, ending } = listened();
    const reader = await open();
    assert.equal(count.listeners, 1);
    await reader.body?.cancel();
    assert.equal(count.listeners, 0);
    const going = new AbortController();
    const given = await open({ signal: going.signal });
    assert.equal(count.listeners, 1);
    going.abort();
    assert.equal(count.listeners, 0);
    assert.equal(eventsIn(await given.text()).length, 1);
    const many = await Promise.all(Array.from({ length: 20 }, () => open()));
    assert.equal(count.listeners, 20);
    ending.abort();
    assert.equal(count.listeners, 0);
    for (const one of many) assert.equal(eventsIn(await one.text()).length, 1);
    assert.equal(eventsIn(await (await open()).text()).length, 1);
    assert.equal(count.listeners, 0);
  });

  it('are not listened to for a HEAD', async () => {
    const { open, count } = listened();
    const response = await open({ method: 'HEAD' });
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
    assert.equal(count.listeners, 0);
  });

  it('are not kept for a reader that is slow: it is told how many it missed, and where things stand', async () => {
    const { open, events, ending } = listened();
    const response = await open();
    const total = 20_000;
    for (let i = 0; i < total; i++) events.emit(unload);
    assert.ok(response.body);
    const body = response.body.getReader();
    const decoder = new TextDecoder();
    let wire = '';
    while (!wire.includes('event: missed')) {
      const { value, done } = await body.read();
      assert.equal(done, false);
      wire += decoder.decode(value, { stream: true });
    }
    events.emit({ ...unload, reason: 'switch' });
    ending.abort();
    for (let part = await body.read(); !part.done; part = await body.read()) {
      wire += decoder.decode(part.value, { stream: true });
    }
    const all = eventsIn(wire);
    const told = all.filter(({ data }) => data.reason === 'idle').length;
    const missed = all.find(({ name }) => name === 'missed');
    assert.equal(told + Number(missed?.data.count), total);
    assert.ok(told < total / 2, `${told} were kept`);
    assert.deepEqual(
      all.slice(-3).map(({ name }) => name),
      ['missed', 'hello', 'unload'],
    );
  });
});
