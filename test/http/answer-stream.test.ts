import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoshikageError } from '../../src/errors.js';
import { Figures } from '../../src/figures.js';
import type { EndEvent } from '../../src/generate/events.js';
import {
  AnswerStream,
  type AnswerStreamOptions,
  type AnswerWriter,
} from '../../src/http/answer-stream.js';
import type { WaitState } from '../../src/resources/lease.js';

type Event =
  | { readonly type: 'start'; readonly note?: string }
  | { readonly type: 'text'; readonly text: string }
  | EndEvent;

const START: Event = { type: 'start' };
const END: Event = {
  type: 'end',
  usage: {
    ...{ promptTokens: 1, cachedTokens: 0, completionTokens: 1 },
    ...{ reasoningTokens: 0, truncatedTokens: 0, draftedTokens: 0, acceptedTokens: 0 },
  },
  timings: { queueMs: 0, loadMs: 0, recallMs: 0, prefillMs: 1, generationMs: 1, retriedMs: 0 },
};
const text = (said: string): Event => ({ type: 'text', text: said });

/** One line per event: `open` once, the words, `[END]`. */
class Words implements AnswerWriter<Event> {
  #isOpen = false;

  join(last: Event, next: Event): Event | null {
    if (last.type !== 'text' || next.type !== 'text') return null;
    return text(last.text + next.text);
  }

  lines(event: Event): readonly string[] {
    if (event.type === 'text') return [event.text];
    if (event.type === 'end') return ['[END]'];
    const lines = this.#isOpen ? [] : ['open'];
    this.#isOpen = true;
    return lines;
  }
}

function streamOf(more: Partial<AnswerStreamOptions<Event>> = {}) {
  const seen = { cancelled: false, failure: null as unknown, events: 0 };
  const { streams } = new Figures();
  const stream = new AnswerStream<Event>({
    writer: new Words(),
    headersOf: (start) => ({ 'x-ignored': 'a', ...(start?.note && { 'x-note': start.note }) }),
    waitOf: () => null,
    onCancel: () => {
      seen.cancelled = true;
    },
    onFailure: (thrown) => {
      seen.failure = thrown;
    },
    onEvent: () => {
      seen.events += 1;
    },
    figures: { streams },
    ...more,
  });
  return { stream, seen, streams };
}

/** Events with pauses (ms) and errors in between. */
async function* play(...steps: readonly (Event | number | Error)[]): AsyncGenerator<Event> {
  for (const step of steps) {
    if (typeof step === 'number') await sleep(step);
    else if (step instanceof Error) throw step;
    else yield step;
  }
}

const dataOf = (wire: string): readonly string[] =>
  [...wire.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => data);

describe('answer stream: when the headers go', () => {
  it('with the first word, and with what `start` told', async () => {
    const { stream } = streamOf({ patienceMs: 60_000 });
    const response = await stream.run(play({ type: 'start', note: 'n' }, text('a'), END));
    assert.equal(response.headers.get('x-note'), 'n');
    assert.deepEqual(dataOf(await response.text()), ['open', 'a', '[END]']);
  });

  it('or when patience ends; what `start` tells then follows as a comment, once', async () => {
    const { stream } = streamOf({ patienceMs: 5 });
    const start: Event = { type: 'start', note: 'n' };
    const response = await stream.run(play(50, start, start, text('a'), END));
    assert.deepEqual(
      [response.headers.get('x-ignored'), response.headers.get('x-note')],
      ['a', null],
    );
    const wire = await response.text();
    assert.ok(wire.startsWith(': x-note: n\n\ndata: open\n\n'), wire);
    assert.equal(wire.split('x-note').length, 2);
    assert.deepEqual(dataOf(wire), ['open', 'a', '[END]']);
  });

  it('or at the end, where nothing was said', async () => {
    const { stream } = streamOf({ patienceMs: 60_000 });
    const response = await stream.run(play(START, END));
    assert.deepEqual(dataOf(await response.text()), ['open', '[END]']);
  });

  it('before that an error has its own status; after it, it is the last event', async () => {
    const error = new HoshikageError('queue_timeout', { seconds: 1 });
    const early = streamOf();
    await assert.rejects(early.stream.run(play(START, error)), { code: 'queue_timeout' });
    await early.stream.finished;
    assert.equal(early.streams.open, 0);
    const late = streamOf();
    const wire = await (await late.stream.run(play(START, text('a'), error))).text();
    const [open, said, last, ...rest] = dataOf(wire);
    assert.deepEqual([open, said, rest], ['open', 'a', []]);
    assert.equal(JSON.parse(last ?? '').error.code, 'queue_timeout');
    assert.equal(late.seen.failure, error);
  });

  it('a comment keeps the line alive while nothing is said', async () => {
    const { stream } = streamOf({ patienceMs: 1, keepAliveMs: 10 });
    const wire = await (await stream.run(play(300, START, text('a'), END))).text();
    assert.match(wire, /^(:\n\n)+data: /);
  });

  it('a request that waits is told its place and how far its model is', async () => {
    const states: (WaitState | null)[] = [
      { position: 3, waitedMs: 5000.4, state: 'queued', progress: null },
      { position: 0, waitedMs: 10_000, state: 'loading', progress: 0.421 },
    ];
    const { stream } = streamOf({ patienceMs: 2, waitOf: () => states.shift() ?? null });
    const wire = await (await stream.run(play(60, START, text('a'), END))).text();
    const [first, second, third] = wire.split('\n\n');
    assert.equal(first, ': queued position=3 waited_ms=5000');
    assert.equal(second, ': loading progress=0.42 waited_ms=10000');
    assert.match(third ?? '', /^data: /);
  });
});

describe('answer stream: its reader', () => {
  it('gets what it did not take in time joined, and loses nothing', async () => {
    const parts = Array.from({ length: 20_000 }, (_, index) => text(`<${index}>`));
    const { stream, seen, streams } = streamOf();
    // Nothing is read before the generation has ended.
    const response = await stream.run(play(START, ...parts, END));
    await stream.finished;
    const wire = await response.text();
    const data = dataOf(wire);
    assert.equal(data.slice(1, -1).join(''), parts.map((_, index) => `<${index}>`).join(''));
    assert.ok(data.length < parts.length / 2, `${data.length} lines`);
    assert.equal(data.at(-1), '[END]');
    // Every event is a line, or was joined to one.
    assert.equal(data.length + streams.joined, seen.events);
    assert.equal(streams.bytes, Buffer.byteLength(wire));
  });

  it('gets each event by itself when it keeps up', async () => {
    const parts = Array.from({ length: 20 }, (_, index) => text(`${index},`));
    const { stream, streams } = streamOf();
    const response = await stream.run(play(START, ...parts.flatMap((part) => [part, 1]), END));
    assert.equal(streams.open, 1);
    assert.equal(dataOf(await response.text()).length, 22);
    await stream.finished;
    assert.deepEqual([streams.open, streams.joined], [0, 0]);
  });

  it('that has gone is told of', async () => {
    const { stream, seen } = streamOf();
    const response = await stream.run(play(START, text('a'), 20, text('b'), END));
    await response.body?.cancel();
    assert.equal(seen.cancelled, true);
    await stream.finished;
  });
});
