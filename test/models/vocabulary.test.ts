/** The vocabulary of made models, and how the real library reads it. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Engine } from '../../src/engine/engine.js';
import { writeScripted } from '../../src/models/scripted.js';
import { byteText, spell, Vocabulary } from '../../src/models/vocabulary.js';
import { openRealEngine, whyNoLibrary } from '../helpers/default-library.js';

describe('a vocabulary', () => {
  it('spells every byte with a printable character of its own', () => {
    const all = byteText(Uint8Array.from({ length: 256 }, (_, byte) => byte));
    assert.equal(new Set(all).size, 256);
    assert.match(all, /^[^\s\p{C}]+$/u);
    assert.equal(spell('a b\n'), 'aĠbĊ');
  });

  it('gives a known text its id again, unless it is of another type', () => {
    const vocabulary = new Vocabulary();
    const id = vocabulary.add('word', 'normal');
    assert.equal(vocabulary.add('word', 'normal'), id);
    assert.equal(vocabulary.id('word'), id);
    assert.throws(() => vocabulary.add('word', 'user'), { code: 'invalid_argument' });
  });

  it('leaves out common words that are keywords', () => {
    const vocabulary = new Vocabulary();
    vocabulary.addCommon(new Set(['hello']));
    assert.equal(vocabulary.id('hello'), undefined);
    assert.notEqual(vocabulary.id('world'), undefined);
  });
});

describe('the library', { skip: whyNoLibrary() }, () => {
  let folder = '';
  let engine: Engine;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hoshikage-vocabulary-'));
    const path = join(folder, 'one.gguf');
    await writeScripted(path, { answers: [{ say: 'x' }, { when: '鍵', say: 'y' }] });
    engine = await openRealEngine(path, { contextTokens: 64 });
  });
  after(async () => {
    await engine?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const tokens = (text: string, special = false, addSpecial = false): Promise<Int32Array> =>
    engine.tokenize([{ text, special }], addSpecial);

  it('gives every text back, whatever is in it', async () => {
    for (const text of [
      '',
      ' a  b\n\tc\r\n',
      '星影は静か。カタカナ、漢字',
      '🎉é\u0000ü',
      '<|im_end|>鍵',
    ]) {
      assert.equal(Buffer.from(await engine.detokenize(await tokens(text))).toString(), text);
    }
  });

  it('has kana, common kanji and words as single tokens', async () => {
    for (const text of ['あ', 'ン', '日', '影', 'です', 'モデル', ' the', 'assistant']) {
      assert.equal((await tokens(text)).length, 1, text);
    }
    assert.equal((await tokens('鬱')).length, 3);
  });

  it('knows control tokens only where they are asked for, keywords everywhere', async () => {
    assert.equal((await tokens('<|im_end|>', true)).length, 1);
    assert.ok((await tokens('<|im_end|>', false)).length > 1);
    assert.equal((await tokens('鍵', false)).length, 1);
    assert.equal((await tokens('<|im_start|>user', true)).length, 1);
  });

  it('finds the special tokens, the template and that BOS is to be added', async () => {
    const { model } = engine.info;
    assert.equal(model.bosText, '<|bos|>');
    assert.equal(model.eosText, '<|endoftext|>');
    assert.equal(model.addBos, true);
    assert.match(model.chatTemplate ?? '', /im_start/);
    assert.deepEqual([...(await tokens('', false, true))], [model.bosToken]);
    assert.deepEqual([...(await tokens('<|im_end|>', true))], [model.eotToken]);
    assert.equal(model.trainedContextTokens, 4096);
  });
});
