/** DRY against a plain reading of its definition: the same choices on random texts. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import type { NativeRequest } from '../../src/engine/addon.js';
import { skipReason } from './fake.js';
import { NOTHING_LEFT, Rig } from './rig.js';

interface DryCase {
  readonly prompt: readonly number[];
  readonly multiplier: number;
  readonly base: number;
  readonly allowed: number;
  readonly lastN: number;
  readonly breakers: readonly string[];
}

/** The pieces of the tokens that the prompts here are made of. */
const pieceOf = (token: number): string =>
  token < 256 ? String.fromCharCode(token) : `<unused${token}>`;

/** Tokens after the last breaker, found in the joined text, however it is cut into tokens. */
function afterBreaker(window: readonly number[], breakers: readonly string[]): number {
  for (let since = 0; since < window.length; since++) {
    const text = window
      .slice(0, window.length - since)
      .map(pieceOf)
      .join('');
    const last = window[window.length - since - 1] ?? 0;
    const before = text.length - pieceOf(last).length;
    const ends = breakers.some((breaker) => {
      const at = text.lastIndexOf(breaker);
      return at >= 0 && at + breaker.length > before;
    });
    if (ends) return since;
  }
  return window.length;
}

/**
 * What each token loses, compared place by place: for every earlier place of the window, as many
 * tokens as agree with the window's end, but none before a breaker, make a repeat; the token that
 * came next there would continue it.
 */
function lossesOf(history: readonly number[], dry: DryCase): Map<number, number> {
  const losses = new Map<number, number>();
  if (dry.multiplier === 0 || dry.base < 1 || dry.lastN === 0) return losses;
  const window = dry.lastN < 0 ? history : history.slice(-dry.lastN);
  if (window.length <= dry.allowed) return losses;
  const limit = afterBreaker(window, dry.breakers);
  for (let next = 1; next < window.length; next++) {
    let length = 0;
    while (length < next && window[next - 1 - length] === window[window.length - 1 - length]) {
      length += 1;
    }
    length = Math.min(length, limit);
    const token = window[next] ?? 0;
    if (length < dry.allowed || dry.breakers.some((b) => pieceOf(token).includes(b))) continue;
    const loss = Math.min(dry.multiplier * dry.base ** (length - dry.allowed), 1e30);
    losses.set(token, Math.max(losses.get(token) ?? 0, loss));
  }
  return losses;
}

/** The fake's logits after a token, as far as these tests' tokens go. */
function logitsAfter(last: number): Float32Array {
  const logits = Float32Array.from({ length: 320 }, (_, id) => -((id * 7) % 31) / 10);
  const isDigit = last >= 48 && last <= 57;
  const isLetter = last >= 97 && last < 122;
  const next = isLetter ? last + 1 : 97;
  logits[isDigit ? 48 + ((last - 47) % 10) : next] = 20;
  return logits;
}

/** What greedy sampling must say. */
function expected(dry: DryCase, bias: ReadonlyMap<number, number>, count: number): number[] {
  const history = [...dry.prompt];
  const said: number[] = [];
  while (said.length < count) {
    const logits = logitsAfter(history.at(-1) ?? 0);
    for (const [token, value] of bias) logits[token] = (logits[token] ?? 0) + value;
    for (const [token, loss] of lossesOf(history, dry)) {
      logits[token] = (logits[token] ?? 0) - Math.fround(loss);
    }
    const best = logits.reduce((a, value, id) => (value > (logits[a] ?? 0) ? id : a), 0);
    said.push(best);
    history.push(best);
  }
  return said;
}

const OFF = { multiplier: 0, base: 1.75, allowed: 2, lastN: -1, breakers: [] } as const;
/** Digits, some letters and what breaks; biased so that several of them are near to come next. */
const ALPHABET = [...'0123abc:\n*'].map((character) => character.charCodeAt(0));
const BIAS = new Map(ALPHABET.map((token, index) => [token, 15 + ((index * 13) % 21)]));

describe('DRY', { skip: skipReason }, () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.open();
  });
  after(() => {
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    rig.close();
  });

  const requestOf = (dry: DryCase): Partial<NativeRequest> => ({
    prompt: Int32Array.from(dry.prompt),
    cachePrompt: false,
    biasTokens: Int32Array.from(BIAS.keys()),
    biasValues: Float32Array.from(BIAS.values()),
    dryMultiplier: dry.multiplier,
    dryBase: dry.base,
    dryAllowedLength: dry.allowed,
    dryPenaltyLastN: dry.lastN,
    drySequenceBreakers: dry.breakers,
  });

  it('chooses what its definition says, on random texts with random settings', () =>
    rig.with({}, async (context) => {
      const cases = fc.record({
        prompt: fc
          .array(fc.constantFrom(...ALPHABET), { minLength: 1, maxLength: 12 })
          .chain((part) =>
            fc
              .tuple(fc.integer({ min: 1, max: 4 }), fc.array(fc.constantFrom(...ALPHABET)))
              .map(([times, rest]) => [...rest, ...Array(times).fill(part).flat()] as number[]),
          ),
        multiplier: fc.float({ min: Math.fround(0.1), max: 40, noNaN: true }),
        base: fc.float({ min: 1, max: 3, noNaN: true }),
        allowed: fc.integer({ min: 0, max: 5 }),
        lastN: fc.constantFrom(-1, 0, 1, 5, 20, 1000),
        breakers: fc.subarray(['\n', ':', '*', 'ab', '1:2', 'bc*'], { maxLength: 4 }),
      });
      let bent = 0;
      await fc.assert(
        fc.asyncProperty(cases, async (dry) => {
          const run = context.start('', { ...requestOf(dry), maxTokens: 12, ignoreEos: true });
          await run.done;
          assert.deepEqual(run.tokens, expected(dry, BIAS, 12));
          const plain = expected({ ...dry, ...OFF }, BIAS, 12);
          bent += run.tokens.join() === plain.join() ? 0 : 1;
        }),
        { numRuns: 150 },
      );
      assert.ok(bent > 20, `only ${bent} of 150 texts were changed by it`);
    }));

  it('breaks a loop that would go on for ever', () =>
    rig.with({}, async (context) => {
      const prompt = [...Buffer.from('0123456789'.repeat(3))];
      const dry: DryCase = { ...OFF, prompt, multiplier: 0.8 };
      const plain = { biasTokens: new Int32Array(), biasValues: new Float32Array(), maxTokens: 20 };
      const looping = context.start('', { ...requestOf({ ...dry, ...OFF }), ...plain });
      assert.equal((await looping.done).reason, 'length');
      assert.equal(looping.text(), '01234567890123456789');
      const run = context.start('', { ...requestOf(dry), ...plain });
      await run.done;
      assert.ok(!run.text().startsWith('0123456789'), run.text());
    }));

  it('takes thousands of tokens in its stride, and a loss beyond all numbers', () =>
    rig.with({ contextTokens: 4096, batchTokens: 4096 }, async (context) => {
      const prompt = Array.from({ length: 1500 }, () => 97);
      const dry: DryCase = { ...OFF, prompt, multiplier: 5, base: 3 };
      const run = context.start('', { ...requestOf(dry), maxTokens: 3, ignoreEos: true });
      assert.equal((await run.done).reason, 'length');
      assert.deepEqual(run.tokens, expected(dry, BIAS, 3));
    }));

  it('refuses settings out of range', () =>
    rig.with({}, async (context) => {
      const refused = { code: 'invalid_argument' };
      const wrong: Partial<NativeRequest>[] = [
        { dryMultiplier: -1 },
        { dryBase: Number.NaN },
        { dryAllowedLength: -1 },
        { dryPenaltyLastN: -2 },
        { drySequenceBreakers: [''] },
        { drySequenceBreakers: ['x'.repeat(257)] },
        { drySequenceBreakers: Array.from({ length: 65 }, () => 'x') },
      ];
      for (const over of wrong) assert.throws(() => context.start('w', over), refused);
    }));
});
