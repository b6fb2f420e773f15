/** Parameters that stand on their own: which of them are text, by the tool's schema. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dialectOf } from '../../src/dialect/detect.js';
import type { Tool } from '../../src/dialect/dialect.js';
import { parametersOf } from '../../src/dialect/parameters.js';
import { HoshikageError } from '../../src/errors.js';
import { RuleSet } from '../../src/grammar/expression.js';
import { SentenceWriter } from '../helpers/expression-sentences.js';
import { hear } from '../helpers/hearing.js';
import { TEMPLATES } from './templates.js';

const tool = (properties: Record<string, unknown>, strict = false): Tool => ({
  name: 'f',
  description: null,
  parameters: {
    type: 'object',
    properties,
    required: Object.keys(properties),
    $defs: { color: { enum: ['red', 'green'] }, loop: { $ref: '#/$defs/loop' } },
  },
  strict,
});

const dialect = dialectOf(TEMPLATES['qwen-coder'] ?? '');

function read(schema: unknown, value: string): unknown {
  const call = `<tool_call>\n<function=f>\n<parameter=x>\n${value}\n</parameter>\n</function>\n</tool_call>`;
  const heard = hear(dialect, call, { tools: [tool({ x: schema })] });
  assert.equal(heard.calls[0]?.complete, true);
  const values: { readonly x: unknown } = JSON.parse(heard.calls[0]?.arguments ?? '');
  return values.x;
}

describe('A value between tags', () => {
  for (const [schema, written, value] of [
    [{ type: 'string' }, '42', '42'],
    [{ type: 'string' }, 'null', 'null'],
    [{ type: 'string' }, ' two\nlines "q" \\ \u0007 ', ' two\nlines "q" \\ \u0007 '],
    [{ type: 'string' }, '', ''],
    [{ type: 'integer' }, '42', 42],
    [{ type: 'integer' }, 'many', 'many'],
    [{ type: 'boolean' }, 'False', false],
    [{ type: ['string', 'null'] }, 'null', null],
    [{ type: ['string', 'null'] }, '42', '42'],
    [{ anyOf: [{ type: 'string' }, { type: 'integer' }] }, '42', 42],
    [{ anyOf: [{ type: 'string' }, { type: 'null' }] }, 'hello', 'hello'],
    [{ type: 'string', nullable: true }, 'null', null],
    [{ $ref: '#/$defs/color' }, 'red', 'red'],
    [{ $ref: '#/$defs/loop' }, '1', 1],
    [{ enum: ['1', '2'] }, '1', '1'],
    [{ type: 'array' }, '[1, {"a": null}]', [1, { a: null }]],
    [{ type: 'object' }, "{'a': True, 'b': ['x', None]}", { a: true, b: ['x', null] }],
    [{}, '[1]', [1]],
    [{}, 'plain words', 'plain words'],
    [true, '{"a": 1}', { a: 1 }],
  ] as const) {
    test(`${JSON.stringify(written)} of ${JSON.stringify(schema)}`, () => {
      assert.deepEqual(read(schema, written), value);
    });
  }

  test('one that no schema names is what it looks like', () => {
    const call = '<function=f>\n<parameter=y>\n7\n</parameter>\n</function>';
    const heard = hear(dialect, call, { tools: [tool({})] });
    assert.equal(heard.calls[0]?.arguments, '{"y": 7}');
  });

  test('the same parameter twice is no call', () => {
    const value = '<parameter=x>\n7\n</parameter>\n';
    const heard = hear(dialect, `<function=f>\n${value}${value}</function>`, {
      tools: [tool({ x: {} })],
    });
    assert.equal(heard.calls[0]?.complete, false);
  });

  test('a whole call as an object is read too', () => {
    const heard = hear(dialect, '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>', {
      tools: [tool({ x: {} })],
    });
    assert.deepEqual([heard.calls[0]?.arguments, heard.content], ['{"x": 1}', '']);
  });

  test('schemas that refer to each other without end are given up', () => {
    const wide = Array.from({ length: 50 }, () => ({ $ref: '#/properties/x' }));
    const [parameter] = parametersOf(tool({ x: { anyOf: wide } }));
    assert.equal(parameter?.kinds, null);
  });
});

describe('A bound value between tags', () => {
  const bind = (one: Tool, name = 'qwen-coder'): string => {
    const rules = new RuleSet();
    const output = dialectOf(TEMPLATES[name] ?? '').bindCalls(rules, {
      ...{ tools: [one], choice: 'required', parallel: false, thinking: 'none' },
    });
    return new SentenceWriter(rules.rules, 3).write(output);
  };

  test('a text of a list is one of them, without quotes', () => {
    const sentence = bind(tool({ x: { $ref: '#/$defs/color' } }, true));
    assert.match(sentence, /<parameter=x>\n?(?:red|green)\n?<\/parameter>/);
  });

  test('a pattern or a format holds a text of a strict tool without quotes', () => {
    const pattern = tool({ x: { type: 'string', pattern: '^a+$' } }, true);
    assert.match(bind(pattern), /<parameter=x>\n?a+\n<?\//);
    const date = tool({ x: { type: 'string', format: 'date' } }, true);
    assert.match(bind(date, 'glm'), /<arg_value>\d{4}-\d\d-\d\d<\/arg_value>/);
    const parted = tool({ x: { type: 'string', pattern: '^[^"]{3}$' } }, true);
    assert.match(bind(parted, 'glm'), /<arg_value>[^"<]{3}<\/arg_value>/u);
  });

  test('what cannot be held in bare text is refused for a strict tool, by its place', () => {
    const strict = tool({ x: { type: 'string', pattern: '^a+$', maxLength: 4 } }, true);
    assert.throws(
      () => bind(strict),
      (error) =>
        error instanceof HoshikageError &&
        error.code === 'schema_unsupported' &&
        error.details.pointer === '/properties/x/pattern',
    );
    assert.match(bind({ ...strict, strict: false }), /<parameter=x>/);
  });

  test('a name that its tags cannot hold is refused for a strict tool, else left out', () => {
    const odd = tool({ 'a>b': { type: 'string' } }, true);
    assert.throws(() => bind(odd), { code: 'schema_unsupported' });
    assert.doesNotMatch(bind({ ...odd, strict: false }), /parameter/);
  });

  test('what a strict schema says of all arguments together is refused where they stand alone', () => {
    const one = tool({ x: { type: 'integer' } }, true);
    for (const [keyword, value] of [
      ['minProperties', 1],
      ['anyOf', []],
      ['required', ['y']],
    ] as const) {
      const strict = { ...one, parameters: { ...one.parameters, [keyword]: value } };
      for (const name of ['qwen-coder', 'lfm', 'gemma']) {
        assert.throws(
          () => bind(strict, name),
          (error) => error instanceof HoshikageError && error.details.pointer === `/${keyword}`,
        );
        assert.ok(bind({ ...strict, strict: false }, name).length > 0);
      }
    }
  });

  test('a schema that refers to another is that one', () => {
    const parameters = { $ref: '#/$defs/a', $defs: { a: tool({ x: { enum: ['p'] } }).parameters } };
    assert.match(bind({ ...tool({}), parameters }), /<parameter=x>\n?p\n?/);
  });

  test('Gemma writes objects in its own way', () => {
    const nested = tool({ x: { type: 'object', properties: { y: { type: 'string' } } } });
    assert.match(
      bind(nested, 'gemma'),
      /^\s*<\|tool_call>\s*call:f\{\s*x: ?\{\s*(?:y: ?<\|"\|>[\s\S]*<\|"\|>)?\s*\}\s*\}/,
    );
  });
});
