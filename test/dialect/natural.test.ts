/**
 * What models write of their own accord: a bound one must be allowed to, and must be heard. The grammars
 * are run by the tests' own plain matcher.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dialectOf } from '../../src/dialect/detect.js';
import type { CallRules, Tool } from '../../src/dialect/dialect.js';
import { type Asking, writer as writerOf } from '../helpers/bound-writer.js';
import { hear, TOOLS } from '../helpers/hearing.js';
import { TEMPLATES } from './templates.js';

const WRITE: Tool = {
  name: 'write_file',
  description: null,
  parameters: {
    type: 'object',
    properties: {
      path: { type: 'string' },
      content: { anyOf: [{ type: 'string' }, { type: 'null' }] },
      tags: { type: 'array', items: { type: 'string' } },
      mode: { type: ['integer', 'null'] },
      meta: {},
    },
    required: ['path'],
  },
  strict: false,
};
const ALL = [...TOOLS, WRITE];

const writer = (name: string, choice: CallRules['choice'], asking: Partial<Asking> = {}) =>
  writerOf(name, choice, { tools: ALL, ...asking });

type Case = readonly [name: string, text: string, ...arguments: readonly unknown[]];

/** Calls, each with the arguments that are heard. */
const CALLS: readonly Case[] = [
  // Compact, pretty-printed, with other orders and without line breaks.
  ['hermes', '<tool_call>{"name":"clock","arguments":{}}</tool_call>', {}],
  [
    'hermes',
    '<tool_call>\n{"arguments": {"city": "x"}, "name": "get_weather"}\n</tool_call>',
    { city: 'x' },
  ],
  [
    'hermes',
    '\n<tool_call>\n{\n  "name": "clock",\n  "arguments": {}\n}\n</tool_call>\n<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>',
    {},
    {},
  ],
  ['mistral-array', '[TOOL_CALLS] [{"name": "clock", "arguments": {}}]', {}],
  ['mistral-array', '[TOOL_CALLS][{"arguments":{"city":"x"},"name":"get_weather"}]', { city: 'x' }],
  ['granite', '<|tool_call|> [{"arguments": {"city": "x"}, "name": "get_weather"}]', { city: 'x' }],
  ['granite', '<|tool_call|>[\n  {\n    "name": "clock",\n    "arguments": {}\n  }\n]', {}],
  ['phi', '<|tool_call|>{"name": "clock", "arguments": {}}<|/tool_call|>', {}],
  [
    'kimi',
    '<|tool_calls_section_begin|> <|tool_call_begin|> functions.clock:0 <|tool_call_argument_begin|> {} <|tool_call_end|> <|tool_calls_section_end|>',
    {},
  ],
  [
    'command-r',
    '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "clock", "parameters": {}}]<|END_ACTION|>',
    {},
  ],
  // Bare.
  ['plain', '{"name":"clock","arguments":{}}', {}],
  ['plain', '{\n  "name": "get_weather",\n  "parameters": {"city": "x"}\n}', { city: 'x' }],
  ['plain', '{"name": "clock", "arguments": {}}\n{"name": "clock", "arguments": {}}\n', {}, {}],
  ['plain', '[{"name": "clock", "arguments": {}}, {"name": "clock"}]', {}, {}],
  ['llama', '<|python_tag|>{"name": "get_weather", "parameters": {"city": "x"}}', { city: 'x' }],
  [
    'llama',
    '{"type": "function", "name": "get_weather", "parameters": {"city": "x"}}',
    { city: 'x' },
  ],
  ['llama', '{"type": "function", "function": {"name": "clock", "parameters": {}}}', {}],
  ['llama', '<|python_tag|>get_weather(city="x")', { city: 'x' }],
  // In blocks of code.
  ['plain', '```json\n{"name": "get_weather", "arguments": {"city": "x"}}\n```', { city: 'x' }],
  ['plain', '```json\n{\n  "name": "clock",\n  "arguments": {}\n}\n```\n', {}],
  ['plain', '```tool_call\n{"name": "clock", "arguments": {}}\n```', {}],
  ['plain', '```json\n[\n  {\n    "name": "clock",\n    "arguments": {}\n  }\n]\n```', {}],
  ['plain', "```tool_code\nget_weather(city='x')\n```", { city: 'x' }],
  ['llama', '```json\n{"name": "clock", "parameters": {}}\n```', {}],
  ['hermes', '```json\n{"name": "clock", "arguments": {}}\n```', {}],
  // Text that may be null, or anything, without quotes.
  [
    'qwen-coder',
    '<tool_call>\n<function=write_file>\n<parameter=path>\na\n</parameter>\n<parameter=content>\nprint("x")\n# <b>\n</parameter>\n</function>\n</tool_call>',
    { path: 'a', content: 'print("x")\n# <b>' },
  ],
  [
    'qwen-coder',
    '<tool_call>\n<function=write_file>\n<parameter=path>\na\n</parameter>\n<parameter=content>\nnull\n</parameter>\n<parameter=meta>\nsome words\n</parameter>\n</function>\n</tool_call>',
    { path: 'a', content: null, meta: 'some words' },
  ],
  [
    'qwen-coder',
    '<tool_call>\n<function=write_file>\n<parameter=path>\na\n</parameter>\n<parameter=mode>\nNone\n</parameter>\n<parameter=tags>\n[\'a\', "b"]\n</parameter>\n</function>\n</tool_call>',
    { path: 'a', mode: null, tags: ['a', 'b'] },
  ],
  [
    'glm',
    '<tool_call>write_file\n<arg_key>path</arg_key>\n<arg_value>a</arg_value>\n<arg_key>content</arg_key>\n<arg_value>print("x")</arg_value>\n</tool_call>',
    { path: 'a', content: 'print("x")' },
  ],
  [
    'minimax',
    '<minimax:tool_call>\n<invoke name="write_file">\n<parameter name="path">a</parameter>\n<parameter name="meta">{"a": 1}</parameter>\n</invoke>\n</minimax:tool_call>',
    { path: 'a', meta: { a: 1 } },
  ],
  [
    'deepseek-v3.2',
    '<｜DSML｜function_calls>\n<｜DSML｜invoke name="write_file">\n<｜DSML｜parameter name="path" string="true">a</｜DSML｜parameter>\n<｜DSML｜parameter name="content" string="true">print("x")</｜DSML｜parameter>\n<｜DSML｜parameter name="meta" string="false">[1]</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>',
    { path: 'a', content: 'print("x")', meta: [1] },
  ],
  [
    'deepseek-v3.2',
    '<｜DSML｜function_calls>\n<｜DSML｜invoke name="write_file">\n<｜DSML｜parameter name="path" string="true">a</｜DSML｜parameter>\n<｜DSML｜parameter name="content" string="false">null</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>',
    { path: 'a', content: null },
  ],
  // Another order, one line, and what Qwen forgets.
  [
    'qwen-coder',
    '<tool_call>\n<function=get_weather>\n<parameter=days>\n2\n</parameter>\n<parameter=city>\nx\n</parameter>\n</function>\n</tool_call>',
    { days: 2, city: 'x' },
  ],
  [
    'qwen-coder',
    '<tool_call><function=get_weather><parameter=city>Kyoto</parameter><parameter=days>2</parameter></function></tool_call>',
    { city: 'Kyoto', days: 2 },
  ],
  [
    'qwen-coder',
    '<function=get_weather>\n<parameter=city>\nx\n</parameter>\n</function>\n</tool_call>',
    { city: 'x' },
  ],
  [
    'qwen-coder',
    '<function=get_weather>\n<parameter=city>\nx\n</parameter>\n</function>',
    { city: 'x' },
  ],
  [
    'qwen-coder',
    '<tool_call>\n<function=get_weather>\n<parameter=city>\nx\n<parameter=days>\n2\n</function>\n</tool_call>',
    { city: 'x', days: 2 },
  ],
  [
    'qwen-coder',
    '<tool_call>\n<function=get_weather>\n<parameter=city>\nx\n</function>\n</tool_call>',
    { city: 'x' },
  ],
  // Gemma's own notation, sorted as its template sorts.
  [
    'gemma',
    '<|tool_call>call:write_file{content:<|"|>print("x")<|"|>,path:<|"|>a<|"|>,tags:[<|"|>a<|"|>,<|"|>b<|"|>]}<tool_call|>',
    { content: 'print("x")', path: 'a', tags: ['a', 'b'] },
  ],
  [
    'gemma',
    '<|tool_call>call:write_file{path:<|"|>a<|"|>,content:null,mode:7,meta:{k:<|"|>v<|"|>}}<tool_call|>',
    { path: 'a', content: null, mode: 7, meta: { k: 'v' } },
  ],
  // Python.
  [
    'lfm',
    "<|tool_call_start|>[get_weather(city='Kyoto', days=2, exact=True)]<|tool_call_end|>",
    { city: 'Kyoto', days: 2, exact: true },
  ],
  [
    'lfm',
    "<|tool_call_start|>[write_file(path=\"a\",content=None,tags=['a', 'b'],meta={'k': [1, None]}), clock()]<|tool_call_end|>",
    { path: 'a', content: null, tags: ['a', 'b'], meta: { k: [1, null] } },
    {},
  ],
];

describe('A call as models write it', () => {
  for (const [name, text, ...given] of CALLS) {
    test(`${name}: ${JSON.stringify(text)}`, () => {
      const heard = hear(dialectOf(TEMPLATES[name] ?? ''), text, { tools: ALL });
      assert.equal(heard.content, '');
      assert.deepEqual(
        heard.calls.map((call) => JSON.parse(call.arguments)),
        given,
      );
      assert.ok(heard.calls.every((call) => call.complete));
      for (const choice of ['required', 'auto'] as const) {
        assert.ok(writer(name, choice)(text), choice);
      }
    });
  }

  for (const [where, kind] of [
    ['<|channel|>commentary to=functions.clock', ''],
    ['<|channel|>commentary to=functions.clock', ' json'],
    ['<|channel|>analysis to=functions.clock', ' code'],
    [' to=functions.clock<|channel|>commentary', ' <|constrain|>json'],
    [' to=functions.clock<|channel|>analysis', ''],
  ]) {
    test(`harmony: the header ${where}${kind}`, () => {
      const text = `${where}${kind}<|message|>{}<|call|>`;
      for (const choice of ['required', 'auto'] as const) {
        assert.ok(writer('harmony', choice, { thinking: 'possible' })(text));
      }
      assert.equal(hear(dialectOf(TEMPLATES.harmony ?? ''), text).calls.length, 1);
    });
  }
});

describe('An answer beside tools, as models write it', () => {
  for (const name of ['plain', 'llama', 'hermes']) {
    const free = writer(name, 'auto');
    for (const text of [
      '{"answer": 42}',
      '{"title": "x", "items": []}',
      '{"name": "Bob", "age": 3}',
      '{"name": ["clock"]}',
      '{"id": 7, "type": "object", "name": "Bob"}',
      '{"id": 1234567890123456789012, "x": 1}',
      '{"arguments": {"a": 1}, "result": 2}',
      '{"function": {"body": 1}}',
      '[{"x": 1}, {"name": "clock"}]',
      '[1, 2]',
      '{}',
      '<b>bold</b> and <p>',
      '<!DOCTYPE html>\n<html>',
      '\n\n{ x }',
      'Look:\n```json\n{"name": "Bob"}\n```\nand ```js\nf()\n```',
      '```json\n{"name": "<your name>", "b": 1}\n```',
      '```\n{"x": 1}\n```',
      '`name`',
    ]) {
      test(`${name}: ${JSON.stringify(text)} is words`, () => {
        assert.ok(free(text));
        const heard = hear(dialectOf(TEMPLATES[name] ?? ''), text, { tools: ALL });
        assert.deepEqual([heard.content, heard.calls], [text, []]);
      });
    }

    for (const text of [
      '```json\n{"name": "clock"',
      '```json\n{"name": "get_weather", "arguments": {"days": 1}}\n```',
      'a\n```json\n{"name": "clock", "arguments": []}\n```',
    ]) {
      test(`${name}: ${JSON.stringify(text)} cannot be written`, () => assert.ok(!free(text)));
    }
  }

  for (const text of [
    '{"name": "clock"',
    '{"name": "clo\\u0063k", "arguments": {}}',
    '{"n\\u0061me": "clock", "arguments": {}}',
    '{"id": "a", "name": "clock"}x',
    '{"type": "x", "function": {"name": "clock"}}',
    '{"arguments": {}, "name": "clock"',
    '[ {"name": "get_weather", "arguments": {}}]',
    '{"tool_calls": [{"name": "clock"',
  ]) {
    test(`plain: ${JSON.stringify(text)} begins a call and is none`, () => {
      assert.ok(!writer('plain', 'auto')(text));
    });
  }
});

describe('A block of code', () => {
  const plain = dialectOf(TEMPLATES.plain ?? '');
  for (const text of [
    '```json\n{"name": "clock", "arguments": {}}\nand more\n```',
    '```json\n{"name": "clock", "arguments": {}} // so\n```',
    '```json\n{"name": "clock", "argum',
    '```json\n{"name": "rm", "arguments": {}}\n```',
    '```tool_code\nprint(clock())\n```',
    '```tool_code\nclock()\nx = 1\n```',
  ]) {
    test(`${JSON.stringify(text)} is content`, () => {
      const heard = hear(plain, text);
      assert.deepEqual([heard.content, heard.calls], [text, []]);
    });
  }

  test('words before and after a call in one are content', () => {
    const heard = hear(plain, 'I look.\n```json\n{"name": "clock", "arguments": {}}\n```\nDone.');
    assert.deepEqual([heard.content, heard.calls.length], ['I look.Done.', 1]);
  });
});

describe('A call in reasoning that does not end', () => {
  const call = '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>';
  const hermes = dialectOf(TEMPLATES.hermes ?? '');

  test('is one, where it is whole and nothing follows', () => {
    for (const [text, count] of [
      [`Hm.\n${call}`, 1],
      [`Hm.\n${call}\n${call}\n`, 2],
    ] as const) {
      const heard = hear(hermes, text, { thinking: 'open' });
      assert.deepEqual([heard.reasoning, heard.content, heard.calls.length], ['Hm.', '', count]);
      for (const choice of ['required', 'auto'] as const) {
        assert.ok(writer('hermes', choice, { thinking: 'open' })(text));
        assert.ok(writer('hermes', choice, { thinking: 'possible' })(`<think>\n${text}`));
      }
    }
  });

  test('is reasoning where the model goes on, or breaks off', () => {
    for (const thought of [`Say ${call}?`, `Say ${call.slice(0, -20)}`, 'Say <tool_call> now']) {
      assert.equal(hear(hermes, thought, { thinking: 'open' }).reasoning, thought);
      const heard = hear(hermes, `${thought}</think>\n\n${call}`, { thinking: 'open' });
      assert.deepEqual([heard.reasoning, heard.calls.length], [thought, 1]);
    }
  });

  test('is reasoning where there are no tools', () => {
    assert.equal(hear(hermes, call, { thinking: 'open', tools: [] }).reasoning, call);
  });
});

describe('A call that is cut after another', () => {
  const call = '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>\n';

  test('leaves nothing of the first behind', () => {
    const hermes = dialectOf(TEMPLATES.hermes ?? '');
    const cut = '<tool_call>\n{"name": "clo';
    assert.equal(hear(hermes, call + cut).content, cut);
    const begun = hear(hermes, `${call}<tool_call>\n{"name": "clock", "arguments": {"a`);
    assert.deepEqual([begun.content, begun.calls[1]?.complete], ['', false]);
    assert.equal(begun.calls[1]?.raw, '<tool_call>\n{"name": "clock", "arguments": {"a');
  });

  test('leaves nothing of the first behind between tags', () => {
    const one = '<tool_call>\n<function=clock>\n</function>\n</tool_call>\n';
    const coder = dialectOf(TEMPLATES['qwen-coder'] ?? '');
    const cut = '<tool_call>\n<function=clo';
    assert.equal(hear(coder, one + cut).content, cut);
  });
});

describe('A strict tool', () => {
  const strict: Tool = {
    ...WRITE,
    parameters: {
      type: 'object',
      properties: {
        path: { type: 'string' },
        content: { type: ['string', 'null'] },
        kind: { enum: ['a', 'b', null] },
        tags: { type: 'array', items: { type: 'string' } },
      },
      required: ['path', 'content', 'kind', 'tags'],
      additionalProperties: false,
    },
    strict: true,
  };
  const given = { path: 'p', content: 'print("x")', kind: null, tags: ['a'] };
  for (const [name, text] of [
    [
      'qwen-coder',
      '<tool_call>\n<function=write_file>\n<parameter=path>\np\n</parameter>\n<parameter=content>\nprint("x")\n</parameter>\n<parameter=kind>\nnull\n</parameter>\n<parameter=tags>\n["a"]\n</parameter>\n</function>\n</tool_call>',
    ],
    [
      'gemma',
      '<|tool_call>call:write_file{content:<|"|>print("x")<|"|>,kind:null,path:<|"|>p<|"|>,tags:[<|"|>a<|"|>]}<tool_call|>',
    ],
    [
      'lfm',
      "<|tool_call_start|>[write_file(path='p', content='print(\"x\")', kind=None, tags=['a'])]<|tool_call_end|>",
    ],
  ] as const) {
    test(`is called in the family's own way: ${name}`, () => {
      assert.ok(writer(name, 'required', { tools: [strict] })(text));
      const heard = hear(dialectOf(TEMPLATES[name] ?? ''), text, { tools: [strict] });
      assert.deepEqual(JSON.parse(heard.calls[0]?.arguments ?? ''), given);
    });
  }
});
