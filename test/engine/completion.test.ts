import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompletionStream } from '../../src/engine/completion.js';
import type { CompletionResult, TokenBatch } from '../../src/engine/engine.js';
import { HoshikageError } from '../../src/errors.js';

const result: CompletionResult = {
  reason: 'eog',
  promptTokens: 1,
  cachedTokens: 0,
  generatedTokens: 2,
  prefillMs: 1,
  generationMs: 1,
  slot: 0,
  draftedTokens: 0,
  acceptedTokens: 0,
};

function batch(...tokens: number[]): TokenBatch {
  return {
    tokens: Int32Array.from(tokens),
    bytes: Uint8Array.from(tokens),
    ends: Int32Array.from(tokens, (_, index) => index + 1),
    flags: new Uint8Array(tokens.length),
  };
}

async function collect(stream: CompletionStream): Promise<number[]> {
  const tokens: number[] = [];
  for await (const one of stream) tokens.push(...one.tokens);
  return tokens;
}

test('what was pushed before the reader came is read in order', async () => {
  const stream = new CompletionStream(() => {});
  stream.push(batch(1, 2));
  stream.push(batch(3));
  stream.finish(result);
  assert.deepEqual(await collect(stream), [1, 2, 3]);
  assert.equal((await stream.result).reason, 'eog');
});

test('a waiting reader gets tokens as they come', async () => {
  const stream = new CompletionStream(() => {});
  const reading = collect(stream);
  await new Promise(setImmediate);
  stream.push(batch(1));
  await new Promise(setImmediate);
  stream.push(batch(2));
  stream.finish(result);
  assert.deepEqual(await reading, [1, 2]);
});

test('an error comes after the tokens before it, by the iteration and by the result', async () => {
  const stream = new CompletionStream(() => {});
  stream.push(batch(1));
  stream.fail(new HoshikageError('engine_crashed'));
  const seen: number[] = [];
  await assert.rejects(
    async () => {
      for await (const one of stream) seen.push(...one.tokens);
    },
    { code: 'engine_crashed' },
  );
  assert.deepEqual(seen, [1]);
  await assert.rejects(stream.result, { code: 'engine_crashed' });
});

test('leaving the loop cancels, and only once', async () => {
  const kept: number[] = [];
  const stream = new CompletionStream((keepTokens) => kept.push(keepTokens));
  stream.push(batch(1));
  for await (const one of stream) {
    assert.equal(one.tokens.length, 1);
    break;
  }
  stream.cancel(5);
  assert.deepEqual(kept, [-1]);
});

test('a completion that ended is not cancelled', async () => {
  const kept: number[] = [];
  const stream = new CompletionStream((keepTokens) => kept.push(keepTokens));
  stream.finish(result);
  await collect(stream);
  stream.cancel();
  assert.deepEqual(kept, []);
});

test('cancelled by its reader is a result; cancelled by a closing engine is shutting_down', async () => {
  const mine = new CompletionStream(() => {});
  mine.cancel();
  mine.finish({ ...result, reason: 'cancelled' });
  assert.equal((await mine.result).reason, 'cancelled');
  const theirs = new CompletionStream(() => {});
  theirs.finish({ ...result, reason: 'cancelled' });
  await assert.rejects(theirs.result, { code: 'shutting_down' });
});

test('a second iteration is refused', async () => {
  const stream = new CompletionStream(() => {});
  stream.finish(result);
  await collect(stream);
  await assert.rejects(collect(stream), { code: 'invalid_argument' });
});
