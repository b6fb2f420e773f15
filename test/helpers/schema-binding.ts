/**
 * How the tests of schemas ask: does a grammar write these values and not those, and does an
 * independent validator agree?
 */
import assert from 'node:assert/strict';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { compileProgram } from '../../src/grammar/compile.js';
import { RuleSet } from '../../src/grammar/expression.js';
import { schemaExpression } from '../../src/grammar/schema.js';
import { accepts, seeded, walk } from './grammar-matcher.js';

/** The independent validator. */
export const ajv = new Ajv2020({ strict: false, ownProperties: true });
formats.default(ajv);

/** The program of a schema. */
export function compiled(schema: unknown, make = schemaExpression): Int32Array {
  const rules = new RuleSet();
  return compileProgram(make(schema, rules), rules);
}

/** Good values are written by the grammar and obey the schema, and so do random ones; bad ones not. */
export function binds(schema: unknown, good: readonly unknown[], bad: readonly unknown[]): void {
  const program = compiled(schema);
  const validate = ajv.compile(schema as object);
  const words = JSON.stringify(schema);
  for (const value of good) {
    assert.ok(validate(value), `the validator takes ${JSON.stringify(value)} for ${words}`);
    assert.equal(
      accepts(program, JSON.stringify(value)),
      true,
      `${JSON.stringify(value)}: ${words}`,
    );
  }
  for (const value of bad) {
    assert.notEqual(
      accepts(program, JSON.stringify(value)),
      true,
      `${JSON.stringify(value)}: ${words}`,
    );
  }
  const random = seeded(words.length);
  for (let count = 0; count < 8; count++) {
    const sentence = walk(program, random);
    assert.ok(validate(JSON.parse(sentence)), `${sentence}: ${words}`);
  }
}

/** These texts, exactly. */
export function writes(schema: unknown, good: readonly string[], bad: readonly string[]): void {
  const program = compiled(schema);
  for (const text of good) assert.equal(accepts(program, text), true, text);
  for (const text of bad) assert.notEqual(accepts(program, text), true, text);
}

/** What is written is a value of the schema, so often, whatever else is not written. */
export function obeys(schema: object, count = 40): void {
  const program = compiled(schema);
  const validate = ajv.compile(schema);
  for (let seed = 0; seed < count; seed++) {
    const sentence = walk(program, seeded(seed));
    assert.ok(validate(JSON.parse(sentence)), `${sentence}: ${JSON.stringify(schema)}`);
  }
}
