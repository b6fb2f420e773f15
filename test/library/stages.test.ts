import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { stageOf } from '../../src/library/stages.js';

function refusal(reason: string): HoshikageError {
  return new HoshikageError('library_incompatible', { reason });
}

test('what the files say is the first stage, whatever it is about', () => {
  const error = refusal('its symbols contradict each other');
  assert.equal(stageOf({ refusal: error }, error), 'scan');
});

test('the refusals of the addon belong to the stage that found them', () => {
  for (const [reason, stage] of [
    ['missing symbols: llama_x', 'symbols'],
    ['its symbols contradict each other, a fork of llama.cpp? (llama_x since b2)', 'symbols'],
    ['llama_model_params has an unknown layout (80 bytes written)', 'layout'],
    ['layouts M1 and C9 never went together', 'layout'],
    ['llama_context_default_params does not return a struct by pointer', 'layout'],
    ['llama_batch has 72 bytes or another shape, 56 expected', 'batch'],
    ['its samplers and its symbols contradict each other (penalties is the one of b1)', 'samplers'],
    ['its libggml comes from elsewhere: /a instead of /b', 'open'],
    ['the process that opened it ended by SIGILL', 'open'],
  ] as const) {
    assert.equal(stageOf({ refusal: null }, refusal(reason)), stage, reason);
  }
  const missing = new HoshikageError('library_not_found', { reason: 'undefined symbol: x' });
  assert.equal(stageOf(null, missing), 'open');
});
