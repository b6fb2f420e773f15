import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DEFAULT_STOPS, stopList, TextAssembler, visibleText } from '../../src/generate/text.js';
import { batchOf, type Piece } from '../helpers/fake-engine.js';

/** All deltas of some pieces, one push each, and where it stopped. */
function run(stops: readonly string[], pieces: readonly Piece[]) {
  const text = new TextAssembler(stops);
  const deltas: string[] = [];
  for (const piece of pieces) {
    if (text.stopped) break;
    deltas.push(visibleText(text.push(batchOf([piece])).runs));
  }
  deltas.push(visibleText(text.end()));
  return { deltas, joined: deltas.join(''), stopped: text.stopped, tokens: text.tokens };
}

const control = (text: string): Piece => ({ text, control: true });

describe('text: joining UTF-8', () => {
  it('holds back a character that is split over tokens until it is whole', () => {
    const bytes = new TextEncoder().encode('星');
    const { deltas } = run([], [bytes.slice(0, 1), bytes.slice(1, 2), bytes.slice(2), '影']);
    assert.deepEqual(deltas, ['', '', '星', '影', '']);
  });

  it('turns impossible bytes into U+FFFD and goes on', () => {
    const { joined } = run([], ['a', Uint8Array.of(0xff), 'b', Uint8Array.of(0xe6), 'c']);
    assert.equal(joined, 'a\ufffdb\ufffdc');
  });

  it('turns an unfinished character at the end into U+FFFD', () => {
    assert.equal(run([], ['ok', Uint8Array.of(0xf0, 0x9f)]).joined, 'ok\ufffd');
  });

  it('keeps a byte order mark inside the text', () => {
    assert.equal(run([], ['\ufeffa', '\ufeffb']).joined, '\ufeffa\ufeffb');
  });

  it('gives the same text for any bytes, however they are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 6 }), { maxLength: 12 }), (cuts) => {
        const whole = Uint8Array.from(cuts.flatMap((cut) => [...cut]));
        assert.equal(
          run([], cuts).joined,
          new TextDecoder('utf-8', { ignoreBOM: true }).decode(whole),
        );
      }),
    );
  });
});

describe('text: stop strings', () => {
  it("lists the defaults, the model's and the request's without doubles or empty ones", () => {
    assert.deepEqual(stopList(['</s>', 'END'], ['END', '', '\ud83c', '終']), [
      ...DEFAULT_STOPS,
      'END',
      '終',
    ]);
  });

  it('cuts at a stop string inside one piece', () => {
    const result = run(['END'], ['one END two']);
    assert.equal(result.joined, 'one ');
    assert.equal(result.stopped, true);
  });

  it('never shows any part of a stop string that is split over tokens', () => {
    const result = run(['</s>'], ['hello', '<', '/', 's', '>', 'more']);
    assert.deepEqual(result.deltas.slice(0, 5), ['hello', '', '', '', '']);
    assert.equal(result.joined, 'hello');
  });

  it('counts tokens up to the one that completes the stop string', () => {
    assert.equal(run(['</s>'], ['a', '</', 's>', 'b', 'c']).tokens, 3);
    const batch = new TextAssembler(['</s>']);
    batch.push(batchOf(['a', '</', 's>', 'b', 'c']));
    assert.equal(batch.tokens, 3);
  });

  it('shows what was held back as soon as it can no longer become a stop string', () => {
    assert.deepEqual(run(['</s>'], ['a<', '/', 'b']).deltas, ['a', '', '</b', '']);
  });

  it('shows what was held back when the generation ends', () => {
    assert.deepEqual(run(['</s>'], ['a</']).deltas, ['a', '</']);
  });

  it('finds a stop string that begins inside a failed beginning of itself', () => {
    assert.equal(run(['aab'], ['a', 'a', 'a', 'b', 'x']).joined, 'a');
  });

  it('takes the stop string that is complete first', () => {
    assert.equal(run(['abcd', 'bc'], ['xabcd']).joined, 'xa');
    assert.equal(run(['abcd', 'bc'], ['x', 'a', 'b', 'c', 'd']).joined, 'xa');
  });

  it('finds a stop string whose characters are split over tokens', () => {
    const bytes = new TextEncoder().encode('了。終');
    const cuts = [...bytes].map((byte) => Uint8Array.of(byte));
    assert.equal(run(['終'], cuts).joined, '了。');
  });
});

describe('text: control tokens', () => {
  it('hides them', () => {
    assert.equal(run([], ['a', control('<|tool|>'), 'b']).joined, 'ab');
  });

  it('lets them complete a stop string', () => {
    const result = run(['<|im_end|>'], ['a', control('<|im_end|>'), 'b']);
    assert.equal(result.joined, 'a');
    assert.equal(result.tokens, 2);
  });

  it('settles an unfinished character in front of one', () => {
    assert.equal(run([], [Uint8Array.of(0xe6), control('<x>'), 'b']).joined, '\ufffdb');
  });

  it('does not let a hidden token in the middle carry a stop string past the check', () => {
    assert.equal(run(['END'], ['a', 'EN', control('<x>'), 'D', 'b']).joined, 'a');
  });
});

describe('text: two readings at once', () => {
  it('cuts at the earlier one', () => {
    assert.equal(run(['END', '!'], ['a', 'EN', control('<x>'), 'D b !']).joined, 'a');
  });
});

describe('text: for any text, stop strings and cuts', () => {
  const letters = fc.constantFrom('a', 'b', 'c', '星', '🌠', '<');
  const anyText = fc.array(letters, { maxLength: 30 }).map((parts) => parts.join(''));
  const anyStops = fc.array(
    fc.array(letters, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('')),
    { maxLength: 4 },
  );
  const anyCuts = fc.array(fc.nat(100), { maxLength: 12 });

  function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
    const sorted = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b);
    const ends = [...sorted, bytes.length];
    return ends.map((end, index) => bytes.slice(index === 0 ? 0 : ends[index - 1], end));
  }

  it('the joined deltas equal those of the text in one piece, and hold no stop string', () => {
    fc.assert(
      fc.property(anyText, anyStops, anyCuts, (text, stops, places) => {
        const parts = run(stops, cut(new TextEncoder().encode(text), places));
        const whole = run(stops, [text]);
        assert.equal(parts.joined, whole.joined);
        assert.equal(parts.stopped, whole.stopped);
        assert.ok(text.startsWith(parts.joined));
        for (const stop of stops) assert.ok(!parts.joined.includes(stop));
      }),
      { numRuns: 1000 },
    );
  });

  it('also with control tokens in between', () => {
    const anyPiece = fc.record({ text: anyText, control: fc.boolean() });
    fc.assert(
      fc.property(fc.array(anyPiece, { maxLength: 8 }), anyStops, (pieces, stops) => {
        const { joined } = run(stops, pieces);
        const visible = pieces.map((piece) => (piece.control ? '' : piece.text)).join('');
        assert.ok(visible.startsWith(joined));
        for (const stop of stops) assert.ok(!joined.includes(stop));
      }),
      { numRuns: 1000 },
    );
  });
});
