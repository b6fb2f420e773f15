/**
 * Schemas as the libraries of clients write them every day: zod, pydantic, OpenAPI generators. Values
 * that are written, values that never are, each against an independent validator.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { looseSchema } from '../../src/grammar/schema.js';
import { accepts, seeded, walk } from '../helpers/grammar-matcher.js';
import { binds, compiled, obeys, writes } from '../helpers/schema-binding.js';

describe('lines', () => {
  test('are indented as deep as people nest, by spaces or tabs', () => {
    let value: unknown = { end: 1 };
    let schema: object = {
      type: 'object',
      properties: { end: { type: 'integer' } },
      required: ['end'],
    };
    for (let depth = 0; depth < 11; depth++) {
      value = { in: value };
      schema = { type: 'object', properties: { in: schema }, required: ['in'] };
    }
    for (const indent of [2, 4, '\t']) {
      writes(schema, [JSON.stringify(value, null, indent)], []);
      writes({ type: 'object' }, [JSON.stringify(value, null, indent)], []);
    }
    writes(schema, [], [JSON.stringify(value, null, 8)]);
  });
});

describe('lists without doubles', () => {
  test('have each of a few values once, in any order', () => {
    const items = { enum: ['a', 'b', 3] };
    const schema = { type: 'array', items, uniqueItems: true };
    binds(schema, [[], ['a'], [3, 'a', 'b']], [['a', 'a'], ['c']]);
    binds({ ...schema, minItems: 2, maxItems: 2 }, [['b', 'a']], [['a'], ['a', 'b', 3]]);
    binds(
      { ...schema, items: { type: ['boolean', 'null'] } },
      [[true, null, false]],
      [[true, true]],
    );
    binds({ ...schema, items: { const: 1 }, minItems: 1 }, [[1]], [[], [1, 1]]);
    const many = { enum: Array.from({ length: 20 }, (_, at) => at) };
    binds({ ...schema, items: many, maxItems: 2 }, [[4, 19]], [[7, 7]]);
    binds({ type: 'array', uniqueItems: true, maxItems: 1 }, [['x']], [[1, 2]]);
    assert.throws(() => compiled({ ...schema, items: many }), /uniqueItems/);
    assert.throws(() => compiled({ ...schema, minItems: 4 }), /\/minItems|so many/);
  });
});

describe('numbers', () => {
  test('have bounds with decimals', () => {
    binds({ type: 'number', minimum: 0.5 }, [0.5, 0.75, 1, 12.25], [0, 0.4999, -1]);
    binds({ type: 'number', exclusiveMinimum: 0.5, maximum: 0.55 }, [0.51, 0.55], [0.5, 0.551]);
    binds({ type: 'number', minimum: -0.25, exclusiveMaximum: 0.01 }, [-0.25, 0, 0.009], [0.01]);
    obeys({ type: 'number', minimum: 1e-7, maximum: 2e-7 });
    writes({ type: 'number', minimum: 1e-7 }, ['0.0000001', '1'], ['0.00000009', '0']);
    binds({ type: 'number', minimum: 99.95, maximum: 100.05 }, [99.95, 99.999, 100], [100.06, 99]);
    binds({ type: 'number', minimum: 1.05, exclusiveMaximum: 1.0625 }, [1.06], [1.0625, 1.0499]);
    writes({ type: 'number', minimum: 0.5, maximum: 0.5 }, ['0.5', '0.500'], ['0.501', '0']);
    writes(
      { type: 'number', exclusiveMinimum: 0.5, maximum: 1 },
      ['0.5000001'],
      ['0.500', '0.5000000000000001'],
    );
  });

  test('of all sizes stay on their side of a bound', () => {
    const random = seeded(11);
    const some = () => Number((random() * 10 ** Math.floor(random() * 6)).toPrecision(4));
    for (let round = 0; round < 150; round++) {
      const [a, b] = [some() * (random() < 0.5 ? -1 : 1), some()].sort((x, y) => x - y);
      const low = random() < 0.5 ? 'minimum' : 'exclusiveMinimum';
      const high = random() < 0.5 ? 'maximum' : 'exclusiveMaximum';
      obeys({ type: 'number', [low]: a, [high]: b }, 12);
    }
  });

  test('are multiples of a power of ten, of 2 and of 5', () => {
    const exact = new Ajv2020({ strict: false, multipleOfPrecision: 9 });
    const cases: readonly (readonly [object, readonly number[], readonly number[]])[] = [
      [{ type: 'integer', multipleOf: 10 }, [0, 10, -250], [5, 101]],
      [
        { type: 'number', multipleOf: 100, minimum: 150, maximum: 400 },
        [200, 400],
        [100, 250, 500],
      ],
      [{ type: 'integer', multipleOf: 5, minimum: -7, maximum: 23 }, [-5, 0, 20], [-10, 25, 3]],
      [{ type: 'integer', multipleOf: 2, minimum: 3, maximum: 12 }, [4, 12], [3, 14, 5]],
      [{ type: 'number', multipleOf: 0.01 }, [0.07, 12.5, 3, -1.99], [0.001, 1.999]],
      [{ type: 'number', multipleOf: 0.1, minimum: 0.05, exclusiveMaximum: 2 }, [0.1, 1.9], [0, 2]],
      [{ type: 'integer', multipleOf: 0.1, maximum: 3 }, [3, -2], [2.5]],
    ];
    for (const [schema, good, bad] of cases) {
      const program = compiled(schema);
      const validate = exact.compile(schema);
      const words = JSON.stringify(schema);
      for (const value of good)
        assert.equal(accepts(program, `${value}`), true, `${value}: ${words}`);
      for (const value of bad)
        assert.notEqual(accepts(program, `${value}`), true, `${value}: ${words}`);
      for (let seed = 0; seed < 40; seed++) {
        const sentence = walk(program, seeded(seed));
        assert.ok(validate(JSON.parse(sentence)), `${sentence}: ${words}`);
      }
    }
    writes({ enum: [0.07, 0.075, 'a'], multipleOf: 0.01 }, ['0.07', '"a"'], ['0.075']);
    assert.throws(() => compiled({ type: 'number', multipleOf: 0.25 }), /\/multipleOf/);
  });
});

describe('objects', () => {
  test('may have so many properties', () => {
    const record = { type: 'object', additionalProperties: { type: 'integer' } };
    binds({ ...record, minProperties: 1, maxProperties: 2 }, [{ a: 1 }, { a: 1, b: 2 }], [{}]);
    writes({ ...record, maxProperties: 2 }, ['{}'], ['{"a":1,"b":1,"c":1}']);
    binds({ type: 'object', maxProperties: 0 }, [{}], [{ a: 1 }]);
    const properties = { a: { type: 'null' }, b: { type: 'null' }, c: { type: 'null' } };
    const declared = { type: 'object', properties, required: ['b'] };
    const two = { ...declared, minProperties: 2, maxProperties: 2 };
    binds(
      two,
      [
        { a: null, b: null },
        { b: null, c: null },
      ],
      [{ b: null }, { a: null, b: null, c: null }],
    );
    binds({ ...declared, maxProperties: 1 }, [{ b: null }], [{ a: null, b: null }]);
    const open = { ...declared, additionalProperties: { type: 'null' }, minProperties: 4 };
    binds(open, [{ a: null, b: null, c: null, d: null }], [{ a: null, b: null, c: null }]);
    assert.throws(() => compiled({ ...declared, minProperties: 4 }), /\/minProperties/);
    assert.throws(() => compiled({ ...declared, maxProperties: 0 }), /\/maxProperties/);
    assert.throws(() => compiled({ ...record, minProperties: 2 }), /\/minProperties/);
  });

  test('may have keys that match a pattern', () => {
    const schema = {
      type: 'object',
      patternProperties: { '^S_[a-z]+$': { type: 'string' } },
      additionalProperties: false,
    };
    binds(schema, [{}, { S_a: 'x', S_bc: '' }], [{ S_a: 1 }, { a: 'x' }]);
    binds({ ...schema, properties: { n: { type: 'integer' } } }, [{ n: 1, S_a: '' }], [{ n: '' }]);
    const both = { ...schema, properties: { S_a: { maxLength: 1 } }, required: ['S_a'] };
    binds(both, [{ S_a: 'x' }], [{ S_a: 'xy' }, { S_a: 1 }]);
    binds({ type: 'object', propertyNames: { pattern: '^[a-c]$' } }, [{ a: 1 }, {}], [{ d: 1 }]);
    const names = { pattern: '^\\w+$', minLength: 2, maxLength: 3 };
    binds(
      { type: 'object', propertyNames: names, additionalProperties: { type: 'boolean' } },
      [{ ab: true, abc: false }],
      [{ a: true }, { abcd: true }, { ab: 1 }],
    );
    const referred = { $defs: { color: { enum: ['red', 'blue'] } } };
    binds(
      {
        ...referred,
        type: 'object',
        propertyNames: { $ref: '#/$defs/color' },
        additionalProperties: { type: 'integer' },
      },
      [{ red: 1 }, { red: 1, blue: 2 }],
      [{ green: 1 }],
    );
    const two = { type: 'object', patternProperties: { '^a': {}, '^b': {} } };
    assert.throws(() => compiled(two), /\/patternProperties/);
  });

  test('are closed by unevaluatedProperties as by additionalProperties', () => {
    const properties = { a: { type: 'integer' } };
    binds({ type: 'object', properties, unevaluatedProperties: false }, [{ a: 1 }, {}], [{ b: 1 }]);
    binds(
      { type: 'object', properties, unevaluatedProperties: { type: 'null' } },
      [{ a: 1, b: null }],
      [{ b: 1 }],
    );
    binds(
      { type: 'array', prefixItems: [{ type: 'null' }], unevaluatedItems: false },
      [[null]],
      [[null, 1]],
    );
    const beside = { allOf: [{ properties }], unevaluatedProperties: false };
    assert.throws(() => compiled(beside), /\/unevaluatedProperties/);
  });
});

describe('alternatives', () => {
  test('are told apart by a tag with a default', () => {
    const shape = (kind: string) => ({
      type: 'object',
      properties: { kind: { const: kind, default: kind }, size: { type: 'integer' } },
      required: ['size'],
    });
    const schema = {
      oneOf: [shape('cat'), shape('dog'), shape('cow')],
      discriminator: { propertyName: 'kind' },
    };
    binds(
      schema,
      [
        { kind: 'cat', size: 1 },
        { kind: 'cow', size: 2 },
      ],
      [{ size: 1 }],
    );
  });

  test('are told apart by what they require', () => {
    const one = (name: string) => ({
      type: 'object',
      properties: { [name]: { type: 'string' } },
      required: [name],
    });
    binds(
      { oneOf: [one('text'), one('image'), one('audio')] },
      [{ text: '' }, { audio: 'x' }],
      [{}, { text: '', image: '' }],
    );
    const properties = { a: { type: 'null' }, b: { type: 'null' }, c: { type: 'null' } };
    const either = {
      type: 'object',
      properties,
      oneOf: [{ required: ['a'] }, { required: ['b'] }],
    };
    binds(either, [{ a: null }, { b: null, c: null }], [{ a: null, b: null }, { c: null }]);
    const open = { ...one('text'), additionalProperties: { type: 'string' } };
    binds({ oneOf: [open, one('image')] }, [{ text: '', x: '' }], [{ text: '', image: '' }]);
    const mixed = [
      { type: 'object', properties: { k: { const: 1 }, a: {} }, required: ['a'] },
      { type: 'object', properties: { k: { const: 2 } }, required: ['k'] },
      { type: 'object', properties: { b: {} }, required: ['b'], additionalProperties: false },
    ];
    obeys({ oneOf: mixed }, 100);
  });
});

describe('the arguments of a tool that is not strict', () => {
  test('lose only the keyword that cannot be held', () => {
    const schema = {
      type: 'object',
      properties: {
        a: { type: 'string', not: { const: 'x' }, maxLength: 2 },
        b: { type: 'array', uniqueItems: true, maxItems: 2, items: { type: 'integer' } },
        c: { type: 'string', pattern: '(a)\\1', minLength: 1 },
        d: { type: 'number', multipleOf: 0.3, minimum: 1 },
        e: { type: 'integer', minimum: 'low', maximum: 3 },
        f: { minLength: 3, maxLength: 2, type: 'string' },
        g: { allOf: [{ type: 'integer' }, { type: 'string' }], maximum: 5 },
        h: { type: 'object', properties: { x: { type: 'null' } }, dependentRequired: {}, if: {} },
      },
      required: ['a'],
      contains: {},
    };
    const program = compiled(schema, looseSchema);
    const good = [
      '{"a":"x","b":[1,1],"c":"y","d":1.5,"e":2}',
      '{"a":"","f":"ab","g":5,"h":{"x":null}}',
    ];
    const bad = [
      ['a', '"xyz"'],
      ['b', '[1,2,3]'],
      ['b', '["x"]'],
      ['c', '""'],
      ['d', '0.5'],
      ['e', '4'],
      ['f', '"abc"'],
      ['g', '6'],
      ['h', '{"y":1}'],
    ];
    for (const text of good) assert.equal(accepts(program, text), true, text);
    for (const [name, value] of bad) {
      const text = name === 'a' ? `{"a":${value}}` : `{"a":"","${name}":${value}}`;
      assert.notEqual(accepts(program, text), true, text);
    }
  });

  test('stand in any order where there are few, each once', () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const properties = Object.fromEntries(names.map((name) => [name, { type: 'null' }]));
    const schema = { type: 'object', properties, required: ['b', 'd'] };
    const program = compiled(schema, looseSchema);
    const good = ['{"d":null,"b":null}', '{"e":null,"b":null,"a":null,"d":null,"c":null}'];
    const bad = [
      '{"d":null}',
      '{"b":null,"b":null,"d":null}',
      '{"b":null,"d":null,"x":null}',
      '{}',
    ];
    for (const text of good) assert.equal(accepts(program, text), true, text);
    for (const text of bad) assert.notEqual(accepts(program, text), true, text);
    assert.ok(program.length < 2_000, String(program.length));
    const open = { ...schema, additionalProperties: { type: 'null' }, maxProperties: 3 };
    const counted = compiled(open, looseSchema);
    assert.equal(accepts(counted, '{"d":null,"b":null,"x":null}'), true);
    assert.notEqual(accepts(counted, '{"d":null,"b":null,"x":null,"y":null}'), true);
  });

  test('of many keep their declared order', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const properties = Object.fromEntries(names.map((name) => [name, { type: 'null' }]));
    const program = compiled({ type: 'object', properties }, looseSchema);
    assert.equal(accepts(program, '{"a":null,"f":null}'), true);
    assert.notEqual(accepts(program, '{"f":null,"a":null}'), true);
  });
});
