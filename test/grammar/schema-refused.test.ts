/** JSON Schemas that are refused: by the pointer of what is in the way, at once, and never a crash. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { compileProgram } from '../../src/grammar/compile.js';
import { RuleSet } from '../../src/grammar/expression.js';
import { schemaExpression } from '../../src/grammar/schema.js';

function refusal(schema: unknown): HoshikageError {
  try {
    const rules = new RuleSet();
    compileProgram(schemaExpression(schema, rules), rules);
  } catch (thrown) {
    assert.ok(thrown instanceof HoshikageError, String(thrown));
    assert.equal(thrown.code, 'schema_unsupported', thrown.message);
    assert.match(String(thrown.details.reason_ja), /[ぁ-ん一-龠]/);
    return thrown;
  }
  assert.fail(`taken: ${JSON.stringify(schema).slice(0, 200)}`);
}

const pointerOf = (schema: unknown): unknown => refusal(schema).details.pointer;

describe('a schema is refused by its pointer', () => {
  test('for keywords that no grammar expresses', () => {
    const keywords: Record<string, unknown> = {
      not: { const: 1 },
      uniqueItems: true,
      multipleOf: 0.3,
      contains: {},
      dependentRequired: {},
      dependentSchemas: {},
      dependencies: {},
      minProperties: 2,
      $dynamicRef: '#a',
    };
    const conditions = ['if', 'then', 'else'].map((keyword) => [keyword, {}] as const);
    for (const [keyword, value] of [...conditions, ...Object.entries(keywords)]) {
      const schema = { type: 'object', properties: { 'a/b~': { [keyword]: value } } };
      assert.equal(pointerOf(schema), `/properties/a~1b~0/${keyword}`);
    }
  });

  test('for formats and patterns that are not known', () => {
    assert.equal(pointerOf({ items: { type: 'string', format: 'iri' } }), '/items/format');
    const patterns = [
      '(?=a)',
      '(?!a)',
      '^a(?=b)',
      '^(?=a)b|c',
      '(?<=a)',
      '(a)\\1',
      '\\b-',
      'x\\by',
      '(\\w?)\\b',
      'a^b',
      '(a$)b',
      '(?:^a)+',
      '\\p{Script=Thai}',
      '(',
      'a**',
      '[',
      '(?i:a)',
      '\\',
    ];
    for (const pattern of patterns) {
      assert.equal(pointerOf({ type: 'string', pattern }), '/pattern', pattern);
    }
    assert.equal(pointerOf({ type: 'string', pattern: 'a', format: 'iri' }), '/format');
    assert.equal(pointerOf({ type: 'string', pattern: 'a', format: 'date' }), '/pattern');
    assert.equal(
      pointerOf({ type: 'string', pattern: '^(ab)*$', minLength: 3, maxLength: 3 }),
      '/pattern',
    );
    assert.equal(pointerOf({ type: 'string', format: 'date', maxLength: 5 }), '/format');
    assert.equal(pointerOf({ enum: ['a'], pattern: 'b' }), '/enum');
    assert.equal(pointerOf({ enum: ['a'], pattern: '(a)\\1' }), '/pattern');
  });

  test('for references that lead out, nowhere, or only to themselves', () => {
    assert.equal(pointerOf({ $ref: 'https://example.com/x' }), '/$ref');
    assert.equal(pointerOf({ $ref: 'other.json#/a' }), '/$ref');
    assert.equal(pointerOf({ $ref: '#anchor' }), '/$ref');
    assert.equal(pointerOf({ properties: { a: { $ref: '#/$defs/x' } } }), '/properties/a/$ref');
    assert.equal(pointerOf({ $ref: '#/constructor' }), '/$ref');
    assert.equal(pointerOf({ $ref: '#/%E3%81' }), '/$ref');
    const circle = {
      $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } },
      $ref: '#/$defs/a',
    };
    assert.match(refusal(circle).message, /nothing but itself/);
    assert.match(refusal({ $ref: '#' }).message, /nothing but itself/);
    assert.match(
      refusal({ anyOf: [{ $ref: '#' }, { type: 'null' }] }).message,
      /nothing but itself/,
    );
    assert.match(refusal({ allOf: [{ allOf: [{ $ref: '#' }] }] }).message, /nothing but itself/);
  });

  test('when no value obeys it', () => {
    const cases: readonly (readonly [unknown, string])[] = [
      [false, '#'],
      [{ not: {} }, '/not'],
      [{ enum: [] }, '/enum'],
      [{ type: 'string', enum: [1] }, '/enum'],
      [{ type: 'integer', minimum: 5, maximum: 4 }, '/minimum'],
      [{ type: 'number', exclusiveMinimum: 4, maximum: 4 }, '/exclusiveMinimum'],
      [{ type: 'integer', exclusiveMinimum: 4, exclusiveMaximum: 5 }, '/exclusiveMinimum'],
      [{ type: 'array', minItems: 3, maxItems: 2 }, '/minItems'],
      [{ type: 'string', minLength: 3, maxLength: 2 }, '/minLength'],
      [{ type: 'array', prefixItems: [true], items: false, minItems: 2 }, '/items'],
      [{ allOf: [{ type: 'string' }, { type: 'integer' }] }, '/allOf/1/type'],
      [{ properties: { a: false }, required: ['a'] }, '/properties/a'],
      [{ additionalProperties: false, required: ['a'] }, '/additionalProperties'],
      [{ anyOf: [false, { enum: [] }] }, '/anyOf/1/enum'],
      [{ type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }, '#'],
    ];
    for (const [schema, pointer] of cases) {
      assert.equal(pointerOf(schema), pointer, JSON.stringify(schema));
    }
  });

  test('when branches of oneOf may hold at once', () => {
    assert.equal(pointerOf({ oneOf: [{ type: 'integer' }, { type: 'number' }] }), '/oneOf');
    assert.equal(pointerOf({ oneOf: [{ enum: ['a', 'b'] }, { enum: ['b', 'c'] }] }), '/oneOf');
    const needs = (...required: string[]) => ({ type: 'object', required });
    assert.equal(pointerOf({ oneOf: [needs('a'), needs('a', 'b')] }), '/oneOf');
    assert.equal(pointerOf({ oneOf: [needs(), needs('a')] }), '/oneOf');
    const strings = [{ type: 'string' }, { type: 'string', format: 'date' }];
    assert.equal(pointerOf({ oneOf: strings }), '/oneOf');
    const untyped = [{ type: 'string' }, { properties: { a: { const: 1 } }, required: ['a'] }];
    assert.equal(pointerOf({ oneOf: untyped }), '/oneOf');
    assert.equal(
      pointerOf({ oneOf: [{ type: 'object' }, { multipleOf: 1, minItems: 1 }] }),
      '/oneOf',
    );
  });

  test('when a keyword has a value of the wrong kind', () => {
    const cases: readonly object[] = [
      { type: 'text' },
      { type: [] },
      { type: 7 },
      { properties: [] },
      { required: 'a' },
      { required: [1] },
      { minLength: -1 },
      { maxItems: 1.5 },
      { maxLength: '5' },
      { pattern: 1 },
      { format: {} },
      { minimum: '1' },
      { exclusiveMaximum: null },
      { enum: 'a' },
      { anyOf: [] },
      { allOf: {} },
      { oneOf: null },
      { prefixItems: {} },
      { additionalProperties: 1 },
    ];
    for (const schema of cases) {
      assert.match(
        String(pointerOf(schema)),
        new RegExp(`^/${Object.keys(schema)[0]}`),
        JSON.stringify(schema),
      );
    }
    for (const schema of [null, 1, 'x', [], undefined]) assert.equal(pointerOf(schema), '#');
    assert.equal(pointerOf({ type: 'number', minimum: 0.1 + 0.2 }), '/minimum');
  });
});

describe('a hostile schema is refused at once', () => {
  test('100,000 levels deep, or circular in memory', () => {
    let deep: object = {};
    for (let index = 0; index < 100_000; index++) deep = { properties: { a: deep } };
    assert.match(refusal(deep).message, /depth is more than/);
    const circular: Record<string, unknown> = {};
    circular.items = circular;
    assert.match(refusal(circular).message, /depth is more than/);
    const chain: Record<string, unknown> = { end: {} };
    for (let index = 0; index < 500; index++) {
      chain[`a${index}`] = { items: { $ref: `#/$defs/${index < 499 ? `a${index + 1}` : 'end'}` } };
    }
    assert.match(refusal({ $ref: '#/$defs/a0', $defs: chain }).message, /deep/);
  });

  test('with huge numbers, lists and texts', () => {
    assert.equal(pointerOf({ type: 'array', minItems: 1e9 }), '/minItems');
    assert.equal(pointerOf({ type: 'string', minLength: 1e9 }), '/minLength');
    assert.match(
      refusal({ enum: Array.from({ length: 100_000 }, (_, i) => i) }).message,
      /number of values/,
    );
    assert.match(refusal(JSON.parse('{"const":[1e999]}')).message, /not finite/);
    assert.match(refusal({ const: 'x'.repeat(300_000) }).message, /number of characters/);
    assert.equal(pointerOf({ type: 'string', pattern: '(a{0,1000}){0,1000}' }), '/pattern');
    assert.equal(pointerOf({ type: 'string', pattern: 'a'.repeat(5_000) }), '/pattern');
    assert.equal(
      pointerOf({ type: 'string', pattern: `${'('.repeat(50)}a${')'.repeat(50)}` }),
      '/pattern',
    );
  });

  test('with patterns that only grow large together', () => {
    const patterns = [
      'a.{30}b',
      '(a|b.){20}',
      '(.*a){9}(.*b){9}',
      '^(a{0,90}b{0,90}){90}$',
      '((){999999}){999999}',
      `a{${'9'.repeat(400)}}`,
    ];
    for (const pattern of patterns) {
      assert.equal(pointerOf({ type: 'string', pattern, maxLength: 9_999 }), '/pattern', pattern);
    }
  });

  test('with references and branches that multiply', () => {
    const fan: Record<string, unknown> = { a60: { type: 'null' } };
    for (let index = 0; index < 60; index++) {
      const next = { $ref: `#/$defs/a${index + 1}` };
      fan[`a${index}`] = { type: 'object', properties: { l: next, r: next }, required: ['l', 'r'] };
    }
    const rules = new RuleSet();
    const root = schemaExpression({ $ref: '#/$defs/a0', $defs: fan }, rules);
    assert.ok(compileProgram(root, rules).length < 10_000, 'shared rules, not 2^60 copies');
    const branch = (name: string) => ({ properties: { [name]: { type: 'null' } } });
    const allOf = Array.from({ length: 20 }, (_, index) => ({
      anyOf: [branch(`a${index}`), branch(`b${index}`)],
    }));
    assert.match(refusal({ allOf }).message, /multiply to too many/);
  });

  test('and large ones within the bounds are made', () => {
    const properties = Object.fromEntries(
      Array.from({ length: 1_000 }, (_, index) => [`key${index}`, { type: 'string' }]),
    );
    const rules = new RuleSet();
    const root = schemaExpression(
      { type: 'object', properties, additionalProperties: true },
      rules,
    );
    assert.ok(compileProgram(root, rules).length > 10_000);
  });
});
