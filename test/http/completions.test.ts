import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoshikageError } from '../../src/errors.js';
import { COMPLETION_FIELDS } from '../../src/http/schema/completions.js';
import { errorOf, eventsOf, type FakeAppOptions, fakeApp, renderer } from '../helpers/fake-app.js';
import { FakeEngine, type Step } from '../helpers/fake-engine.js';
import { EOG, letters, type SaidPiece, SayingEngine } from '../helpers/saying-engine.js';

after(() => renderer.close());

function completions(options: FakeAppOptions = {}) {
  const set = fakeApp(options);
  const ask = (more: object = {}, headers: Record<string, string> = {}) =>
    set.post('/v1/completions', { model: 'm', prompt: 'Once', ...more }, headers);
  const answer = async (more: object = {}) => {
    const response = await ask(more);
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()) as Answer; // each test says what must be in it
  };
  const stream = async (more: object = {}) => {
    const events = await eventsOf(await ask({ stream: true, ...more }));
    assert.equal(events.pop(), '[DONE]');
    return events as Answer[]; // chunks but for [DONE]
  };
  return { ...set, ask, answer, stream };
}

interface Answer {
  readonly id: string;
  readonly created: number;
  readonly system_fingerprint: string;
  readonly choices: readonly {
    readonly text: string;
    readonly index: number;
    readonly logprobs: Columns | null;
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly completion_tokens: number } | null;
  readonly timings?: object;
}

interface Columns {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Record<string, number> | null)[];
  readonly text_offset: readonly number[];
}

const saying = (...answers: readonly (readonly SaidPiece[])[]) => new SayingEngine(answers);
const engineWith = (...script: readonly Step[]) => new FakeEngine({ script });
const fim = { prefix: 310, suffix: 311, middle: 312, repository: null, separator: null };

describe('completions: a JSON answer', () => {
  it('has every key of the contract', async () => {
    const { id, created, system_fingerprint, ...rest } = await completions().answer();
    assert.match(id, /^cmpl-/);
    assert.ok(Math.abs(created - Date.now() / 1000) < 60);
    assert.match(system_fingerprint, /^fp_[0-9a-f]{16}$/);
    assert.deepEqual(rest, {
      object: 'text_completion',
      model: 'm',
      choices: [{ text: 'Hello world', index: 0, logprobs: null, finish_reason: 'stop' }],
      usage: {
        prompt_tokens: 4,
        completion_tokens: 3,
        total_tokens: 7,
        prompt_tokens_details: { cached_tokens: 0 },
        completion_tokens_details: { reasoning_tokens: 0 },
      },
      timings: {
        queue_ms: 1,
        load_ms: 2,
        recall_ms: 0,
        prefill_ms: 10,
        generation_ms: 20,
        retried_ms: 0,
        prefill_tokens_per_second: 400,
        generation_tokens_per_second: 150,
      },
    });
  });

  it('continues texts, tokens, and several of either, in their order', async () => {
    for (const [prompt, sent] of [
      ['ab', [[97, 98]]] as const,
      [[7, 8], [[7, 8]]] as const,
      [
        ['a', 'b'],
        [[97], [98]],
      ] as const,
      [
        [[7], [8]],
        [[7], [8]],
      ] as const,
    ]) {
      const { answer, engine } = completions();
      const { choices } = await answer({ prompt });
      assert.deepEqual(
        choices.map(({ index }) => index),
        sent.map((_, index) => index),
      );
      assert.deepEqual(
        engine.started.map(({ request }) => [...request.prompt]),
        sent,
      );
    }
  });

  it('counts choices over prompts: prompt × n + choice', async () => {
    const engine = saying(...['a', 'b', 'c', 'd'].map((one) => [...letters(one), EOG]));
    const { choices } = await completions({ engine }).answer({ prompt: ['x', 'y'], n: 2 });
    assert.deepEqual(
      choices.map(({ index, text }) => [index, text]),
      [
        [0, 'a'],
        [1, 'b'],
        [2, 'c'],
        [3, 'd'],
      ],
    );
  });

  it('gives the likeliest of best_of', async () => {
    const engine = saying([...letters('bad', -2), EOG], [...letters('good', -1), EOG]);
    const { choices, usage } = await completions({ engine }).answer({ best_of: 2 });
    assert.deepEqual(
      choices.map(({ index, text, logprobs }) => [index, text, logprobs]),
      [[0, 'good', null]],
    );
    assert.equal(usage?.completion_tokens, 9);
  });

  it('has the prompt before it with echo, or is the prompt alone', async () => {
    const { answer, engine } = completions();
    assert.equal((await answer({ echo: true })).choices[0]?.text, 'OnceHello world');
    const { choices } = await answer({ echo: true, max_tokens: 0 });
    assert.deepEqual([choices[0]?.text, choices[0]?.finish_reason], ['Once', 'length']);
    assert.equal(engine.started.length, 1);
  });

  it('fills what stands before a suffix', async () => {
    const { answer, engine } = completions({ engine: new FakeEngine({ model: { fim } }) });
    await answer({ prompt: 'a', suffix: 'b' });
    assert.deepEqual([...(engine.started[0]?.request.prompt ?? [])], [310, 97, 311, 98, 312]);
    // An empty one asks for nothing.
    await answer({ prompt: 'a', suffix: '' });
    assert.deepEqual([...(engine.started[1]?.request.prompt ?? [])], [97]);
  });

  it('ends by max_tokens and by stop strings', async () => {
    const { answer } = completions();
    const short = (await answer({ max_tokens: 1 })).choices[0];
    assert.deepEqual([short?.text, short?.finish_reason], ['Hello', 'length']);
    const stopped = (await answer({ stop: ['xx', 'wor'] })).choices[0];
    assert.deepEqual([stopped?.text, stopped?.finish_reason], ['Hello ', 'stop']);
  });

  it('hands every sampling field on', async () => {
    const { answer, engine } = completions();
    await answer({
      ...{ temperature: 0.5, top_p: 0.6, top_k: 7, min_p: 0.1, typical_p: 0.9, top_n_sigma: 2 },
      ...{ xtc_probability: 0.3, xtc_threshold: 0.2, mirostat: 2, mirostat_tau: 4 },
      ...{ mirostat_eta: 0.2, dynatemp_range: 0.4, dynatemp_exponent: 2, samplers: ['top_k'] },
      ...{ seed: 11, presence_penalty: 0.5, frequency_penalty: 0.6, repeat_penalty: 1.2 },
      ...{ repeat_last_n: 5, dry_multiplier: 0.8, dry_base: 2, dry_allowed_length: 3 },
      ...{ dry_penalty_last_n: 9, dry_sequence_breakers: ['.'], logit_bias: { 5: -1 } },
      ...{ ignore_eos: true, cache_prompt: false },
    });
    const { sampling, cachePrompt } = engine.started[0]?.request ?? {};
    assert.equal(cachePrompt, false);
    assert.deepEqual(sampling, {
      ...{ temperature: 0.5, topP: 0.6, topK: 7, minP: 0.1, typicalP: 0.9, topNSigma: 2 },
      ...{ xtcProbability: 0.3, xtcThreshold: 0.2, mirostat: 2, mirostatTau: 4 },
      ...{ mirostatEta: 0.2, dynatempRange: 0.4, dynatempExponent: 2, samplers: ['top_k'] },
      ...{ seed: 11, presencePenalty: 0.5, frequencyPenalty: 0.6, repeatPenalty: 1.2 },
      ...{ repeatLastN: 5, dryMultiplier: 0.8, dryBase: 2, dryAllowedLength: 3 },
      ...{ dryPenaltyLastN: 9, drySequenceBreakers: ['.'], logitBias: [[5, -1]] },
      ignoreEos: true,
    });
  });

  it('has a turn as the request wants it', async () => {
    const { ask, pool, engine } = completions();
    await ask({ keep_alive: '5m' }, { 'x-hoshikage-priority': 'batch' });
    const [asked] = pool.asked;
    assert.deepEqual([asked?.priority, asked?.keepAliveMs], ['batch', 300_000]);
    assert.equal(engine.started[0]?.request.priority, 'batch', 'the engine is told as well');
  });
});

describe('completions: log-probabilities', () => {
  const script = [
    { token: 97, text: 'a', logprob: -1, top: [[98, -0.5] as const, [97, -1] as const] },
    { token: 0xe6, text: Uint8Array.of(0xe6), logprob: -2, top: [[0xe6, -2] as const] },
    { token: 0x98, text: Uint8Array.of(0x98, 0x9f), logprob: -3, top: [[98, -0.1] as const] },
    EOG,
  ];

  it('are columns: the text of each token, its own value, the likeliest with it', async () => {
    const { choices } = await completions({ engine: saying(script) }).answer({ logprobs: 1 });
    assert.equal(choices[0]?.text, 'a星');
    assert.deepEqual(choices[0]?.logprobs, {
      tokens: ['a', 'bytes:\\xe6', 'bytes:\\x98\\x9f'],
      token_logprobs: [-1, -2, -3],
      top_logprobs: [
        { b: -0.5, a: -1 },
        { 'bytes:\\xe6': -2 },
        { b: -0.1, 'bytes:\\x98\\x9f': -3 },
      ],
      text_offset: [0, 1, 1],
    });
    const own = await completions({ engine: saying(script) }).answer({ logprobs: 0 });
    assert.deepEqual(own.choices[0]?.logprobs?.top_logprobs[0], { a: -1 });
  });

  it('are of the prompt too with echo, whose first token has none', async () => {
    const { answer } = completions({ engine: saying([...letters('b', -2), EOG]) });
    const { choices } = await answer({ logprobs: 1, echo: true, prompt: 'ca' });
    assert.deepEqual(choices[0], {
      ...{ text: 'cab', index: 0, finish_reason: 'stop' },
      logprobs: {
        tokens: ['c', 'a', 'b', ''],
        token_logprobs: [null, -0.97, -2, 0],
        top_logprobs: [null, { a: -1 }, { b: -2 }, { '': 0 }],
        text_offset: [0, 1, 2, 3],
      },
    });
    const alone = await answer({ logprobs: 0, echo: true, max_tokens: 0 });
    assert.deepEqual(alone.choices[0]?.logprobs, {
      tokens: ['O', 'n', 'c', 'e'],
      token_logprobs: [null, -1.1, -0.99, -1.01],
      top_logprobs: [null, { n: -1.1 }, { c: -0.99 }, { e: -1.01 }],
      text_offset: [0, 1, 2, 3],
    });
    assert.deepEqual([alone.choices[0]?.text, alone.usage?.completion_tokens], ['Once', 0]);
  });

  it('of a prompt come with it in a stream, once for each answer', async () => {
    const chunks = await completions({ engine: saying([...letters('b'), EOG]) }).stream({
      ...{ logprobs: 0, echo: true, prompt: 'ca', n: 2 },
    });
    const rows = chunks.flatMap(({ choices }) =>
      choices.flatMap(({ index, text, logprobs }) =>
        logprobs ? [[index, text, logprobs.tokens, logprobs.text_offset]] : [],
      ),
    );
    assert.deepEqual(rows, [
      [0, 'cab', ['c', 'a', 'b'], [0, 1, 2]],
      [0, '', [''], [3]],
      [1, 'cab', ['c', 'a', 'b'], [0, 1, 2]],
      [1, '', [''], [3]],
    ]);
  });

  it('of an answer without a word are empty columns', async () => {
    const { choices } = await completions({ engine: saying([EOG]) }).answer({ logprobs: 1 });
    assert.deepEqual(choices[0]?.logprobs, {
      ...{ tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] },
    });
  });

  it('come with their text in a stream, with their places in the whole of it', async () => {
    const chunks = await completions({ engine: saying(script) }).stream({ logprobs: 0 });
    const columns = chunks.flatMap(({ choices }) => choices[0]?.logprobs ?? []);
    assert.deepEqual(
      columns.flatMap(({ text_offset: offset }) => offset),
      [0, 1, 1],
    );
    assert.equal(chunks.at(-1)?.choices[0]?.logprobs, null);
  });
});

describe('completions: a stream', () => {
  it('is text, then a reason of its end for each choice, then [DONE]', async () => {
    const response = await completions().ask({ stream: true });
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    const chunks = await completions().stream({ n: 2, echo: true });
    assert.deepEqual(
      chunks.map(({ choices: [one] }) => [one?.index, one?.text, one?.finish_reason]),
      [
        [0, 'OnceHello', null],
        [0, ' world', null],
        [0, '', 'stop'],
        [1, 'OnceHello', null],
        [1, ' world', null],
        [1, '', 'stop'],
      ],
    );
    assert.deepEqual(
      chunks.map((chunk) => 'timings' in chunk),
      [false, false, false, false, false, true],
    );
    assert.equal(new Set(chunks.map(({ id, created }) => `${id} ${created}`)).size, 1);
    assert.ok(chunks.every((chunk) => !('usage' in chunk)));
  });

  it('has a usage chunk with include_usage, and usage null in all others', async () => {
    const chunks = await completions().stream({ stream_options: { include_usage: true } });
    const last = chunks.pop();
    assert.deepEqual([last?.choices, last?.usage?.completion_tokens], [[], 3]);
    assert.ok(chunks.every(({ usage }) => usage === null));
  });

  it('gives an error before the first text its own status, and a later one as an event', async () => {
    const failing = new HoshikageError('engine_crashed');
    const early = await completions({ engine: engineWith({ fail: failing }) }).ask({
      stream: true,
    });
    assert.equal(early.status, 503);
    const engine = engineWith('Hello', { fail: failing });
    const events = await eventsOf(await completions({ engine }).ask({ stream: true, echo: true }));
    const [text, last, ...rest] = events as [Answer, { error: { code: string } }];
    assert.deepEqual(
      [text.choices[0]?.text, last.error.code, rest],
      ['OnceHello', 'engine_crashed', []],
    );
    const long = completions({ engine: new FakeEngine({ contextTokens: 4 }) });
    const refused = await long.ask({ stream: true });
    const { code, param, n_prompt_tokens: count, n_ctx: limit } = await errorOf(refused);
    assert.deepEqual([refused.status, code, param], [400, 'context_length_exceeded', 'prompt']);
    assert.deepEqual([count, limit], [4, 4]);
  });

  it('ends what it does when its client goes, streamed or not', async () => {
    for (const stream of [true, false]) {
      const engine = engineWith('a', { waitMs: 60_000 }, 'b');
      const { app, pool } = completions({ engine });
      const going = new AbortController();
      const request = new Request('http://localhost/v1/completions', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'm', prompt: 'a', stream }),
        signal: going.signal,
      });
      const response = app.request(request);
      if (stream) await (await response).body?.cancel();
      else {
        while (engine.started.length === 0) await sleep(2);
        going.abort();
        assert.equal((await response).status, 499);
      }
      while (pool.released === 0) await sleep(2);
      assert.equal(engine.started[0]?.cancelled, true);
    }
  });
});

describe('completions: what is refused and what is not used', () => {
  it('is refused by its name', async () => {
    const cases: readonly (readonly [object, string])[] = [
      [{ prompt: undefined }, 'prompt'],
      [{ prompt: {} }, 'prompt'],
      [{ prompt: [] }, 'prompt'],
      [{ prompt: '' }, 'prompt'],
      [{ prompt: ['a', ''] }, 'prompt[1]'],
      [{ prompt: ['a', 1] }, 'prompt[1]'],
      [{ prompt: [1, 'a'] }, 'prompt[1]'],
      [{ prompt: [1, 400] }, 'prompt[1]'],
      [{ prompt: [[1], []] }, 'prompt[1]'],
      [{ prompt: [[1], [2, -1]] }, 'prompt[1][1]'],
      [{ prompt: Array(33).fill('a') }, 'prompt'],
      [{ prompt: 'x'.repeat(2 ** 20 + 1) }, 'prompt'],
      [{ prompt: Array(9).fill('a'), n: 8 }, 'n'],
      [{ prompt: Array(9).fill('a'), best_of: 8 }, 'best_of'],
      [{ n: 9 }, 'n'],
      [{ n: 0 }, 'n'],
      [{ n: 2, best_of: 1 }, 'best_of'],
      [{ best_of: 9 }, 'best_of'],
      [{ best_of: 2, stream: true }, 'best_of'],
      [{ echo: 1 }, 'echo'],
      [{ logprobs: 21 }, 'logprobs'],
      [{ logprobs: true }, 'logprobs'],
      [{ max_tokens: 0 }, 'max_tokens'],
      [{ max_tokens: -1 }, 'max_tokens'],
      [{ suffix: 'b' }, 'suffix'],
      [{ suffix: 1 }, 'suffix'],
      [{ stream_options: {} }, 'stream_options'],
      [{ response_format: { type: 'json_object' } }, 'response_format'],
      [{ json_schema: {} }, 'json_schema'],
      [{ logit_bias: { 400: 1 } }, 'logit_bias.400'],
      [{ keep_alive: 'x' }, 'keep_alive'],
      [{ grammar: 1 }, 'grammar'],
      [{ model: 7 }, 'model'],
    ];
    for (const [more, param] of cases) {
      const response = await completions().ask(more);
      const error = await errorOf(response);
      const shown = JSON.stringify(more).slice(0, 99);
      assert.deepEqual([response.status, error.param], [400, param], shown);
    }
    assert.equal((await completions().ask({ model: 'x' })).status, 404);
  });

  it('is named in a header, or refused with STRICT_FIELDS', async () => {
    const more = { user: 'u', store: true, mood: 1, response_format: { type: 'text' } };
    for (const stream of [false, true]) {
      const response = await completions().ask({ ...more, stream });
      assert.equal(response.headers.get('x-hoshikage-ignored'), 'user,store,mood');
    }
    const strict = await completions({ settings: { STRICT_FIELDS: '1' } }).ask({ mood: 1 });
    const { code, param } = await errorOf(strict);
    assert.deepEqual([code, param], ['unknown_parameter', 'mood']);
  });

  it('null asks for the default everywhere', async () => {
    const nulls = Object.keys(COMPLETION_FIELDS).filter(
      (name) => !['model', 'prompt'].includes(name),
    );
    const response = await completions().ask(Object.fromEntries(nulls.map((name) => [name, null])));
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('x-hoshikage-ignored'), null);
  });
});

describe('completions: choices side by side', () => {
  /** The shorter an answer, the earlier it ends. */
  const uneven = () => {
    const answers = [letters('long'), letters('mid'), letters('s')].map((said) => [...said, EOG]);
    const set = completions({ engine: new SayingEngine(answers) });
    set.pool.spareSlots = 2;
    return set;
  };

  it('are given in the order of their numbers, whichever ended first', async () => {
    const set = uneven();
    const { choices } = await set.answer({ n: 3 });
    assert.deepEqual(
      choices.map(({ index, text, finish_reason: finish }) => [index, text, finish]),
      [
        [0, 'long', 'stop'],
        [1, 'mid', 'stop'],
        [2, 's', 'stop'],
      ],
    );
    assert.equal(set.pool.takenSlots, 0);
  });

  it('are compared as they are where the best is asked for', async () => {
    const answers = [letters('a', -3), letters('b', -1), letters('c', -2)];
    const set = completions({ engine: new SayingEngine(answers.map((said) => [...said, EOG])) });
    set.pool.spareSlots = 2;
    const { choices } = await set.answer({ n: 2, best_of: 3 });
    assert.deepEqual(
      choices.map(({ text }) => text),
      ['b', 'c'],
    );
  });
});
