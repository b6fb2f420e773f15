/** Conversations that lose their slot to another and come back, with the fake: by counting tokens. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { until } from '../helpers/waiting.js';
import { skipReason, THROW } from './fake.js';
import { Program } from './program.js';
import { NOTHING_LEFT, Rig, type RigContext } from './rig.js';

const A = 'a'.repeat(600);
const B = 'b'.repeat(600);
const C = 'c'.repeat(600);
/** What 600 tokens and an answer take with the fake, twice and a half. */
const TWO = 2 * 604 * 8 + 2000;

describe('the store of conversations that lost their slot', { skip: skipReason }, () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.open();
  });
  after(() => {
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    rig.close();
  });

  const stored = (
    use: (context: RigContext) => Promise<void>,
    { storeBytes = 1 << 20, slots = 1, prepare = () => {} } = {},
  ) =>
    rig.with({ slots, contextTokens: 4096, storeBytes }, use, () => {
      // Computing takes time, or bringing back would not pay.
      rig.control.set('tokenSleepUs', 20);
      prepare();
    });

  const cached = async (context: RigContext, prompt: string): Promise<number> => {
    const run = context.start(prompt);
    const done = await run.done;
    assert.equal(run.text(), 'xyz</s>');
    return done.cachedTokens;
  };

  it('gives two that take turns on one slot back what each had', () =>
    stored(async (context) => {
      assert.equal(await cached(context, `${A}w`), 0);
      assert.equal(await cached(context, `${B}w`), 0);
      assert.equal(await cached(context, `${A}wxyzw`), 604);
      assert.equal(await cached(context, `${B}wxyzw`), 604);
      assert.equal(context.native.counters().storedTokens, 2 * 604);
      assert.equal(context.native.counters().promptTokens, 601 + 601 + 1 + 1);
    }));

  it('gives only as much of one as the prompt begins with', () =>
    stored(async (context) => {
      await cached(context, `${A}w`);
      await cached(context, `${B}w`);
      const half = await cached(context, `${A.slice(0, 300)}qqw`);
      assert.equal(half, 300);
      assert.equal(await cached(context, `${A}wxyzw`), 604, 'and keeps the rest');
    }));

  it('keeps to its budget: what was unused for longest goes, and what is too large never comes', async () => {
    await stored(
      async (context) => {
        for (const prompt of [A, B, C]) await cached(context, `${prompt}w`);
        await cached(context, 'hello w');
        assert.equal(await cached(context, `${A}wxyzw`), 0, 'A has gone for C');
        assert.equal(await cached(context, `${C}wxyzw`), 604);
      },
      { storeBytes: TWO },
    );
    await stored(
      async (context) => {
        await cached(context, `${A}w`);
        await cached(context, `${B}w`);
        assert.equal(await cached(context, `${A}wxyzw`), 0);
      },
      { storeBytes: 2000 },
    );
  });

  it('keeps nothing where it has no memory, and asks the library for nothing', () =>
    stored(
      async (context) => {
        await cached(context, `${A}w`);
        await cached(context, `${B}w`);
        assert.equal(await cached(context, `${A}wxyzw`), 0);
        assert.equal(rig.control.get('inState'), 0);
      },
      { storeBytes: 0 },
    ));

  it('costs a conversation that goes on nothing', () =>
    stored(async (context) => {
      await cached(context, `${A}w`);
      await cached(context, `${A}wxyzw`);
      await cached(context, `${A}wxyzwxyzw`);
      assert.equal(rig.control.get('inState'), 0);
    }));

  it('moves part by part while another slot generates', () =>
    stored(
      async (context) => {
        await cached(context, `${A}w`);
        rig.control.set('tokenSleepUs', 100);
        const stream = context.start('0');
        await until('tokens', () => stream.tokens.length > 3);
        await cached(context, `${B}w`);
        assert.ok(rig.control.get('largestState') < 604 * 4, 'not at once, where no pace is known');
        assert.equal(await cached(context, `${A}wxyzw`), 604);
        stream.completion.cancel(-1);
        await stream.done;
      },
      { slots: 2 },
    ));

  it('gathers one conversation at a time, in the order in which they lost their slots', () =>
    stored(
      async (context) => {
        const stream = context.start(`${A}0`);
        await until('tokens', () => stream.tokens.length > 0);
        await cached(context, `${B}w`);
        // Long steps: what is done here next is done before the second part.
        rig.control.set('tokenSleepUs', 50_000);
        const first = context.start('hello w');
        await rig.control.until('inState', 1);
        stream.completion.cancel(-1);
        const second = context.start('world w');
        await stream.done;
        rig.control.set('tokenSleepUs', 1000);
        assert.deepEqual([(await first.done).slot, (await second.done).slot], [1, 0]);
        // There was room for one of them only, and the stream's ended last.
        assert.ok((await cached(context, `${A}0w`)) > 600);
      },
      { slots: 2, storeBytes: 7000 },
    ));

  it('counts what is read from it as long as it is read', () => {
    const program = new Program([
      'test/native/prefix-store.cc',
      'native/src/decode/prefix-store.cc',
    ]);
    try {
      program.check();
    } finally {
      program.close();
    }
  });

  it('lets go of a request that is cancelled while its slot changes hands', () =>
    stored(async (context) => {
      await cached(context, `${A}w`);
      rig.control.set('holdDecode', 1);
      const held = context.start(`${A}wxyzq`);
      await rig.control.until('inDecode', 1);
      const next = context.start(`${B}w`);
      next.completion.cancel(-1);
      held.completion.cancel(-1);
      rig.control.set('holdDecode', 0);
      assert.equal((await next.done).reason, 'cancelled');
      assert.equal((await held.done).reason, 'cancelled');
      assert.equal(await cached(context, `${A}w`), 600);
    }));

  for (const failure of [1, 2, 3, THROW]) {
    it(`computes what it cannot keep or bring back (${failure})`, () =>
      stored(async (context) => {
        if (failure === 1) rig.control.set('stateFail', failure);
        await cached(context, `${A}w`);
        await cached(context, `${B}w`);
        rig.control.set('stateFail', failure);
        assert.equal(await cached(context, `${A}w`), 0);
        rig.control.set('stateFail', 0);
        assert.equal(await cached(context, `${A}w`), 600);
      }));
  }

  it('asks what a state takes where that has nothing to do with its tokens', () =>
    stored(
      async (context) => {
        const short = 's'.repeat(40);
        // Two states fit: of a short conversation as of a long one.
        for (const prompt of [short, A, B]) await cached(context, `${prompt}w`);
        assert.equal(await cached(context, `${A}wxyzw`), 604);
        await cached(context, `${short.toUpperCase()}w`);
        await cached(context, `${C}w`);
        assert.equal(await cached(context, `${short.toUpperCase()}wxyzw`), 44);
        assert.equal(await cached(context, `${C}wxyzw`), 604);
      },
      {
        storeBytes: 22_000,
        prepare: () => {
          rig.control.set('recurrent', 1);
          rig.control.set('stateBytes', 8000);
        },
      },
    ));

  it('says so where it does not keep a conversation', () =>
    stored(
      async (context) => {
        await cached(context, `${A}w`);
        await cached(context, `${B}w`);
        const said = () => rig.logs.some((line) => /604 tokens is not kept: 8000 bytes/.test(line));
        await until('a line in the log', said);
      },
      {
        storeBytes: 8000,
        prepare: () => {
          rig.control.set('recurrent', 1);
          rig.control.set('stateBytes', 8000);
        },
      },
    ));

  it('keeps whole states where a memory has only those', () =>
    stored(
      async (context) => {
        await cached(context, `${A}w`);
        await cached(context, `${B}w`);
        assert.equal(await cached(context, `${A}wxyzw`), 604);
      },
      { prepare: () => rig.control.set('recurrent', 1) },
    ));
});
