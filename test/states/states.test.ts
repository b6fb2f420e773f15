/** The cache of saved states with engines that only pretend, but with real files in a real place. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { EventBus, type ResourceEvent } from '../../src/events.js';
import type { SavedModel, SlotCache } from '../../src/states/saved-model.js';
import type { StatePlace } from '../../src/states/state-place.js';
import { StateCache } from '../../src/states/states.js';
import { fakeFacts } from '../helpers/fake-addon.js';
import { FakeEngine } from '../helpers/fake-engine.js';
import { recordingLog } from '../helpers/recording-log.js';
import { until, within } from '../helpers/waiting.js';

const never = new AbortController().signal;
const BYTES_PER_TOKEN = 1000;

const run = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => from + i);
const ids = (...parts: number[][]): Int32Array => Int32Array.from(parts.flat());

/** An engine whose slots a test fills; states are files of the size a test wants. */
class Stateful implements SavedModel {
  readonly id: string;
  readonly key: string;
  readonly caches: SlotCache[] = [];
  readonly engine: SavedModel['engine'];
  bytesPerToken?: number;
  prefillMsPerToken?: number | null;
  /** What save and restore were asked for. */
  readonly saved: number[] = [];
  readonly limits: (number | undefined)[] = [];
  readonly restored: string[] = [];
  failSave: Error | null = null;
  failRestore: Error | null = null;
  /** restoreState gives null. */
  refuse = false;
  wait: Promise<void> = Promise.resolve();
  readonly #files: Map<string, Int32Array>;

  constructor(files: Map<string, Int32Array>, id = 'model', recurrent = false) {
    this.id = id;
    this.key = `key of ${id}`;
    this.#files = files;
    const { info } = new FakeEngine({ model: { ...fakeFacts, isRecurrent: recurrent } });
    this.engine = {
      info,
      saveState: (slot, path, mostBytes) => this.#save(slot, path, mostBytes),
      restoreState: (path) => this.#restore(path),
    };
  }

  holds(tokens: Int32Array, more: Partial<SlotCache> = {}): this {
    const slot = more.slot ?? 0;
    this.caches[slot] = { usedAt: 0, busy: false, ...more, slot, tokens };
    return this;
  }

  async #save(slot: number, path: string, mostBytes = Number.POSITIVE_INFINITY) {
    this.saved.push(slot);
    this.limits.push(mostBytes);
    const { tokens } = this.caches[slot] ?? { tokens: ids() };
    const bytes = tokens.length * BYTES_PER_TOKEN;
    await writeFile(`${path}.1.01234567.tmp`, '');
    await this.wait;
    if (this.failSave) throw this.failSave;
    await rm(`${path}.1.01234567.tmp`);
    if (bytes > mostBytes) return null;
    await writeFile(path, 'state');
    this.#files.set(path, tokens);
    return { tokens, bytes };
  }

  async #restore(path: string) {
    this.restored.push(path);
    await this.wait;
    if (this.failRestore) throw this.failRestore;
    const tokens = this.#files.get(path);
    if (this.refuse || !tokens || !existsSync(path)) return null;
    this.holds(tokens);
    return { slot: 0, tokens };
  }
}

describe('saved conversations', () => {
  const folders: string[] = [];
  after(async () => {
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
  });

  let folder: string;
  let room: number;
  let log: ReturnType<typeof recordingLog>;
  let events: ResourceEvent[];
  let files: Map<string, Int32Array>;
  let place: StatePlace;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hoshikage-states-'));
    folders.push(folder);
    room = 1e9;
    log = recordingLog();
    events = [];
    files = new Map();
    place = {
      inMemory: true,
      folder: async () => folder,
      room: async () => room,
      close: async () => rm(folder, { recursive: true }),
    };
  });

  async function open(
    limitBytes = 1e9,
    limits?: { saveMs: number; recallMs: number },
  ): Promise<StateCache> {
    const bus = new EventBus();
    bus.subscribe((event) => events.push(event));
    const found = Promise.resolve(place);
    const deps = { place: found, limitBytes, log, events: bus };
    const states = new StateCache({ ...deps, ...(limits && { limits }) });
    await found;
    return states;
  }

  const actions = (): string[] =>
    events.map((event) =>
      event.type === 'state' ? `${event.action} ${event.tokens}` : event.type,
    );
  const leftFiles = async (): Promise<number> => (await readdir(folder)).length;

  it('come back to a new engine of the same key, and say how much of the prompt that saves', async () => {
    const states = await open();
    await states.save(new Stateful(files).holds(ids(run(0, 100))));
    assert.deepEqual(states.status(), {
      ...{ place: 'memory', states: 1, bytes: 100 * BYTES_PER_TOKEN, limitBytes: 1e9 },
    });
    const next = new Stateful(files);
    const prompt = ids(run(0, 100), run(900, 20));
    assert.equal(await states.recall(next, prompt, never), 100);
    assert.deepEqual(next.caches[0]?.tokens, ids(run(0, 100)));
    assert.deepEqual(actions(), ['saved 100', 'restored 100']);
    assert.deepEqual(
      log.records.map(({ level, message }) => `${level}: ${message}`),
      ['info: conversation saved', 'info: conversation brought back'],
    );
    // It stays, for another slot or another engine.
    assert.equal(await states.recall(new Stateful(files), prompt, never), 100);
    assert.equal(await states.recall(new Stateful(files, 'other'), prompt, never), 0);
  });

  it('are not brought back where a slot holds as much, or nearly', async () => {
    const states = await open();
    await states.save(new Stateful(files).holds(ids(run(0, 100))));
    const prompt = ids(run(0, 200));
    const same = new Stateful(files).holds(ids(run(0, 150)));
    const nearly = new Stateful(files).holds(ids(run(0, 80)));
    const busy = new Stateful(files).holds(ids(run(0, 150)), { busy: true, slot: 1 });
    assert.equal(await states.recall(same, prompt, never), 0);
    assert.equal(await states.recall(nearly, prompt, never), 0);
    assert.deepEqual([...same.restored, ...nearly.restored], []);
    assert.equal(await states.recall(busy, prompt, never), 100);
  });

  it('of which only a part is common are brought back, unless the model cannot be cut back', async () => {
    const states = await open();
    await states.save(new Stateful(files).holds(ids(run(0, 100))));
    await states.save(new Stateful(files, 'recurrent', true).holds(ids(run(0, 100))));
    const prompt = ids(run(0, 60), run(900, 60));
    assert.equal(await states.recall(new Stateful(files), prompt, never), 60);
    const recurrent = new Stateful(files, 'recurrent', true);
    assert.equal(await states.recall(recurrent, prompt, never), 0);
    assert.equal(await states.recall(recurrent, ids(run(0, 101)), never), 100);
  });

  it('are saved from every idle slot that holds enough, the most recent first', async () => {
    const states = await open();
    const model = new Stateful(files)
      .holds(ids(run(0, 100)), { slot: 0, usedAt: 1 })
      .holds(ids(run(5000, 31)), { slot: 1, usedAt: 4 })
      .holds(ids(run(6000, 90)), { slot: 2, usedAt: 3 })
      .holds(ids(run(7000, 80)), { slot: 3, usedAt: 2, busy: true })
      .holds(ids(), { slot: 4, usedAt: 9 });
    await states.save(model);
    assert.deepEqual(model.saved, [2, 0]);
    assert.equal(states.status().states, 2);
  });

  it('are replaced by their next turn, and not written twice', async () => {
    const states = await open();
    await states.save(new Stateful(files).holds(ids(run(0, 100))));
    const again = new Stateful(files).holds(ids(run(0, 100)));
    await states.save(again);
    assert.deepEqual(again.saved, []);
    await states.save(new Stateful(files).holds(ids(run(0, 150))));
    assert.deepEqual(actions(), ['saved 100', 'saved 150', 'dropped 100']);
    await until('one file', async () => (await leftFiles()) === 1);
  });

  it('that cannot be used are dropped, the next best is tried, and nobody hears of it', async () => {
    const states = await open();
    const prompt = ids(run(0, 200));
    const model = new Stateful(files);
    await states.save(model.holds(ids(run(0, 100), run(900, 50))));
    await states.save(model.holds(ids(run(0, 150))));
    const [first, second] = [...files.keys()];
    assert.ok(first && second);
    await rm(second);
    const next = new Stateful(files);
    assert.equal(await states.recall(next, prompt, never), 100);
    assert.deepEqual(next.restored, [second, first]);
    assert.deepEqual(actions(), ['saved 150', 'saved 150', 'dropped 150', 'restored 150']);
    const refusing = new Stateful(files);
    refusing.refuse = true;
    assert.equal(await states.recall(refusing, prompt, never), 0);
    assert.equal(states.status().states, 0);
  });

  it('at which the engine dies are dropped: the next one is not to die of them as well', async () => {
    const states = await open();
    await states.save(new Stateful(files).holds(ids(run(0, 100))));
    const dying = new Stateful(files);
    dying.failRestore = new HoshikageError('engine_crashed', { detail: 'x' });
    assert.equal(await states.recall(dying, ids(run(0, 120)), never), 0);
    assert.equal(states.status().states, 0);
    assert.equal(
      log.records.some(({ level }) => level === 'warn'),
      true,
    );
  });

  it('make room for newer ones within the budget, least recently used first', async () => {
    const states = await open(250 * BYTES_PER_TOKEN);
    await states.save(new Stateful(files).holds(ids(run(0, 80)), { usedAt: 1 }));
    await states.save(new Stateful(files).holds(ids(run(1000, 80)), { usedAt: 2 }));
    // The first one is heard of again.
    await states.recall(new Stateful(files), ids(run(0, 90)), never);
    const later = performance.now() + 1;
    await states.save(new Stateful(files).holds(ids(run(2000, 80)), { usedAt: later }));
    assert.deepEqual(actions().slice(-2), ['dropped 80', 'saved 80']);
    assert.equal(await states.recall(new Stateful(files), ids(run(1000, 90)), never), 0);
    assert.equal(await states.recall(new Stateful(files), ids(run(0, 90)), never), 80);
    assert.ok(states.status().bytes <= 250 * BYTES_PER_TOKEN);
    assert.equal(await leftFiles(), 2);
  });

  it('never go for one that was used before them, nor for one that would not fit at all', async () => {
    const states = await open(250 * BYTES_PER_TOKEN);
    await states.save(new Stateful(files).holds(ids(run(0, 150)), { usedAt: 5 }));
    const older = new Stateful(files).holds(ids(run(1000, 150)), { usedAt: 4 });
    const larger = new Stateful(files).holds(ids(run(2000, 300)), { usedAt: 9 });
    await states.save(older);
    await states.save(larger);
    assert.deepEqual([...older.saved, ...larger.saved], []);
    assert.equal(states.status().states, 1);
  });

  it('take no more than is free where they lie, however large the budget is', async () => {
    const states = await open();
    room = 50 * BYTES_PER_TOKEN;
    const model = new Stateful(files).holds(ids(run(0, 100)));
    model.bytesPerToken = BYTES_PER_TOKEN;
    await states.save(model);
    assert.deepEqual(model.saved, []);
    // Of an unknown model it is guessed; the engine is told what there is room for.
    room = 120 * BYTES_PER_TOKEN;
    const unknown = new Stateful(files).holds(ids(run(0, 150)));
    await states.save(unknown);
    assert.ok((unknown.limits[0] ?? Number.POSITIVE_INFINITY) <= room);
    assert.equal(states.status().states, 0);
  });

  it('that cannot be written cost a line in the log, and leave nothing behind', async () => {
    const states = await open();
    const model = new Stateful(files).holds(ids(run(0, 100)));
    model.failSave = new HoshikageError('state_unwritable', { path: '/p', reason: 'ENOSPC' });
    await states.save(model);
    assert.equal(log.records.at(-1)?.level, 'warn');
    await until('an empty folder', async () => (await leftFiles()) === 0);
    // The next one may well fit.
    model.failSave = null;
    await states.save(model);
    assert.equal(states.status().states, 1);
  });

  it('are off from the first failure of their place on, which is said once; what is there stays', async () => {
    const failures = [
      () => Promise.reject(new Error('EROFS')),
      // A disk that has gone away: nothing comes back.
      () => new Promise<never>(() => {}),
    ];
    for (const fail of failures) {
      const whole = place;
      let asked = 0;
      let isWell = true;
      place = {
        ...whole,
        folder: () => {
          asked += 1;
          return isWell ? whole.folder() : fail();
        },
      };
      const states = await open(1e9, { saveMs: 100, recallMs: 5000 });
      const first = new Stateful(files).holds(ids(run(0, 100)));
      await states.save(first);
      isWell = false;
      const before = log.records.length;
      const two = new Stateful(files, 'two')
        .holds(ids(run(0, 90)))
        .holds(ids(run(7, 90)), { slot: 1 });
      await within(states.save(two), 10_000, 'end of saving');
      await within(states.save(new Stateful(files, 'three').holds(ids(run(0, 80)))), 10_000, 'end');
      assert.equal(asked, 2);
      const said = log.records.slice(before).map(({ level, message }) => `${level}: ${message}`);
      assert.deepEqual(said, ['warn: conversations are not saved any more: their place failed']);
      assert.equal(states.status().place, null);
      const again = new Stateful(files);
      assert.equal(await states.recall(again, ids(run(0, 120)), never), 100);
      place = whole;
    }
  });

  it('of two models that go at the same time are all saved, within the budget', async () => {
    const states = await open();
    const one = new Stateful(files, 'one').holds(ids(run(0, 100)));
    const other = new Stateful(files, 'other').holds(ids(run(0, 100)));
    let write = (): void => {};
    one.wait = new Promise((resolve) => {
      write = resolve;
    });
    const first = states.save(one);
    await until('writing', async () => (await leftFiles()) > 0);
    const second = states.save(other);
    write();
    await Promise.all([first, second]);
    assert.deepEqual(actions(), ['saved 100', 'saved 100']);
    const small = await open(300_000);
    const three = ['a', 'b', 'c'].map((id) => new Stateful(files, id).holds(ids(run(0, 100))));
    await Promise.all(three.map((model) => small.save(model)));
    assert.equal(small.status().states, 2);
  });

  it('of one model hold up those of another for no longer than their limit', async () => {
    const states = await open(1e9, { saveMs: 30, recallMs: 1000 });
    const stuck = new Stateful(files, 'stuck').holds(ids(run(0, 100)));
    stuck.wait = new Promise(() => {});
    const saving = states.save(stuck);
    const other = new Stateful(files, 'other').holds(ids(run(0, 100)));
    await within(Promise.all([saving, states.save(other)]), 2000, 'both');
    await states.save(other);
    assert.deepEqual(actions(), ['saved 100']);
  });

  it('are given up when writing takes too long; what comes late is removed', async () => {
    const states = await open(1e9, { saveMs: 20, recallMs: 20 });
    const slow = new Stateful(files).holds(ids(run(0, 100))).holds(ids(run(500, 60)), { slot: 1 });
    let go = (): void => {};
    slow.wait = new Promise((resolve) => {
      go = resolve;
    });
    await within(states.save(slow), 5000, 'an end of saving');
    assert.deepEqual(slow.saved, [0]);
    assert.match(String(log.records.at(-1)?.message), /too long/);
    go();
    await until('the late file', () => files.size === 1);
    await until('an empty folder', async () => (await leftFiles()) === 0);
    assert.equal(states.status().states, 0);
  });

  it('are not waited for by a client that has left, and stay; nor by one that waits too long', async () => {
    const states = await open(1e9, { saveMs: 5000, recallMs: 20 });
    await states.save(new Stateful(files).holds(ids(run(0, 100))));
    const slow = new Stateful(files);
    let go = (): void => {};
    slow.wait = new Promise((resolve) => {
      go = resolve;
    });
    const leaving = new AbortController();
    const recalling = states.recall(slow, ids(run(0, 120)), leaving.signal);
    leaving.abort();
    assert.equal(await within(recalling, 5000, 'an answer'), 0);
    assert.equal(states.status().states, 1);
    assert.equal(await states.recall(slow, ids(run(0, 120)), leaving.signal), 0);
    const patient = states.recall(slow, ids(run(0, 120)), never);
    assert.equal(await within(patient, 5000, 'an answer'), 0);
    assert.equal(states.status().states, 0);
    go();
  });

  it('are left where they are when computing would be quicker, and tried again some time', async () => {
    const states = await open();
    await states.save(new Stateful(files).holds(ids(run(0, 100))));
    const prompt = ids(run(0, 120));
    // The first time nobody knows how fast it is.
    const quick = () => Object.assign(new Stateful(files), { prefillMsPerToken: 1e-9 });
    assert.equal(await states.recall(quick(), prompt, never), 100);
    assert.equal(await states.recall(quick(), prompt, never), 0);
    const usual = Object.assign(new Stateful(files), { prefillMsPerToken: 1000 });
    assert.equal(await states.recall(usual, prompt, never), 100);
    // An engine that has computed nothing yet is taken to be as quick as the one before it.
    await states.save(quick().holds(ids(run(0, 100))));
    assert.equal(await states.recall(new Stateful(files), prompt, never), 0);
    let tries = 0;
    while ((await states.recall(quick(), prompt, never)) === 0) tries += 1;
    assert.ok(tries > 0);
  });

  it('in memory give it back when a model needs it, the one unused for longest first', async () => {
    const states = await open();
    for (const [usedAt, from] of [2000, 0, 1000].entries()) {
      await states.save(new Stateful(files).holds(ids(run(from, 100)), { usedAt }));
    }
    assert.equal(states.spareFor(), 300 * BYTES_PER_TOKEN);
    assert.equal(await states.giveBack(150 * BYTES_PER_TOKEN), 200 * BYTES_PER_TOKEN);
    assert.equal(states.spareFor(), 100 * BYTES_PER_TOKEN);
    assert.equal(await leftFiles(), 1);
    assert.equal(await states.recall(new Stateful(files), ids(run(1000, 120)), never), 100);
    place = { ...place, inMemory: false };
    const onDisk = await open();
    await onDisk.save(new Stateful(files).holds(ids(run(0, 100))));
    assert.equal(onDisk.spareFor(), 0);
  });

  it('of a changed model go when its key does', async () => {
    const states = await open();
    const model = new Stateful(files).holds(ids(run(0, 100)));
    await states.save(model);
    states.drop('another key');
    assert.equal(states.status().states, 1);
    states.drop(model.key);
    assert.equal(states.status().states, 0);
    await until('an empty folder', async () => (await leftFiles()) === 0);
  });

  it('go with the server, and nothing is written after that', async () => {
    const states = await open();
    const model = new Stateful(files).holds(ids(run(0, 100)));
    await states.save(model);
    await states.close();
    assert.equal(existsSync(folder), false);
    await states.save(model.holds(ids(run(0, 200))));
    assert.equal(model.saved.length, 1);
    assert.equal(await states.recall(new Stateful(files), ids(run(0, 120)), never), 0);
  });

  it('are none without a place or a budget, which the status says', async () => {
    const none = new StateCache({
      ...{ place: Promise.resolve(null), limitBytes: 1e9, log, events: new EventBus() },
    });
    const model = new Stateful(files).holds(ids(run(0, 100)));
    await none.save(model);
    const off = await open(0);
    await off.save(model);
    assert.deepEqual(model.saved, []);
    assert.deepEqual([none.status().place, off.status().place], [null, null]);
    await none.close();
  });
});
