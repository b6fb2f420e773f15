/** The steps of a choice against their definitions in double precision, over logits of every kind. */
import { after, before, describe, it } from 'node:test';
import { skipReason } from './fake.js';
import { Program } from './program.js';

const SOURCES = [
  'test/native/candidates.cc',
  ...['candidates', 'cut', 'blocks', 'logprobs'].map((name) => `native/src/decode/${name}.cc`),
  'native/src/llama/crash.cc',
];

describe('the candidates for a token', { skip: skipReason }, () => {
  let program: Program;
  before(() => {
    program = new Program(SOURCES);
  });
  after(() => program?.close());

  const holds = (check: string) => (): void => program.check(check, '1', '1500');

  it('are what the definition of each step leaves, in any order of steps', holds('chains'));
  it(
    'are drawn best first after a small top_k, so that a seed goes on saying the same',
    holds('small_top_k'),
  );
  it('are one where a logit is infinite, and none where no logit is a number', holds('infinite'));
  it('have a largest and some largest, NaN and minus infinity left out', holds('largest'));
  it('are weighed to 1 part in 10,000,000', holds('powers'));
  it('have log-probabilities by all logits there are', holds('logprobs'));
});
