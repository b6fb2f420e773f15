/**
 * JSON Schema as grammar: a placeholder of the compiler's signatures, any JSON object for all. Pure,
 * any thread.
 */
import {
  choice,
  type Expression,
  optional,
  type RuleSet,
  repeat,
  sequence,
  text,
} from './expression.js';

/** Any JSON object. */
export function jsonObject(rules: RuleSet): Expression {
  return rules.shared('json-object', () => {
    const member = sequence(jsonString(rules), text(': '), anyJson(rules));
    return sequence(
      text('{'),
      optional(sequence(member, repeat(sequence(text(', '), member), 0))),
      text('}'),
    );
  });
}

function jsonString(rules: RuleSet): Expression {
  return rules.shared('json-string', () =>
    sequence(
      text('"'),
      repeat(
        choice(
          {
            kind: 'class',
            ranges: [
              [0x20, 0x21],
              [0x23, 0x5b],
              [0x5d, 0xd7ff],
              [0xe000, 0x10ffff],
            ],
          },
          text('\\n'),
          text('\\"'),
        ),
        0,
      ),
      text('"'),
    ),
  );
}

/** Any JSON value. */
export function anyJson(rules: RuleSet): Expression {
  return rules.shared('json', (self) =>
    choice(
      jsonString(rules),
      text('1'),
      text('true'),
      text('null'),
      jsonObject(rules),
      sequence(
        text('['),
        optional(sequence(self, repeat(sequence(text(', '), self), 0))),
        text(']'),
      ),
    ),
  );
}

/** The schema as expression; code: schema_unsupported. */
export function schemaExpression(schema: unknown, rules: RuleSet): Expression {
  return looseSchema(schema, rules);
}

/** The schema as expression, as far as it can be said. */
export function looseSchema(schema: unknown, rules: RuleSet): Expression {
  const type = typeof schema === 'object' && schema !== null && 'type' in schema ? schema.type : '';
  if (type === 'object') return jsonObject(rules);
  if (type === 'integer' || type === 'number') return text('12');
  if (type === 'boolean') return choice(text('true'), text('false'));
  if (type === 'string') return jsonString(rules);
  return anyJson(rules);
}
