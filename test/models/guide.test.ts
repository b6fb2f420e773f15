/** The built-in model's file, and that the library cuts texts into tokens as its training did. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { gguf } from '@huggingface/gguf';
import { Encoder, type Merge } from '../../scripts/train-guide/bpe.js';
import { reading, readLessons } from '../../scripts/train-guide/dialogues.js';
import { vocabularyOf } from '../../scripts/train-guide/prepare.js';
import { readGguf } from '../../src/models/gguf.js';
import { GUIDE_ID, guidePath } from '../../src/models/guide.js';
import { CONTROL } from '../../src/models/vocabulary.js';
import { openRealEngine, whyNoLibrary } from '../helpers/default-library.js';

const MOST_BYTES = 8e6;

describe('the file of the built-in model', () => {
  it('is a sound llama of a few million weights, in at most 8 MB', async () => {
    const facts = await readGguf(guidePath());
    assert.equal(facts.architecture, 'llama');
    assert.equal(facts.name, GUIDE_ID);
    assert.equal(facts.quantisation, 'Q8_0');
    assert.match(facts.chatTemplate ?? '', /im_start/);
    assert.ok(facts.parameters !== null && facts.parameters > 1e6 && facts.parameters < 8e6);
    assert.ok(facts.sizeBytes <= MOST_BYTES, `${facts.sizeBytes} bytes`);
  });
});

describe('its tokenizer', { skip: whyNoLibrary() }, () => {
  let engine: Awaited<ReturnType<typeof openRealEngine>>;
  before(async () => {
    engine = await openRealEngine(guidePath());
  });
  after(() => engine.close());

  it('gives the same tokens in the library as in the training', async () => {
    const { metadata } = await gguf(guidePath(), { allowLocalFile: true });
    // Its types know no lists; pack.ts wrote this one.
    const pairs = (metadata as Record<string, unknown>)['tokenizer.ggml.merges'] as string[];
    const merges = pairs.map((pair): Merge => {
      const [left = '', right = ''] = pair.split(' ');
      return [left, right];
    });
    const encoder = new Encoder(merges);
    const vocabulary = vocabularyOf(merges);
    const texts = readLessons().flatMap(({ answer, taught, heldOut }) => [
      answer,
      ...taught.slice(0, 1).map(({ node }) => reading(node, () => 0)),
      ...heldOut,
    ]);
    texts.push("絵文字🙂と\n\n改行、  空白  と 1234567、WON'T it'll\r\n終わり ", 'ｱｲｳ 龘 ﷽');
    for (const text of texts) {
      const ids = await engine.tokenize([{ text, special: false }], false);
      const expected = encoder.encode(text).map((token) => vocabulary.id(token));
      assert.deepEqual([...ids], expected, text);
    }
    const [end] = await engine.tokenize([{ text: CONTROL.end, special: true }], false);
    assert.equal(end, vocabulary.id(CONTROL.end));
  });
});
