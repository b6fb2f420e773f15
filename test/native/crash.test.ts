/** ggml gives up (GGML_ASSERT, GGML_ABORT): an error where it was called, then a library never called again. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ASSERT, ASSERT_ELSEWHERE, buildFake, type Cell, FakeControl, skipReason } from './fake.js';
import { modelFile, type StoryEnd, startStory } from './rig.js';

async function crash(cells: Partial<Record<Cell, number>>): Promise<{
  readonly end: StoryEnd;
  readonly answers: Record<string, unknown>;
  readonly violations: number;
}> {
  const control = new FakeControl();
  try {
    for (const [cell, value] of Object.entries(cells)) control.set(cell as Cell, value); // its keys
    const parameters = { library: buildFake(), model: modelFile(control) };
    const end = await startStory('crash', parameters, control).end;
    const answers = end.out.find(({ at }) => at === 'answers') ?? {};
    return { end, answers, violations: control.get('violations') };
  } finally {
    control.close();
  }
}

describe('a libllama that gives up', { skip: skipReason, concurrency: 2 }, () => {
  it('in a decode fails all that runs with its words, and everything later', async () => {
    const { end, answers, violations } = await crash({ failAt: 6, failCode: ASSERT });
    assert.deepEqual([end.code, end.signal], [70, null], end.stderr);
    assert.deepEqual(answers.ends, ['engine_crashed', 'engine_crashed']);
    assert.equal(answers.later, 'engine_crashed');
    assert.equal(answers.tokenize, 'engine_crashed');
    assert.equal(answers.again, 'model_load_failed');
    assert.match(String(answers.message), /gave up: .*GGML_ASSERT\(n_tokens <= n_batch\) failed/);
    assert.match(end.stderr, /GGML_ASSERT/);
    assert.equal(violations, 0);
  });

  it('in a load or in making a context fails that one with its words', async () => {
    const load = await crash({ loadFail: ASSERT });
    assert.equal(load.answers.load, 'model_load_failed', load.end.stderr);
    assert.match(String(load.answers.message), /GGML_ASSERT/);
    const context = await crash({ contextFail: ASSERT });
    assert.equal(context.answers.load, 'ok', context.end.stderr);
    assert.equal(context.answers.context, 'model_load_failed');
    assert.match(String(context.answers.message), /GGML_ASSERT/);
    assert.equal(context.end.code, 70);
  });

  it('on a thread of its own ends the process, with its words on stderr', async () => {
    const { end } = await crash({ failAt: 6, failCode: ASSERT_ELSEWHERE });
    assert.equal(end.signal, 'SIGABRT', end.stderr);
    assert.match(end.stderr, /GGML_ASSERT/);
  });
});
