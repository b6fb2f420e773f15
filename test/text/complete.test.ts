import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { completeText } from '../../src/text/complete.js';
import type { TextRequest } from '../../src/text/request.js';
import { FakeEngine } from '../helpers/fake-engine.js';
import { EOG, letters, SayingEngine } from '../helpers/saying-engine.js';
import { ask, config, refusal, run, setUp, withModel } from '../helpers/text-requests.js';

describe('a raw prompt', () => {
  test('is continued as it is, and the lease goes back', async () => {
    const set = setUp();
    const { events, texts, end, prompts } = await run(set);
    assert.deepEqual(
      events.map(({ type }) => type),
      ['start', 'text', 'text', 'finish', 'end'],
    );
    assert.deepEqual(texts, ['Hello world']);
    assert.deepEqual(prompts, [[...Buffer.from('Once')]]);
    const { promptTokens, completionTokens } = end.usage;
    assert.deepEqual([promptTokens, completionTokens], [4, 3]);
    assert.deepEqual([set.pool.given, set.pool.released], [1, 1]);
  });

  test('has its control texts parsed, and BOS where the model wants one', async () => {
    const set = withModel({ addBos: true, bosText: '<|im_start|>' });
    await run(set, ask({ prompts: ['a<|im_end|>', '<|im_start|>b'] }));
    assert.deepEqual(
      set.engine.started.map(({ request }) => [...request.prompt]),
      // The second one brings its own.
      [
        [1, 97, 301],
        [300, 98],
      ],
    );
  });

  test('may be tokens, which are taken as they are', async () => {
    const set = withModel({ addBos: true });
    const { prompts } = await run(set, ask({ prompts: [Int32Array.of(9, 301)] }));
    assert.deepEqual(prompts, [[9, 301]]);
  });

  test('is refused by its name where it cannot be computed', async () => {
    const small = () => withModel({}, { contextTokens: 8 });
    const long = await refusal(small(), ask({ prompts: ['a', 'x'.repeat(8)] }));
    assert.deepEqual([long.code, long.param], ['context_length_exceeded', 'prompt[1]']);
    assert.deepEqual([long.details.n_prompt_tokens, long.details.n_ctx], [8, 8]);
    const empty = await refusal(setUp(), ask({ prompts: [''] }));
    assert.deepEqual([empty.code, empty.param], ['invalid_value', 'prompt[0]']);
    const unknown = await refusal(setUp(), ask({ prompts: ['a', Int32Array.of(3, 400)] }));
    assert.deepEqual([unknown.code, unknown.param], ['invalid_value', 'prompt[1][1]']);
    const bias = await refusal(setUp(), ask({ sampling: { logitBias: [[400, 1]] } }));
    assert.equal(bias.param, 'logit_bias.400');
  });

  test('takes sampling from the request, else from the entry, else from the settings', async () => {
    const set = setUp(new FakeEngine(), { settings: { temperature: 0.7, topP: 0.5 } });
    await run(set, ask({ sampling: { temperature: 0, seed: 7 } }));
    const { temperature, topP, topK, seed } = set.engine.started[0]?.request.sampling ?? {};
    assert.deepEqual([temperature, topP, topK, seed], [0, 0.5, 40, 7]);
  });

  test('is limited by the request, else by the entry, else by the settings', async () => {
    const limits = async (asked: number | undefined, entry: number | undefined) => {
      const settings = entry === undefined ? {} : { maxTokens: entry };
      const set = setUp(new FakeEngine(), { settings });
      await run(set, ask(asked === undefined ? {} : { maxTokens: asked }));
      return set.engine.started[0]?.request.maxTokens;
    };
    assert.deepEqual(
      await Promise.all([limits(5, 3), limits(undefined, 3), limits(undefined, undefined)]),
      [5, 3, -1],
    );
    assert.equal(await limits(-1, 3), -1);
  });

  test('ends as it ended: by the model, by a stop string, by the limit', async () => {
    const endOf = async (engine: FakeEngine, more: Partial<TextRequest> = {}) => {
      const { events, texts } = await run(setUp(engine), ask(more));
      const finish = events.find((event) => event.type === 'finish');
      return [texts[0], finish?.type === 'finish' && finish.ending];
    };
    assert.deepEqual(await endOf(new FakeEngine()), ['Hello world', 'eog']);
    assert.deepEqual(await endOf(new FakeEngine(), { stop: ['wor'] }), ['Hello ', 'word']);
    assert.deepEqual(await endOf(new FakeEngine(), { maxTokens: 1 }), ['Hello', 'limit']);
    const quiet = new FakeEngine({ script: ['a', { text: '', eog: true }] });
    assert.deepEqual(await endOf(quiet), ['a', 'eog']);
  });

  test('has a saved conversation brought back that it begins with, unless told not to', async () => {
    const set = setUp();
    await run(set, ask({ prompts: ['ab', 'cd'] }));
    assert.equal(set.pool.recalled.length, 2);
    await run(set, ask({ cachePrompt: false }));
    assert.equal(set.pool.recalled.length, 2);
    assert.deepEqual(
      set.engine.started.map(({ request }) => request.cachePrompt),
      [true, true, false],
    );
  });

  test('that had said nothing is run again when its engine is lost', async () => {
    const set = setUp();
    const start = set.engine.start.bind(set.engine);
    const whole = set.engine.script;
    set.engine.script = [{ fail: new HoshikageError('engine_crashed') }];
    set.engine.start = (request) => {
      const completion = start(request);
      set.engine.script = whole;
      return completion;
    };
    const { signal } = new AbortController();
    const deps = { ...set.deps, config: { ...config, retryOnCrash: true } };
    const types: string[] = [];
    for await (const { type } of completeText(deps, ask({ echo: true }), { signal })) {
      types.push(type);
    }
    assert.deepEqual(types, ['start', 'start', 'text', 'text', 'finish', 'end']);
    assert.deepEqual([set.pool.given, set.pool.released], [2, 2]);
  });

  test('ends with its client, in the middle of an answer too', async () => {
    const set = setUp(new FakeEngine({ script: ['a', { waitMs: 60_000 }, 'b'] }));
    const going = new AbortController();
    const events = completeText(set.deps, ask(), { signal: going.signal });
    await assert.rejects(
      async () => {
        for await (const { type } of events) if (type === 'text') going.abort();
      },
      { code: 'cancelled' },
    );
    assert.equal(set.engine.started[0]?.cancelled, true);
    assert.equal(set.pool.released, 1);
  });
});

describe('several answers', () => {
  test('count over prompts and choices, each with a seed of its own', async () => {
    const set = setUp(new SayingEngine(['a', 'b', 'c', 'd'].map((one) => [...letters(one), EOG])));
    const request = ask({ prompts: ['x', 'yy'], choices: 2, bestOf: 2, sampling: { seed: 5 } });
    const { texts, end } = await run(set, request);
    assert.deepEqual(texts, ['a', 'b', 'c', 'd']);
    assert.deepEqual(
      set.engine.started.map(({ request: { sampling, prompt } }) => [sampling.seed, prompt.length]),
      [
        [5, 1],
        [6, 1],
        [5, 2],
        [6, 2],
      ],
    );
    // A prompt counts once, however often it is answered.
    assert.deepEqual([end.usage.promptTokens, end.usage.completionTokens], [3, 8]);
    assert.deepEqual([set.pool.given, set.pool.released], [1, 1]);
  });

  test('share the prompt’s cache even where others’ is not to be used', async () => {
    const set = setUp();
    await run(set, ask({ choices: 2, bestOf: 2, cachePrompt: false }));
    assert.deepEqual(
      set.engine.started.map(({ request }) => request.cachePrompt),
      [false, true],
    );
  });

  test('of which the likeliest per token are given, the best first', async () => {
    const drafts = [
      [...letters('low', -3), EOG],
      // The sum is the lowest, the mean is not.
      [...letters('a long one', -1), EOG],
      [...letters('hi', -0.5), EOG],
    ];
    const set = setUp(new SayingEngine(drafts));
    const { texts, events, end } = await run(set, ask({ choices: 2, bestOf: 3 }));
    assert.deepEqual(texts, ['hi', 'a long one']);
    assert.ok(events.every((event) => event.type !== 'text' || event.logprobs === null));
    assert.deepEqual(
      events.flatMap((event) => (event.type === 'finish' ? [event.choice] : [])),
      [0, 1],
    );
    // What was thrown away was computed all the same.
    assert.equal(end.usage.completionTokens, 4 + 11 + 3);
    assert.ok(set.engine.started.every(({ request }) => request.sampling.logprobs === 0));
  });
});

describe('echo', () => {
  test('puts the prompt before the answer, with its first words', async () => {
    const set = setUp();
    const { events, texts } = await run(set, ask({ echo: true, prompts: ['a<|im_end|>'] }));
    assert.deepEqual(texts, ['a<|im_end|>Hello world']);
    const first = events.find((event) => event.type === 'text');
    assert.equal(first?.type === 'text' && first.text, 'a<|im_end|>Hello');
  });

  test('tells tokens as text, and what stands before a gap', async () => {
    const tokens = await run(setUp(), ask({ echo: true, prompts: [Int32Array.of(97, 301)] }));
    assert.deepEqual(tokens.texts, ['a<|im_end|>Hello world']);
    const fim = { prefix: 310, suffix: 311, middle: 312, repository: null, separator: null };
    const gap = { before: 'be', after: 'af', extra: [] };
    const filled = await run(withModel({ fim }), ask({ echo: true, prompts: [gap] }));
    assert.deepEqual(filled.texts, ['beHello world']);
  });

  test('alone is given without computing anything', async () => {
    const set = withModel({}, { contextTokens: 4 });
    const { texts, events, end } = await run(set, ask({ echo: true, maxTokens: 0 }));
    assert.deepEqual([texts, set.engine.started.length], [['Once'], 0]);
    assert.equal(events.at(-2)?.type, 'finish');
    assert.deepEqual([end.usage.promptTokens, end.usage.completionTokens], [4, 0]);
    assert.equal(set.pool.recalled.length, 0);
  });

  test('stands before an answer without a word', async () => {
    const set = setUp(new FakeEngine({ script: [{ text: '', eog: true }] }));
    assert.deepEqual((await run(set, ask({ echo: true }))).texts, ['Once']);
  });
});

describe('a prompt that is only to be computed', () => {
  test('leaves nothing but itself in the cache', async () => {
    const set = setUp();
    const { texts, end } = await run(set, ask({ maxTokens: 0, warms: true }));
    assert.deepEqual([texts, set.engine.started[0]?.request.maxTokens], [[], 1]);
    const { usage, timings } = end;
    assert.deepEqual([usage.promptTokens, usage.completionTokens], [4, 0]);
    assert.deepEqual([timings.prefillMs, timings.generationMs], [10, 0]);
  });
});

describe('log-probabilities', () => {
  test('have their places in the text, in characters', async () => {
    const script = [
      { token: 97, text: '🌠', logprob: -1, top: [[97, -1] as const, [98, -2] as const] },
      { token: 98, text: 'b', logprob: -2, top: [[98, -2] as const, [97, -3] as const] },
      EOG,
    ];
    const set = setUp(new SayingEngine([script]));
    const { events } = await run(set, ask({ topLogprobs: 2 }));
    const rows = events.flatMap((event) => (event.type === 'text' ? (event.logprobs ?? []) : []));
    assert.deepEqual(
      rows.map(({ token, logprob, offset, top }) => [token, logprob, offset, top?.length]),
      [
        [97, -1, 0, 2],
        [98, -2, 1, 2],
      ],
    );
    assert.equal(set.engine.started[0]?.request.sampling.logprobs, 2);
  });

  test('of a character that several tokens make belong to it', async () => {
    const bytes = new TextEncoder().encode('星');
    const parts = [...bytes].map((byte) => ({ token: byte, text: Uint8Array.of(byte) }));
    const set = setUp(new SayingEngine([[...letters('a'), ...parts, ...letters('b'), EOG]]));
    const { events } = await run(set, ask({ topLogprobs: 0 }));
    const rows = events.flatMap((event) => (event.type === 'text' ? (event.logprobs ?? []) : []));
    assert.deepEqual(
      rows.map(({ offset }) => offset),
      [0, 1, 1, 1, 2],
    );
  });

  test('end where a stop string begins', async () => {
    const set = setUp(new SayingEngine([[...letters('abcd'), EOG]]));
    const { events, texts } = await run(set, ask({ topLogprobs: 0, stop: ['cd'] }));
    const rows = events.flatMap((event) => (event.type === 'text' ? (event.logprobs ?? []) : []));
    assert.deepEqual([texts, rows.map(({ token }) => token)], [['ab'], [97, 98]]);
  });
});

describe('a gap', () => {
  const marks = { prefix: 310, suffix: 311, middle: 312, repository: null, separator: null };
  const gap = { before: 'a<|im_end|>', after: 'b', extra: [] };
  const plainEnd = [...Buffer.from('<|im_end|>')];

  test('is filled between its two texts, in which control texts stay text', async () => {
    const set = withModel({ fim: marks, addBos: true });
    const { prompts } = await run(set, ask({ prompts: [gap] }));
    assert.deepEqual(prompts, [[1, 310, 97, ...plainEnd, 311, 98, 312]]);
  });

  test('may have tokens before it', async () => {
    const set = withModel({ fim: marks });
    const { prompts } = await run(set, ask({ prompts: [{ ...gap, before: Int32Array.of(301) }] }));
    assert.deepEqual(prompts, [[310, 301, 311, 98, 312]]);
  });

  test('is refused where the model cannot fill any', async () => {
    for (const fim of [undefined, { ...marks, suffix: null }]) {
      const set = withModel(fim ? { fim } : {});
      const { code, param, details } = await refusal(set, ask({ prompts: [gap] }));
      assert.deepEqual([code, param], ['invalid_value', 'suffix']);
      assert.match(String(details.reason), /FIM/);
      assert.match(String(details.reason_ja), /FIM/);
    }
  });

  test('has other texts before it, in the model’s form or as plain text', async () => {
    const extra = [
      { name: 'x.ts', text: 'X' },
      { name: '', text: 'Y' },
    ];
    const textOf = async (fim: typeof marks | object) => {
      const set = withModel({ fim: { ...marks, ...fim }, addBos: true });
      const { prompts } = await run(set, ask({ prompts: [{ ...gap, before: '', extra }] }));
      return (prompts[0] ?? [])
        .map((token) => (token < 256 && token > 1 ? String.fromCharCode(token) : `[${token}]`))
        .join('');
    };
    assert.equal(await textOf({}), '[1]x.ts\nX\n\nY\n\n[310][311]b[312]');
    assert.equal(
      await textOf({ repository: 313, separator: 314 }),
      '[1][313]repository\n[314]x.ts\nX\n[314]untitled\nY\n[314]current\n[310][311]b[312]',
    );
  });

  test('is refused as too long with all that belongs to it', async () => {
    const set = withModel({ fim: marks }, { contextTokens: 15 });
    const { code, details } = await refusal(set, ask({ prompts: [gap] }));
    assert.equal(code, 'context_length_exceeded');
    assert.deepEqual([details.n_prompt_tokens, details.n_ctx], [15, 15]);
  });
});
