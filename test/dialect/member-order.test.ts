/** In which order a bound model may write the parameters of a call. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dialectOf } from '../../src/dialect/detect.js';
import type { Tool } from '../../src/dialect/dialect.js';
import { compileProgram } from '../../src/grammar/compile.js';
import { RuleSet } from '../../src/grammar/expression.js';
import { writer } from '../helpers/bound-writer.js';
import { TEMPLATES } from './templates.js';

describe('The order of parameters', () => {
  const numbered = (count: number): Tool => {
    const names = Array.from({ length: count }, (_, index) => `p${count - index}`);
    return {
      ...{ name: 'f', description: null, strict: false },
      parameters: {
        type: 'object',
        properties: Object.fromEntries(names.map((name) => [name, { type: 'integer' }])),
        required: [names[0]],
      },
    };
  };
  const written: Readonly<Record<string, (keys: readonly string[]) => string>> = {
    lfm: (keys) =>
      `<|tool_call_start|>[f(${keys.map((key) => `${key}=1`).join(', ')})]<|tool_call_end|>`,
    gemma: (keys) => `<|tool_call>call:f{${keys.map((key) => `${key}:1`).join(',')}}<tool_call|>`,
    'qwen-coder': (keys) =>
      `<tool_call>\n<function=f>\n${keys.map((key) => `<parameter=${key}>\n1\n</parameter>\n`).join('')}</function>\n</tool_call>`,
  };

  for (const [name, write] of Object.entries(written)) {
    test(`${name}: any of up to five, with what is required and nothing twice`, () => {
      const may = writer(name, 'required', { tools: [numbered(5)] });
      assert.ok(may(write(['p1', 'p5', 'p3'])));
      assert.ok(may(write(['p3', 'p4', 'p5', 'p1', 'p2'])));
      assert.ok(!may(write(['p1', 'p3'])));
      assert.ok(!may(write(['p5', 'p1', 'p5'])));
    });

    test(`${name}: of more than five the declared one${name === 'gemma' ? ', or sorted' : ''}`, () => {
      const may = writer(name, 'required', { tools: [numbered(6)] });
      assert.ok(may(write(['p6', 'p4', 'p1'])));
      assert.equal(may(write(['p1', 'p4', 'p6'])), name === 'gemma');
      assert.ok(!may(write(['p4', 'p1', 'p6'])));
    });
  }

  test('of many tools is any of up to three', () => {
    const tools = Array.from({ length: 17 }, (_, index) => ({ ...numbered(4), name: `f${index}` }));
    const may = writer('gemma', 'required', { tools: [...tools, numbered(3)] });
    assert.ok(may('<|tool_call>call:f{p2:1,p3:1,p1:1}<tool_call|>'));
    assert.ok(!may('<|tool_call>call:f1{p2:1,p4:1,p1:1}<tool_call|>'));
  });

  test('schemas that hold themselves are followed a little way only', () => {
    const node = {
      type: 'object',
      properties: Object.fromEntries(
        ['a', 'b', 'c', 'd', 'e', 'f'].map((key) => [key, { $ref: '#/properties/root' }]),
      ),
    };
    const parameters = { type: 'object', properties: { root: node } };
    const deep: Tool = { name: 'f', description: null, strict: false, parameters };
    for (const name of ['gemma', 'lfm']) {
      const rules = new RuleSet();
      const output = dialectOf(TEMPLATES[name] ?? '').bindCalls(rules, {
        ...{ tools: [deep], choice: 'required', parallel: false, thinking: 'none' },
      });
      assert.ok(compileProgram(output, rules).length < 20_000);
    }
    const may = writer('gemma', 'required', { tools: [deep] });
    assert.ok(may('<|tool_call>call:f{root:{a:{b:{c:{d:{e:{f:{}}}}}}}}<tool_call|>'));
  });
});
