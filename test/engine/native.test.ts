import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GREEDY } from '../../src/canary/canary-text.js';
import { countersOf, ENGINE_COUNTERS } from '../../src/engine/counters.js';
import { SAMPLERS, type SamplingOptions, type SizedOptions } from '../../src/engine/engine.js';
import {
  decodeThreads,
  longStepThreads,
  nativeContextOptions,
  nativeModelOptions,
  nativeRequest,
  physicalCores,
  requestTokens,
  toNews,
} from '../../src/engine/native.js';
import { engineOptions, request } from '../helpers/engine-options.js';

test('automatic threads leave one core free, use at least one and at most sixteen', () => {
  assert.deepEqual(
    [1, 2, 3, 8, 17, 64].map((cores) => decodeThreads(0, cores)),
    [1, 1, 2, 7, 16, 16],
  );
  assert.equal(decodeThreads(5, 2), 5);
  assert.ok(physicalCores() >= 1);
});

test('steps that take long may use all cores, and no more than were asked for', () => {
  assert.deepEqual(
    [1, 2, 8, 64].map((cores) => longStepThreads(0, cores)),
    [1, 2, 8, 16],
  );
  assert.equal(longStepThreads(5, 8), 5);
  const native = nativeContextOptions(engineOptions({ threads: 3 }), 64);
  assert.deepEqual([native.threads, native.longStepThreads], [3, 3]);
});

test('the context holds the tokens of all slots', () => {
  const native = nativeContextOptions(engineOptions({ slots: 4 }), 100);
  assert.equal(native.contextTokens, 400);
  assert.equal(native.slots, 4);
});

test('the longest stall and the guessing go over; what is absent is left to the engine', () => {
  const of = (changes: Partial<SizedOptions>) => {
    const { maxStallMs, draftTokens, draftLookup } = nativeContextOptions(
      engineOptions(changes),
      64,
    );
    return [maxStallMs, draftTokens, draftLookup];
  };
  assert.deepEqual(of({}), [undefined, undefined, undefined]);
  const speculation = { lookup: true, draftModelPath: null, mostTokens: 6 };
  assert.deepEqual(of({ maxStallMs: 40, speculation }), [40, 6, true]);
});

test('a request may use what is wanted, capped at what the model was trained for', () => {
  assert.equal(requestTokens(4096, 2048), 2048);
  assert.equal(requestTokens(1024, 2048), 1024);
  assert.equal(requestTokens(4096, 0), 4096);
});

test('a quantised V cache turns flash attention from auto to on, and leaves a word alone', () => {
  const flash = (changes: Partial<SizedOptions>) =>
    nativeContextOptions(engineOptions(changes), 64).flashAttention;
  assert.equal(flash({}), -1);
  assert.equal(flash({ cacheTypeK: 'q8_0' }), -1);
  assert.equal(flash({ cacheTypeV: 'bf16' }), -1);
  assert.equal(flash({ cacheTypeV: 'q8_0' }), 1);
  assert.equal(flash({ cacheTypeV: 'q8_0', flashAttention: 'off' }), 0);
});

test('cache types and RoPE scaling go over as the library numbers them', () => {
  const native = nativeContextOptions(
    engineOptions({ cacheTypeK: 'q5_1', cacheTypeV: 'iq4_nl', ropeScaling: 'yarn' }),
    64,
  );
  assert.equal(native.typeK, 7);
  assert.equal(native.typeV, 20);
  assert.equal(native.ropeScaling, 2);
});

test('model options that nobody set are absent, so that the library decides', () => {
  const plain = nativeModelOptions(engineOptions());
  assert.ok(!('mainGpu' in plain) && !('tensorSplit' in plain) && !('cpuExpertLayers' in plain));
  const full = nativeModelOptions(
    engineOptions({ mainGpu: 0, tensorSplit: [1], cpuExpertLayers: 2 }),
  );
  assert.deepEqual([full.mainGpu, full.tensorSplit, full.cpuExpertLayers], [0, [1], 2]);
});

test('logit bias becomes two arrays, absent options their neutral numbers', () => {
  const sampling = { ...GREEDY, logitBias: [[3, -100] as const, [9, 1.5] as const] };
  const native = nativeRequest(request('a', { sampling }), 7);
  assert.deepEqual([...native.biasTokens], [3, 9]);
  assert.deepEqual([...native.biasValues], [-100, 1.5]);
  assert.deepEqual([native.maxTokens, native.grammar, native.logprobs], [7, null, -1]);
});

test('every step that is not asked for is off, and what is asked for goes through as it is', () => {
  const steps: Partial<SamplingOptions> = {
    ...{ typicalP: 0.9, topNSigma: 2, xtcProbability: 0.5, xtcThreshold: 0.2 },
    ...{ mirostatTau: 3, mirostatEta: 0.2, dynatempRange: 0.3, dynatempExponent: 2 },
    mirostat: 2,
    samplers: ['xtc', 'temperature'],
    grammar: Int32Array.of(1, 1, 3, 1, 5, 0),
  };
  const off = {
    ...{ typicalP: 1, topNSigma: 0, xtcProbability: 0, xtcThreshold: 0.1, mirostat: 0 },
    ...{ mirostatTau: 5, mirostatEta: 0.1, dynatempRange: 0, dynatempExponent: 1 },
    ...{ samplers: SAMPLERS, grammar: null },
  };
  const of = (changes: Partial<SamplingOptions>) => {
    const native = nativeRequest(request('a', { sampling: { ...GREEDY, ...changes } }), 7);
    const names = Object.keys(off) as (keyof typeof off)[];
    return Object.fromEntries(names.map((name) => [name, native[name]]));
  };
  assert.deepEqual(of({}), off);
  assert.deepEqual(of(steps), steps);
});

const done = {
  reason: 'length',
  code: null,
  message: null,
  promptTokens: 1,
  cachedTokens: 0,
  generatedTokens: 2,
  draftedTokens: 0,
  acceptedTokens: 0,
  prefillMs: 1,
  generationMs: 1,
  slot: 0,
} as const;

const batch = {
  tokens: Int32Array.of(5, 6),
  bytes: Uint8Array.of(5, 6),
  ends: Int32Array.of(1, 2),
  flags: new Uint8Array(2),
  logprobs: null,
  topTokens: null,
  promptLogprobs: null,
  promptTopTokens: null,
  prefilledTokens: 1,
  done: null,
};

test('reaching the room left is reported as context, reaching maxTokens as length', () => {
  const reason = (roomBound: boolean) => {
    const { end } = toNews(1, { ...batch, done }, roomBound);
    return end && 'result' in end ? end.result.reason : null;
  };
  assert.equal(reason(true), 'context');
  assert.equal(reason(false), 'length');
});

test('guessed tokens are counted where the addon tells of them', () => {
  const counts = (more: object) => {
    const { end } = toNews(1, { ...batch, done: { ...done, ...more } }, false);
    return end && 'result' in end ? [end.result.draftedTokens, end.result.acceptedTokens] : null;
  };
  assert.deepEqual(counts({}), [0, 0]);
  assert.deepEqual(counts({ draftedTokens: 7, acceptedTokens: 4 }), [7, 4]);
});

test('a failure keeps its code and its reason; an unknown code becomes decode_failed', () => {
  const error = (code: string | null) => {
    const failed = { ...done, reason: 'error', code, message: 'why' } as const;
    const { end } = toNews(1, { ...batch, done: failed }, false);
    return end && 'error' in end ? end.error : null;
  };
  assert.equal(error('grammar_invalid')?.code, 'grammar_invalid');
  assert.equal(error('grammar_invalid')?.details.reason, 'why');
  assert.equal(error('nonsense')?.code, 'decode_failed');
  assert.equal(error('nonsense')?.reason, 'why');
});

test('log-probabilities are given per token, the chosen one first and the best in order', () => {
  const { batch: tokens } = toNews(
    1,
    {
      ...batch,
      logprobs: Float32Array.of(-1, -0.5, -2, -3, -0.25, -4),
      topTokens: Int32Array.of(10, 11, 12, 13),
    },
    false,
  );
  assert.deepEqual(tokens?.logprobs, [
    {
      logprob: -1,
      top: [
        [10, -0.5],
        [11, -2],
      ],
    },
    {
      logprob: -3,
      top: [
        [12, -0.25],
        [13, -4],
      ],
    },
  ]);
});

test('those of a prompt are news also before anything is generated', () => {
  const none = { ...batch, tokens: new Int32Array(), bytes: new Uint8Array() };
  const prompt = {
    promptLogprobs: Float32Array.of(-1, -0.5, -2, -0.25),
    promptTopTokens: Int32Array.of(10, 11),
  };
  const { batch: told } = toNews(1, { ...none, ...prompt }, false);
  assert.deepEqual(told?.promptLogprobs, [
    { logprob: -1, top: [[10, -0.5]] },
    { logprob: -2, top: [[11, -0.25]] },
  ]);
  const empty = { promptLogprobs: new Float32Array(), promptTopTokens: new Int32Array() };
  assert.equal(toNews(1, { ...none, ...empty }, false).batch, null);
  assert.equal(nativeRequest(request('ab', { promptLogprobs: 3 }), 1).promptLogprobs, 3);
  assert.equal(nativeRequest(request('ab'), 1).promptLogprobs, -1);
});

test('only a request of the priority batch is one for the background', () => {
  const background = (changes: Parameters<typeof request>[1]) =>
    nativeRequest(request('a', changes), 1).background;
  assert.deepEqual(
    [{}, { priority: 'interactive' } as const, { priority: 'batch' } as const].map(background),
    [false, false, true],
  );
});

test('what an addon does not count is zero, and what nobody knows is left out', () => {
  const counted = countersOf({ steps: 3, ...{ unheardOf: 1 } });
  assert.deepEqual(Object.keys(counted), ENGINE_COUNTERS);
  assert.deepEqual([counted.steps, counted.draftedTokens], [3, 0]);
});

test('with zero alternatives only the chosen token has a value', () => {
  const { batch: tokens } = toNews(
    1,
    { ...batch, logprobs: Float32Array.of(-1, -2), topTokens: null },
    false,
  );
  assert.deepEqual(tokens?.logprobs, [
    { logprob: -1, top: [] },
    { logprob: -2, top: [] },
  ]);
});
