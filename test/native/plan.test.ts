/** Whose prompt is computed next, and how much of it beside those who generate: by counting. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { skipReason } from './fake.js';
import { LineProgram } from './line-program.js';

interface Place {
  readonly left: number;
  readonly passed?: number;
  readonly background?: boolean;
  readonly cached?: number;
  readonly most?: number;
  /** Tokens in common with the others' prompts, by their places. */
  readonly shared?: readonly number[];
}

describe('a step’s share of prompts', { skip: skipReason }, () => {
  let program: LineProgram;
  before(() => {
    const sources = [
      'test/native/plan.cc',
      'native/src/decode/plan.cc',
      'native/src/decode/pace.cc',
      'native/src/decode/share-out.cc',
    ];
    program = new LineProgram(sources, 'native/src/decode');
  });
  after(() => program.close());

  const HANDICAP = 1000;

  /** `slot:tokens` in the order of the turns. */
  const plan = (places: readonly Place[], first = 100, all = first): string =>
    program.answers([planLine(places, first, all)])[0] ?? '';
  const planLine = (places: readonly Place[], first: number, all: number): string => {
    const rows = places.map((place, slot) => {
      const { left, passed = 0, background = false, cached = 0, most = 1e9, shared } = place;
      const common = places.map((_, other) => shared?.[other] ?? 0);
      return [slot, slot, left, passed, background ? 1 : 0, cached, most, ...common].join(' ');
    });
    return `plan ${HANDICAP} ${first} ${all} ${places.length} ${rows.join(' ')}`;
  };

  it('goes to short prompts first, to equal ones as they came', () => {
    assert.equal(plan([{ left: 500 }, { left: 40 }, { left: 30 }]), '2:30 1:40 0:30');
    assert.equal(plan([{ left: 80 }, { left: 80 }]), '0:80 1:20');
  });

  it('goes to a long prompt once it has let its own length of others’ work pass', () => {
    assert.equal(plan([{ left: 500, passed: 399 }, { left: 100 }]), '1:100');
    assert.equal(plan([{ left: 500, passed: 400 }, { left: 100 }]), '0:100');
  });

  it('goes to requests that can wait after all others, but not for ever', () => {
    assert.equal(plan([{ left: 10, background: true }, { left: 900 }]), '1:100');
    assert.equal(plan([{ left: 10, background: true, passed: 200 }, { left: 900 }]), '0:10 1:90');
  });

  it('is computed once where prompts begin alike: who comes later follows', () => {
    const shared = [0, 300, 300];
    const three = [
      { left: 400, shared: [0, 300, 300] },
      { left: 420, shared: [300, 0, 300] },
      { left: 410, shared: [300, 300, 0] },
    ];
    assert.equal(plan(three, 500), '0:400');
    // What they have in common is there: each goes on alone.
    const on = three.map((place) => ({ ...place, left: place.left - 300, cached: 300 }));
    assert.equal(plan(on, 500), '0:100 2:110 1:120');
    assert.equal(
      plan([
        { left: 9, shared },
        { left: 9, shared: [7] },
      ]),
      '0:9 1:9',
      'not for 7 tokens',
    );
  });

  it('lets one piece alone be longer than several together, and keeps to each one’s own limit', () => {
    assert.equal(plan([{ left: 500 }, { left: 600 }], 300, 100), '0:300');
    assert.equal(plan([{ left: 50 }, { left: 600 }], 300, 100), '0:50 1:50');
    assert.equal(
      plan([
        { left: 500, most: 32 },
        { left: 600, most: 32 },
      ]),
      '0:32 1:32',
    );
  });

  it('is never nothing while a prompt waits, whatever the order in which they came', () => {
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 48271) % 2147483647;
      return seed % below;
    };
    const lines = Array.from({ length: 300 }, () => {
      const count = 1 + random(5);
      const common = Array.from({ length: count * count }, () => random(200));
      const shared = Array.from({ length: count }, (_, i) =>
        Array.from(
          { length: count },
          (_, j) => common[Math.max(i, j) * count + Math.min(i, j)] ?? 0,
        ),
      );
      const places = shared.map((row) => ({
        ...{ left: 1 + random(300), passed: random(500), cached: random(100) },
        ...{ background: random(2) === 0, shared: row },
      }));
      return planLine(places, 64, 64);
    });
    for (const said of program.answers(lines)) {
      assert.notEqual(said, '');
      const tokens = said.split(' ').map((piece) => Number(piece.split(':')[1]));
      assert.ok(tokens.reduce((sum, one) => sum + one, 0) <= 64, said);
    }
  });

  describe('that fits beside generations', () => {
    /** Tokens beside and alone, after steps of `[generated, prompt, ms]`. */
    const pace = (mostMs: number, steps: readonly (readonly [number, number, number])[]) => {
      const [line = ''] = program.answers([`pace ${mostMs} ${steps.flat().join(' ')}`]);
      return line.split(' ').map(Number);
    };

    it('is small while nothing is known', () => {
      assert.deepEqual(pace(100, []), [32, 128]);
    });

    it('fills the budget that the generations leave, by the pace that was seen', () => {
      // 80 of 100 ms, of which 20 go to the generations; 0.5 ms per token.
      const steps = Array.from(
        { length: 20 },
        () =>
          [
            [4, 0, 20],
            [4, 120, 80],
          ] as const,
      ).flat();
      assert.equal(pace(100, steps)[0], 120);
    });

    it('shrinks at once where steps got longer, and grows at most twofold from step to step', () => {
      const steady = Array.from({ length: 20 }, () => [1, 120, 60] as const);
      const [before = 0] = pace(100, steady);
      const [after = 0] = pace(100, [...steady, [1, 120, 240]]);
      assert.ok(after <= before / 2, `${before} then ${after}`);
      assert.equal(pace(100, [...steady, [1, 20, 1]])[0], 40);
    });

    it('is a whole tile where less of it takes more than twice as long per token', () => {
      // 64 tokens in 120 ms, but 4 in 60.
      const crawl = (ms: number) => Array.from({ length: 20 }, () => [1, 4, ms] as const);
      assert.equal(pace(100, [[1, 0, 10], [1, 63, 130], ...crawl(70)])[0], 63);
      // Not where that takes more than four budgets.
      assert.ok((pace(100, [[1, 0, 10], [1, 63, 500], ...crawl(150)])[0] ?? 64) < 8);
    });

    it('is tried as a whole tile where none was seen, if it could be as quick as the quickest token', () => {
      const begun = [[1, 0, 10] as const, [1, 16, 40] as const];
      const crawl = Array.from({ length: 20 }, () => [1, 4, 70] as const);
      assert.equal(pace(100, [...begun, ...crawl])[0], 63);
      assert.ok((pace(100, [[1, 0, 10], [1, 16, 150], ...crawl])[0] ?? 64) < 8);
    });

    it('is tried again after a while where a tile took too long once', () => {
      const once = [[1, 0, 10] as const, [1, 63, 500] as const];
      const crawl = (length: number) => Array.from({ length }, () => [1, 4, 70] as const);
      assert.ok((pace(100, [...once, ...crawl(50)])[0] ?? 64) < 8);
      assert.equal(pace(100, [...once, ...crawl(300)])[0], 63);
    });

    it('ends with a tile that it would only just begin', () => {
      // 80 of 100 ms, 1 ms per token: 70, and 67 with the three that generate.
      const steps = Array.from({ length: 20 }, () => [[3, 0, 10] as const, [3, 70, 80] as const]);
      assert.equal(pace(100, steps.flat())[0], 61);
    });

    it('keeps a quarter where generating alone takes all the time, and is never nothing', () => {
      const slow = Array.from(
        { length: 20 },
        () =>
          [
            [1, 0, 200],
            [1, 5, 225],
          ] as const,
      ).flat();
      assert.equal(pace(100, slow)[0], 5);
      assert.equal(
        pace(100, [
          [1, 0, 5000],
          [1, 1, 9000],
        ])[0],
        1,
      );
    });
  });

  describe('on all cores', () => {
    /** How often a step of so many tokens is computed on all cores, of 200. */
    const onAll = (prompt: number, some: number, all: number): number =>
      (program.answers([`cores ${prompt} 200 ${some} ${all}`])[0] ?? '').replaceAll('s', '').length;

    it('is computed where that is quicker, and not where cores wait for each other', () => {
      assert.ok(onAll(100, 1, 0.6) > 190);
      const tries = onAll(100, 1, 8);
      assert.ok(tries >= 2 && tries <= 5, `${tries} tries`);
    });

    it('is never computed where it takes less than starting them', () => {
      assert.equal(onAll(100, 0.1, 0.05), 0);
    });
  });

  describe('that generate, where several do', () => {
    /** Sizes of steps where a step of 1, 2, … tokens takes `ms`. */
    const sizes = (generating: number, steps: number, ms: readonly number[]): number[] => {
      const line = `share ${ms.length} ${generating} ${steps} ${ms.join(' ')}`;
      return (program.answers([line])[0] ?? '').split(' ').map(Number);
    };
    const timesOf = (all: readonly number[], size: number) =>
      all.filter((one) => one === size).length;

    it('all take part where that is as quick as it should be', () => {
      const all = sizes(4, 100, [10, 11, 12, 13]);
      assert.equal(timesOf(all, 4), 98, 'each other size was tried once');
    });

    it('take turns where a step of several takes longer than as many of one', () => {
      assert.equal(timesOf(sizes(4, 100, [3.5, 13.5, 16, 19]), 1), 98);
      // Eight at once are quicker again, and seven are not asked for by six.
      assert.equal(timesOf(sizes(8, 100, [3.5, 13.5, 16, 19, 21, 22, 23, 24]), 8), 97);
    });

    it('try again some time what was slow once', () => {
      const all = sizes(2, 2000, [5, 30]);
      const tries = timesOf(all, 2);
      assert.ok(tries >= 3 && tries <= 6, `${tries} tries`);
    });

    it('are one where one generates', () => {
      assert.deepEqual(new Set(sizes(1, 20, [5, 6])), new Set([1]));
    });
  });
});
