/**
 * Random schemas, random sentences of their grammars: every one must be a value that an independent
 * validator accepts.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { compileProgram } from '../../src/grammar/compile.js';
import { RuleSet } from '../../src/grammar/expression.js';
import { schemaExpression } from '../../src/grammar/schema.js';
import { accepts, seeded, walk } from '../helpers/grammar-matcher.js';
import { randomSchema } from '../helpers/random-schema.js';

const SCHEMAS = 600;
const SENTENCES = 6;

describe('a grammar made of a random schema', () => {
  test('writes only values that obey the schema', () => {
    const ajv = new Ajv2020({ strict: false, allErrors: false });
    formats.default(ajv);
    let checked = 0;
    for (let seed = 1; seed <= SCHEMAS; seed++) {
      const schema = randomSchema(seed);
      const rules = new RuleSet();
      const program = compileProgram(schemaExpression(schema, rules), rules);
      const validate = ajv.compile(schema);
      const random = seeded(1000 + seed);
      for (let count = 0; count < SENTENCES; count++) {
        const sentence = walk(program, random);
        const words = `seed ${seed}: ${sentence} for ${JSON.stringify(schema)}`;
        assert.ok(validate(JSON.parse(sentence)), words);
        assert.equal(accepts(program, sentence), true, words);
        checked++;
      }
      ajv.removeSchema(schema);
    }
    assert.equal(checked, SCHEMAS * SENTENCES);
  });

  test('is the same for the same seed', () => {
    assert.deepEqual(randomSchema(7), randomSchema(7));
    assert.notDeepEqual(randomSchema(7), randomSchema(8));
  });
});
