/**
 * The formats of strings as grammars, each written more narrowly than its standard allows, never more
 * widely. Pure data, any thread.
 */
import {
  choice,
  counted,
  type Expression,
  oneOf,
  optional,
  repeat,
  sequence,
  text,
} from './expression.js';
import { DIGIT, HEX } from './json.js';

/** A format with the fewest and the most code points that it has here. */
export interface Format {
  readonly written: Expression;
  readonly min: number;
  readonly max: number;
  /** The same without an upper bound, where `written` has one for models' sake only. */
  readonly unbounded?: Expression;
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

const MAIL = any('09', 'AZ', 'az', '_', '+', '-');
const LETTER = any('AZ', 'az');

/** Words with dots between them, before a domain that ends in letters. */
const EMAIL: Expression = sequence(
  ...[counted(MAIL, 1, 16), optional(sequence(text('.'), counted(MAIL, 1, 16))), text('@')],
  counted(sequence(label(16, 1), text('.')), 1, 3),
  counted(LETTER, 2, 10),
);
/** The same without counts, where something else bounds the length. */
const LONG_EMAIL: Expression = sequence(
  ...[repeat(MAIL, 1), repeat(sequence(text('.'), repeat(MAIL, 1)), 0), text('@')],
  repeat(
    sequence(
      repeat(ALPHANUMERIC, 1),
      repeat(sequence(text('-'), repeat(ALPHANUMERIC, 1)), 0),
      text('.'),
    ),
    1,
  ),
  repeat(LETTER, 2),
);

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

/** The formats that are known, by name. */
export const FORMATS: ReadonlyMap<string, Format> = new Map<string, Format>([
  ['date', { written: DATE, min: 10, max: 10 }],
  ['time', { written: TIME, min: 9, max: 24 }],
  ['date-time', { written: sequence(DATE, text('T'), TIME), min: 20, max: 35 }],
  ['uuid', { written: UUID, min: 36, max: 36 }],
  ['email', { written: EMAIL, min: 6, max: 145, unbounded: LONG_EMAIL }],
  ['hostname', { written: HOST, min: 1, max: 251 }],
  ['ipv4', { written: IPV4, min: 7, max: 15 }],
  ['ipv6', { written: IPV6, min: 2, max: 39 }],
  ['uri', { written: URI, min: 5, max: 36_000 }],
]);

/** Formats that allow every text. */
export const ANY_TEXT: ReadonlySet<string> = new Set(['password', 'binary']);

/** The formats that JSON Schema 2020-12 defines (Validation, 7.3); other names are annotations. */
export const STANDARD_FORMATS: ReadonlySet<string> = new Set([
  ...['date-time', 'date', 'time', 'duration', 'email', 'idn-email', 'hostname', 'idn-hostname'],
  ...['ipv4', 'ipv6', 'uri', 'uri-reference', 'iri', 'iri-reference', 'uuid', 'uri-template'],
  ...['json-pointer', 'relative-json-pointer', 'regex'],
]);
