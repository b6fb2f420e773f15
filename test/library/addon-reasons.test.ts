import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withJapanese } from '../../src/library/addon-reasons.js';

function japanese(reason: string): unknown {
  const details = { reason };
  return withJapanese({ code: 'library_incompatible', details, reason }).details.reason_ja;
}

test('what the addon and the loader say reads in Japanese, with its evidence', () => {
  for (const [english, expected] of [
    [
      'llama_context_params has an unknown layout (168 bytes written; builds b1..b2; C11: x); it is newer than the table of layouts. ALLOW_UNKNOWN_LIBLLAMA=1 drives it',
      /^llama_context_params の形が分かりません \(168 bytes.*新しい libllama.*ALLOW_UNKNOWN/,
    ],
    [
      'llama_model_params has an unknown layout (80 bytes written)',
      /どの版とも合いません \(80 bytes/,
    ],
    ['missing symbols: llama_a, llama_b', /^要る関数がありません: llama_a, llama_b$/],
    ['llama_batch has 72 bytes or another shape, 56 expected', /72 バイト/],
    [
      'its symbols contradict each other, a fork of llama.cpp? (a since b1)',
      /派生版.*\(a since b1\)/,
    ],
    [
      'its samplers and its symbols contradict each other, a fork of llama.cpp? (dry)',
      /派生版.*\(dry\)/,
    ],
    [
      'its libggml comes from elsewhere: /a/x.so instead of /b',
      /^libggml が \/b ではなく \/a\/x\.so/,
    ],
    [
      'the process that opened it ended by SIGILL: last words',
      /落ちました.ended by SIGILL: last words/,
    ],
    ['the process that opened it did not answer in time', /時間内に答えませんでした$/],
    ['cannot open /a/libggml.so: bad', /^\/a\/libggml\.so を開けません: bad$/],
    ['libx.so.1: cannot open shared object file: No such file or directory', /^libx\.so\.1 が見つ/],
  ] as const) {
    assert.match(String(japanese(english)), expected);
  }
});

test('a text that is not known, and one that is Japanese already, stay as they are', () => {
  assert.equal(japanese('something else'), undefined);
  const error = {
    code: 'library_incompatible',
    details: { reason: 'missing symbols: x', reason_ja: 'すでに' },
    reason: 'missing symbols: x',
  } as const;
  assert.deepEqual(withJapanese(error), error);
});
