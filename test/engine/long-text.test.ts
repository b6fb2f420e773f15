import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tokensWithin } from '../../src/engine/long-text.js';
import { FakeEngine } from '../helpers/fake-engine.js';

const SHORT = 1 << 18;
const segment = (length: number, special = false) => ({ text: 'x'.repeat(length), special });

describe('a text to tokenise', () => {
  it('is taken whole while it is of a usual length, and counted exactly', async () => {
    const engine = new FakeEngine();
    const options = { addSpecial: true, limit: 10 };
    const tokens = await tokensWithin(engine, [segment(SHORT - 1), segment(1)], options);
    assert.equal(tokens.length, SHORT);
    assert.deepEqual(
      engine.tokenized.map(({ segments, addSpecial }) => [segments.length, addSpecial]),
      [[2, true]],
    );
  });

  it('is known by its beginning where it is far too long', async () => {
    const engine = new FakeEngine();
    const segments = [segment(SHORT - 5, true), segment(SHORT), segment(SHORT)];
    const tokens = await tokensWithin(engine, segments, { addSpecial: false, limit: 10 });
    assert.equal(tokens.length, SHORT);
    const [only, ...others] = engine.tokenized;
    assert.deepEqual(
      only?.segments.map(({ text, special }) => [text.length, special]),
      [
        [SHORT - 5, true],
        [5, false],
      ],
    );
    assert.deepEqual(others, []);
  });

  it('is taken whole after all where its beginning does fit', async () => {
    const engine = new FakeEngine();
    // A tokenizer for which a whole run of the same letter is one token.
    engine.tokenize = async (segments) => {
      engine.tokenized.push({ segments, addSpecial: false });
      return new Int32Array(segments.length);
    };
    const segments = [segment(SHORT), segment(1)];
    const tokens = await tokensWithin(engine, segments, { addSpecial: false, limit: 10 });
    assert.equal(tokens.length, 2);
    assert.equal(engine.tokenized.length, 2);
  });
});
