/** What a repository offers, and which of it is taken. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fitOf } from '../../src/pull/fits.js';
import type { HubFile } from '../../src/pull/hub.js';
import { chooseOffer, nameOf, type Offer, offersOf } from '../../src/pull/offers.js';

const GIB = 2 ** 30;

function files(sizes: Readonly<Record<string, number | null>>): HubFile[] {
  return Object.entries(sizes).map(([path, size]) => ({ path, size, sha256: null }));
}

const shown = (offers: readonly Offer[]) =>
  offers.map((offer) => [nameOf(offer), offer.quantisation, offer.bytes, offer.files.length]);

describe('the forms that a repository offers', () => {
  test('are its GGUF files by size, without what is no model', () => {
    const offers = offersOf(
      files({
        'README.md': 1,
        'm-Q8_0.gguf': 80,
        'm-Q4_K_M.gguf': 40,
        'mmproj-F16.gguf': 5,
        'sub/mmproj-m.gguf': 5,
        'm.imatrix.gguf': 6,
        'imatrix_m.gguf': 6,
        'm-imatrix-Q6_K.gguf': 60,
        'm-BF16.GGUF': 160,
      }),
    );
    assert.deepEqual(shown(offers), [
      ['m-Q4_K_M.gguf', 'Q4_K_M', 40, 1],
      ['m-imatrix-Q6_K.gguf', 'Q6_K', 60, 1],
      ['m-Q8_0.gguf', 'Q8_0', 80, 1],
      ['m-BF16.GGUF', 'BF16', 160, 1],
    ]);
  });

  test('are named by the last label of the file, else of its folder', () => {
    const names = {
      'Qwen2.5-0.5B-Instruct-q4_k_m.gguf': 'Q4_K_M',
      'gpt-oss-20b-mxfp4.gguf': 'MXFP4',
      'm-UD-Q4_K_XL.gguf': 'UD-Q4_K_XL',
      'm.IQ2_XXS.gguf': 'IQ2_XXS',
      'm-Q4_0_4_4.gguf': 'Q4_0_4_4',
      'Q5_K_S/m-00001-of-00001.gguf': 'Q5_K_S',
      'm-f16.gguf': 'F16',
      'IQ.gguf': null,
      'm.gguf': null,
    };
    for (const [path, label] of Object.entries(names)) {
      assert.equal(offersOf(files({ [path]: 1 }))[0]?.quantisation, label, path);
    }
  });

  test('have all parts of a split model in their order, or are not offered', () => {
    const offers = offersOf(
      files({
        'Q8_0/m-00002-of-00002.gguf': 2,
        'Q8_0/m-00001-of-00002.gguf': 3,
        'Q4/n-00001-of-00003.gguf': 1,
        'Q4/n-00003-of-00003.gguf': 1,
        'x-00002-of-00002.gguf': 1,
        'y-00000-of-00000.gguf': 1,
      }),
    );
    assert.deepEqual(shown(offers), [['Q8_0/m-00001-of-00002.gguf', 'Q8_0', 5, 2]]);
  });

  test('may be of unknown size', () => {
    assert.deepEqual(shown(offersOf(files({ 'm-Q8_0.gguf': null }))), [
      ['m-Q8_0.gguf', 'Q8_0', null, 1],
    ]);
  });
});

describe('the form that is taken', () => {
  const all = offersOf(
    files({
      'm-Q2_K.gguf': 20,
      'm-IQ4_XS.gguf': 38,
      'm-Q4_K_S.gguf': 39,
      'm-Q4_K_M.gguf': 40,
      'm-UD-Q5_K_XL.gguf': 52,
      'm-Q8_0.gguf': 80,
      'm-F16.gguf': 160,
    }),
  );
  const source = { owner: 'o', repository: 'r', quantisation: null, file: null };
  const chosen = (most: number, offers = all): string =>
    nameOf(chooseOffer(offers, source, ({ bytes }) => (bytes ?? 0) <= most));

  test('is Q4_K_M where it fits, else what is nearest to it and fits', () => {
    assert.equal(chosen(1000), 'm-Q4_K_M.gguf');
    assert.equal(chosen(39), 'm-Q4_K_S.gguf');
    assert.equal(chosen(38), 'm-IQ4_XS.gguf');
    assert.equal(chosen(30), 'm-Q2_K.gguf');
    assert.equal(
      chosen(1000, offersOf(files({ 'm-Q8_0.gguf': 80, 'm-F16.gguf': 160 }))),
      'm-Q8_0.gguf',
    );
    assert.equal(
      chosen(1000, offersOf(files({ 'm-Q3_K_M.gguf': 30, 'm-Q6_K.gguf': 60 }))),
      'm-Q3_K_M.gguf',
    );
  });

  test('is the smallest where none fits, for whoever insists', () => {
    assert.equal(chosen(1), 'm-Q2_K.gguf');
  });

  test('is the one that was named, by its form or its file, in any case of letters', () => {
    const named = (more: { quantisation?: string; file?: string }, offers = all): string =>
      nameOf(chooseOffer(offers, { ...source, ...more }, () => false));
    assert.equal(named({ quantisation: 'q8_0' }), 'm-Q8_0.gguf');
    assert.equal(named({ quantisation: 'Q5_K_XL' }), 'm-UD-Q5_K_XL.gguf');
    assert.equal(
      named({ file: 'M-f16.gguf' }, offersOf(files({ 'sub/m-F16.gguf': 1 }))),
      'sub/m-F16.gguf',
    );
    const split = offersOf(files({ 'm-00001-of-00002.gguf': 1, 'm-00002-of-00002.gguf': 1 }));
    assert.equal(named({ file: 'm-00002-of-00002.gguf' }, split), 'm-00001-of-00002.gguf');
  });

  test('is not guessed: what is not there is told with what is', () => {
    const refused = (more: object, code: string, words: RegExp, offers = all): void =>
      assert.throws(
        () => chooseOffer(offers, { ...source, ...more }, () => true),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, code);
          assert.match(error.message, words);
          return true;
        },
      );
    refused({ quantisation: 'Q6_K' }, 'pull_not_found', /Q6_K \(o\/r\); there is Q2_K, IQ4_XS, /);
    refused({ file: 'm-Q4_K_N.gguf' }, 'pull_not_found', /; there is m-Q4_K_[MS]\.gguf, /);
    refused({}, 'pull_not_found', /\*\.gguf \(o\/r\)$/, []);
    const two = offersOf(files({ 'a-Q4_K_M.gguf': 1, 'b-Q4_K_M.gguf': 1, 'b-Q8_0.gguf': 2 }));
    refused({}, 'usage', /name one as hf:o\/r\/FILE: a-Q4_K_M\.gguf, b-Q4_K_M\.gguf$/, two);
    refused({ quantisation: 'Q4_K_M' }, 'usage', /a-Q4_K_M/, two);
    const folders = offersOf(files({ 'a/m.gguf': 1, 'b/m.gguf': 1 }));
    refused({ file: 'm.gguf' }, 'usage', /a\/m\.gguf, b\/m\.gguf/, folders);
  });
});

test('whether a size suits a machine goes by its main memory, with room for the cache and the system', () => {
  const machine = { totalBytes: 16 * GIB, availableBytes: 6 * GIB };
  assert.deepEqual(
    [4, 8, 13, 14, 60].map((size) => fitOf(size * GIB, machine)),
    ['fits', 'tight', 'tight', 'short', 'short'],
  );
  assert.equal(fitOf(GIB / 2, { totalBytes: GIB, availableBytes: GIB }), 'fits');
  assert.equal(fitOf(GIB * 0.8, { totalBytes: GIB, availableBytes: GIB }), 'short');
  assert.equal(fitOf(null, machine), 'unknown');
});
