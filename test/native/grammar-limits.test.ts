/** What the engine can follow of a grammar that may be read in many ways, and where it gives up. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { NativeRequest } from '../../src/engine/addon.js';
import { OP } from '../../src/grammar/program.js';
import { type Part, program, type Rule } from '../helpers/grammar-program.js';
import { skipReason } from './fake.js';
import { NOTHING_LEFT, Rig, type RigContext } from './rig.js';

/** Tokens of the fake: 300 times x, and a control token that is 310 times <, longer than any other. */
const LONG = 260;
const LONG_MARK = 278;

const ANY: Rule = [
  [
    {
      in: [
        ['\0', '\ud7ff'],
        ['\ue000', '\u{10ffff}'],
      ],
    },
  ],
];
const SPACE: Part = { in: [[' ', ' ']] };
const WORD: Rule = [
  [
    {
      in: [
        ['\0', '\u001f'],
        ['!', '\ud7ff'],
        ['\ue000', '\u{10ffff}'],
      ],
    },
  ],
];
const some = (rule: number, min = 0, max = -1): Part => ({ repeat: rule, min, max });

describe('a grammar that may be read in many ways', { skip: skipReason }, () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.open();
  });
  after(() => {
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    rig.close();
  });

  const withContext = (use: (context: RigContext) => Promise<void>): Promise<void> =>
    rig.with({ contextTokens: 8192, batchTokens: 8192 }, use);

  const biased = (...tokens: readonly (readonly [token: number, value: number])[]) => ({
    biasTokens: Int32Array.from(tokens, ([token]) => token),
    biasValues: Float32Array.from(tokens, ([, value]) => value),
  });

  const say = async (
    context: RigContext,
    grammar: Int32Array,
    over: Partial<NativeRequest> = {},
  ) => {
    const run = context.start('D', { grammar, temperature: 100, ignoreEos: true, ...over });
    const done = await run.done;
    assert.equal(done.reason === 'error', false, done.message ?? '');
    return Buffer.from(run.text(), 'latin1').toString('utf8');
  };

  it('is followed by the best of its counts alone, whatever stands in one another', () =>
    withContext(async (context) => {
      const grammars: readonly (readonly [Int32Array, number])[] = [
        [program([[some(1, 1, 10)]], [[some(2, 1, 10)]], ANY), 100],
        [
          program([[some(1, 1, 100), '!']], [[some(2, 1), some(3, 0, 1)]], WORD, [[SPACE]]),
          Infinity,
        ],
        [program([[some(1, 0, 100), ' ', some(1, 0, 100), ' ', some(1, 0, 50)]], ANY), 252],
        [program([[some(1, 1, 60)]], [[some(2, 1, 60), some(3, 0, 60)]], ANY, [[SPACE]]), 7200],
      ];
      for (const [grammar, most] of grammars) {
        for (let seed = 0; seed < 6; seed++) {
          const text = await say(context, grammar, { seed, maxTokens: 150, ...biased([32, 300]) });
          assert.ok([...text].length <= most, text);
        }
      }
    }));

  it('lets a control token come only where all of its characters still may', () =>
    withContext(async (context) => {
      const grammar = program([[some(1, 0, 350)]], [['<'], ['b']]);
      // After so many times b, the control token is what the model would rather say.
      for (const [times, fits] of [
        [38, true],
        [40, true],
        [42, false],
        [45, false],
        [49, false],
      ] as const) {
        const run = context.start('D', {
          ...{ grammar, temperature: 0, ignoreEos: true, repeatLastN: 1024, frequencyPenalty: 20 },
          ...biased([98, 2000], [LONG_MARK, 2000 - 20 * times + 10]),
        });
        const done = await run.done;
        assert.deepEqual([done.reason, done.code, run.text().length], ['eog', null, 350]);
        assert.equal(run.tokens.includes(LONG_MARK), fits, `after ${times}`);
      }
    }));

  it('ends its own completion where a text nests deeper than 20,000', () =>
    rig.with({ slots: 2, contextTokens: 2048 }, async (context) => {
      const grammar = program([['x', 0, 'y'], ['z']]);
      const deep = context.start('w', { grammar, ...biased([LONG, 1000]) });
      const other = context.start('w');
      const done = await deep.done;
      assert.deepEqual([done.reason, done.code], ['error', 'grammar_invalid']);
      assert.match(done.message ?? '', /nests too deep/);
      assert.equal(deep.text(), 'x'.repeat(66 * 300));
      assert.equal((await other.done).reason, 'eog');
    }));

  it('is refused where it looks for half a character, or for texts that are too long', () =>
    withContext(async (context) => {
      const text = (...numbers: readonly number[]) =>
        Int32Array.from([1, 1, 3, 1, 5, ...numbers, OP.END]);
      const refused = { code: 'grammar_invalid' };
      for (const op of [OP.UNTIL, OP.FREE]) {
        for (const half of [0xd800, 0xdbff, 0xdc00, 0xdfff]) {
          const grammar = text(op, 1, 2, 97, half);
          assert.throws(() => context.start('w', { grammar }), refused);
        }
        await context.start('w', { grammar: text(op, 2, 1, 0xd7ff, 1, 0xe000), maxTokens: 1 }).done;
        const long = (length: number) =>
          Int32Array.from([
            ...text(op, 2, 1, 97, length).slice(0, -1),
            ...new Array<number>(length).fill(98),
            OP.END,
          ]);
        await context.start('w', { grammar: long(65_535), maxTokens: 1 }).done;
        assert.throws(() => context.start('w', { grammar: long(65_536) }), refused);
      }
    }));
});
