/** Every step that chooses a token, against a plain reading of its formula and in any order. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import type { NativeRequest } from '../../src/engine/addon.js';
import { SAMPLERS, type SamplerName } from '../../src/engine/engine.js';
import { skipReason } from './fake.js';
import { NOTHING_LEFT, Rig, type RigContext } from './rig.js';

type Over = Partial<NativeRequest>;
type Seeded = { readonly over: Over; readonly said: readonly number[] };
type Entry = readonly [token: number, logit: number];

/** Tokens after which the fake says the same: only the logits given here count. */
const TOKENS = [...'DEFGHIJK'].map((letter) => letter.charCodeAt(0));

/** The fake's own logit of a token, where it is not the one that comes next. */
const base = (token: number): number => Math.fround(-((token * 7) % 31) / 10);

/** Biases that give TOKENS these logits and forbid all others. */
function logitsOf(logits: readonly number[]): Over {
  const biasTokens = Int32Array.from({ length: 320 }, (_, token) => token);
  const biasValues = new Float32Array(320).fill(Number.NEGATIVE_INFINITY);
  for (const [index, logit] of logits.entries()) {
    const token = TOKENS[index] ?? 0;
    biasValues[token] = logit - base(token);
  }
  return { prompt: Int32Array.of(68), biasTokens, biasValues, cachePrompt: false };
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Probabilities at temperature 1, in the entries' order. */
function softmax(entries: readonly Entry[]): number[] {
  const best = Math.max(...entries.map(([, logit]) => logit));
  const weights = entries.map(([, logit]) => Math.exp(logit - best));
  return weights.map((weight) => weight / sum(weights));
}

/** The first of these whose probabilities together reach p. */
function untilMass(sorted: readonly Entry[], all: readonly Entry[], p: number): Entry[] {
  const probabilities = new Map(softmax(all).map((value, index) => [all[index]?.[0], value]));
  let mass = 0;
  const kept: Entry[] = [];
  for (const entry of sorted) {
    if (mass >= p) break;
    kept.push(entry);
    mass += probabilities.get(entry[0]) ?? 0;
  }
  return kept;
}

/** One step of the chain by its definition; the best entry first, before and after. */
function step(name: SamplerName, entries: Entry[], over: NativeRequest): Entry[] {
  const best = entries[0]?.[1] ?? 0;
  const p = softmax(entries);
  switch (name) {
    case 'top_n_sigma': {
      if (over.topNSigma <= 0) return entries;
      const mean = sum(entries.map(([, logit]) => logit)) / entries.length;
      const variance = sum(entries.map(([, logit]) => (logit - mean) ** 2)) / entries.length;
      return entries.filter(([, logit]) => logit >= best - over.topNSigma * Math.sqrt(variance));
    }
    case 'top_k':
      return over.topK > 0 ? entries.slice(0, over.topK) : entries;
    case 'typical_p': {
      if (over.typicalP >= 1) return entries;
      const entropy = sum(p.map((value) => -value * Math.log(value)));
      const shift = new Map(
        entries.map(([token], i) => [token, Math.abs(-Math.log(p[i] ?? 0) - entropy)]),
      );
      const byShift = [...entries].sort(([a], [b]) => (shift.get(a) ?? 0) - (shift.get(b) ?? 0));
      const kept = new Set(untilMass(byShift, entries, over.typicalP).map(([token]) => token));
      return entries.filter(([token]) => kept.has(token));
    }
    case 'top_p':
      return over.topP < 1 ? untilMass(entries, entries, over.topP) : entries;
    case 'min_p':
      return entries.filter((_, index) => (p[index] ?? 0) >= over.minP * (p[0] ?? 0));
    case 'xtc': {
      if (over.xtcProbability === 0 || over.xtcThreshold > 0.5) return entries;
      const above = p.filter((value) => value >= over.xtcThreshold).length;
      return above > 1 ? entries.slice(above - 1) : entries;
    }
    case 'temperature': {
      const entropy = sum(p.map((value) => (value > 0 ? -value * Math.log(value) : 0)));
      const share = entries.length > 1 ? entropy / Math.log(entries.length) : 0;
      const low = Math.max(0, over.temperature - over.dynatempRange);
      const high = over.temperature + over.dynatempRange;
      const dynamic = over.dynatempRange > 0 && entries.length > 1;
      const t = dynamic ? low + (high - low) * share ** over.dynatempExponent : over.temperature;
      return entries.map(([token, logit]) => [token, logit / t] as const);
    }
    default:
      return entries;
  }
}

/** What each token's probability must be after these steps. */
function expected(logits: readonly number[], over: NativeRequest): Map<number, number> {
  let entries: Entry[] = logits.map((logit, index) => [TOKENS[index] ?? 0, logit]);
  entries.sort((a, b) => b[1] - a[1]);
  for (const name of over.samplers) entries = step(name, entries, over);
  const p = softmax(entries);
  return new Map(entries.map(([token], index) => [token, p[index] ?? 0]));
}

/** How often each token was said in so many draws. */
async function drawn(context: RigContext, over: Over, draws: number): Promise<Map<number, number>> {
  const run = context.start('', { ...over, maxTokens: draws });
  const done = await run.done;
  assert.equal(done.reason, 'length', done.message ?? '');
  const counts = new Map<number, number>();
  for (const token of run.tokens) counts.set(token, (counts.get(token) ?? 0) + 1);
  return counts;
}

/** The draws are of exactly these tokens, as often as five standard deviations allow. */
function assertDrawn(counts: ReadonlyMap<number, number>, wanted: ReadonlyMap<number, number>) {
  const draws = sum([...counts.values()]);
  for (const token of TOKENS) {
    const p = wanted.get(token) ?? 0;
    const said = (counts.get(token) ?? 0) / draws;
    const allowed = 5 * Math.sqrt((p * (1 - p)) / draws) + (p > 0 ? 1 / draws : 0);
    const name = String.fromCharCode(token);
    assert.ok(Math.abs(said - p) <= allowed, `${name}: ${said} instead of ${p}`);
  }
}

const OFF = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  seed: 5,
  typicalP: 1,
  topNSigma: 0,
  xtcProbability: 0,
  xtcThreshold: 0.1,
  mirostat: 0,
  dynatempRange: 0,
  dynatempExponent: 1,
  samplers: SAMPLERS,
} as const;

/** Settings and the tokens that they give with their seed. */
const SEEDED: readonly [Seeded, Seeded] = [
  {
    over: { seed: 349, topK: 400 },
    said: [
      ...[68, 310, 151, 75, 293, 96, 255, 316, 260, 293, 207, 89],
      ...[197, 51, 242, 182, 58, 210, 130, 261, 60, 212, 191, 31],
    ],
  },
  {
    over: {
      ...{ seed: 266, temperature: 3, topK: 40, topP: 0.95, dryMultiplier: 0.8, logprobs: 3 },
      ...{ repeatPenalty: 1.3, repeatLastN: 16, presencePenalty: 0.5, frequencyPenalty: 0.2 },
    },
    said: [
      ...[120, 121, 122, 133, 235, 151, 165, 124, 226, 213, 164, 97],
      ...[98, 279, 306, 297, 173, 253, 58, 155, 111, 112, 113, 114],
    ],
  },
];

/** 0.40 0.24 0.15 0.09 0.05 0.03 0.02 0.01 or so. */
const SLOPE = [3, 2.5, 2, 1.5, 1, 0.5, 0, -0.5];

describe('the steps that choose a token', { skip: skipReason }, () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.open();
  });
  after(() => {
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    rig.close();
  });

  const withContext = (use: (context: RigContext) => Promise<void>): Promise<void> =>
    rig.with({ contextTokens: 4096 }, use);

  const check = async (context: RigContext, over: Over, logits = SLOPE): Promise<void> => {
    const all = { ...OFF, ...over } as NativeRequest;
    const counts = await drawn(context, { ...logitsOf(logits), ...all }, 3000);
    assertDrawn(counts, expected(logits, all));
  };

  it('are all off where nothing is asked for: tokens come as often as their probability says', () =>
    withContext((context) => check(context, {})));

  it('choose by a seed what they have always chosen by it', () =>
    withContext(async (context) => {
      const say = async (over: Over): Promise<number[]> => {
        const run = context.start('hello Dw', {
          ...{ maxTokens: 24, ignoreEos: true, cachePrompt: false, temperature: 20 },
          ...{ biasTokens: Int32Array.of(97, 99), biasValues: Float32Array.of(-18, -17) },
          ...over,
        });
        await run.done;
        return run.tokens;
      };
      assert.deepEqual(await say(SEEDED[0].over), SEEDED[0].said);
      assert.deepEqual(await say(SEEDED[1].over), SEEDED[1].said);
    }));

  const alone: readonly (readonly [string, Over])[] = [
    ['top_n_sigma keeps what is near the best', { topNSigma: 1 }],
    ['typical_p keeps what is about as surprising as the mean', { typicalP: 0.5 }],
    ['typical_p may drop the best token', { typicalP: 0.2 }],
    ['xtc drops all but the last of the tokens above its threshold', { xtcProbability: 1 }],
    ['xtc above one half is off', { xtcProbability: 1, xtcThreshold: 0.51 }],
    ['a dynamic temperature follows the entropy', { dynatempRange: 0.9 }],
    ['its exponent bends it', { dynatempRange: 0.9, dynatempExponent: 3 }],
    ['it may fall to 0 and beyond', { temperature: 0.5, dynatempRange: 2, dynatempExponent: 100 }],
    ['top_k, top_p and min_p cut from below', { topK: 6, topP: 0.95, minP: 0.1 }],
    ['no step at all leaves the probabilities as they are', { samplers: [], temperature: 9 }],
  ];
  for (const [title, over] of alone) {
    it(title, () => withContext((context) => check(context, over)));
  }

  it('typical_p drops the best of a text that is otherwise all noise', () =>
    withContext(async (context) => {
      const flat = [2.2, 1, 1, 1, 1, 1, 1, 1].map((logit, index) => logit - index / 1000);
      const over = { ...OFF, typicalP: 0.3 };
      assert.equal(expected(flat, over as NativeRequest).has(TOKENS[0] ?? 0), false);
      await check(context, over, flat);
    }));

  it('xtc is a matter of chance, as likely as its probability', () =>
    withContext(async (context) => {
      const over = { ...OFF, xtcProbability: 0.25 } as NativeRequest;
      const counts = await drawn(context, { ...logitsOf(SLOPE), ...over }, 3000);
      const dropped = expected(SLOPE, over);
      const whole = expected(SLOPE, { ...over, xtcProbability: 0 });
      const mixed = [...whole].map(
        ([token, p]) => [token, 0.75 * p + 0.25 * (dropped.get(token) ?? 0)] as const,
      );
      assertDrawn(counts, new Map(mixed));
    }));

  it('xtc never takes the last token, and nothing where only one is above the threshold', () =>
    withContext(async (context) => {
      await check(context, { xtcProbability: 1 }, [9, 1, 1, 1]);
      await check(context, { xtcProbability: 1 }, [4]);
      const all = await drawn(
        context,
        { ...logitsOf(SLOPE), ...OFF, xtcProbability: 1, xtcThreshold: 0, topK: 3 },
        50,
      );
      assert.deepEqual([...all], [[TOKENS[2], 50]]);
    }));

  it('nothing bends temperature 0: it is the best token after the penalties', () =>
    withContext(async (context) => {
      const bent: Over = { xtcProbability: 1, typicalP: 0.1, mirostat: 2, dynatempRange: 3 };
      const greedy = { ...logitsOf(SLOPE), ...OFF, ...bent, temperature: 0 };
      assert.equal(await context.say('', { ...greedy, maxTokens: 3 }), 'DDD');
      const penalised = { ...greedy, repeatPenalty: 3, repeatLastN: -1 };
      assert.equal(await context.say('', { ...penalised, maxTokens: 3 }), 'EFG');
    }));

  it('go in the order they are named in', () =>
    withContext(async (context) => {
      const over: Over = { topP: 0.6, temperature: 4 };
      const early = { ...over, samplers: ['temperature', 'top_p'] as const };
      const late = { ...over, samplers: ['top_p', 'temperature'] as const };
      await check(context, early);
      await check(context, late);
      const size = (wanted: Over): number =>
        expected(SLOPE, { ...OFF, ...wanted } as NativeRequest).size;
      assert.ok(size(early) > size(late));
      // Penalties see only what a truncation before them has left.
      const repeat = { ...logitsOf(SLOPE), ...OFF, topK: 1, repeatPenalty: 9, repeatLastN: -1 };
      assert.equal(await context.say('', { ...repeat, maxTokens: 3 }), 'EFG');
      const after = { ...repeat, samplers: ['top_k', 'penalties'] as const };
      assert.equal(await context.say('', { ...after, maxTokens: 3 }), 'DDD');
      const dry = { ...logitsOf(SLOPE), ...OFF, topK: 2, dryMultiplier: 50, dryAllowedLength: 0 };
      const last = { ...dry, samplers: ['top_k', 'dry', 'temperature'] as const };
      const said = new Set(await context.say('', { ...last, maxTokens: 20 }));
      assert.deepEqual([...said].sort(), ['D', 'E']);
    }));

  it('say what their formulas say, in any order and with any settings', () =>
    withContext(async (context) => {
      const cases = fc.record({
        // None equal: what comes first of two would be a matter of rounding.
        logits: fc
          .uniqueArray(fc.integer({ min: -97, max: 97 }), { minLength: 2, maxLength: 8 })
          .map((steps) => steps.map((value) => value / 31.7)),
        samplers: fc.shuffledSubarray([...SAMPLERS]),
        temperature: fc.double({ min: 0.3, max: 4, noNaN: true }),
        topK: fc.integer({ min: 0, max: 9 }),
        topP: fc.double({ min: 0.05, max: 1, noNaN: true }),
        minP: fc.double({ min: 0, max: 0.9, noNaN: true }),
        typicalP: fc.double({ min: 0.05, max: 1, noNaN: true }),
        topNSigma: fc.constantFrom(0, 0.4, 1, 2.5),
        xtcProbability: fc.constantFrom(0, 1),
        xtcThreshold: fc.double({ min: 0.02, max: 0.6, noNaN: true }),
        dynatempRange: fc.constantFrom(0, 0.2, 2),
      });
      await fc.assert(
        fc.asyncProperty(cases, async ({ logits, ...settings }) => {
          const over: Over = { ...OFF, ...settings };
          const all = over as NativeRequest;
          const counts = await drawn(context, { ...logitsOf(logits), ...all }, 300);
          assertDrawn(counts, expected(logits, all));
        }),
        { numRuns: 150, seed: 20 },
      );
    }));

  it('Mirostat cuts by surprise, and steers its mean to what is asked for', () =>
    withContext(async (context) => {
      const over = { ...OFF, mirostat: 2, mirostatTau: 1.5, mirostatEta: 0.1, topK: 1 } as const;
      const run = context.start('', { ...logitsOf(SLOPE), ...over, maxTokens: 3000 });
      await run.done;
      const entries = SLOPE.map((logit, index) => [TOKENS[index] ?? 0, logit] as const);
      const p = softmax(entries);
      let most = 2 * over.mirostatTau;
      const surprises: number[] = [];
      for (const token of run.tokens) {
        const kept = entries.filter((_, i) => i === 0 || -Math.log2(p[i] ?? 0) <= most + 1e-4);
        const place = kept.findIndex(([id]) => id === token);
        assert.ok(place >= 0, `${token} is more surprising than ${most} bits`);
        const surprise = -Math.log2(softmax(kept)[place] ?? 0);
        surprises.push(surprise);
        most -= over.mirostatEta * (surprise - over.mirostatTau);
      }
      const mean = sum(surprises) / surprises.length;
      assert.ok(Math.abs(mean - over.mirostatTau) < 0.1, `${mean} bits`);
      assert.ok(new Set(run.tokens).size > 2, 'no top_k where Mirostat cuts');
    }));

  it('refuse settings out of range, and steps that are unknown or named twice', () =>
    withContext(async (context) => {
      const wrong: object[] = [
        { typicalP: -0.1 },
        { typicalP: 1.1 },
        { topNSigma: -1 },
        { topNSigma: Number.NaN },
        { xtcProbability: 2 },
        { xtcThreshold: -1 },
        { mirostat: 1 },
        { mirostat: 3 },
        { mirostatTau: -1 },
        { mirostatEta: Number.POSITIVE_INFINITY },
        { dynatempRange: -1 },
        { dynatempExponent: Number.NaN },
        { samplers: ['top_k', 'top_k'] },
        { samplers: ['tfs_z'] },
        { samplers: 'top_k' },
        { samplers: [4] },
      ];
      for (const over of wrong) {
        assert.throws(() => context.start('w', over), { code: 'invalid_argument' });
      }
    }));
});
