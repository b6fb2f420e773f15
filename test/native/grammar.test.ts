/** Grammars on the fake's vocabulary: what may come next, how it ends, and what is refused. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import type { NativeRequest } from '../../src/engine/addon.js';
import { OP } from '../../src/grammar/program.js';
import { program, type Rule } from '../helpers/grammar-program.js';
import { skipReason } from './fake.js';
import { NOTHING_LEFT, Rig, type RigContext } from './rig.js';

const EOS = 257;
const EOT = 258;
const THINK = 268;
const EMPTY = 271;
/** The fake's pieces that are more than one byte, by their ids. */
const PIECES: Readonly<Record<number, Buffer>> = {
  260: Buffer.from('x'.repeat(300)),
  261: Buffer.from('日'),
  262: Buffer.from('{"'),
  263: Buffer.from('":'),
  264: Buffer.from('ab'),
  265: Buffer.from('日本'),
  266: Buffer.from([0xe6, 0x97]),
  267: Buffer.from([0xa5, 0xe6]),
  270: Buffer.from('12'),
  272: Buffer.from('true'),
  273: Buffer.from('<call>'),
};

/** Any code point but surrogates. */
const ANY = {
  in: [
    ['\0', '\ud7ff'],
    ['\ue000', '\u{10ffff}'],
  ],
} as const;
const some = (rule: number, min = 0, max = -1) => ({ repeat: rule, min, max });

/** JSON without white space. */
const JSON_RULES: readonly Rule[] = [
  [[1], [2], [3], ['true'], ['null'], [6]],
  [['{}'], ['{', 7, some(8), '}']],
  [['[]'], ['[', 0, some(9), ']']],
  [['"', some(4), '"']],
  [
    [
      {
        in: [
          [' ', '!'],
          ['#', '['],
          [']', '\ud7ff'],
        ],
      },
    ],
    ['\\', { in: [['n', 'n']] }],
  ],
  [[{ in: [['0', '9']] }]],
  [
    ['-', some(5, 1, 3)],
    [{ in: [['1', '9']] }, some(5, 0, 3)],
  ],
  [[3, ':', 0]],
  [[',', 7]],
  [[',', 0]],
];

describe('a grammar', { skip: skipReason }, () => {
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

  /** What is said where only the grammar decides, by chance. */
  const wander = async (context: RigContext, grammar: Int32Array, over: Partial<NativeRequest>) => {
    const run = context.start('D', { grammar, temperature: 100, ignoreEos: true, ...over });
    const done = await run.done;
    const bytes = Buffer.from(run.text(), 'latin1');
    return { text: bytes.toString('utf8'), bytes, tokens: run.tokens, done };
  };

  /** The tokens that may come after `said`, which the grammar must leave no choice about. */
  const allowed = async (
    context: RigContext,
    grammar: Int32Array,
    said = '',
  ): Promise<number[]> => {
    const tokens: number[] = [];
    for (let token = 0; token < 320; token++) {
      if (PIECES[token]?.length === 0) continue;
      const run = context.start('D', {
        ...{ grammar, maxTokens: said.length + 1 },
        ...{ biasTokens: Int32Array.of(token), biasValues: Float32Array.of(1000) },
      });
      await run.done;
      assert.equal(run.text().slice(0, said.length), said);
      if (run.tokens.length > said.length && run.tokens[said.length] === token) tokens.push(token);
    }
    return tokens;
  };

  const bytesOf = (text: string): number[] => [...Buffer.from(text)];

  it('forces its text, and where it ends, the output ends without an end token', () =>
    withContext(async (context) => {
      const grammar = program([['いいえ、', 1, '。']], [['12'], ['7']]);
      for (const ignoreEos of [true, false]) {
        const run = context.start('w', { grammar, ignoreEos });
        const { reason, generatedTokens } = await run.done;
        assert.match(Buffer.from(run.text(), 'latin1').toString(), /^いいえ、(12|7)。$/);
        assert.deepEqual([reason, generatedTokens], ['eog', run.tokens.length]);
      }
    }));

  it('that allows no text ends at once', () =>
    withContext(async (context) => {
      const run = context.start('w', { grammar: program([[]]) });
      assert.deepEqual([(await run.done).reason, run.tokens], ['eog', []]);
      assert.equal(await context.say('w'), 'xyz</s>');
    }));

  it('allows exactly the tokens that some text of it goes on with', () =>
    withContext(async (context) => {
      const words = fc.array(
        fc
          .array(
            fc.constantFrom('a', 'b', 'ab', '日', '本', '日本', '1', '12', 'tr', 'true', 'x'),
            {
              minLength: 1,
              maxLength: 4,
            },
          )
          .map((parts) => parts.join('')),
        { minLength: 1, maxLength: 6 },
      );
      const pieces = Array.from({ length: 274 }, (_, token) =>
        token < 256 ? Buffer.from([token]) : PIECES[token],
      );
      await fc.assert(
        fc.asyncProperty(words, fc.integer({ min: 0, max: 99 }), async (list, seed) => {
          const grammar = program([[1]], [...list.map((word) => [word])]);
          const first = pieces.flatMap((piece, token) =>
            piece && list.some((word) => Buffer.from(word).indexOf(piece) === 0) ? [token] : [],
          );
          assert.deepEqual(await allowed(context, grammar), first);
          const { text, done } = await wander(context, grammar, { seed, ignoreEos: false });
          assert.ok(list.includes(text.replace(/<\/s>$|<\|im_end\|>$/, '')), `${text} of ${list}`);
          assert.equal(done.reason, 'eog');
        }),
        { numRuns: 12, seed: 3 },
      );
    }));

  it('nests as deep as it says, and every text it allows is one of its own', () =>
    withContext(async (context) => {
      const grammar = program(...JSON_RULES);
      let whole = 0;
      for (let seed = 0; seed < 60; seed++) {
        const { text, done } = await wander(context, grammar, { seed, maxTokens: 300 });
        if (done.reason !== 'eog') continue;
        JSON.parse(text);
        whole += text.length > 8 ? 1 : 0;
      }
      assert.ok(whole > 10, `${whole} texts ended`);
      const deep = context.start('D', {
        ...{ grammar, maxTokens: 6000 },
        ...{ biasTokens: Int32Array.of(91), biasValues: Float32Array.of(1000) },
      });
      await deep.done;
      assert.equal(deep.text(), '['.repeat(6000));
    }));

  it('counts: it ends between the least and the most', () =>
    withContext(async (context) => {
      const grammar = program([[some(1, 3, 5)]], [[{ in: [['a', 'c']] }]]);
      const lengths = new Set<number>();
      for (let seed = 0; seed < 40; seed++) {
        const { text } = await wander(context, grammar, { seed, ignoreEos: false });
        const said = text.replace(/<.*>$/, '');
        assert.match(said, /^[abc]{3,5}$/);
        lengths.add(said.length);
      }
      assert.deepEqual([...lengths].sort(), [3, 4, 5]);
      assert.equal((await allowed(context, grammar)).includes(EOS), false);
    }));

  it('costs the same whatever its bounds are, also where parts of it may be nothing', () =>
    withContext(async (context) => {
      const digits: Rule = [[{ in: [['0', '9']] }]];
      const million = program([[some(1, 1_000_000, 2_000_000), '!']], digits);
      const long = await wander(context, million, { maxTokens: 3000 });
      assert.match(long.text, /^[0-9]{3000,}$/);
      const huge = 2 ** 31 - 1;
      const nothing = program([[some(1, huge, huge), '!']], [[some(2)]], [['a'], [some(3)]], [[]]);
      assert.deepEqual(await allowed(context, nothing), bytesOf('!a'));
      const nested = program([[some(1, 1)]], [[some(2, 1)]], [['a'], ['aa'], ['ab']]);
      assert.match((await wander(context, nested, { maxTokens: 500 })).text, /^(a|aa|ab)+$/);
      const overlapping = program([[some(1, 0, 1000), 'b']], [['a'], ['aa']]);
      const said = await wander(context, overlapping, { maxTokens: 900, seed: 2 });
      assert.match(said.text, /^a*b?$/);
    }));

  it('stays what it is over thousands of tokens that are all other places of it', () =>
    withContext(async (context) => {
      const cell: Rule = [['('], [')'], [{ in: [['ぁ', 'ん']] }]];
      const grammar = program([[some(1, 0, 100_000)]], cell);
      const { text } = await wander(context, grammar, { maxTokens: 8000, logprobs: 0 });
      assert.match(text.replace(/\ufffd$/, ''), /^[()ぁ-ん]+$/);
    }));

  it('lets any text pass up to the first of some texts', () =>
    withContext(async (context) => {
      const grammar = program([['<', { until: ['aab', 'zz'] }, '!']]);
      for (let seed = 0; seed < 30; seed++) {
        const biasTokens = Int32Array.from(bytesOf('abz'));
        const biasValues = new Float32Array(3).fill(200);
        const over = { seed, biasTokens, biasValues, maxTokens: 400 };
        const { text, done } = await wander(context, grammar, over);
        if (done.reason === 'eog') assert.match(text, /^<.*(aab|zz)!$/s);
        const inner = text.slice(1, -4);
        assert.equal(/aab|zz/.test(inner), false, text);
      }
    }));

  it('lets any text pass that is free of some texts, ending anywhere', () =>
    withContext(async (context) => {
      const grammar = program([[{ free: ['ab', '日本'] }, '1']]);
      const first = await allowed(context, grammar);
      assert.equal(first.includes(264), false, 'ab');
      assert.equal(first.includes(265), false, '日本');
      for (const token of [97, 98, 261, 266, 0xe6, 49]) assert.ok(first.includes(token));
      assert.equal(first.includes(0xa5), false, 'no byte that begins no character');
      const biasTokens = Int32Array.from(bytesOf('ab日本1'));
      for (let seed = 0; seed < 20; seed++) {
        const biasValues = new Float32Array(biasTokens.length).fill(150);
        const { text } = await wander(context, grammar, { seed, biasTokens, biasValues });
        assert.equal(/ab|日本/.test(text), false, text);
      }
      const free = program([[{ free: [] }]]);
      assert.ok((await allowed(context, free)).includes(EOS), 'it may end where it begins');
    }));

  it('takes characters however they are cut into tokens, and no byte that leads nowhere', () =>
    withContext(async (context) => {
      assert.deepEqual(await allowed(context, program([['日本']])), [0xe6, 261, 265, 266]);
      const after = String.fromCharCode(0xe6, 0x97);
      const cut = program([['日本']]);
      const run = context.start('D', {
        ...{ grammar: cut, maxTokens: 3 },
        ...{ biasTokens: Int32Array.of(266, 267), biasValues: Float32Array.of(1000, 2000) },
      });
      await run.done;
      assert.deepEqual(run.tokens.slice(0, 2), [266, 267]);
      assert.ok(run.text().startsWith(after));
      // ぁ to ん is E3 81 81 to E3 82 93; U+0100 to U+017F is C4 80 to C5 BF.
      assert.deepEqual(await allowed(context, program([[{ in: [['ぁ', 'ん']] }]])), [0xe3]);
      const latin = program([[{ in: [['\u0100', '\u017f']] }]]);
      assert.deepEqual(await allowed(context, latin), [0xc4, 0xc5]);
      const last = program([[{ in: [['\u{10ffff}', '\u{10ffff}']] }]]);
      assert.deepEqual(await allowed(context, last), [0xf4]);
      const any = await allowed(context, program([[ANY]]));
      assert.equal(any.includes(EMPTY), false, 'no token without a text');
      const begins = any.filter((token) => token >= 0x80 && token < 256);
      assert.deepEqual(begins, [
        ...Array.from({ length: 0xdf - 0xc2 + 1 }, (_, index) => 0xc2 + index),
        ...Array.from({ length: 0xf4 - 0xe0 + 1 }, (_, index) => 0xe0 + index),
      ]);
    }));

  it('writes no character in more bytes than it has, and none that is no character', () =>
    withContext(async (context) => {
      const grammar = program([[ANY, ANY]]);
      // E0 9A would be U+0680 in three bytes, ED A0 a surrogate, F0 8F one in four, F4 90 too large.
      for (const [lead = 0, wanted = 0] of [
        [0xe0, 0x9a],
        [0xed, 0xa0],
        [0xf0, 0x8f],
        [0xf4, 0x90],
      ]) {
        const biasTokens = Int32Array.of(lead, wanted);
        const run = context.start('D', {
          ...{ grammar, maxTokens: 2, biasTokens },
          biasValues: Float32Array.of(1000, 2000),
        });
        await run.done;
        assert.equal(run.tokens[0], lead);
        assert.notEqual(run.tokens[1], wanted, `${lead.toString(16)} ${wanted.toString(16)}`);
      }
    }));

  it('never begins a character that only half a one could end', () =>
    withContext(async (context) => {
      const halves = program([[{ in: [['\ud800', '\udfff']] }], ['\ud83d'], ['a']]);
      assert.deepEqual(await allowed(context, halves), bytesOf('a'));
    }));

  it('lets a control token come where its text is written out or any text may pass', () =>
    withContext(async (context) => {
      const has = async (...rules: readonly Rule[]): Promise<boolean> =>
        (await allowed(context, program(...rules))).includes(THINK);
      assert.equal(await has([['<think>']]), true);
      assert.equal(await has([['<think'], ['<think>x']]), true);
      assert.equal(await has([[{ until: ['!'] }]]), true);
      assert.equal(await has([[{ free: ['!'] }]]), true);
      assert.equal(await has([[{ free: ['think'] }]]), false);
      assert.equal(await has([[some(1)]], [[ANY]]), false);
      assert.equal(await has([['<', some(1)]], [[ANY]]), false);
      // What is no control token is text like any other.
      assert.ok((await allowed(context, program([[some(1)]], [[ANY]]))).includes(273));
    }));

  it('lets an end token come only where the text may end, with its own text or without', () =>
    withContext(async (context) => {
      const ends = async (...rules: readonly Rule[]): Promise<number[]> =>
        (await allowed(context, program(...rules))).filter((t) => t === EOS || t === EOT);
      assert.deepEqual(await ends([['a']]), []);
      assert.deepEqual(await ends([['a'], []]), [EOS, EOT]);
      assert.deepEqual(await ends([['<|im_end|>']]), [EOT]);
      assert.deepEqual(await ends([['<|im_end|>', 'more']]), []);
      assert.deepEqual(await ends([[{ until: ['<|im_end|>'] }]]), [EOT]);
      const run = context.start('T', { grammar: program([['<|im_end|>']]) });
      assert.deepEqual([(await run.done).reason, run.text()], ['eog', '<|im_end|>']);
    }));

  it('takes its tokens out before the first step, so that every step sees what is allowed', () =>
    withContext(async (context) => {
      const grammar = program([[some(1, 4, 4)]], [[{ in: [['Q', 'R']] }]]);
      const { text } = await wander(context, grammar, { topK: 1, temperature: 1 });
      assert.match(text, /^[QR]{4}$/);
    }));

  it('that no token is left for fails, and only its own completion', () =>
    rig.with({ slots: 2 }, async (context) => {
      const banned = { biasTokens: Int32Array.of(81), biasValues: Float32Array.of(-Infinity) };
      const stuck = context.start('w', { grammar: program([['Q']]), ...banned });
      const other = context.start('w');
      const done = await stuck.done;
      assert.deepEqual([done.reason, done.code], ['error', 'grammar_invalid']);
      assert.equal((await other.done).reason, 'eog');
    }));

  it('too ambiguous to follow ends its own completion, whatever else runs', () =>
    rig.with({ slots: 2, contextTokens: 2048 }, async (context) => {
      const twice: Rule = [['a', 0, 'x'], ['a', 0, 'y'], ['a']];
      const biasTokens = Int32Array.of(97);
      const biasValues = Float32Array.of(1000);
      const broken = context.start('w', { grammar: program(twice), biasTokens, biasValues });
      const other = context.start('w');
      const done = await broken.done;
      assert.deepEqual([done.reason, done.code], ['error', 'grammar_invalid']);
      assert.match(done.message ?? '', /ambiguous/);
      assert.equal((await other.done).reason, 'eog');
    }));

  describe('is refused where', () => {
    const good = program([['ab', 1]], [['c']]);
    const changed = (place: number, value: number): Int32Array =>
      good.map((number, index) => (index === place ? value : number));
    const text = (...numbers: number[]) => Int32Array.of(1, 1, 3, 1, 5, ...numbers, OP.END);
    const hostile: readonly (readonly [string, Int32Array])[] = [
      ['it is empty', new Int32Array(0)],
      ['it is of another version', changed(0, 2)],
      ['it has no rule', Int32Array.of(1, 0)],
      ['it claims more rules than it has', changed(1, 99)],
      ['a rule lies beyond its end', changed(2, 1000)],
      ['a rule lies before its beginning', changed(2, -1)],
      ['it is cut', good.subarray(0, -3)],
      ['an instruction is unknown', text(9)],
      ['an instruction is negative', text(-1)],
      ['a code point is none', text(OP.CHAR, 0x110000)],
      ['a code point is negative', text(OP.CHAR, -1)],
      ['a range is upside down', text(OP.CLASS, 1, 98, 97)],
      ['a class is larger than the program', text(OP.CLASS, 1 << 30)],
      ['a rule does not exist', text(OP.RULE, 1)],
      ['a repeat ends before it begins', text(OP.REPEAT, 0, 3, 2)],
      ['a repeat is negative', text(OP.REPEAT, 0, -1, 2)],
      ['it looks for nothing', text(OP.UNTIL, 0)],
      ['it looks for an empty text', text(OP.FREE, 1, 0)],
      ['a text is longer than the program', text(OP.UNTIL, 1, 1 << 30)],
      ['a rule begins with itself', program([[0, 'x'], ['y']])],
      ['a rule begins with itself by way of another', program([[1], ['y']], [[0, 'x']])],
      ['a rule begins with itself behind nothing', program([[1, 0, 'x'], ['y']], [[]])],
      ['a rule repeats itself', program([[some(0)], ['y']])],
      ['a rule begins with itself behind a free text', program([[{ free: [] }, 0]])],
    ];
    for (const [title, grammar] of hostile) {
      it(title, () =>
        withContext(async (context) => {
          assert.throws(() => context.start('w', { grammar }), { code: 'grammar_invalid' });
        }),
      );
    }

    it('it is larger than any grammar, or so entangled that it would become so', () =>
      withContext(async (context) => {
        const refused = { code: 'grammar_invalid' };
        const large = new Int32Array((1 << 20) + 1);
        large.set(good);
        assert.throws(() => context.start('w', { grammar: large }), refused);
        // Alternatives that each begin one number later in the same long class.
        const size = 100_000;
        const places = Array.from({ length: size }, (_, index) => 4 + size + 2 * index);
        const body = Array.from({ length: size }, () => [OP.CHAR, 97]).flat();
        const grammar = Int32Array.from([1, 1, 3, size, ...places, ...body, OP.END]);
        assert.throws(() => context.start('w', { grammar }), refused);
      }));

    it('numbers are changed at random: refused, or run and ended, but never more', () =>
      withContext(async (context) => {
        const base = program(
          [[1, { until: ['ab', 'b'] }, { free: ['x', 'yx'] }, some(2, 0, 3)]],
          [['{', some(1, 0, 2), '}'], ['ab']],
          [[{ in: [['a', 'c']] }], []],
        );
        const edits = fc.array(
          fc.tuple(
            fc.nat(base.length - 1),
            fc.oneof(fc.integer({ min: -2, max: base.length }), fc.integer()),
          ),
          { minLength: 1, maxLength: 4 },
        );
        let ran = 0;
        await fc.assert(
          fc.asyncProperty(edits, fc.nat(9), async (list, seed) => {
            const grammar = Int32Array.from(base);
            for (const [place, value] of list) grammar[place] = value;
            const over = { grammar, seed, temperature: 100, maxTokens: 30 };
            try {
              const done = await context.start('D', over).done;
              ran += done.reason === 'error' ? 0 : 1;
              const codes = [null, 'grammar_invalid'];
              assert.ok(codes.includes(done.code), done.message ?? '');
            } catch (error) {
              assert.equal((error as { code?: string }).code, 'grammar_invalid');
            }
          }),
          { numRuns: 1500, seed: 11 },
        );
        assert.ok(ran > 20, `${ran} ran`);
        assert.equal(await context.say('w'), 'xyz</s>');
      }));

    it('it is no Int32Array', () =>
      withContext(async (context) => {
        for (const grammar of ['root ::= "a"', [1, 1], new Uint8Array(4)]) {
          const over = { grammar: grammar as unknown as Int32Array };
          assert.throws(() => context.start('w', over), { code: 'invalid_argument' });
        }
      }));
  });
});
