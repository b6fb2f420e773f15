/** Prompts told with log-probabilities: every token once, at its place, joined to the text. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TextEvent } from '../../src/text/request.js';
import type { FakeEngineOptions } from '../helpers/fake-engine.js';
import { EOG, letters, SayingEngine } from '../helpers/saying-engine.js';
import { ask, refusal, run, setUp, withModel } from '../helpers/text-requests.js';

describe('log-probabilities of a prompt', () => {
  type Row = readonly [string, number | null, number, number | undefined];
  const rowsOf = (events: readonly TextEvent[], choice = 0): Row[] =>
    events.flatMap((event) =>
      event.type === 'text' && event.choice === choice
        ? (event.logprobs ?? []).map(
            ({ bytes, logprob, offset, top }): Row => [
              Buffer.from(bytes).toString(),
              ...([logprob, offset, top?.length] as const),
            ],
          )
        : [],
    );
  const more = { echo: true, topLogprobs: 2 };
  const saying = (text = 'xy', model: FakeEngineOptions['model'] = {}) =>
    setUp(new SayingEngine([[...letters(text, -3), EOG]], { model }));

  test('stand before those of the answer, at their places in both texts together', async () => {
    const set = saying();
    const { events, texts, end } = await run(set, ask({ ...more, prompts: ['星a'] }));
    assert.deepEqual(texts, ['星axy']);
    const parts = [...Buffer.from('星')];
    const bytes = parts.map((byte) => Buffer.of(byte).toString());
    assert.deepEqual(rowsOf(events), [
      [bytes[0], null, 0, undefined],
      [bytes[1], -(parts[1] ?? 0) / 100, 0, 2],
      [bytes[2], -(parts[2] ?? 0) / 100, 0, 2],
      ['a', -0.97, 1, 2],
      ['x', -3, 2, 0],
      ['y', -3, 3, 0],
      // The end is a token too, and says nothing.
      ['', 0, 4, 0],
    ]);
    const [{ request } = {}] = set.engine.started;
    assert.deepEqual([request?.promptLogprobs, request?.sampling.logprobs], [2, 2]);
    // Nothing that is saved helps with them.
    assert.equal(set.pool.recalled.length, 0);
    assert.deepEqual([end.usage.promptTokens, end.usage.completionTokens], [4, 3]);
  });

  test('come without an answer too, and cost the computation of the prompt', async () => {
    const set = saying();
    const { events, texts, end } = await run(set, ask({ ...more, maxTokens: 0 }));
    assert.deepEqual(texts, ['Once']);
    assert.deepEqual(
      rowsOf(events).map(([text, logprob]) => [text, logprob]),
      [
        ['O', null],
        ['n', -1.1],
        ['c', -0.99],
        ['e', -1.01],
      ],
    );
    assert.equal(set.engine.started[0]?.request.maxTokens, 1);
    assert.deepEqual([end.usage.promptTokens, end.usage.completionTokens], [4, 0]);
    const small = withModel({}, { contextTokens: 4 });
    const { code } = await refusal(small, ask({ ...more, maxTokens: 0 }));
    assert.equal(code, 'context_length_exceeded');
  });

  test('of one token are none, and nothing is computed for them', async () => {
    const set = saying();
    const { events } = await run(set, ask({ ...more, prompts: ['a'], maxTokens: 0 }));
    assert.deepEqual(rowsOf(events), [['a', null, 0, undefined]]);
    assert.equal(set.engine.started.length, 0);
  });

  test('are computed once for all answers to it, and do not count when the best is chosen', async () => {
    const drafts = [
      [...letters('low', -3), EOG],
      [...letters('hi', -0.5), EOG],
    ];
    const set = setUp(new SayingEngine(drafts));
    const { events, texts } = await run(set, ask({ ...more, choices: 1, bestOf: 2 }));
    assert.deepEqual(texts, ['Oncehi']);
    assert.deepEqual(
      rowsOf(events).map(([text, logprob]) => [text, logprob]),
      [
        ['O', null],
        ['n', -1.1],
        ['c', -0.99],
        ['e', -1.01],
        ['h', -0.5],
        ['i', -0.5],
        ['', 0],
      ],
    );
    assert.deepEqual(
      set.engine.started.map(({ request }) => [request.promptLogprobs, request.cachePrompt]),
      [
        [2, true],
        [undefined, true],
      ],
    );
  });

  test('have a row for a BOS that the model wants, which says nothing', async () => {
    const set = saying('x', { addBos: true, controlTexts: ['<|im_start|>', '<|im_end|>'] });
    set.engine.detokenize = async ([token = 0]) =>
      Buffer.from(token === 1 ? '<|im_start|>' : String.fromCharCode(token));
    const { events, texts } = await run(set, ask({ ...more, prompts: ['ab'], maxTokens: 0 }));
    assert.deepEqual(texts, ['ab']);
    assert.deepEqual(
      rowsOf(events).map(([text, logprob, offset]) => [text, logprob, offset]),
      [
        ['', null, 0],
        ['a', -0.97, 0],
        ['b', -0.98, 1],
      ],
    );
  });

  test('have control texts as such where the prompt has them', async () => {
    const prompts = ['a<|im_end|>b', Int32Array.of(97, 301)];
    const { events, texts } = await run(saying(), ask({ ...more, prompts, maxTokens: 0 }));
    assert.deepEqual(texts, ['a<|im_end|>b', 'a<|im_end|>']);
    const rows = rowsOf(events).map(([text, , offset]) => [text, offset]);
    assert.deepEqual(rows, [
      ['a', 0],
      ['<|im_end|>', 1],
      ['b', 11],
    ]);
    assert.equal(rowsOf(events, 1).at(-1)?.[0], '<|im_end|>');
  });

  test('join to the prompt though its tokens have a space before it, or else to what was read', async () => {
    const withPieces = async (prompt: string, pieces: readonly string[]) => {
      const set = saying();
      set.engine.tokenize = async () => Int32Array.from(pieces, (_, index) => index);
      set.engine.detokenize = async ([token = 0]) => Buffer.from(pieces[token] ?? 'top');
      const { events, texts } = await run(set, ask({ ...more, prompts: [prompt], maxTokens: 0 }));
      const rows = rowsOf(events);
      assert.equal(rows.map(([text]) => text).join(''), texts[0]);
      return rows.map(([text]) => text);
    };
    assert.deepEqual(await withPieces('a b', [' a', ' b']), ['a', ' b']);
    assert.deepEqual(await withPieces(' a', [' ', ' a']), [' ', 'a']);
    assert.deepEqual(await withPieces('ｂcd', ['b', 'cd']), ['b', 'cd']);
    assert.deepEqual(await withPieces('aＢ', [' a', 'b']), ['a', 'b']);
  });

  test('are those of the text before a gap', async () => {
    const fim = { prefix: 310, suffix: 311, middle: 312, repository: null, separator: null };
    const gap = { before: 'be', after: 'af', extra: [] };
    const set = saying('x', { fim, addBos: true });
    const { events, texts } = await run(set, ask({ ...more, prompts: [gap], maxTokens: 0 }));
    assert.deepEqual(texts, ['be']);
    assert.deepEqual(rowsOf(events), [
      ['b', -0.98, 0, 2],
      ['e', -1.01, 1, 2],
    ]);
  });

  test('are refused where they would be far too many', async () => {
    const prompts = Array.from({ length: 32 }, () => 'x'.repeat(2000));
    const request = ask({ ...more, topLogprobs: 20, prompts });
    const { code, param, details } = await refusal(saying(), request);
    assert.deepEqual([code, param], ['invalid_value', 'logprobs']);
    assert.match(String(details.reason), /1344000$/);
    assert.match(String(details.reason_ja), /1344000/);
  });

  test('count a control token of the answer, also one that is always a stop string', async () => {
    const marks = ['<think>', '<|im_start|>'].map((text) => ({ token: 9, text, control: true }));
    const set = setUp(new SayingEngine([[...marks, ...letters('x')]]));
    const { events, texts } = await run(set, ask({ ...more, prompts: ['ab'] }));
    assert.deepEqual(texts, ['ab']);
    assert.deepEqual(
      rowsOf(events).map(([text, , offset]) => [text, offset]),
      [
        ['a', 0],
        ['b', 1],
        ['', 2],
        ['', 2],
      ],
    );
  });

  test('follow a stop string’s text without the tokens that it cut', async () => {
    const { events, texts } = await run(saying('abcd'), ask({ ...more, stop: ['cd'] }));
    assert.deepEqual(texts, ['Onceab']);
    assert.deepEqual(
      rowsOf(events)
        .slice(4)
        .map(([text]) => text),
      ['a', 'b'],
    );
  });
});
