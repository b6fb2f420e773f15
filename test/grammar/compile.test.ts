/** What every grammar must be before it is run, whatever it was made from. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compileProgram } from '../../src/grammar/compile.js';
import {
  choice,
  counted,
  type Expression,
  free,
  noneOf,
  oneOf,
  optional,
  otherRanges,
  RuleSet,
  repeat,
  rule,
  sequence,
  text,
  until,
} from '../../src/grammar/expression.js';
import { OP, PROGRAM_VERSION } from '../../src/grammar/program.js';
import { accepts, seeded, walk } from '../helpers/grammar-matcher.js';

const compile = (root: Expression, rules: Record<string, Expression> = {}): Int32Array =>
  compileProgram(root, new Map(Object.entries(rules)));
const refuses = (
  reason: RegExp,
  root: Expression,
  rules: Record<string, Expression> = {},
): void => {
  assert.throws(() => compile(root, rules), { code: 'grammar_invalid', message: reason });
};

describe('a program', () => {
  test('is laid out as program.ts says', () => {
    const program = compile(sequence(text('aあ'), repeat(oneOf([0x30, 0x39]), 2)));
    assert.deepEqual(
      [...program],
      [
        ...[PROGRAM_VERSION, 2, 4, 15],
        ...[1, 6, OP.CHAR, 0x61, OP.CHAR, 0x3042, OP.REPEAT, 1, 2, -1, OP.END],
        ...[1, 17, OP.CLASS, 1, 0x30, 0x39, OP.END],
      ],
    );
  });

  test('says the same as its expression', () => {
    const cases: readonly (readonly [Expression, readonly string[], readonly string[]])[] = [
      [text(''), [''], ['a']],
      [choice(text('a'), choice(text('b'), text('cd'))), ['a', 'b', 'cd'], ['c', '']],
      [sequence(text('a'), choice(text('b'), text('')), text('c')), ['abc', 'ac'], ['ab']],
      [repeat(sequence(text('a'), optional(text('b'))), 1, 2), ['a', 'abab'], ['', 'aaa']],
      [sequence(until('</x>', 'STOP'), text('!')), ['</x>!', 'a<STOP!'], ['a!', 'STOPSTOP!']],
      [sequence(free('ab'), text('c')), ['c', 'bac', 'aac'], ['abc']],
      [free(), ['', 'anything'], []],
      [noneOf([0x61, 0x7a]), ['A', '😀'], ['m']],
    ];
    for (const [root, good, bad] of cases) {
      const program = compile(root);
      for (const sentence of good) assert.equal(accepts(program, sentence), true, sentence);
      for (const sentence of bad) assert.notEqual(accepts(program, sentence), true, sentence);
    }
  });

  test('tells what may still become a sentence', () => {
    const program = compile(sequence(text('ab'), repeat(text('c'), 2, 3)));
    assert.deepEqual(
      ['', 'a', 'abc', 'abcc', 'abx'].map((part) => accepts(program, part)),
      [...(['prefix', 'prefix', 'prefix', true, false] as const)],
    );
  });

  test('leaves out rules that nothing reaches', () => {
    const program = compile(rule('a'), { a: text('x'), b: rule('missing') });
    assert.equal(program[1], 1);
  });

  test('has one rule for a part that stands in several places', () => {
    const part = choice(text('a'), text('b'));
    assert.equal(compile(sequence(part, text('-'), part, text('-'), part))[1], 2);
  });

  test('walks to the end from any seed', () => {
    const list = {
      list: choice(text('x'), sequence(text('('), repeat(rule('list'), 1), text(')'))),
    };
    const program = compile(rule('list'), list);
    for (let seed = 0; seed < 50; seed++) {
      assert.equal(accepts(program, walk(program, seeded(seed), 60)), true);
    }
  });
});

describe('a grammar is refused', () => {
  test('when a rule does not exist', () => {
    refuses(/rule "a" names a rule that does not exist: "b"/, rule('a'), { a: rule('b') });
    refuses(/"constructor"/, rule('constructor'));
  });

  test('when a rule begins with itself, also behind what may be empty', () => {
    const a = rule('a');
    const x = text('x');
    refuses(/left recursion/, a, { a: choice(x, sequence(a, x)) });
    refuses(/left recursion/, a, { a: choice(x, sequence(optional(x), a, x)) });
    refuses(/left recursion/, a, {
      a: choice(x, rule('b')),
      b: sequence(repeat(x, 0), free('z'), a),
    });
    refuses(/left recursion/, a, { a: repeat(a, 0) });
    refuses(/left recursion/, a, { a: choice(x, sequence(rule('b'), a)), b: sequence(text('')) });
  });

  test('when a rule can never end', () => {
    refuses(/rule "a" can never end/, rule('a'), { a: sequence(text('x'), rule('a')) });
    refuses(/rule "b" can never end/, choice(text('x'), rule('b')), {
      b: sequence(text('('), rule('b'), text(')')),
    });
    refuses(/can never end/, { kind: 'class', ranges: [] });
    refuses(/can never end/, choice());
  });

  test('when bounded repeats multiply', () => {
    const hundred = (part: Expression): Expression => repeat(part, 0, 101);
    refuses(/multiply to more than 10000/, hundred(hundred(text('a'))));
    refuses(/multiply/, hundred(rule('a')), { a: sequence(text('('), hundred(text('a'))) });
    refuses(/multiply/, repeat(text('a'), 20_000));
    compile(repeat(repeat(repeat(text('a'), 1), 1), 1));
    compile(counted(sequence(text('"'), counted(text('a'), 0, 100_000), text('"')), 0, 100_000));
  });

  test('when its texts can be counted in too many ways below the least number of repeats', () => {
    const any = noneOf();
    const space = oneOf([0x20, 0x20]);
    const word = noneOf([0x20, 0x20]);
    const digit = oneOf([0x30, 0x39]);
    const spaced = sequence(repeat(word, 1), optional(space));
    refuses(/too ambiguous/, repeat(spaced, 50, 300));
    refuses(/too ambiguous/, repeat(repeat(any, 50, 100), 50, 100));
    refuses(/too ambiguous/, repeat(repeat(any, 10, 20), 10, 20));
    refuses(/too ambiguous/, sequence(repeat(any, 0), repeat(any, 100, 200)));
    refuses(/rule "a" is too ambiguous/, sequence(text('('), rule('a')), { a: repeat(spaced, 50) });
    // Where no count is below its least, the best one stands for all.
    compile(repeat(spaced, 1, 100));
    compile(repeat(repeat(any, 1, 10), 1, 10));
    compile(sequence(repeat(any, 0, 100), space, repeat(any, 0, 100)));
    // Where any text has one count only, it may be as high as it will.
    compile(repeat(any, 50, 300));
    compile(repeat(choice(noneOf([0x5c, 0x5c]), text('\\n'), text('\\u0000')), 500, 2000));
    compile(repeat(sequence(repeat(word, 1, 20), space), 200, 300));
    compile(repeat(choice(text('ab'), text('b'), text('cde')), 200));
    // Few tokens are all digits.
    compile(sequence(repeat(any, 0), repeat(digit, 100)));
    refuses(/too ambiguous/, sequence(repeat(any, 0), repeat(digit, 300)));
    refuses(/too ambiguous/, repeat(choice(text('ab'), text('abc')), 300));
  });

  test('when it can begin in too many ways', () => {
    const rules: Record<string, Expression> = { r40: optional(text('x')) };
    for (let index = 0; index < 40; index++) {
      rules[`r${index}`] = sequence(rule(`r${index + 1}`), rule(`r${index + 1}`));
    }
    refuses(/can begin in more than 10000 ways/, rule('r0'), rules);
    compile(rule('r0'), { ...rules, r40: text('x') });
  });

  test('when it is too deep or too large', () => {
    let deep: Expression = text('a');
    for (let index = 0; index < 100_000; index++) deep = sequence(deep, text('b'));
    refuses(/nested more than/, deep);
    let deepChoice: Expression = text('a');
    for (let index = 0; index < 100_000; index++) deepChoice = choice(deepChoice, text('b'));
    refuses(/nested more than/, deepChoice);
    let wide: Expression = text('a');
    for (let index = 0; index < 60; index++) wide = sequence(wide, wide);
    refuses(/too large/, wide);
    let empty: Expression = text('');
    for (let index = 0; index < 60; index++) empty = sequence(empty, empty);
    refuses(/too large/, empty);
    const many = Array.from({ length: 70_000 }, (_, index) => optional(text(String(index))));
    refuses(/too large/, sequence(...many));
  });

  test('when a repeat or a search makes no sense', () => {
    refuses(/repeats 3 to 2 times/, repeat(text('a'), 3, 2));
    refuses(/repeats -1 to 2 times/, repeat(text('a'), -1, 2));
    refuses(/repeats NaN/, repeat(text('a'), Number.NaN, 2));
    refuses(/empty text/, until());
    refuses(/empty text/, free('a', ''));
  });
});

describe('named rules', () => {
  test('get another name where one is taken', () => {
    const rules = new RuleSet();
    rules.add('a-2', () => text('taken'));
    const names = [1, 2, 3].map(() => rules.add('a', () => text('x')));
    assert.deepEqual(names, [rule('a'), rule('a-3'), rule('a-4')]);
  });

  test('know their own name before they exist', () => {
    const rules = new RuleSet();
    const root = rules.add('a', (self) => choice(text('x'), sequence(text('('), self)));
    assert.equal(accepts(compileProgram(root, rules), '((x'), true);
  });
});

describe('ranges of code points', () => {
  test('are complemented without surrogates', () => {
    assert.deepEqual(otherRanges([[0x61, 0x7a]]), [
      [0, 0x60],
      [0x7b, 0xd7ff],
      [0xe000, 0x10ffff],
    ]);
    assert.deepEqual(otherRanges([[0, 0x10ffff]]), []);
  });
});
