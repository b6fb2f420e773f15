/** One answer to a prompt, over an engine that plays a script. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HoshikageError } from '../../src/errors.js';
import {
  type ChoiceEnd,
  type ChoicePlan,
  type Interjection,
  runChoice,
} from '../../src/generate/choice.js';
import { visibleText } from '../../src/generate/text.js';
import { FakeEngine, type Step } from '../helpers/fake-engine.js';

const EOG: Step = { text: '<|im_end|>', control: true, eog: true };
const sampling = {
  ...{ temperature: 0, topK: 0, topP: 1, minP: 0, seed: 1, repeatPenalty: 1, repeatLastN: 0 },
  ...{ presencePenalty: 0, frequencyPenalty: 0, logitBias: [], ignoreEos: false },
};
const prompt = Int32Array.of(65, 66);

function plan(more: Partial<ChoicePlan> = {}): ChoicePlan {
  return { prompt, maxTokens: -1, sampling, cachePrompt: false, stops: [], ...more };
}

async function run(engine: FakeEngine, what: ChoicePlan, signal = new AbortController().signal) {
  let text = '';
  let tokens = 0;
  let end: ChoiceEnd | null = null;
  for await (const news of runChoice(engine, what, signal)) {
    if ('end' in news) end = news.end;
    else if ('spoken' in news) {
      text += visibleText(news.spoken.runs);
      tokens += news.spoken.tokens.length;
    }
  }
  assert.ok(end);
  return { text, tokens, end };
}

describe('A choice', () => {
  test('is what the model says up to its end, with every token of it', async () => {
    const engine = new FakeEngine({ script: ['星', '影', EOG], cachedTokens: 1 });
    const { text, tokens, end } = await run(engine, plan());
    assert.equal(text, '星影');
    assert.equal(tokens, 3);
    assert.deepEqual(end, {
      ...{
        finishReason: 'stop',
        ending: 'eog',
        promptTokens: 2,
        cachedTokens: 1,
        completionTokens: 3,
      },
      ...{ prefillMs: 10, generationMs: 20, draftedTokens: 0, acceptedTokens: 0 },
    });
  });

  test('ends by `length` where its tokens are used up, by `stop` at a stop string', async () => {
    const cut = await run(new FakeEngine({ script: ['a', 'b', 'c'] }), plan({ maxTokens: 2 }));
    assert.deepEqual([cut.text, cut.end.finishReason], ['ab', 'length']);
    const engine = new FakeEngine({ script: ['a', 'x', 'b'] });
    const stopped = await run(engine, plan({ stops: ['x'] }));
    assert.deepEqual([stopped.text, stopped.end.finishReason], ['a', 'stop']);
    assert.equal(stopped.end.completionTokens, 2);
    assert.equal(engine.started[0]?.keepTokens, 2);
  });

  test('tells how likely its prompt was before the first word, where that is asked for', async () => {
    const engine = new FakeEngine({ script: ['a', EOG] });
    const told: unknown[] = [];
    const all = runChoice(engine, plan({ promptLogprobs: 1 }), new AbortController().signal);
    for await (const news of all) told.push('prompt' in news ? news.prompt : Object.keys(news)[0]);
    assert.deepEqual(told, [[{ logprob: -0.66, top: [[97, -1]] }], 'spoken', 'spoken', 'end']);
    await run(engine, plan());
    assert.equal(engine.started[1]?.request.promptLogprobs, undefined);
  });

  test('that is left early leaves nothing running', async () => {
    const engine = new FakeEngine({ script: ['a', { waitMs: 60_000 }, 'b'] });
    for await (const _ of runChoice(engine, plan(), new AbortController().signal)) break;
    assert.equal(engine.started[0]?.cancelled, true);
  });

  test('ends with the error that the engine ends with, or as cancelled', async () => {
    const gone = new AbortController();
    gone.abort();
    await assert.rejects(run(new FakeEngine(), plan(), gone.signal), { code: 'cancelled' });
  });

  test('is told of a server that ends under it', async () => {
    const engine = new FakeEngine({ script: ['a', { waitMs: 60_000 }] });
    const start = engine.start.bind(engine);
    engine.start = (request) => {
      const completion = start(request);
      setImmediate(() => setImmediate(() => completion.cancel()));
      return completion;
    };
    await assert.rejects(run(engine, plan()), (error: HoshikageError) => {
      assert.equal(error.code, 'shutting_down');
      return true;
    });
  });
});

describe('Words put in between', () => {
  /** Says `words` once, after the token that makes the text `after`. */
  function after(text: () => string, at: string, words: Interjection) {
    let isDone = false;
    return (): Interjection | null => {
      if (isDone || text() !== at) return null;
      isDone = true;
      return words;
    };
  }

  async function interjected(maxTokens = -1) {
    const scripts: readonly (readonly Step[])[] = [
      ['think', ' on', ' and on'],
      ['so', EOG],
    ];
    const engine = new FakeEngine();
    const start = engine.start.bind(engine);
    engine.start = (request) => {
      engine.script = scripts[engine.started.length] ?? [];
      return start(request);
    };
    let heard = '';
    const steer = after(() => heard, 'think on', {
      text: '!',
      sampling: { ...sampling, topK: 9 },
    });
    let end: ChoiceEnd | null = null;
    const all = runChoice(
      engine,
      plan({ steer, maxTokens, promptLogprobs: 0 }),
      new AbortController().signal,
    );
    for await (const news of all) {
      if ('end' in news) end = news.end;
      else if ('spoken' in news) heard += visibleText(news.spoken.runs);
    }
    return { engine, heard, end };
  }

  test('break the completion off, are heard, and the model goes on behind them', async () => {
    const { engine, heard, end } = await interjected();
    assert.equal(heard, 'think on!so');
    assert.equal(engine.started.length, 2);
    assert.equal(engine.started[0]?.keepTokens, 2);
    const second = engine.started[1]?.request;
    // The prompt, what was generated, and the words.
    assert.deepEqual(second?.prompt, Int32Array.of(65, 66, 1000, 1000, 33));
    assert.deepEqual([second?.sampling.topK, second?.cachePrompt], [9, true]);
    const asked = engine.started.map(({ request }) => request.promptLogprobs);
    assert.deepEqual(asked, [0, undefined]);
    assert.equal(end?.finishReason, 'stop');
    assert.deepEqual([end?.promptTokens, end?.completionTokens], [2, 5]);
  });

  test('count as tokens of the answer, and are left out where no token could follow them', async () => {
    for (const maxTokens of [2, 3]) {
      const { engine, heard, end } = await interjected(maxTokens);
      assert.equal(engine.started.length, 1, `max_tokens ${maxTokens}`);
      assert.deepEqual([heard, end?.finishReason], ['think on', 'length']);
      assert.equal(end?.completionTokens, 2);
    }
    const { engine, heard, end } = await interjected(4);
    assert.equal(engine.started[1]?.request.maxTokens, 1);
    assert.deepEqual([heard, end?.completionTokens], ['think on!so', 4]);
  });

  test('are no stop string, whatever they are', async () => {
    const engine = new FakeEngine({ script: ['a', EOG] });
    let isSaid = false;
    const steer = (): Interjection | null => {
      if (isSaid) return null;
      isSaid = true;
      return { text: 'STOP', sampling };
    };
    const { text, end } = await run(engine, plan({ steer, stops: ['STOP'] }));
    assert.deepEqual([text, end.finishReason], ['aSTOPa', 'stop']);
    assert.equal(engine.started.length, 2);
  });

  test('may also be none: the choice stops where its reader wants', async () => {
    const engine = new FakeEngine({ script: ['a', 'b', 'c'] });
    let count = 0;
    const steer = () => (++count === 2 ? ('stop' as const) : null);
    const { text, end } = await run(engine, plan({ steer }));
    assert.deepEqual([text, end.finishReason, end.completionTokens], ['ab', 'stop', 2]);
    assert.equal(engine.started[0]?.keepTokens, 2);
  });
});
