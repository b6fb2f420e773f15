/**
 * Schemas as the libraries of clients write them every day: zod, pydantic, OpenAPI generators. Values
 * that are written, values that never are, each against an independent validator.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { z } from 'zod';
import { looseSchema } from '../../src/grammar/schema.js';
import { accepts, seeded, walk } from '../helpers/grammar-matcher.js';
import { ajv, binds, compiled, writes } from '../helpers/schema-binding.js';

/** What is written is a value of the schema, so often, whatever else is not written. */
function obeys(schema: object, count = 40): void {
  const program = compiled(schema);
  const validate = ajv.compile(schema);
  for (let seed = 0; seed < count; seed++) {
    const sentence = walk(program, seeded(seed));
    assert.ok(validate(JSON.parse(sentence)), `${sentence}: ${JSON.stringify(schema)}`);
  }
}

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

describe('strings', () => {
  test('of an enum are those that obey what stands beside it', () => {
    binds({ enum: ['a', 'ab', 'abc', 1], pattern: '^ab' }, ['ab', 'abc', 1], ['a']);
    binds({ enum: ['2024-01-01', 'today'], format: 'date' }, ['2024-01-01'], ['today']);
    binds({ enum: ['a', 'ab'], minLength: 2, pattern: 'a' }, ['ab'], ['a']);
    binds({ const: 'x@example.com', format: 'email' }, ['x@example.com'], []);
  });

  test('have formats of the specification; other names say nothing', () => {
    binds(
      { type: 'string', format: 'duration' },
      ['P1D', 'PT1H30M', 'P3W', 'P1Y2M3DT4H5M6S'],
      ['P', 'PT', '1D', 'P1S'],
    );
    binds(
      { type: 'string', format: 'uri-reference' },
      ['/a/b?c', '../x', '#top', '', 'https://a.b'],
      ['a b', '<'],
    );
    binds({ type: 'string', format: 'json-pointer' }, ['', '/a/b~0'], ['a', '/~2']);
    binds(
      { type: 'string', format: 'regex' },
      ['^[a-z]+$', '\\d{3}-(a|b)*', '.*'],
      ['(', '[', '*'],
    );
    const loose = new Ajv2020({ strict: false, validateFormats: false });
    for (const format of ['phone', 'decimal', 'file-path', 'json-string', 'color', 'binary']) {
      const schema = { type: 'string', format, maxLength: 3 };
      assert.ok(loose.validate(schema, 'abc'));
      writes(schema, ['"abc"'], ['"abcd"']);
    }
    assert.throws(() => compiled({ type: 'string', format: 'iri' }), /\/format/);
  });

  test('are URIs as they are met', () => {
    const good = [
      'https://user:pw@example.com:8080/a(b)/@c:d;e=1,2?x=/y?z&q=%E3%81%82#/top?1',
      'mailto:someone@example.com?subject=Hi',
      'urn:isbn:0451450523',
      'http://[::1]:3000/',
      'tel:+81-3-1234-5678',
      'file:a/b',
    ];
    binds({ type: 'string', format: 'uri' }, good, ['//a.b', 'a', 'http://a b', 'http://[', ':a']);
    const limited = { type: 'string', format: 'uri', minLength: 1, maxLength: 2083 };
    binds(limited, good, ['http://a b']);
    for (const maxLength of [2083, 1024, 500, 255, 128, 100, 80, 60, 10])
      obeys({ ...limited, maxLength });
    binds(
      { type: 'string', format: 'uri', maxLength: 20 },
      ['http://a.b/c'],
      [`http://a.b/${'c'.repeat(20)}`],
    );
    obeys({ type: 'string', format: 'uri-reference' }, 200);
    obeys({ type: 'string', format: 'uri' }, 200);
    obeys({ type: 'string', format: 'regex' }, 200);
  });

  test('have patterns with lookahead at the beginning', () => {
    const password = '^(?=.*[a-z])(?=.*[A-Z])(?=.*\\d)[\\w!]{4,}$';
    binds({ type: 'string', pattern: password }, ['aB3!', 'xxxY0'], ['aB!!', 'abc1', 'aB3']);
    binds({ type: 'string', pattern: password, maxLength: 5 }, ['aB3!'], ['aB3!xx']);
    binds({ type: 'string', pattern: '^(?!admin$)[a-z]+$' }, ['admins', 'a'], ['admin']);
    binds({ type: 'string', pattern: '^(?!.*\\.\\.)[a.]*$' }, ['a.a', ''], ['a..a']);
    binds({ type: 'string', pattern: '^(?!-)(?=.{2}$)[a-]+$' }, ['a-', 'aa'], ['-a', 'aaa']);
    binds({ enum: ['admin', 'root'], pattern: '^(?!admin$)' }, ['root'], ['admin']);
  });

  test('have patterns with anchors in a group, word boundaries and properties', () => {
    binds({ type: 'string', pattern: '(^a$)|(^b+$)' }, ['a', 'bb'], ['ab', 'aa']);
    binds({ type: 'string', pattern: '(?:^a|(b$))' }, ['ax', 'xb'], ['xa', 'bx']);
    binds({ type: 'string', pattern: '\\bcat\\b' }, ['cat', 'a cat!'], ['cats', 'concat']);
    binds({ type: 'string', pattern: '^\\b\\w+\\b$' }, ['cat'], ['a b', '']);
    binds({ type: 'string', pattern: '^\\p{Lu}\\p{L}*$' }, ['Été', 'Ω'], ['été', 'A1']);
    binds({ type: 'string', pattern: '^[\\p{Script=Hiragana}ー]+$' }, ['あー'], ['ア', '']);
    binds({ type: 'string', pattern: '^[^\\p{L}]\\P{N}$' }, ['1a', '😀b'], ['a1', '11', 'ab']);
  });

  test('have the patterns of zod of all its years', () => {
    const email =
      "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$";
    const published = { type: 'string', format: 'email', pattern: email };
    binds(published, ['a.b@example.com'], ['.a@b.cd', 'a..b@c.de']);
    binds({ ...published, minLength: 1, maxLength: 255 }, ['a.b@example.com'], ['a@b']);
    const kinds = {
      duration: z.iso.duration(),
      emoji: z.emoji(),
      hostname: z.hostname(),
      cuid: z.cuid(),
      cuid2: z.cuid2(),
      ulid: z.ulid(),
      base64: z.base64(),
      base64url: z.base64url(),
      e164: z.e164(),
      cidrv4: z.cidrv4(),
      hex: z.hex(),
      mac: z.mac(),
      url: z.url(),
      lower: z.string().lowercase(),
      ends: z.string().endsWith('x'),
      template: z.templateLiteral(['a-', z.int(), 'px']),
      html: z.email({ pattern: z.regexes.html5Email }),
      float: z.float32(),
      cents: z.number().min(0.01).lt(99.5),
      record: z.record(z.string().regex(/^a/), z.int()),
    };
    for (const [name, kind] of Object.entries(kinds)) {
      const program = compiled(z.toJSONSchema(kind));
      for (let seed = 0; seed < 25; seed++) {
        const sentence = walk(program, seeded(seed));
        assert.ok(kind.safeParse(JSON.parse(sentence)).success, `${name}: ${sentence}`);
      }
    }
  });

  test('have the pattern of a Decimal of pydantic', () => {
    const begin = '^(?!^[-+.]*$)[+-]?0*';
    const sized = '(?:\\d{0,3}|(?=[\\d.]{1,6}0*$)\\d{0,3}\\.\\d{0,2}0*$)';
    const digits = '(?:\\d{0,5}|(?=[\\d.]{1,6}0*$)\\d*\\.\\d*0*$)';
    const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
      ['\\d*\\.?\\d*$', ['0', '-12.50', '3'], ['', '.', '-', '1.2.3']],
      ['\\d*\\.?\\d{0,2}0*$', ['1.25', '100'], ['1.', '1.255']],
      [sized, ['999.99', '0.5'], ['1000', '1.999']],
      [digits, ['12345', '123.45'], ['123456', '1234.55']],
    ];
    for (const [rest, good, bad] of cases) {
      const schema = { type: 'string', pattern: begin + rest };
      binds(schema, good, bad);
      obeys(schema);
      binds({ anyOf: [{ type: 'number' }, schema] }, [1.5, ...good], bad);
    }
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
