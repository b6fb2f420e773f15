/**
 * What a model that is bound to a dialect can write, read again: random sentences of each grammar, cut
 * anywhere. Every call begun in them must be heard as one.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dialectOf } from '../../src/dialect/detect.js';
import type { CallRules, Dialect, Thinking, Tool } from '../../src/dialect/dialect.js';
import { compileProgram } from '../../src/grammar/compile.js';
import { RuleSet, text } from '../../src/grammar/expression.js';
import { SentenceWriter } from '../helpers/expression-sentences.js';
import { accepts } from '../helpers/grammar-matcher.js';
import { hear, TOOLS } from '../helpers/hearing.js';
import { TEMPLATES } from './templates.js';

const MOOD: Tool = {
  name: 'set-mood_2',
  description: null,
  parameters: {
    type: 'object',
    properties: {
      level: { type: ['integer', 'null'] },
      mood: { enum: ['calm', '12', 'it is "so"'] },
      note: { anyOf: [{ type: 'string' }, { type: 'null' }] },
    },
    required: ['mood'],
  },
  strict: false,
};
/** With every kind of value, and more parameters than stand in any order. */
const WIDE: Tool = {
  name: 'wide',
  description: null,
  parameters: {
    type: 'object',
    properties: {
      any: {},
      tags: { type: 'array', items: { type: 'string' } },
      inner: {
        type: 'object',
        properties: { x: { type: 'string' }, y: { type: ['boolean', 'null'] } },
      },
      mixed: { type: ['string', 'integer'] },
      short: { type: 'string', maxLength: 5 },
      kind: { enum: ['a', null] },
      list: { type: 'array' },
    },
    required: ['mixed'],
  },
  strict: false,
};
const HELD: Tool = {
  name: 'held',
  description: null,
  parameters: {
    type: 'object',
    properties: {
      day: { type: 'string', format: 'date' },
      note: { type: ['string', 'null'] },
      tags: { type: 'array', items: { type: 'string' } },
    },
    required: ['day', 'note', 'tags'],
    additionalProperties: false,
  },
  strict: true,
};
const ALL = [...TOOLS, MOOD, WIDE, HELD];
/** Of families whose calls begin in more than one way. */
const BEGINNINGS: Readonly<Record<string, string>> = {
  functionary: '>>>',
  hermes: '<tool_call>',
  llama: '{"name": "clock"',
  plain: '{"name": "clock"',
  'qwen-coder': '<tool_call>',
  solar: '<|tool_calls|>',
};
const SENTENCES = 25;

/** What every call begins with, as far as one begins like the other. */
function beginningOf(dialect: Dialect): string {
  const rules = new RuleSet();
  const asked = { tools: ALL, choice: 'required', parallel: false, thinking: 'none' } as const;
  const writer = new SentenceWriter(rules.rules, 1);
  const output = dialect.bindCalls(rules, asked);
  let beginning = writer.write(output).trimStart();
  for (let count = 0; count < SENTENCES; count++) {
    const sentence = writer.write(output).trimStart();
    while (!sentence.startsWith(beginning)) beginning = beginning.slice(0, -1);
  }
  assert.ok(beginning.length > 5, beginning);
  return beginning;
}

function checkArguments(name: string, json: string): void {
  const value: unknown = JSON.parse(json);
  assert.ok(typeof value === 'object' && value !== null && !Array.isArray(value), json);
  assert.ok(ALL.some((tool) => tool.name === name));
}

for (const [name, template] of Object.entries(TEMPLATES)) {
  describe(`${name}, bound`, () => {
    const dialect = dialectOf(template);
    const beginning = BEGINNINGS[name] ?? beginningOf(dialect);
    const isBare = beginning.startsWith('{');
    const thinkings: readonly Thinking[] = ['none', 'possible', 'open'];

    for (const choice of ['required', 'auto'] as const) {
      test(`calls are heard as they were written: ${choice}`, () => {
        let calls = 0;
        for (const thinking of thinkings) {
          for (const parallel of [false, true]) {
            const rules = new RuleSet();
            const asked: CallRules = { tools: ALL, choice, parallel, thinking };
            const output = dialect.bindCalls(rules, asked);
            const writer = new SentenceWriter(rules.rules, name.length);
            for (let count = 0; count < SENTENCES; count++) {
              const sentence = writer.write(output);
              const heard = hear(dialect, sentence, { tools: ALL, thinking });
              for (const call of heard.calls) {
                assert.equal(call.complete, true, sentence);
                checkArguments(call.name, call.arguments);
              }
              calls += heard.calls.length;
              if (heard.calls.length === 0) {
                const place = heard.content.trimStart().indexOf(beginning);
                assert.ok(isBare ? place !== 0 : place < 0, sentence);
              }
              if (!parallel) assert.ok(heard.calls.length <= 1, sentence);
              if (choice === 'required') {
                assert.ok(heard.calls.length >= 1, sentence);
                assert.equal(heard.content, '', sentence);
              }
            }
          }
        }
        assert.ok(calls > SENTENCES, `${calls} calls`);
      });
    }

    test('words may be written, and calls that are begun must be well formed', () => {
      const rules = new RuleSet();
      const output = dialect.bindCalls(rules, {
        ...{ tools: ALL, choice: 'auto', parallel: true, thinking: 'none' },
      });
      const lead = name === 'functionary' ? 'all\n' : '';
      const program = compileProgram(output, rules);
      assert.equal(accepts(program, `${lead}Words, [{"and": "so"}] <on>.`), true);
      for (const spoilt of ['', 'x', '{"name": "clock"} and more', 'rm', '\nclock']) {
        const words = `${isBare ? '' : `${lead}Words `}${beginning}${spoilt}`;
        assert.notEqual(accepts(program, words), true, words);
      }
    });

    test('a bound answer comes after reasoning, and is all that is shown', () => {
      for (const thinking of thinkings) {
        const rules = new RuleSet();
        const output = dialect.bindAnswer(text('{"answer": 42}'), thinking);
        const writer = new SentenceWriter(rules.rules, 7);
        for (let count = 0; count < SENTENCES; count++) {
          const sentence = writer.write(output);
          const heard = hear(dialect, sentence, { tools: [], thinking });
          assert.equal(heard.content.trim(), '{"answer": 42}', sentence);
        }
      }
    });
  });
}
