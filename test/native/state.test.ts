/** A slot's sequence saved and given back, with the fake: same text, nothing computed twice. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { NativeState } from '../../src/engine/addon.js';
import { until } from '../helpers/waiting.js';
import { skipReason, THROW, within } from './fake.js';
import { NOTHING_LEFT, Rig } from './rig.js';

const sizeOf = ({ parts }: NativeState): number =>
  parts.reduce((sum, { length }) => sum + length, 0);

/** Bytes that a state may have here. */
const LIMIT = 1_000_000;

describe('the state of a sequence', { skip: skipReason }, () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.open();
  });
  after(() => {
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    rig.close();
  });

  it('comes back into another context: the same text, the prompt not computed again', () =>
    rig.with({}, async (context, model) => {
      assert.equal(await context.say('hello a'), 'bcdefghijklmnopqrstuvwxyz</s>');
      const state = await context.native.saveState(0, LIMIT);
      assert.ok(state);
      assert.equal(Buffer.from(state.tokens.slice(0, 7)).toString(), 'hello a');
      assert.equal(sizeOf(state), 12 + 4 * state.tokens.length);
      const other = await rig.context(model);
      assert.equal(await other.native.restoreState(state), 0);
      const before = rig.control.get('tokensDecoded');
      const run = other.start('hello a');
      const done = await run.done;
      assert.equal(run.text(), 'bcdefghijklmnopqrstuvwxyz</s>');
      assert.equal(done.cachedTokens, 6);
      assert.equal(rig.control.get('tokensDecoded') - before, done.generatedTokens);
      await other.native.close();
    }));

  it('is not there where nothing is cached, or where the slot is at work', () =>
    rig.with({}, async (context) => {
      assert.equal(await context.native.saveState(0, LIMIT), null);
      rig.control.set('tokenSleepUs', 5000);
      const run = context.start('0');
      await rig.control.until('tokensDecoded', 1);
      const saving = context.native.saveState(0, LIMIT);
      assert.equal(await within(saving, 'an answer about a busy slot'), null);
      run.completion.cancel(-1);
      await run.done;
      assert.ok(await context.native.saveState(0, LIMIT));
    }));

  it('is not saved with more bytes than its reader can hold, which is said in the log', () =>
    rig.with({}, async (context) => {
      await context.say('hello w');
      const state = await context.native.saveState(0, LIMIT);
      assert.ok(state);
      const bytes = sizeOf(state);
      assert.ok(await context.native.saveState(0, bytes));
      assert.equal(await context.native.saveState(0, bytes - 1), null);
      const said =
        'warn: a state of 10 tokens is not saved: the library cannot, or it is too large';
      await until('the warning', () => rig.logs.includes(said));
    }));

  it('goes into the idle slot that was unused for longest, and into none where all work', () =>
    rig.with({ slots: 2 }, async (context) => {
      await context.say('first w');
      const state = await context.native.saveState(0, LIMIT);
      assert.ok(state);
      assert.equal(await context.native.restoreState(state), 1);
      assert.equal(await context.native.restoreState(state), 0);
      rig.control.set('tokenSleepUs', 5000);
      const runs = [context.start('0'), context.start('1')];
      await rig.control.until('mostSequences', 2);
      assert.equal(await within(context.native.restoreState(state), 'an answer'), null);
      for (const run of runs) run.completion.cancel(-1);
      for (const run of runs) assert.equal((await run.done).reason, 'cancelled');
    }));

  it('is refused where the library reads less of it, nothing of it or throws; the slot is empty', () =>
    rig.with({}, async (context) => {
      await context.say('hello w');
      const state = await context.native.saveState(0, LIMIT);
      assert.ok(state);
      const [data] = state.parts;
      assert.ok(data);
      const cut = { ...state, parts: [data.slice(0, -4)] };
      const noise = { ...state, parts: [data.map((b) => b ^ 0x55)] };
      const tokens = state.tokens.slice(0, -1);
      const fewer = { tokens, ends: Int32Array.of(tokens.length), parts: [data] };
      for (const wrong of [cut, noise, fewer]) {
        assert.equal(await context.native.restoreState(wrong), null);
      }
      for (const failure of [2, 3, THROW]) {
        rig.control.set('stateFail', failure);
        assert.equal(await context.native.restoreState(state), null);
        assert.equal(context.native.slots()[0]?.cachedTokens, 0);
      }
      rig.control.set('stateFail', 0);
      const run = context.start('hello w');
      assert.equal((await run.done).cachedTokens, 0);
      assert.equal(run.text(), 'xyz</s>');
    }));

  it('fails alone where the library cannot write it: the next completion goes well', () =>
    rig.with({}, async (context) => {
      await context.say('hello w');
      rig.control.set('stateFail', 1);
      assert.equal(await context.native.saveState(0, LIMIT), null);
      rig.control.set('stateFail', THROW);
      await assert.rejects(context.native.saveState(0, LIMIT), {
        code: 'decode_failed',
        message: /get_data/,
      });
      rig.control.set('stateFail', 0);
      const run = context.start('hello w');
      assert.equal((await run.done).cachedTokens, 6);
    }));

  it('is checked for its shape before the library sees it', () =>
    rig.with({ contextTokens: 512, slots: 2 }, async (context) => {
      const data = new Uint8Array(8);
      const refused = { code: 'invalid_argument' };
      const { native } = context;
      await assert.rejects(native.saveState(2, LIMIT), refused);
      await assert.rejects(native.saveState(-1, LIMIT), refused);
      assert.throws(() => native.saveState(0.5, LIMIT), refused);
      for (const tokens of [new Int32Array(), new Int32Array(257), Int32Array.of(1, 320)]) {
        const ends = Int32Array.of(tokens.length);
        await assert.rejects(native.restoreState({ tokens, ends, parts: [data] }), refused);
      }
      const tokens = Int32Array.of(1, 2, 3);
      for (const wrong of [[], [2], [4], [-1], [2, 2, 3], [3, 1], [0, 3]]) {
        const ends = Int32Array.from(wrong);
        const parts = wrong.map(() => data);
        await assert.rejects(native.restoreState({ tokens, ends, parts }), refused);
      }
      const ends = Int32Array.of(3);
      assert.throws(() => native.restoreState({ tokens, ends, parts: [] }), refused);
      assert.equal(rig.control.get('inState'), 0);
      assert.equal(
        await native.restoreState({
          tokens: Int32Array.of(1),
          ends: Int32Array.of(1),
          parts: [new Uint8Array()],
        }),
        null,
      );
    }));

  it('waits for nobody who is closing', () =>
    rig.with({}, async (context) => {
      await context.say('hello w');
      rig.control.set('holdDecode', 1);
      const run = context.start('0');
      await rig.control.until('inDecode', 1);
      const saving = context.native.saveState(0, LIMIT);
      const refused = assert.rejects(saving, { code: 'closed' });
      await within(context.native.close(), 'close');
      await within(refused, 'the refusal');
      await run.done;
      assert.throws(() => context.native.saveState(0, LIMIT), { code: 'closed' });
    }));
});
