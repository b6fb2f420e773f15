/** How many tokens are tried ahead, by what steps took and how likely they are right; and which. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { skipReason } from './fake.js';
import { LineProgram } from './line-program.js';

interface Place {
  readonly likely: number;
  readonly most?: number;
  readonly byModel?: boolean;
}
interface Limits {
  readonly mostMs?: number;
  readonly mostTokens?: number;
  readonly roundMs?: number;
  readonly together?: number;
}
/** Measured steps: `[rows, ms]`, each three times. */
type Steps = readonly (readonly [rows: number, ms: number])[];

describe('tokens to try ahead', { skip: skipReason }, () => {
  let program: LineProgram;
  before(() => {
    const names = ['gain', 'lookup'].map((name) => `native/src/decode/${name}.cc`);
    program = new LineProgram(['test/native/gain.cc', ...names], 'native/src/decode');
  });
  after(() => program.close());

  const ask = (line: string): string => program.answers([line])[0] ?? '';
  const lineOf = (places: readonly Place[], steps: Steps, limits: Limits): string => {
    const { mostMs = 100, mostTokens = 63, roundMs = 0, together = places.length } = limits;
    const measured = [...steps, ...steps, ...steps];
    const words = places.map(({ likely, most = 8, byModel = false }) => [
      ...[likely, most, byModel ? 1 : 0],
    ]);
    const head = [mostMs, mostTokens, roundMs, together, measured.length];
    return [...head, ...measured, ...words].flat().join(' ');
  };
  const plan = (places: readonly Place[], steps: Steps, limits: Limits = {}): string =>
    ask(`plan ${lineOf(places, steps, limits)}`);
  const probe = (places: readonly Place[], steps: Steps, limits: Limits = {}): string =>
    ask(`probe ${lineOf(places, steps, limits)}`);

  /** Steps that take as long however many rows they have, and such that take as long for each. */
  const flat: Steps = [1, 2, 4, 8, 9, 16, 32].map((rows) => [rows, 10]);
  const linear: Steps = [1, 2, 4, 8, 9, 16, 32].map((rows) => [rows, 10 * rows]);

  it('are all there are where a larger step takes no longer', () => {
    assert.equal(plan([{ likely: 0.9 }], flat), '8');
    assert.equal(plan([{ likely: 0.9, most: 3 }], flat), '3');
  });

  it('are none where each takes as long as a step of its own', () => {
    assert.equal(plan([{ likely: 1 }], linear), '0');
    assert.equal(plan([{ likely: 1 }, { likely: 1 }], linear), '0 0');
  });

  it('are none where they are hardly ever right, and none where nothing is known', () => {
    assert.equal(plan([{ likely: 0.1 }], flat), '0');
    assert.equal(plan([{ likely: 0 }], flat), '0');
    assert.equal(plan([{ likely: 1 }], []), '0');
    assert.equal(plan([{ likely: 1 }], [[2, 10]]), '0', 'what it takes without is not known');
  });

  it('are as many as bring the most: fewer where they are less likely', () => {
    const steps: Steps = [1, 2, 4, 8, 9].map((rows) => [rows, 10 + rows]);
    const counts = [0.95, 0.7, 0.5, 0.3].map((likely) => Number(plan([{ likely }], steps)));
    assert.deepEqual(
      counts,
      [...counts].sort((one, other) => other - one),
    );
    assert.equal(counts[0], 8);
    assert.ok((counts[2] ?? 0) >= 1 && (counts[2] ?? 0) < 8, `${counts}`);
  });

  it('go to the slots where they are likeliest', () => {
    const places = [{ likely: 0.2 }, { likely: 0.95 }];
    assert.equal(plan(places, flat, { mostTokens: 6 }), '0 6');
  });

  it('make steps that are known, or at most twice as large', () => {
    assert.equal(plan([{ likely: 1 }], [[1, 10]]), '1');
    assert.equal(plan([{ likely: 1 }], [...flat.slice(0, 2)]), '3');
    assert.equal(plan([{ likely: 1 }], [...flat.slice(0, 3)]), '7');
  });

  it('make steps that nobody has to wait for', () => {
    const steps: Steps = [1, 2, 4, 8, 16].map((rows) => [rows, 40 + 10 * rows]);
    assert.equal(plan([{ likely: 1, most: 16 }], steps, { mostMs: 120 }), '7');
    assert.equal(plan([{ likely: 1, most: 16 }], steps, { mostMs: 1 }), '5', 'twice a plain one');
  });

  it('count what the draft model takes for them', () => {
    const model = [{ likely: 0.8, byModel: true }];
    assert.equal(plan(model, flat, { roundMs: 20 }), '0');
    const cheap = Number(plan(model, flat, { roundMs: 1 }));
    const dear = Number(plan(model, flat, { roundMs: 3 }));
    assert.ok(cheap > dear && dear > 0, `${cheap}, ${dear}`);
  });

  it('must bring more than slots that take turns without them', () => {
    const both = [{ likely: 0.9 }, { likely: 0.9 }];
    // Two rows take four times as long as one, and what is beyond them hardly more.
    const steps: Steps = [1, 2, 4, 8, 16].map((rows) => [rows, rows === 1 ? 5 : 19 + rows / 2]);
    assert.equal(plan(both, steps, { together: 1, mostTokens: 2 }), '0 0');
    assert.equal(plan(both, steps, { together: 2, mostTokens: 2 }), '1 1');
    assert.equal(plan(both, steps, { together: 1 }), '8 8');
    const once: Steps = [[1, 5]];
    assert.equal(plan(both, once, { together: 2 }), '0 0', 'what that takes is not known');
  });

  it('are tried all the same now and then where they would promise enough', () => {
    assert.equal(probe([{ likely: 1 }], linear), '3', 'four times a plain step at most');
    const steep: Steps = [1, 2].map((rows) => [rows, rows ** 6]);
    assert.equal(probe([{ likely: 1 }], steep), '1');
    assert.equal(probe(Array(6).fill({ likely: 0.9 }), steep), '1 0 0 0 0 0');
    assert.equal(probe([{ likely: 0.1 }], linear), '0');
    assert.equal(probe([{ likely: 1 }], []), '0');
  });

  it('do not depend on a step in which the machine did something else', () => {
    const steps = '1 10 1 10 1 500 1 10 2 20 2 20 2 20';
    assert.equal(ask(`plan 100 8 0 1 7 ${steps} 1 8 0`), '0');
    assert.equal(ask(`plan 100 8 0 1 1 1 500 1 8 0`), '0', 'one alone is not believed');
  });

  it('are tried again where what they cost was long ago', () => {
    const [plain, dear] = ['1 10 '.repeat(3), '2 100 '];
    assert.equal(ask(`plan 100 8 0 1 504 ${plain}${dear}${'1 10 '.repeat(500)} 1 8 0`), '0');
    assert.equal(ask(`plan 100 8 0 1 604 ${plain}${dear}${'1 10 '.repeat(600)} 1 8 0`), '1');
  });

  it('are less likely with every wrong one, and with time as good as unknown', () => {
    const likely = (words: string): number => Number(ask(`likely ${words}`));
    assert.ok(likely('r r r') > likely('r r') && likely('w w w') < likely('w w'));
    assert.ok(likely('r r r r r r r r r r r r r r r w') > 0.7, 'one wrong one is not the end');
    const bad = likely('w w w w w w w w w w');
    const faded = likely(`w w w w w w w w w w${' f'.repeat(300)}`);
    assert.ok(bad < 0.06 && faded > 0.2 && faded < 0.5, `${bad}, ${faded}`);
  });

  describe('looked up in the text', () => {
    const guess = (text: readonly number[], most = 6): string =>
      ask(`guess 100 ${most} ${text.join(' ')}`);

    it('are what followed the last time', () => {
      assert.equal(guess([1, 2, 3, 4, 5, 9, 9, 2, 3, 4]), '3: 5 9 9 2 3 4');
      assert.equal(guess([1, 2, 7, 1, 2, 8, 1, 2], 1), '2: 8');
    });

    it('are what followed more of the same, where there is more', () => {
      assert.equal(guess([1, 2, 3, 4, 5, 0, 9, 3, 4, 6, 0, 1, 2, 3, 4], 1), '4: 5');
    });

    it('go round where the text does', () => {
      assert.equal(guess([7, 8, 7, 8, 7]), '3: 8 7 8 7 8 7');
      assert.equal(guess([5, 5, 5, 5]), '3: 5 5 5 5 5 5');
    });

    it('are none where nothing was like that', () => {
      assert.equal(guess([]), '0:');
      assert.equal(guess([1]), '0:');
      assert.equal(guess([1, 2, 3, 4, 1]), '0:');
    });

    /** How many tokens match the end of a text, and what followed there the last time, by search. */
    const searched = (text: readonly number[]): string => {
      for (let length = Math.min(4, text.length - 1); length >= 2; length--) {
        const end = text.slice(-length).join(' ');
        for (let at = text.length - 1; at >= length; at--) {
          if (text.slice(at - length, at).join(' ') !== end) continue;
          const all = [...text];
          while (all.length < text.length + 6) all.push(all[at + all.length - text.length] ?? -1);
          return `${length}: ${all.slice(text.length).join(' ')}`;
        }
      }
      return '0:';
    };

    it('are nearly always what a search through the whole text finds', () => {
      let seed = 1;
      const next = (): number => {
        seed = (seed * 48_271) % 2_147_483_647;
        return seed;
      };
      const texts = Array.from({ length: 400 }, () =>
        Array.from({ length: next() % 60 }, () => (next() >> 8) % 4),
      );
      const answers = program.answers(texts.map((text) => `guess 100 6 ${text.join(' ')}`));
      const same = texts.filter((text, index) => searched(text) === answers[index]);
      // A place may have been taken by another sequence of tokens; then less is found, nothing wrong.
      assert.ok(same.length >= 390, `${same.length} of ${texts.length}`);
    });

    it('are looked up in bounded memory: much may be forgotten, nothing is made up', () => {
      const [found = 0, wrong = 0] = ask('scan 10 300000 40').split(' ').map(Number);
      assert.ok(found > 1000, `${found}`);
      assert.equal(wrong, 0);
    });
  });
});
