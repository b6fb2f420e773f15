/** Families whose answers are made of parts with heads: harmony and functionary. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dialectOf } from '../../src/dialect/detect.js';
import { RuleSet, text } from '../../src/grammar/expression.js';
import { accepts } from '../helpers/expression-match.js';
import { hear, TOOLS } from '../helpers/hearing.js';
import { TEMPLATES } from './templates.js';

const harmony = dialectOf(TEMPLATES.harmony ?? '');
const functionary = dialectOf(TEMPLATES.functionary ?? '');
const control = /<\|[a-z]+\|>/g;

describe('Harmony', () => {
  test('analysis is reasoning, final is content', () => {
    const answer =
      '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|> Yes. <|return|>';
    for (const hearing of [{ control }, {}, { control, tools: [] }]) {
      const heard = hear(harmony, answer, { ...hearing, thinking: 'possible' });
      assert.deepEqual([heard.reasoning, heard.content, heard.calls], ['Hm.', ' Yes. ', []]);
    }
  });

  test('an answer without any head is content, to the last space', () => {
    for (const thinking of ['none', 'possible'] as const) {
      assert.equal(hear(harmony, '  Yes.\n ', { thinking }).content, '  Yes.\n ');
    }
  });

  test('a message to the user may come before a call', () => {
    const heard = hear(
      harmony,
      '<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>commentary to=functions.clock <|constrain|>json<|message|>{ }<|call|>',
      { control },
    );
    assert.equal(heard.content, 'I look.');
    assert.deepEqual(heard.calls[0]?.arguments, '{ }');
  });

  test('arguments without their end are not complete, and what follows them is content', () => {
    const head = '<|channel|>commentary to=functions.clock <|constrain|>json<|message|>';
    const cut = hear(harmony, `${head}{"a": `, { control });
    assert.deepEqual([cut.calls[0]?.complete, cut.content], [false, '']);
    const more = hear(harmony, `${head}{} and so on<|call|>`, { control });
    assert.deepEqual([more.calls[0]?.complete, more.content], [true, 'and so on']);
  });

  test('a tool that is not there is content', () => {
    const heard = hear(
      harmony,
      '<|channel|>commentary to=browser.search code<|message|>{"q": 1}<|call|>',
      { control },
    );
    assert.deepEqual(heard.calls, []);
    assert.match(heard.content, /browser\.search.*\{"q": 1\}/);
  });

  test('a head that the end cuts off says nothing', () => {
    assert.equal(hear(harmony, '<|channel|>ana', { control }).content, '');
  });

  test('a bound answer is a final message, after as much analysis as there may be', () => {
    const output = harmony.bindAnswer(text('42'), 'possible');
    const final = '<|channel|>final<|message|>42';
    const analysis = '<|channel|>analysis<|message|>a<|end|><|start|>assistant';
    assert.ok(accepts(output, new Map(), final));
    assert.ok(accepts(output, new Map(), analysis + final));
    assert.ok(accepts(output, new Map(), analysis + analysis + final));
    assert.ok(!accepts(output, new Map(), '42'));
    assert.ok(!accepts(output, new Map(), `${analysis}42`));
    const open = harmony.bindAnswer(text('42'), 'open');
    assert.ok(accepts(open, new Map(), `a<|end|><|start|>assistant${final}`));
  });
});

describe('Functionary', () => {
  test('a part for all is content', () => {
    assert.equal(hear(functionary, 'all\nYes.\n').content, 'Yes.\n');
    assert.equal(hear(functionary, 'all\nYes >>> no', { tools: [] }).content, 'Yes >>> no');
  });

  test('text without a head is content', () => {
    assert.equal(hear(functionary, 'allow me').content, 'allow me');
  });

  test('content and calls may follow each other', () => {
    const heard = hear(functionary, 'all\nI look.\n>>>clock\n{}>>>clock\n{"a": 1}');
    assert.equal(heard.content, 'I look.\n');
    assert.deepEqual(
      heard.calls.map((call) => call.arguments),
      ['{}', '{"a": 1}'],
    );
  });

  test('words that end as the mark begins are bound too', () => {
    const rules = new RuleSet();
    const output = functionary.bindCalls(rules, {
      ...{ tools: TOOLS, choice: 'auto', parallel: false, thinking: 'none' },
    });
    assert.ok(accepts(output, rules.rules, 'all\na >> b'));
    assert.ok(accepts(output, rules.rules, 'all\na>>>clock\n{}'));
    assert.ok(!accepts(output, rules.rules, 'all\na>>>>clock\n{}'));
  });
});
