/** A model that was told of its tools in words: what it may write, and what is heard of it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dialectOf } from '../../src/dialect/detect.js';
import { RuleSet } from '../../src/grammar/expression.js';
import { SentenceWriter } from '../helpers/expression-sentences.js';
import { hear, TOOLS } from '../helpers/hearing.js';
import { TEMPLATES } from './templates.js';

const PLAIN = '{"name": "get_weather", "arguments": {"city": "Kyoto"}}';

describe('Tools in words', () => {
  test('are called in plain JSON, behind the reasoning of the family', () => {
    const template = '<｜tool▁calls▁begin｜> ```json <think> </think>';
    const answer = `Hm.\n</think>\n\n${PLAIN}`;
    const own = hear(dialectOf(template), answer, { thinking: 'open' });
    assert.deepEqual([own.calls.length, own.content], [0, PLAIN]);
    const told = hear(dialectOf(template, { toolsInWords: true }), answer, { thinking: 'open' });
    assert.deepEqual([told.reasoning, told.calls.length, told.content], ['Hm.', 1, '']);
    assert.equal(told.calls[0]?.arguments, '{"city": "Kyoto"}');
  });

  test('are called as the family learnt it, too', () => {
    const dialect = dialectOf('<tool_call>', { toolsInWords: true });
    const heard = hear(dialect, `So.\n<tool_call>\n${PLAIN}\n</tool_call>`);
    assert.deepEqual([heard.calls.length, heard.content], [1, 'So.']);
  });

  test('make a dialect of another name, whose grammars are kept apart', () => {
    const names = [false, true].map(
      (toolsInWords) => dialectOf('<tool_call>', { toolsInWords }).name,
    );
    assert.notEqual(names[0], names[1]);
  });
});

for (const [name, template] of Object.entries(TEMPLATES)) {
  test(`${name}: what a bound model writes of tools in words is heard`, () => {
    const dialect = dialectOf(template, { toolsInWords: true });
    for (const choice of ['required', 'auto'] as const) {
      const rules = new RuleSet();
      const asked = { tools: TOOLS, choice, parallel: true, thinking: 'none' } as const;
      const output = dialect.bindCalls(rules, asked);
      const writer = new SentenceWriter(rules.rules, name.length);
      for (let count = 0; count < 25; count++) {
        const sentence = writer.write(output);
        const heard = hear(dialect, sentence, { tools: TOOLS });
        for (const call of heard.calls) {
          assert.equal(call.complete, true, sentence);
          assert.equal(typeof JSON.parse(call.arguments), 'object', sentence);
        }
        if (choice === 'required') assert.ok(heard.calls.length >= 1, sentence);
      }
    }
  });
}
