/** GBNF as users write it: what is read, and what is refused with its line. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HoshikageError, words } from '../../src/errors.js';
import { compileProgram } from '../../src/grammar/compile.js';
import { MAX_GRAMMAR_LENGTH, parseGbnf } from '../../src/grammar/gbnf.js';
import { accepts } from '../helpers/grammar-matcher.js';

function compiled(source: string): Int32Array {
  const { root, rules } = parseGbnf(source);
  return compileProgram(root, rules);
}

function holds(source: string, good: readonly string[], bad: readonly string[]): void {
  const program = compiled(source);
  for (const text of good) assert.equal(accepts(program, text), true, `${source} takes ${text}`);
  for (const text of bad) assert.notEqual(accepts(program, text), true, `${source}: no ${text}`);
}

function refusal(source: string): HoshikageError {
  try {
    compiled(source);
  } catch (thrown) {
    assert.ok(thrown instanceof HoshikageError, String(thrown));
    assert.equal(thrown.code, 'grammar_invalid');
    assert.match(String(thrown.details.reason_ja), /[ぁ-ん一-龠]/);
    return thrown;
  }
  assert.fail(`taken: ${source.slice(0, 80)}`);
}

describe('GBNF', () => {
  test('is literals, alternatives and rules', () => {
    holds('root ::= "a" b | c\nb ::= "b"\nc ::= "c" "c"\n', ['ab', 'cc'], ['a', 'c', 'abc', '']);
  });

  test('has every escape of a literal', () => {
    holds(String.raw`root ::= "\n\r\t\"\\\[\]\x41\u3042\U0001F600"`, ['\n\r\t"\\[]Aあ😀'], ['nrt']);
  });

  test('has classes with ranges, negation, escapes and a dash', () => {
    holds('root ::= [a-cx^]', ['a', 'b', 'c', 'x', '^'], ['d', '-', '']);
    holds(String.raw`root ::= [^\]a\\\n]`, ['b', '[', '😀'], [']', 'a', '\\', '\n']);
    holds(String.raw`root ::= [a\-\]-]`, ['a', '-', ']'], ['b', '\\']);
    holds(String.raw`root ::= [\u3040-\u309F]`, ['あ'], ['ア']);
  });

  test('has a dot for any code point', () => {
    holds('root ::= . "x"', ['ax', '😀x', '\nx'], ['x', '']);
  });

  test('repeats what stands before the mark', () => {
    holds('root ::= "ab"*', ['', 'ab', 'abab'], ['a', 'aba']);
    holds('root ::= [0-9]+ "x"?', ['1', '12x'], ['', 'x', '1xx']);
    holds('root ::= "a"{2}', ['aa'], ['a', 'aaa']);
    holds('root ::= "a"{2,}', ['aa', 'aaaaa'], ['a']);
    holds('root ::= "a"{1,3}', ['a', 'aaa'], ['', 'aaaa']);
    holds('root ::= "a"{ , 2 }', ['', 'a', 'aa'], ['aaa']);
    holds('root ::= "a"{0} "b"', ['b'], ['ab']);
    holds('root ::= ("a" | "b" "c"){2}', ['aa', 'bca', 'bcbc'], ['a', 'bc']);
  });

  test('goes on over lines after ::=, after and before | and in parentheses', () => {
    const source = [
      '# a grammar',
      'root ::= # begins here',
      '  "a" (  # inside',
      '    "b"',
      '    | "c"',
      '  )+ |',
      '  "d"',
      '  | my-rule_2',
      '',
      'my-rule_2 ::= "e"\r\n',
    ].join('\n');
    holds(source, ['ab', 'abcb', 'd', 'e'], ['a', 'ad']);
  });

  test('may have recursion that writes something first', () => {
    holds('root ::= "(" root ")" | ""', ['', '(())'], ['(', '(()']);
    holds('root ::= item ("," item)*\nitem ::= "1" | "[" root "]"', ['1,[1,[1]]'], ['[1', ',1']);
  });

  test('can say what JSON is', () => {
    const source = String.raw`
root   ::= value
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws ( pair ("," ws pair)* )? "}" ws
pair   ::= string ":" ws value
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [1-9] [0-9]{0,15})? ws
ws     ::= | " " | "\n" [ \t]{0,20}
`;
    holds(
      source,
      ['{"a": [1, -2.5e+3, {"b": null}],\n  "c": "\\n\\u00e9"}'],
      ['{"a":}', '[1,]', '01'],
    );
  });

  test('may repeat what is empty or repeated', () => {
    holds('root ::= ("a"+)+', ['a', 'aaaa'], ['', 'b']);
    holds('root ::= ("a"*)*', ['', 'aaaa'], ['b']);
    holds('root ::= ("a"?){3,5} "b"', ['b', 'aaaaab'], ['aaaaaab']);
    holds('root ::= (("a"* "b"*)* | "c"?)+', ['', 'abba', 'ccab'], ['d']);
  });

  test('is refused with the line and what is wrong there', () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      ['root ::= "a', /line 1: a text is never closed/],
      ['root ::= "a"\nb = "c"', /line 2: "::=" was expected/],
      ['root ::= [a', /line 1: a class is never closed/],
      ['root ::= []', /line 1: a class has no characters/],
      ['root ::= [z-a]', /line 1: a range of a class is the wrong way round/],
      ['root ::= ("a"\n"b"', /line 1: a parenthesis is never closed/],
      ['root ::= "a" )', /line 1: "\)" was not expected/],
      ['root ::= *', /line 1: "\*" was not expected/],
      ['root ::= "\\q"', /line 1: unknown escape/],
      ['root ::= "\\ud800"', /line 1: \\ud800 is no character/],
      ['root ::= "\\U00110000"', /is no character of Unicode/],
      ['root ::= "a"{3,2}', /line 1: a repeat has more at least/],
      ['root ::= "a"{,}', /line 1: a repeat is written/],
      ['root ::= "a"{x}', /line 1: a repeat is written/],
      ['root ::= "a"{99999999999}', /line 1: a repeat counts to more/],
      ['root ::= "a"\n\nroot ::= "b"', /line 3: rule "root" is there twice/],
      ['root ::= "a"\nb ::= "b" |\n missing', /line 3: there is no rule "missing"/],
      ['start ::= "a"', /it has no rule "root"/],
      ['', /it has no rule "root"/],
    ];
    for (const [source, reason] of cases) assert.match(refusal(source).message, reason, source);
  });

  test('says so in Japanese too', () => {
    const { code, details } = refusal('root ::= (');
    assert.match(words(code, 'ja', details), /1 行目: 括弧が閉じていません/);
  });

  test('names no tokens', () => {
    for (const part of ['<think>', '<[1000]>', '!<think>']) {
      assert.match(refusal(`root ::= "a" ${part}`).message, /tokens such as <think>/);
    }
  });

  test('is bounded in length and nesting', () => {
    const [message, deep] = [
      refusal(`root ::= "${'x'.repeat(10_000_000)}"`).message,
      refusal(`root ::= ${'('.repeat(100_000)}"a"${')'.repeat(100_000)}`).message,
    ];
    assert.match(message, new RegExp(`longer than ${MAX_GRAMMAR_LENGTH}`));
    assert.match(deep, /parentheses are nested/);
    assert.match(refusal(`root ::= "a"${'*'.repeat(10_000)}`).message, /repeats follow/);
    assert.match(refusal(`root ::= "a"${'|"a"'.repeat(60_000)}`).message, /begin in more than/);
    assert.match(refusal(`root ::= ${'"" '.repeat(60_000)}| root`).message, /left recursion/);
  });
});
