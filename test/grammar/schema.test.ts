/**
 * Each JSON Schema keyword that becomes a grammar: values that it writes and values that it never
 * does. An independent validator reads every good value too.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { compileProgram } from '../../src/grammar/compile.js';
import { RuleSet } from '../../src/grammar/expression.js';
import { anyJson, jsonObject } from '../../src/grammar/json.js';
import { looseSchema } from '../../src/grammar/schema.js';
import { accepts, seeded, walk } from '../helpers/grammar-matcher.js';
import { binds, compiled, writes } from '../helpers/schema-binding.js';

describe('types', () => {
  test('are written as JSON has them', () => {
    binds({ type: 'string' }, ['', 'あ😀', 'a"b\\c\n\u0001', '\u007f'], [1, null, {}]);
    binds({ type: 'boolean' }, [true, false], ['true', 0]);
    binds({ type: 'null' }, [null], [false, '']);
    binds({ type: 'integer' }, [0, -1, 999_999_999_999_999], [1.5, '1', 1e21]);
    binds({ type: 'number' }, [0, -0.5, 1e21, 12.25, 1e-7], ['1', null]);
    binds({ type: ['string', 'null'], maxLength: 2 }, ['ab', null], ['abc', 1]);
    binds({ type: ['integer', 'number'] }, [1, 1.5], ['1']);
  });

  test('have numbers without leading zeros, and finite', () => {
    writes({ type: 'integer' }, ['10'], ['01', '-0', '+1', '1e3', '1234567890123456']);
    writes({ type: 'number' }, ['1E+05', '-0.10'], ['1e999', '.5', '1.', '00', '--1']);
  });

  test('have strings with every escape of JSON, and none of half a character', () => {
    const good = ['"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"\\u00e9\\uD7FF\\uE000"', '"\\ud83d\\uDE00"'];
    writes({ type: 'string' }, good, [
      '"\\ud83d\\u0041"',
      '"\\ud83d\\ud83d"',
      '"\n"',
      '"\\x"',
      '"\\uD83D"',
      '"\\uDE00"',
      '"\\ude00"',
      "''",
    ]);
  });

  test('are told from the keywords where they are not named', () => {
    binds({ properties: { a: { maxLength: 1 } }, required: ['a'] }, [{ a: 'x' }], [1, { a: 1 }]);
    binds({ items: { minimum: 3, type: 'integer' } }, [[3, 4]], [[2], 'x']);
    binds({}, [1, 'a', [{ a: [null] }], { x: {} }, -1.5, true], []);
    binds(true, [[1]], []);
  });

  test('may be null with nullable', () => {
    binds({ type: 'integer', nullable: true }, [1, null], ['x']);
  });
});

describe('objects', () => {
  const person = {
    type: 'object',
    properties: { name: { type: 'string' }, age: { type: 'integer' }, tag: { type: 'null' } },
    required: ['age'],
  };

  test('have their keys in declared order, optional ones or not', () => {
    const good = [
      { name: 'a', age: 1, tag: null },
      { age: 1 },
      { name: '', age: 2 },
      { age: 3, tag: null },
    ];
    binds(person, good, [
      {},
      { name: 'a' },
      { age: 1, name: 'a' },
      { age: 1, other: 1 },
      { age: '1' },
    ]);
  });

  test('may be empty where nothing is required', () => {
    const schema = { type: 'object', properties: { a: { type: 'null' }, b: { type: 'null' } } };
    binds(schema, [{}, { a: null }, { b: null }, { a: null, b: null }], [{ c: null }]);
    binds({ type: 'object', properties: {} }, [{}], [{ a: 1 }]);
    binds({ type: 'object' }, [{}, { a: [1] }], [[]]);
  });

  test('are written compact, with spaces, or on indented lines', () => {
    const good = [
      '{"age":1}',
      '{"age": 1}',
      '{"age" : 1}',
      '{\r\n  "age": 1\r\n}',
      '{"name": "a", "age": 1}',
      '{ "name": "a", "age": 1 }',
      '{\n  "name": "a",\n  "age": 1\n}',
      '{\n\t"name": "a",\n\t"age": 1\n}',
    ];
    const bad = [
      '{"age"  :1}',
      '{\r"age":1}',
      '{  "age":1}',
      '{"age":\n1}',
      ' {"age":1}',
      '{"age":1} ',
      '{\n\n"age":1}',
    ];
    writes(person, good, bad);
    writes(person, [], [`{\n${' '.repeat(30)}"age":1}`]);
    const nested = { a: { b: [{ c: 1 }, { c: 2 }] } };
    const item = { type: 'object', properties: { c: { type: 'integer' } } };
    const inner = { type: 'object', properties: { b: { type: 'array', items: item } } };
    const schema = { type: 'object', properties: { a: inner } };
    for (const indent of [0, 2, 4, '\t'])
      writes(schema, [JSON.stringify(nested, null, indent)], []);
  });

  test('have other keys where additionalProperties says so', () => {
    const schema = {
      type: 'object',
      properties: { a: { type: 'integer' }, ab: { type: 'integer' }, あい: { type: 'integer' } },
      required: ['ab'],
      additionalProperties: { type: 'string' },
    };
    const good = [{ ab: 1 }, { a: 1, ab: 1, b: 'x' }, { ab: 1, abc: 'x', '': 'y', あ: '' }];
    binds(schema, good, [{ ab: 1, あい: 'x' }, { ab: 1, c: 1 }, { ab: 'x' }]);
    writes(schema, ['{"ab":1,"aa":"x"}'], ['{"ab":1,"a":"x"}', '{"ab":1,"\\u0061":"x"}']);
    binds(
      { type: 'object', additionalProperties: { type: 'null' } },
      [{}, { x: null, y: null }],
      [{ x: 1 }],
    );
    binds({ ...person, additionalProperties: false }, [{ age: 1 }], [{ age: 1, x: 1 }]);
  });

  test('may require keys that are not declared', () => {
    binds({ type: 'object', required: ['x'] }, [{ x: 1 }, { x: [] }], [{}]);
    const schema = { type: 'object', required: ['x'], additionalProperties: { type: 'null' } };
    binds(schema, [{ x: null }, { x: null, y: null }], [{ x: 1 }, {}]);
  });

  test('may have names that JavaScript knows already', () => {
    const schema = JSON.parse(
      '{"type":"object","properties":{"__proto__":{"type":"integer"},"constructor":{"type":"null"},"toString":{"type":"boolean"}},"required":["__proto__","constructor"]}',
    );
    const program = compiled(schema);
    assert.equal(accepts(program, '{"__proto__":1,"constructor":null}'), true);
    assert.equal(accepts(program, '{"__proto__":1,"constructor":null,"toString":true}'), true);
    assert.equal(accepts(program, '{"__proto__":"x","constructor":null}'), false);
    assert.equal(accepts(program, '{"constructor":null}'), false);
    assert.equal(Object.hasOwn(Object.prototype, 'type'), false);
  });

  test('leave out a property that can have no value', () => {
    const schema = { type: 'object', properties: { a: false, b: { type: 'null' } } };
    binds(schema, [{}, { b: null }], [{ a: 1 }]);
  });
});

describe('arrays', () => {
  test('have a number of items', () => {
    binds({ type: 'array', items: { type: 'integer' } }, [[], [1], [1, 2, 3]], [['a'], {}]);
    const schema = { type: 'array', items: { type: 'null' }, minItems: 2, maxItems: 3 };
    binds(
      schema,
      [
        [null, null],
        [null, null, null],
      ],
      [[], [null], [null, null, null, null]],
    );
    binds({ type: 'array', items: { type: 'null' }, maxItems: 0 }, [[]], [[null]]);
    binds({ type: 'array', items: false }, [[]], [[1]]);
    binds({ type: 'array', minItems: 1 }, [[1], ['a', {}]], [[]]);
  });

  test('may have a schema for each place', () => {
    const prefixItems = [{ type: 'integer' }, { type: 'string' }];
    binds({ type: 'array', prefixItems }, [[1, 'a']], [[], [1], ['a', 1], [1, 'a', 2]]);
    binds({ type: 'array', prefixItems, minItems: 1 }, [[1], [1, 'a']], [[], ['a']]);
    binds({ type: 'array', prefixItems, minItems: 0, maxItems: 1 }, [[], [1]], [[1, 'a']]);
    const longer = { type: 'array', prefixItems, items: { type: 'null' }, minItems: 3 };
    binds(
      longer,
      [
        [1, 'a', null],
        [1, 'a', null, null],
      ],
      [
        [1, 'a'],
        [1, 'a', 1],
      ],
    );
  });

  test('of draft 7 have a list of items', () => {
    const items = [{ type: 'integer' }, { type: 'string' }];
    const old = { type: 'array', items, additionalItems: { type: 'null' }, minItems: 2 };
    writes(old, ['[1,"a"]', '[1,"a",null]'], ['[1]', '[1,"a",1]']);
    writes({ type: 'array', items, additionalItems: false }, ['[1,"a"]'], ['[1,"a",1]']);
  });
});

describe('values', () => {
  test('of enum and const are of any type, compact', () => {
    binds(
      { enum: ['a', 'ab', 'b', 1, null, [1, { x: 2 }]] },
      ['a', 'ab', 1, null, [1, { x: 2 }]],
      ['c', 2],
    );
    binds({ const: { b: 1, a: 'あ😀' } }, [{ b: 1, a: 'あ😀' }], [{ a: 1 }]);
    binds({ enum: ['😀', '😁', '😀😁'] }, ['😀', '😁', '😀😁'], ['😂']);
    binds({ type: 'string', enum: ['a', 1, 'long'], maxLength: 3 }, ['a'], [1, 'long']);
    binds({ enum: [1, 5, 10], minimum: 2, exclusiveMaximum: 10 }, [5], [1, 10]);
  });
});

describe('numbers between bounds', () => {
  test('are whole ones of every size', () => {
    const ranges = [
      [0, 0],
      [1, 9],
      [0, 255],
      [-5, 5],
      [7, 1234],
      [-1234, -7],
      [99, 101],
      [1000, 9999],
      [-1, 120],
    ] as const;
    for (const [minimum, maximum] of ranges) {
      const program = compiled({ type: 'integer', minimum, maximum });
      for (let value = minimum - 120; value <= maximum + 120; value++) {
        const isIn = value >= minimum && value <= maximum;
        assert.equal(
          accepts(program, String(value)) === true,
          isIn,
          `${value}: ${minimum}…${maximum}`,
        );
      }
    }
  });

  test('may lack one bound, be exclusive, or lie beyond what we write', () => {
    binds({ type: 'integer', minimum: 10 }, [10, 99_999], [9, -10]);
    binds({ type: 'integer', exclusiveMaximum: -3 }, [-4, -400], [-3, 0]);
    binds({ type: 'integer', minimum: 0.5, maximum: 2.5 }, [1, 2], [0, 3]);
    const safe = { minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER };
    binds({ type: 'integer', ...safe }, [0, -999_999_999_999_999], [1.5]);
    writes({ type: 'integer', minimum: 3, exclusiveMinimum: true }, ['4'], ['3']);
    binds({ type: 'integer', format: 'int32' }, [-2_147_483_648, 2_147_483_647], [2_147_483_648]);
    binds({ type: 'number', multipleOf: 1, maximum: 2 }, [1, 2, -7], [1.5, 3]);
    binds({ type: ['number', 'string'], multipleOf: 1 }, [1, 'a'], [1.5]);
    binds({ enum: [1, 1.5, 'a'], multipleOf: 1 }, [1, 'a'], [1.5]);
  });

  test('may have decimals where the bounds are whole', () => {
    binds({ type: 'number', minimum: 0, maximum: 1 }, [0, 0.5, 1, 0.001], [1.1, -0.1, 2]);
    binds({ type: 'number', exclusiveMinimum: 0 }, [0.1, 3.25], [0, -1]);
    binds(
      { type: 'number', exclusiveMinimum: -2, exclusiveMaximum: 2 },
      [-1.5, 0, 1.9],
      [2, -2, 2.1],
    );
    binds({ type: 'number', minimum: -3, maximum: -1 }, [-3, -1, -1.5], [-0.5, -3.1, 1]);
    binds({ type: 'number', maximum: 5 }, [-100.5, 5, 0], [5.1]);
    writes({ type: 'number', exclusiveMaximum: 1 }, ['0.99999999999999'], ['0.9999999999999999']);
  });
});

describe('schemas of schemas', () => {
  test('anyOf has each branch with what stands beside it', () => {
    binds(
      { anyOf: [{ type: 'integer' }, { type: 'string', maxLength: 1 }] },
      [1, 'a'],
      ['ab', null],
    );
    const schema = {
      type: 'object',
      properties: { a: { type: 'null' }, b: { type: 'null' } },
      anyOf: [{ required: ['a'] }, { required: ['b'] }],
    };
    binds(schema, [{ a: null }, { b: null }, { a: null, b: null }], [{}]);
    binds({ anyOf: [false, { type: 'null' }] }, [null], [1]);
    const both = {
      anyOf: [{ type: 'string' }, { type: 'integer' }],
      oneOf: [{ maxLength: 1, type: ['string', 'integer'] }],
    };
    binds(both, ['a', 1], ['ab']);
  });

  test('oneOf is taken where its branches exclude one another', () => {
    binds({ oneOf: [{ type: 'integer' }, { type: 'null' }] }, [1, null], ['a']);
    binds({ oneOf: [{ enum: ['a', 'b'] }, { const: 'c' }] }, ['a', 'c'], ['d']);
    const shape = (kind: string, extra: object) => ({
      type: 'object',
      properties: { kind: { const: kind }, ...extra },
      required: ['kind'],
    });
    const shapes = [
      shape('circle', { r: { type: 'integer' } }),
      shape('square', { side: { type: 'integer' } }),
    ];
    binds(
      { oneOf: shapes },
      [
        { kind: 'circle', r: 1 },
        { kind: 'square', side: 2 },
      ],
      [{ kind: 'circle', side: 2 }],
    );
    const closed = (name: string) => ({
      type: 'object',
      properties: { [name]: { type: 'integer' } },
      required: [name],
      additionalProperties: false,
    });
    binds({ oneOf: [closed('a'), closed('b')] }, [{ a: 1 }, { b: 1 }], [{ a: 1, b: 1 }]);
  });

  test('allOf is merged', () => {
    const schema = {
      allOf: [
        { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] },
        { properties: { a: { minimum: 5 }, b: { type: 'string' } } },
      ],
    };
    binds(schema, [{ a: 5 }, { a: 6, b: '' }], [{ a: 4 }, { b: '' }]);
    binds({ allOf: [{ maxLength: 3 }, { minLength: 2 }], type: 'string' }, ['ab'], ['a', 'abcd']);
    binds({ allOf: [{ enum: [1, 2, 3] }, { enum: [2, 3, 4] }] }, [2, 3], [1, 4]);
    const closed = {
      type: 'object',
      allOf: [
        { properties: { a: { type: 'null' } }, additionalProperties: false },
        { properties: { a: true, b: { type: 'null' } } },
      ],
    };
    binds(closed, [{}, { a: null }], [{ b: null }]);
  });

  test('$ref leads to another place, also round and round', () => {
    const tree = {
      $ref: '#/$defs/node',
      $defs: {
        node: {
          type: 'object',
          properties: {
            value: { type: 'integer' },
            next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] },
          },
          required: ['value', 'next'],
        },
      },
    };
    binds(
      tree,
      [
        { value: 1, next: null },
        { value: 1, next: { value: 2, next: null } },
      ],
      [{ value: 1 }],
    );
    const itself = {
      type: 'object',
      properties: { kids: { type: 'array', items: { $ref: '#' } } },
    };
    binds(itself, [{}, { kids: [{}, { kids: [] }] }], [{ kids: [1] }]);
    const old = { definitions: { 'a/b~c d': { type: 'null' } }, $ref: '#/definitions/a~1b~0c%20d' };
    binds(old, [null], [1]);
    binds({ $ref: '#/$defs/s', maxLength: 1, $defs: { s: { type: 'string' } } }, ['a'], ['ab', 1]);
  });

  test('annotations change nothing', () => {
    const schema = {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $id: 'https://example.com/a',
      $comment: 'x',
      title: 't',
      description: 'd',
      default: 1,
      examples: [1],
      deprecated: true,
      readOnly: true,
      'x-mine': {},
      type: 'integer',
    };
    binds(schema, [1], ['a']);
  });

  test('of zod are taken as they come', () => {
    const schema = z.object({
      id: z.int(),
      score: z.number().min(0).max(1),
      tags: z.array(z.string().min(1).max(5)).max(3),
      kind: z.enum(['a', 'b']),
      maybe: z.string().nullable(),
      extra: z.record(z.string(), z.boolean()),
      by: z.record(z.enum(['x', 'y']), z.null()),
      shape: z.discriminatedUnion('t', [
        z.object({ t: z.literal('l'), v: z.int() }),
        z.object({ t: z.literal('r') }),
      ]),
      pair: z.tuple([z.string(), z.boolean()]),
    });
    const program = compiled(z.toJSONSchema(schema));
    for (let seed = 0; seed < 40; seed++) {
      const sentence = walk(program, seeded(seed));
      assert.ok(schema.safeParse(JSON.parse(sentence)).success, sentence);
    }
  });
});

describe('any JSON', () => {
  test('is any value, or any object', () => {
    const random = seeded(1);
    for (const make of [anyJson, (rules: RuleSet) => jsonObject(rules)]) {
      const rules = new RuleSet();
      const program = compileProgram(make(rules), rules);
      for (let count = 0; count < 200; count++) JSON.parse(walk(program, random, 100));
      assert.equal(accepts(program, '{"a": [1, {"b": null}], "c": "\\n"}'), true);
      assert.equal(accepts(program, '[1]') === true, make === anyJson);
      assert.notEqual(accepts(program, '{"a":1,}'), true);
    }
  });
});

describe('a loose schema', () => {
  test('binds by type what cannot be expressed, and the rest in full', () => {
    const schema = {
      type: 'object',
      properties: {
        a: { type: 'string', not: { const: 'x' } },
        b: { type: 'integer', minimum: 1, maximum: 3 },
        c: { type: 'array', uniqueItems: true },
        d: { $ref: 'https://example.com/x' },
        e: { type: 'string', pattern: '(?=x)' },
      },
      required: ['a', 'b'],
    };
    const program = compiled(schema, looseSchema);
    const good = ['{"a":"x","b":2}', '{"a":"","b":1,"c":[1,1],"d":{"z":1},"e":"y"}'];
    for (const text of good) assert.equal(accepts(program, text), true, text);
    for (const text of ['{"a":1,"b":2}', '{"a":"","b":4}'])
      assert.notEqual(accepts(program, text), true);
  });

  test('is an object where nothing is left of it', () => {
    let deep: object = {};
    for (let index = 0; index < 100_000; index++) deep = { items: deep };
    const loop = { type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] };
    for (const schema of [deep, loop, 7, null, 'x', { type: 'object', minItems: -1 }]) {
      const program = compiled(schema, looseSchema);
      assert.equal(accepts(program, '{"a":1}'), true);
    }
  });
});
