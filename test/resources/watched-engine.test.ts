import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompletionStream } from '../../src/engine/completion.js';
import type { CompletionRequest, CompletionResult, SlotState } from '../../src/engine/engine.js';
import { HoshikageError } from '../../src/errors.js';
import { engineOptionsOf } from '../../src/resources/options.js';
import { WatchedEngine } from '../../src/resources/watched-engine.js';
import { batchOf } from '../helpers/fake-engine.js';
import { FakeEngine } from '../helpers/fake-engines.js';
import { engineSettings, entry } from '../helpers/pool-settings.js';

/** An engine of two slots whose completions the test ends. */
class Scripted extends FakeEngine {
  readonly streams: CompletionStream[] = [];
  states: SlotState[] = [0, 1].map((id) => slot(id));
  restored: { slot: number; tokens: Int32Array } | null = null;

  override get slotStates() {
    return this.states;
  }

  override start(): CompletionStream {
    const stream = new CompletionStream(() => {});
    this.streams.push(stream);
    return stream;
  }

  override async restoreState() {
    return this.restored;
  }
}

function slot(id: number, cachedTokens = 0, state: SlotState['state'] = 'idle'): SlotState {
  return { id, state, cachedTokens, promptTokens: 0, generatedTokens: 0 };
}

function setUp() {
  const options = engineOptionsOf(engineSettings, entry('a'));
  const engine = new Scripted(options, 7);
  let finished = 0;
  const watched = new WatchedEngine(engine, () => {
    finished += 1;
  });
  return { engine, watched, finished: () => finished };
}

const request = (...prompt: number[]): CompletionRequest => ({
  prompt: Int32Array.from(prompt),
  maxTokens: -1,
  sampling: {
    temperature: 0,
    topK: 0,
    topP: 1,
    minP: 0,
    seed: 0,
    repeatPenalty: 1,
    repeatLastN: 0,
    presencePenalty: 0,
    frequencyPenalty: 0,
    logitBias: [],
    ignoreEos: false,
  },
  cachePrompt: true,
});

const result = (more: Partial<CompletionResult> = {}): CompletionResult => ({
  reason: 'eog',
  promptTokens: 3,
  cachedTokens: 0,
  generatedTokens: 2,
  prefillMs: 6,
  generationMs: 1,
  slot: 1,
  draftedTokens: 0,
  acceptedTokens: 0,
  ...more,
});

async function read(completion: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of completion);
}

test('a slot holds the prompt and what was generated, as far as it was computed', async () => {
  const { engine, watched, finished } = setUp();
  const completion = watched.start(request(1, 2, 3));
  const reading = read(completion);
  engine.streams[0]?.push(batchOf(['x', 'y']));
  engine.streams[0]?.finish(result());
  await reading;
  engine.states = [slot(0), slot(1, 4)];
  const [first, second] = watched.caches;
  assert.deepEqual([...(first?.tokens ?? [])], []);
  assert.deepEqual([...(second?.tokens ?? [])], [1, 2, 3, 1000]);
  assert.equal(second?.busy, false);
  engine.states = [slot(0), slot(1, 4, 'prefill')];
  assert.equal(watched.caches[1]?.busy, true);
  assert.equal(finished(), 1);
});

test('what ran ahead of a stop string is not counted among it', async () => {
  const { engine, watched } = setUp();
  const completion = watched.start(request(1, 2));
  engine.streams[0]?.push(batchOf(['x', 'y', 'z']));
  for await (const _ of completion) {
    completion.cancel(1);
    break;
  }
  engine.streams[0]?.finish(result({ reason: 'cancelled', generatedTokens: 1 }));
  await completion.result;
  engine.states = [slot(0), slot(1, 99)];
  assert.deepEqual([...(watched.caches[1]?.tokens ?? [])], [1, 2, 1000]);
});

test('after a completion that failed nothing is known of any slot', async () => {
  const { engine, watched, finished } = setUp();
  const good = watched.start(request(1));
  engine.streams[0]?.finish(result());
  await good.result;
  const bad = watched.start(request(2));
  engine.streams[1]?.fail(new HoshikageError('decode_failed'));
  await assert.rejects(bad.result, { code: 'decode_failed' });
  engine.states = [slot(0, 9), slot(1, 9)];
  assert.deepEqual(
    watched.caches.map(({ tokens }) => tokens.length),
    [0, 0],
  );
  assert.equal(finished(), 1);
});

test('a restored state is what its slot holds from then on', async () => {
  const { engine, watched } = setUp();
  engine.restored = { slot: 0, tokens: Int32Array.of(5, 6) };
  await watched.restoreState('/state');
  engine.states = [slot(0, 2), slot(1)];
  assert.deepEqual([...(watched.caches[0]?.tokens ?? [])], [5, 6]);
  assert.ok((watched.caches[0]?.usedAt ?? 0) > 0);
});

test('a request that was cancelled before its first token proves nothing; embeddings do', async () => {
  const { engine, watched, finished } = setUp();
  const completion = watched.start(request(1));
  completion.cancel();
  engine.streams[0]?.finish(result({ reason: 'cancelled', generatedTokens: 0 }));
  await completion.result;
  assert.equal(finished(), 0);
  await watched.embed([Int32Array.of(1)]);
  assert.equal(finished(), 1);
});

test('the pace of prompts is told by those that were long enough to tell', async () => {
  const { engine, watched } = setUp();
  const end = async (more: Partial<CompletionResult>, promptLogprobs?: number) => {
    const asked = promptLogprobs === undefined ? {} : { promptLogprobs };
    const completion = watched.start({ ...request(1), ...asked });
    engine.streams.at(-1)?.finish(result(more));
    await completion.result;
  };
  await end({ promptTokens: 10, prefillMs: 100 });
  assert.equal(watched.prefillMsPerToken, null);
  await end({ promptTokens: 150, cachedTokens: 50, prefillMs: 200 });
  assert.equal(watched.prefillMsPerToken, 2);
  // One whose every token is told takes longer than others.
  await end({ promptTokens: 150, cachedTokens: 50, prefillMs: 900 }, 1);
  assert.equal(watched.prefillMsPerToken, 2);
});
