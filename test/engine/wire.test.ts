import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { countersOf } from '../../src/engine/counters.js';
import type { CompletionResult } from '../../src/engine/engine.js';
import type { CompletionNews, Message } from '../../src/engine/protocol.js';
import { encode, FrameReader } from '../../src/engine/wire.js';
import { batchOf } from '../helpers/fake-engine.js';

/** What comes out at the other end where the bytes arrive `size` at a time. */
function carried(messages: readonly Message[], size = Number.POSITIVE_INFINITY): Message[] {
  const bytes = Buffer.concat(messages.map(encode));
  const got: Message[] = [];
  const reader = new FrameReader((message) => got.push(message));
  for (let at = 0; at < bytes.length; at += size) {
    reader.push(bytes.subarray(at, Math.min(bytes.length, at + size)));
  }
  return got;
}

const tokens = (id: number, ...pieces: string[]): CompletionNews => ({
  id,
  batch: batchOf(pieces),
  end: null,
});
const ring = (...news: CompletionNews[]): Message => ({ type: 'ring', news, picture: null });
const result: CompletionResult = {
  ...{ reason: 'eog', promptTokens: 1, cachedTokens: 0, generatedTokens: 1 },
  ...{ prefillMs: 1, generationMs: 1, slot: 0, draftedTokens: 0, acceptedTokens: 0 },
};
const end = { result };

/** The same news with plain arrays, to be compared whatever buffers they lie in. */
const plain = (messages: readonly Message[]): unknown =>
  messages.map((message) =>
    message.type !== 'ring'
      ? message
      : message.news.map(({ id, batch, end: ended }) => [
          id,
          batch && [[...batch.tokens], [...batch.ends], [...batch.flags], [...batch.bytes]],
          batch?.logprobs ?? null,
          ended,
        ]),
  );

describe('wire', () => {
  it('carries tokens of several completions, empty pieces and flags among them', () => {
    const control = { text: '<|x|>', control: true };
    const sent = ring(tokens(7, 'a', '', '世界'), {
      ...tokens(4_000_000_000),
      batch: batchOf([control]),
    });
    assert.deepEqual(plain(carried([sent])), plain([sent]));
  });

  it('carries every other message as it is', () => {
    const sent: Message[] = [
      { type: 'progress', fraction: 0.5 },
      { type: 'reply', id: 3, value: Int32Array.of(1, -2) },
      { type: 'reply', id: 4, value: [Float32Array.of(0.5, 1)] },
      { type: 'log', lines: [['warn', '星']] },
    ];
    assert.deepEqual(carried(sent), sent);
  });

  it('keeps what a completion is told in order, also where its end and a picture come with it', () => {
    const picture = { slots: [], counters: countersOf({ steps: 4 }) };
    const last = { ...tokens(1, 'c'), end };
    const got = carried([
      ring(tokens(1, 'a')),
      { type: 'ring', news: [tokens(2, 'b'), last], picture },
    ]);
    const news = got.flatMap((message) => (message.type === 'ring' ? message.news : []));
    assert.deepEqual(
      news.map(({ id, end: ended }) => [id, ended !== null]),
      [
        [1, false],
        [2, false],
        [1, true],
      ],
    );
    const pictures = got.flatMap((one) => (one.type === 'ring' && one.picture ? one.picture : []));
    assert.deepEqual(pictures, [picture]);
  });

  it('carries log-probabilities and ends without tokens', () => {
    const batch = { ...batchOf(['a']), logprobs: [{ logprob: -1, top: [[5, -0.5] as const] }] };
    const sent = [ring({ id: 1, batch, end: null }), ring({ id: 1, batch: null, end })];
    assert.deepEqual(plain(carried(sent)), plain(sent));
  });

  it('puts together what arrives in pieces of any size', () => {
    const sent: Message[] = [
      ring(tokens(1, 'a')),
      { type: 'reply', id: 1, value: new Uint8Array(300).fill(7) },
      ring(tokens(1, 'b', 'c'), tokens(2, 'd')),
    ];
    for (const size of [1, 2, 5, 64, 1000]) {
      assert.deepEqual(plain(carried(sent, size)), plain(sent), `${size} bytes at a time`);
    }
  });

  it('refuses what it cannot have written', () => {
    const reader = new FrameReader(() => {});
    assert.throws(() => reader.push(Buffer.from([1, 0, 0, 0, 9])), RangeError);
    const short = encode(ring(tokens(1, 'abc')));
    short.writeUInt32LE(1000, 13);
    assert.throws(() => new FrameReader(() => {}).push(short), RangeError);
  });
});
