/**
 * Strings of a JSON Schema: lengths, patterns and formats. Pure, any thread. A format is written more
 * narrowly than its standard allows, never more widely.
 */
import {
  choice,
  counted,
  type Expression,
  oneOf,
  optional,
  type RuleSet,
  sequence,
  text,
} from './expression.js';
import { DIGIT, HEX, jsonString } from './json.js';
import { patternExpression } from './pattern.js';
import { ImpossibleSchema, shown, unsupportedSchema } from './refusal.js';
import type { Facts, Located } from './schema-facts.js';

/** A string that obeys the facts. Codes: schema_unsupported. */
export function stringExpression(facts: Facts, rules: RuleSet): Expression {
  const { minLength, maxLength } = facts;
  if (minLength.value > maxLength.value) {
    throw new ImpossibleSchema(
      minLength.pointer,
      'minLength is more than maxLength',
      'minLength が maxLength を超えています',
    );
  }
  const lengths = { min: minLength.value, max: maxLength.value };
  const formats = facts.formats.filter(({ value }) => !ANY_TEXT.has(value));
  const bound = [...formats, ...facts.patterns];
  const [first, second] = bound;
  if (first === undefined) return jsonString(rules, lengths.min, lengths.max);
  if (second !== undefined) {
    throw unsupportedSchema(
      second.pointer,
      'only one pattern or format can bind a string',
      '一つの文字列を縛れる pattern・format は一つだけです',
    );
  }
  const inside =
    formats.length > 0 ? formatExpression(first, lengths) : patternExpression(first, lengths);
  return sequence(text('"'), inside, text('"'));
}

/** Formats that allow every text. */
const ANY_TEXT: ReadonlySet<string> = new Set(['password', 'binary']);

function formatExpression(
  format: Located<string>,
  lengths: { readonly min: number; readonly max: number },
): Expression {
  const known = FORMATS.get(format.value);
  if (known === undefined) {
    throw unsupportedSchema(
      format.pointer,
      `format ${shown(format.value)} is not known here`,
      `format ${shown(format.value)} は使えません`,
    );
  }
  if (known.min < lengths.min || known.max > lengths.max) {
    throw unsupportedSchema(
      format.pointer,
      'minLength and maxLength cannot narrow this format',
      'この format は minLength・maxLength で狭められません',
    );
  }
  return known.written;
}

/** A format with the fewest and the most code points that it has here. */
interface Format {
  readonly written: Expression;
  readonly min: number;
  readonly max: number;
}

const range = (first: string, last: string): readonly [number, number] => [
  first.charCodeAt(0),
  last.charCodeAt(0),
];
const any = (...characters: readonly string[]): Expression =>
  oneOf(...characters.map((one) => range(one.charAt(0), one.charAt(one.length - 1))));

/** `az` is a range, `a` is one character. */
const ALPHANUMERIC = any('09', 'AZ', 'az');
const two = (tens: string, ones = '09'): Expression => sequence(any(tens), any(ones));

/** Every day of the calendar from year 0 to 9999 (RFC 3339 full-date). */
const DATE: Expression = choice(
  sequence(
    counted(DIGIT, 4, 4),
    text('-'),
    choice(
      sequence(
        choice(...['01', '03', '05', '07', '08', '10', '12'].map(text)),
        text('-'),
        days('31'),
      ),
      sequence(choice(...['04', '06', '09', '11'].map(text)), text('-'), days('30')),
      sequence(text('02-'), choice(two('0', '19'), two('1'), two('2', '08'))),
    ),
  ),
  sequence(leapYear(), text('-02-29')),
);

function days(last: '30' | '31'): Expression {
  return choice(two('0', '19'), two('12'), two('3', last === '30' ? '0' : '01'));
}

function leapYear(): Expression {
  const four = choice(
    sequence(any('0'), any('4', '8')),
    sequence(any('2', '4', '6', '8'), any('0', '4', '8')),
    sequence(any('1', '3', '5', '7', '9'), any('2', '6')),
  );
  const fourth = choice(text('00'), four);
  return choice(sequence(counted(DIGIT, 2, 2), four), sequence(fourth, text('00')));
}

const HOUR = choice(two('01'), two('2', '03'));
const SIXTY = two('05');

/** RFC 3339 full-time without leap seconds. */
const TIME: Expression = sequence(
  ...[HOUR, text(':'), SIXTY, text(':'), SIXTY],
  optional(sequence(text('.'), counted(DIGIT, 1, 9))),
  choice(text('Z'), sequence(any('+', '-'), HOUR, text(':'), SIXTY)),
);

const UUID: Expression = sequence(
  ...[8, 4, 4, 4, 12].flatMap((length, index) => [
    ...(index > 0 ? [text('-')] : []),
    counted(HEX, length, length),
  ]),
);

/** Letters and digits with single dashes inside. */
function label(length: number, dashes: number): Expression {
  const word = counted(ALPHANUMERIC, 1, length);
  return sequence(word, counted(sequence(text('-'), word), 0, dashes));
}

/** At most 6 labels of at most 41 characters: below the 63 and 253 of RFC 1034. */
const HOST: Expression = sequence(label(20, 1), counted(sequence(text('.'), label(20, 1)), 0, 5));

/** Words with dots between them, before a domain that ends in letters. */
const EMAIL: Expression = sequence(
  ...[emailWord(), counted(sequence(text('.'), emailWord()), 0, 3), text('@')],
  counted(sequence(label(20, 1), text('.')), 1, 4),
  counted(any('AZ', 'az'), 2, 16),
);

function emailWord(): Expression {
  return counted(any('09', 'AZ', 'az', '_', '+', '-'), 1, 24);
}

/** 0 to 255 without leading zeros. */
const OCTET: Expression = choice(
  sequence(any('19'), optional(DIGIT)),
  ...[text('0'), sequence(any('1'), DIGIT, DIGIT)],
  ...[sequence(text('2'), any('04'), DIGIT), sequence(text('25'), any('05'))],
);
const IPV4: Expression = sequence(OCTET, counted(sequence(text('.'), OCTET), 3, 3));

const GROUP: Expression = counted(HEX, 1, 4);
const groups = (min: number, max: number): Expression =>
  max === 0
    ? text('')
    : sequence(GROUP, counted(sequence(text(':'), GROUP), Math.max(0, min - 1), max - 1));

/** All eight groups, or `::` for two or more of them. */
const IPV6: Expression = choice(
  groups(8, 8),
  ...[0, 1, 2, 3, 4, 5, 6].map((before) =>
    sequence(
      groups(before, before),
      text('::'),
      ...(before < 6 ? [optional(groups(1, 6 - before))] : []),
    ),
  ),
);

/** Scheme, host, port, path, query and fragment; no user, no address in brackets. */
const URI: Expression = sequence(
  sequence(any('AZ', 'az'), counted(any('09', 'AZ', 'az', '+', '-', '.'), 0, 15), text('://')),
  sequence(HOST, optional(sequence(text(':'), counted(DIGIT, 1, 5)))),
  counted(sequence(text('/'), uriText(256)), 0, 32),
  ...['?', '#'].map((mark) => optional(sequence(text(mark), uriText(1024)))),
);

function uriText(max: number): Expression {
  const plain = any(
    '09',
    'AZ',
    'az',
    '-',
    '.',
    '_',
    '~',
    '!',
    '$',
    '&',
    "'",
    '*',
    '+',
    ',',
    ';',
    '=',
  );
  return counted(choice(plain, sequence(text('%'), counted(HEX, 2, 2))), 0, max);
}

const FORMATS: ReadonlyMap<string, Format> = new Map<string, Format>([
  ['date', { written: DATE, min: 10, max: 10 }],
  ['time', { written: TIME, min: 9, max: 24 }],
  ['date-time', { written: sequence(DATE, text('T'), TIME), min: 20, max: 35 }],
  ['uuid', { written: UUID, min: 36, max: 36 }],
  ['email', { written: EMAIL, min: 6, max: 284 }],
  ['hostname', { written: HOST, min: 1, max: 251 }],
  ['ipv4', { written: IPV4, min: 7, max: 15 }],
  ['ipv6', { written: IPV6, min: 2, max: 39 }],
  ['uri', { written: URI, min: 5, max: 36_000 }],
]);
