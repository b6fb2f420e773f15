/**
 * JSON as models write it: strings, numbers, whitespace, and any value at all. Pure, any thread. What
 * it writes is always read by JSON.parse; it must never leave open an endless run of whitespace, in
 * which a model could lose itself.
 */
import {
  choice,
  counted,
  type Expression,
  noneOf,
  oneOf,
  optional,
  type RuleSet,
  repeat,
  sequence,
  text,
} from './expression.js';

/** A hexadecimal digit. */
export const HEX: Expression = oneOf([0x30, 0x39], [0x41, 0x46], [0x61, 0x66]);
/** A decimal digit. */
export const DIGIT: Expression = oneOf([0x30, 0x39]);
const DIGIT_BUT_ZERO: Expression = oneOf([0x31, 0x39]);

/** The most digits before and after a decimal point: as many as a double keeps apart. */
export const MAX_DIGITS = 15;
/** Deeper than this, lines are indented no further. */
const MAX_INDENT_DEPTH = 12;

/** The code points that stand in a JSON string as they are. */
export const PLAIN_CHARACTER: Expression = noneOf([0, 0x1f], [0x22, 0x22], [0x5c, 0x5c]);

const among = (marks: string): Expression =>
  oneOf(...Array.from(marks, (mark) => [codeOf(mark), codeOf(mark)] as const));

/** Four hexadecimal digits of a character of its own. */
const WHOLE = choice(
  sequence(among('0123456789ABCEFabcef'), counted(HEX, 3, 3)),
  sequence(among('Dd'), among('01234567'), counted(HEX, 2, 2)),
);
/** The two halves of a surrogate pair, the second with its own `\u`. */
const PAIR = sequence(
  ...[among('Dd'), among('89ABab'), counted(HEX, 2, 2)],
  ...[text('\\u'), among('Dd'), among('CDEFcdef'), counted(HEX, 2, 2)],
);

/**
 * One code point inside a JSON string, as it is or escaped. `\u` never writes half of a surrogate
 * pair, and both halves are one, so that lengths are the same for whoever counts code points.
 */
export function jsonCharacter(rules: RuleSet): Expression {
  return rules.shared('json-character', () =>
    choice(
      PLAIN_CHARACTER,
      sequence(text('\\'), choice(among('"\\/bfnrt'), sequence(text('u'), choice(WHOLE, PAIR)))),
    ),
  );
}

/** A JSON string of `min` to `max` code points. */
export function jsonString(rules: RuleSet, min = 0, max = Number.POSITIVE_INFINITY): Expression {
  return sequence(text('"'), counted(jsonCharacter(rules), min, max), text('"'));
}

/** A whole number of at most 15 digits; never `-0`. */
export const JSON_INTEGER: Expression = choice(
  text('0'),
  sequence(optional(text('-')), DIGIT_BUT_ZERO, counted(DIGIT, 0, MAX_DIGITS - 1)),
);

/** A decimal point with its digits. */
const FRACTION: Expression = sequence(text('.'), counted(DIGIT, 1, MAX_DIGITS));

/** A number: at most 15 digits, 15 decimals and an exponent of two digits, so always finite. */
export const JSON_NUMBER: Expression = sequence(
  optional(text('-')),
  choice(text('0'), sequence(DIGIT_BUT_ZERO, counted(DIGIT, 0, MAX_DIGITS - 1))),
  optional(FRACTION),
  optional(
    sequence(
      oneOf([0x45, 0x45], [0x65, 0x65]),
      optional(oneOf([0x2b, 0x2b], [0x2d, 0x2d])),
      counted(DIGIT, 1, 2),
    ),
  ),
);

/** true or false. */
export const JSON_BOOLEAN: Expression = choice(text('true'), text('false'));

/** What stands between a key and its value: a colon, with a space on either side or none. */
export const COLON: Expression = sequence(optional(text(' ')), text(':'), optional(text(' ')));

/**
 * What may stand after a bracket or a comma `depth` levels down: nothing, a space, or a new line
 * indented by at most four spaces or one tab a level.
 */
export function jsonSpace(rules: RuleSet, depth: number): Expression {
  const level = Math.min(depth, MAX_INDENT_DEPTH);
  return rules.shared(`json-space-${level}`, () =>
    optional(
      choice(
        text(' '),
        sequence(
          ...[optional(text('\r')), text('\n')],
          choice(counted(text(' '), 0, 4 * level), counted(text('\t'), 1, Math.max(1, level))),
        ),
      ),
    ),
  );
}

/** Any JSON value; nesting is bounded by the length of the output only. */
export function anyJson(rules: RuleSet): Expression {
  return rules.shared('json-value', (self) =>
    choice(
      jsonObject(rules, self),
      jsonArray(rules, self),
      jsonString(rules),
      JSON_NUMBER,
      JSON_BOOLEAN,
      text('null'),
    ),
  );
}

/** Any JSON object, as response_format json_object wants it. */
export function jsonObject(rules: RuleSet, value?: Expression): Expression {
  return rules.shared('json-object', () => {
    const member = sequence(jsonString(rules), COLON, value ?? anyJson(rules));
    return bracketed(rules, '{', member, '}');
  });
}

/** Any JSON array. */
export function jsonArray(rules: RuleSet, value?: Expression): Expression {
  return rules.shared('json-array', () => bracketed(rules, '[', value ?? anyJson(rules), ']'));
}

function bracketed(rules: RuleSet, open: string, part: Expression, close: string): Expression {
  const space = jsonSpace(rules, MAX_INDENT_DEPTH);
  return sequence(
    text(open),
    space,
    optional(sequence(part, repeat(sequence(text(','), space, part), 0), space)),
    text(close),
  );
}

/** The code point of a text of one character. */
export function codeOf(character: string): number {
  return character.codePointAt(0) ?? 0;
}
