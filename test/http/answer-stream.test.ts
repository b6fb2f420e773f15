import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChatEvent } from '../../src/chat/complete.js';
import { HoshikageError } from '../../src/errors.js';
import { AnswerStream } from '../../src/http/answer-stream.js';
import { ChatWriter } from '../../src/http/chat-shape.js';
import { noteHeaders } from '../../src/http/note-headers.js';
import type { WaitState } from '../../src/resources/lease.js';

const START = {
  ...{ type: 'start', fingerprint: 'fp_1', unused: [], altered: false, truncatedTokens: 0 },
} as const satisfies ChatEvent;
const FINISH: ChatEvent = { type: 'finish', choice: 0, finishReason: 'stop' };
const END: ChatEvent = {
  type: 'end',
  usage: {
    ...{ promptTokens: 1, cachedTokens: 0, completionTokens: 1 },
    ...{ reasoningTokens: 0, truncatedTokens: 0 },
  },
  timings: { queueMs: 0, loadMs: 0, recallMs: 0, prefillMs: 1, generationMs: 1, retriedMs: 0 },
};
const text = (said: string): ChatEvent => ({
  ...{ type: 'content', choice: 0, text: said, logprobs: null },
});

function streamOf(
  more: { patienceMs?: number; keepAliveMs?: number; waitOf?: () => WaitState | null } = {},
) {
  const seen = { cancelled: false, failure: null as unknown };
  const common = { id: 'chatcmpl-1', created: 1, model: 'm' };
  const stream = new AnswerStream<ChatEvent>({
    writer: new ChatWriter(common, { includeUsage: false, withLogprobs: false }),
    headersOf: (start) => noteHeaders([], start ?? {}),
    onCancel: () => {
      seen.cancelled = true;
    },
    waitOf: () => null,
    onFailure: (thrown) => {
      seen.failure = thrown;
    },
    ...more,
  });
  return { stream, seen };
}

/** Events with pauses (ms) and errors in between. */
async function* play(...steps: readonly (ChatEvent | number | Error)[]): AsyncGenerator<ChatEvent> {
  for (const step of steps) {
    if (typeof step === 'number') await sleep(step);
    else if (step instanceof Error) throw step;
    else yield step;
  }
}

function deltasOf(wire: string): readonly string[] {
  return [...wire.matchAll(/"delta":\{"content":"([^"]*)"\}/g)].map((match) => match[1] ?? '');
}

describe('a streamed answer: when the headers go', () => {
  it('with the first text', async () => {
    const { stream } = streamOf({ patienceMs: 60_000 });
    const response = await stream.run(play(START, text('a'), FINISH, END));
    assert.deepEqual(deltasOf(await response.text()), ['a']);
  });

  it('or when patience ends, before there is anything to say', async () => {
    const { stream } = streamOf({ patienceMs: 5 });
    let isOver = false;
    const events = play(50, START, text('a'), FINISH, END);
    const response = await stream.run(events).finally(() => {
      isOver = true;
    });
    assert.equal(isOver, true);
    const wire = await response.text();
    assert.ok(wire.startsWith('data: {"id":"chatcmpl-1"'));
    assert.deepEqual(deltasOf(wire), ['a']);
    assert.ok(wire.endsWith('data: [DONE]\n\n'));
  });

  it('before that an error has its own status; after it, it is the last event', async () => {
    const error = new HoshikageError('queue_timeout', { seconds: 1 });
    await assert.rejects(streamOf().stream.run(play(error)), { code: 'queue_timeout' });
    const late = streamOf({ patienceMs: 1 });
    const wire = await (await late.stream.run(play(30, error))).text();
    assert.match(wire, /^data: \{"error":\{.*"code":"queue_timeout"\}\}\n\n$/);
    assert.equal(late.seen.failure, error);
  });

  it('a room closed under it is the end of the server, in its last event too', async () => {
    const { stream } = streamOf({ patienceMs: 1 });
    const closed = new HoshikageError('closed', { what: 'engine' });
    const wire = await (await stream.run(play(30, closed))).text();
    assert.match(wire, /"code":"shutting_down"/);
  });

  it('what only the model could tell follows as comments, once, where they have gone', async () => {
    const { stream } = streamOf({ patienceMs: 1 });
    const start: ChatEvent = { ...START, unused: ['mood'], altered: true };
    const wire = await (await stream.run(play(30, start, start, text('a'), FINISH, END))).text();
    const notes = ': x-hoshikage-ignored: mood\n\n: x-hoshikage-altered: messages\n\n';
    assert.ok(wire.startsWith(`${notes}data: {"id":"chatcmpl-1"`));
    assert.equal(wire.split('x-hoshikage-ignored').length, 2);
    const early = await streamOf({ patienceMs: 60_000 }).stream.run(
      play(start, text('a'), FINISH, END),
    );
    assert.equal(early.headers.get('x-hoshikage-ignored'), 'mood');
    assert.doesNotMatch(await early.text(), /x-hoshikage/);
  });

  it('a comment keeps the line alive while nothing is said', async () => {
    const { stream } = streamOf({ patienceMs: 1, keepAliveMs: 10 });
    const wire = await (await stream.run(play(60, START, text('a'), FINISH, END))).text();
    assert.match(wire, /^(:\n\n)+data: /);
  });
});

describe('a streamed answer: a request that waits', () => {
  it('is told its place, its time and how far its model is', async () => {
    const states: (WaitState | null)[] = [
      { position: 3, waitedMs: 5000.4, state: 'queued', progress: null },
      { position: 0, waitedMs: 10_000, state: 'loading', progress: 0.421 },
      null,
    ];
    const waitOf = () => states.shift() ?? null;
    const { stream } = streamOf({ patienceMs: 2, waitOf });
    const wire = await (await stream.run(play(60, START, text('a'), FINISH, END))).text();
    const [first, second, third] = wire.split('\n\n');
    assert.equal(first, ': queued position=3 waited_ms=5000');
    assert.equal(second, ': loading progress=0.42 waited_ms=10000');
    assert.match(third ?? '', /^data: /);
  });

  it('is told nothing once it speaks', async () => {
    let asked = 0;
    const waitOf = () => {
      asked += 1;
      return null;
    };
    const { stream } = streamOf({ patienceMs: 2, waitOf });
    await (await stream.run(play(START, text('a'), 40, FINISH, END))).text();
    assert.ok(asked <= 1, `asked ${asked} times`);
  });
});

describe('a streamed answer: a slow reader', () => {
  it('gets what it did not take in time as one delta, and loses nothing', async () => {
    const parts = Array.from({ length: 5000 }, (_, index) => text(`<${index}>`));
    const { stream } = streamOf();
    // Nothing is read before the generation has ended.
    const response = await stream.run(play(START, ...parts, FINISH, END));
    await stream.finished;
    const wire = await response.text();
    const deltas = deltasOf(wire);
    assert.equal(deltas.join(''), parts.map((_, index) => `<${index}>`).join(''));
    assert.ok(deltas.length < parts.length / 4, `${deltas.length} deltas`);
    assert.ok(wire.endsWith('data: [DONE]\n\n'));
  });

  it('gets each delta by itself when it keeps up', async () => {
    const parts = Array.from({ length: 20 }, (_, index) => text(`${index},`));
    const { stream } = streamOf();
    const response = await stream.run(
      play(START, ...parts.flatMap((part) => [part, 1]), FINISH, END),
    );
    assert.equal(deltasOf(await response.text()).length, 20);
  });
});

describe('a streamed answer: its end', () => {
  it('tells of a reader that has gone, and writes no more', async () => {
    const { stream, seen } = streamOf();
    const response = await stream.run(play(START, text('a'), 20, text('b'), FINISH, END));
    await response.body?.cancel();
    assert.equal(seen.cancelled, true);
    await stream.finished;
  });

  it('is told also where it never began', async () => {
    const { stream } = streamOf();
    await assert.rejects(stream.run(play(new HoshikageError('queue_full', { limit: 1 }))));
    await stream.finished;
  });
});
