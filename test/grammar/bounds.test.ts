/** What an attacker would send: grammars and schemas that are small as texts and large as work. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { compileProgram } from '../../src/grammar/compile.js';
import { type Expression, RuleSet, renamed, sequence, text } from '../../src/grammar/expression.js';
import { MAX_GRAMMAR_LENGTH, parseGbnf } from '../../src/grammar/gbnf.js';
import { MAX_PROGRAM_LENGTH } from '../../src/grammar/program.js';
import { looseSchema, schemaExpression } from '../../src/grammar/schema.js';

/** What comes of it: the program's length, or the code of the refusal; anything else fails. */
function outcome(make: () => Int32Array): number | string {
  try {
    return make().length;
  } catch (thrown) {
    assert.ok(thrown instanceof HoshikageError, String(thrown));
    return thrown.code;
  }
}

const ofGbnf = (source: string) =>
  outcome(() => {
    const { root, rules } = parseGbnf(source);
    const own = new RuleSet();
    for (const [name, one] of rules) own.add(`x${name}`, () => renamed(one, (its) => `x${its}`));
    return compileProgram(
      renamed(root, (its) => `x${its}`),
      own,
    );
  });
const ofSchema = (schema: unknown, rules = new RuleSet()) =>
  outcome(() => compileProgram(schemaExpression(schema, rules), rules));

/** As long as a grammar may be. */
const filled = (head: string, part: string, tail = '') =>
  head +
  part.repeat(Math.floor((MAX_GRAMMAR_LENGTH - head.length - tail.length) / part.length)) +
  tail;

const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));
const properties = (count: number, schema: unknown) =>
  Object.fromEntries(times(count, (index) => [`p${index}`, schema]));

describe('A grammar text of the greatest length is a program or a refusal', () => {
  const texts: Readonly<Record<string, string>> = {
    'nothing but alternatives': filled('root ::= ', '|'),
    'alternatives of a rule': filled('a ::= "x"\nroot ::= a', '|a'),
    'any characters': filled('root ::= ', '.'),
    'empty texts': filled('root ::= ', '""'),
    'one long class': filled('root ::= [', 'ab', ']'),
    'one long class of others': filled('root ::= [^', 'ab', ']'),
    'groups in a row': filled('root ::= ', '(.|.)'),
    'optional parts': filled('root ::= ', '"a"?'),
    'comments in a sequence': filled('root ::= ("a"', ' #\n', ')'),
    'groups and repeats in one another': `root ::= ${'('.repeat(100)}"a"${`)${'+'.repeat(8)}`.repeat(100)}`,
  };
  for (const [name, source] of Object.entries(texts)) {
    test(name, () => {
      const found = ofGbnf(source);
      assert.ok(found === 'grammar_invalid' || Number(found) <= MAX_PROGRAM_LENGTH, String(found));
    });
  }

  test('and a longer one is refused', () => {
    assert.equal(ofGbnf(`root ::= "${'a'.repeat(10 << 20)}"`), 'grammar_invalid');
  });
});

test('Half of a surrogate pair, which no token can write, is refused', () => {
  assert.equal(ofGbnf('root ::= "\ud800"'), 'grammar_invalid');
  assert.equal(ofGbnf('root ::= [\udc00-\udfff]'), 'grammar_invalid');
  assert.equal(ofGbnf('root ::= [a\udc00]'), ofGbnf('root ::= [a]'));
  const waiting: Expression = { kind: 'until', texts: ['\ud800'] };
  assert.equal(
    outcome(() => compileProgram(waiting, new RuleSet())),
    'grammar_invalid',
  );
});

describe('A schema that multiplies by its references is refused', () => {
  const branches = (count: number) => times(count, () => ({ $ref: '#/$defs/big', title: 't' }));
  const multiplied: Readonly<Record<string, unknown>> = {
    properties: { properties: properties(3000, true) },
    values: { enum: times(3500, (index) => `v${index}`) },
    'names that are required': { required: times(3500, (index) => `v${index}`) },
    'names that are allowed': { propertyNames: { enum: times(3500, (index) => `v${index}`) } },
    'keys beside long names': {
      type: 'object',
      properties: Object.fromEntries(times(300, (at) => [`${at}`.padEnd(60, 'z'), true])),
      additionalProperties: true,
    },
    'numbers between bounds': {
      type: 'object',
      properties: properties(900, { type: 'number', minimum: 12345, maximum: 98765432109876 }),
    },
    patterns: {
      type: 'object',
      properties: Object.fromEntries(
        times(60, (at) => [`p${at}`, { type: 'string', pattern: `^${'\\W'.repeat(2000)}$` }]),
      ),
    },
  };
  for (const [name, big] of Object.entries(multiplied)) {
    test(`with ${name}`, () => {
      const schema = { $defs: { big }, anyOf: branches(1000) };
      assert.equal(ofSchema(schema), 'schema_unsupported');
    });
  }
});

describe('The schemas of many tools', () => {
  const big = { type: 'object', properties: properties(1500, { type: 'string' }) };

  test('share what work a grammar may take, and are refused where they must be obeyed', () => {
    const rules = new RuleSet();
    const each = times(24, () => ({ ...big }));
    const all = each.map((schema) => ofSchema(schema, rules));
    assert.equal(typeof all[0], 'number');
    assert.equal(all.at(-1), 'schema_unsupported');
  });

  test('are bound as any object from there on where they need not be obeyed', () => {
    const rules = new RuleSet();
    const options = times(128, () => looseSchema({ ...big }, rules));
    assert.notDeepEqual(options[0], options[127]);
    assert.deepEqual(options[126], options[127]);
    const named = options.map((one, at) => sequence(text(`tool ${at}:`), one));
    const length = outcome(() => compileProgram({ kind: 'choice', options: named }, rules));
    assert.ok(Number(length) > 0, String(length));
  });
});

test('A pointer into a name that is very long is cut where it is shown', () => {
  const schema = { type: 'object', properties: { ['長'.repeat(100_000)]: { not: {} } } };
  const required = { ...schema, required: Object.keys(schema.properties) };
  assert.throws(
    () => schemaExpression(required, new RuleSet()),
    (thrown) => thrown instanceof HoshikageError && String(thrown.details.pointer).length < 400,
  );
});
