import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openLocalEngine } from '../../src/engine/local.js';
import type { LogLine } from '../../src/engine/protocol.js';
import { bestSlots, SLOT_COUNTS } from '../../src/engine/slot-count.js';
import { HoshikageError } from '../../src/errors.js';
import { engineOptions, request } from '../helpers/engine-options.js';
import { coded, createFakeAddon, emptyAbi, type FakeBehaviour } from '../helpers/fake-addon.js';

const library = { path: '/lib/libllama.so', preload: [], unknownSymbols: [], allowUnknown: false };
const memory = {
  ...{ layerBytes: [], expertBytes: [], outputBytes: 0, outputCopyBytes: 0, inputBytes: 0 },
  ...{ kvBytesPerLayer: [], computeBytes: 0, hostBytes: 0, privateBytes: 0, deviceBytes: 0 },
};

async function open(
  behaviour: FakeBehaviour,
  changes: Parameters<typeof engineOptions>[0] = {},
  signal?: AbortSignal,
) {
  const addon = createFakeAddon(behaviour);
  const lines: LogLine[] = [];
  const opening = openLocalEngine({
    addon,
    abi: emptyAbi,
    library,
    options: engineOptions({ slots: 'auto', ...changes }),
    onLog: (line) => lines.push(line),
    ...(signal && { signal }),
  });
  const said = (): string => lines.map(([level, text]) => `${level}: ${text}`).join('\n');
  return { addon, opening, said };
}

const measuring = (...ms: (number | null)[]): FakeBehaviour => ({ onMeasure: async () => ms });

describe('the best number of slots', () => {
  test('is the largest that makes clearly more tokens than every smaller one', () => {
    assert.equal(bestSlots([10, 12, 20, 60]), 4);
    assert.equal(bestSlots([10, 20, 40, 80]), 1);
    // Hardly more with eight than with four.
    assert.equal(bestSlots([10, 12, 20, 39]), 4);
    assert.equal(bestSlots([10, 9, 9, 9]), 8);
  });

  test('is eight where two at a time are slower than one, but eight are faster', () => {
    assert.equal(bestSlots([3.5, 13.5, 19, 24]), 8);
    assert.equal(bestSlots([3.5, 13.5, 19, 28]), 1);
  });

  test('is none of those that were not measured', () => {
    assert.equal(bestSlots([10, 12, null, null]), 2);
    assert.equal(bestSlots([10, null, null, null]), null);
    assert.equal(bestSlots([null, null, null, null]), null);
    assert.equal(bestSlots([null, 5, 5, 5]), null);
    assert.equal(bestSlots([]), null);
  });
});

describe('an engine with N_SLOTS=auto', () => {
  test('has as many slots as were measured to be best, and says so', async () => {
    const { addon, opening, said } = await open(measuring(10, 12, 20, 60), { contextTokens: 32 });
    const engine = await opening;
    assert.equal(engine.info.slots, 4);
    assert.deepEqual(engine.info.slotChoice?.how, 'measured');
    assert.equal(engine.info.slotChoice?.known?.best, 4);
    assert.equal(addon.contextOptions[0]?.contextTokens, 128);
    assert.match(said(), /info: N_SLOTS=auto: 4 \(measured\)/);
    assert.match(said(), /100\.0 with 1, 166\.7 with 2, 200\.0 with 4, 133\.3 with 8/);
    await engine.start(request('abc')).result;
    await engine.close();
  });

  test('measures nothing again under the same conditions, and does under others', async () => {
    const first = await (await open(measuring(10, 12, 20, 60))).opening;
    const known = first.info.slotChoice?.known ?? assert.fail('nothing is known');
    await first.close();
    const again = await open(measuring(10, 20, 40, 80), { knownSlots: known });
    const second = await again.opening;
    assert.deepEqual([second.info.slots, second.info.slotChoice?.how], [4, 'remembered']);
    assert.ok(!again.addon.calls.includes('measureSteps'));
    await second.close();
    const other = await open(measuring(10, 20, 40, 80), { knownSlots: known, threads: 3 });
    const third = await other.opening;
    assert.deepEqual([third.info.slots, third.info.slotChoice?.how], [1, 'measured']);
    await third.close();
  });

  test('has no more slots than there is room for, and remembers what would be best', async () => {
    const few = await open(measuring(10, 11, 12, 13), { moreSlots: [{ slots: 2, memory }] });
    const engine = await few.opening;
    assert.deepEqual([engine.info.slots, engine.info.slotChoice?.known?.best], [2, 8]);
    assert.match(few.said(), /2 \(measured; 8 would be the fastest, but there is no room\)/);
    await engine.close();
    const none = await open(measuring(10, 11, 12, 13), { moreSlots: [] });
    const single = await none.opening;
    assert.deepEqual([single.info.slots, single.info.slotChoice?.how], [1, 'unmeasured']);
    assert.ok(!none.addon.calls.includes('measureSteps'));
    await single.close();
  });

  test('makes do with one slot where nothing can be measured', async () => {
    const failing = {
      onMeasure: async () => {
        throw coded('decode_failed', 'scripted');
      },
    };
    for (const behaviour of [failing, measuring(900, null, null, null)]) {
      const { opening, said } = await open(behaviour);
      const engine = await opening;
      assert.equal(engine.info.slots, 1);
      assert.deepEqual(engine.info.slotChoice, { how: 'unmeasured', known: null });
      assert.match(said(), /N_SLOTS=auto: 1, since/);
      await engine.close();
    }
  });

  test('tries fewer slots where a context with so many cannot be made', async () => {
    const { opening, addon, said } = await open({
      ...measuring(10, 11, 12, 13),
      onContext: ({ slots }) => {
        if (slots > 2) throw coded('model_load_failed', 'no room');
      },
    });
    const engine = await opening;
    assert.equal(engine.info.slots, 2);
    assert.deepEqual(
      addon.contextOptions.map(({ slots }) => slots),
      [8, 4, 2],
    );
    assert.match(said(), /warn: no context with 8 slots can be made; trying 4/);
    await engine.close();
  });

  test('with a number that was asked for fails where that cannot be made', async () => {
    const behaviour: FakeBehaviour = {
      onContext: () => {
        throw coded('model_load_failed', 'no room');
      },
    };
    const { opening, addon } = await open(behaviour, { slots: 4 });
    await assert.rejects(opening, { code: 'model_load_failed' });
    assert.equal(addon.contextOptions.length, 1);
  });

  test('can be given up while it measures', async () => {
    const abort = new AbortController();
    const behaviour: FakeBehaviour = {
      onMeasure: async (cancelled) => {
        abort.abort();
        await cancelled;
        throw coded('cancelled', 'the measuring was cancelled');
      },
    };
    const { opening, addon } = await open(behaviour, {}, abort.signal);
    await assert.rejects(opening, (error: unknown) => {
      return error instanceof HoshikageError && error.code === 'cancelled';
    });
    assert.deepEqual(addon.contextOptions, []);
    assert.ok(addon.calls.includes('model.close'));
  });

  test('that only embeds measures nothing', async () => {
    const { opening, addon } = await open(measuring(1, 1, 1, 1), { purpose: 'embed' });
    const engine = await opening;
    assert.deepEqual([engine.info.slots, engine.info.slotChoice], [0, undefined]);
    assert.ok(!addon.calls.includes('measureSteps'));
    await engine.close();
  });
});

test('the numbers that are tried begin with one and double', () => {
  for (const [index, count] of SLOT_COUNTS.entries()) assert.equal(count, 2 ** index);
});
