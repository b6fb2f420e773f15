/**
 * The formats of strings as grammars, each written more narrowly than its standard allows, never more
 * widely. Pure data, any thread.
 */
import {
  choice,
  counted,
  type Expression,
  optional,
  repeat,
  sequence,
  text,
} from './expression.js';
import { DIGIT, HEX } from './json.js';
import { DURATION } from './pattern-known.js';
import {
  ALPHANUMERIC,
  any,
  type Format,
  HOSTNAME,
  hostLabel,
  IPV4,
  IPV6,
  URI,
  URI_REFERENCE,
} from './schema-uri.js';

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

const MAIL = any('09', 'AZ', 'az', '_', '+', '-');
const LETTER = any('AZ', 'az');

/** Words with dots between them, before a domain that ends in letters. */
const EMAIL: Expression = sequence(
  ...[counted(MAIL, 1, 16), optional(sequence(text('.'), counted(MAIL, 1, 16))), text('@')],
  counted(sequence(hostLabel(16, 1), text('.')), 1, 3),
  counted(LETTER, 2, 10),
);
const SHORT_EMAIL: Expression = sequence(
  ...[counted(MAIL, 1, 16), text('@'), counted(sequence(hostLabel(12, 0), text('.')), 1, 2)],
  counted(LETTER, 2, 5),
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

/** One character or class of a regular expression, and how often it comes. */
const REGEX_ATOM =
  '(?:[\\w @:,/.-]|\\\\[dDwWsS.*+?()|^$/]|\\[\\^?(?:a-z|A-Z|0-9|[\\w.@/])+-?\\])(?:[*+?]|\\{\\d\\d?\\})?';

/** The formats that are known, by name. */
export const FORMATS: ReadonlyMap<string, Format> = new Map<string, Format>([
  ['date', { written: DATE, min: 10, max: 10 }],
  ['time', { written: TIME, min: 9, max: 24 }],
  ['date-time', { written: sequence(DATE, text('T'), TIME), min: 20, max: 35 }],
  ['uuid', { written: UUID, min: 36, max: 36 }],
  [
    'email',
    {
      ...{ written: EMAIL, min: 6, max: 145, unbounded: LONG_EMAIL },
      shorter: { written: SHORT_EMAIL, min: 6, max: 48, unbounded: LONG_EMAIL },
    },
  ],
  ['hostname', HOSTNAME],
  ['ipv4', { written: IPV4, min: 7, max: 15 }],
  ['ipv6', { written: IPV6, min: 2, max: 39 }],
  ['uri', URI],
  ['uri-reference', URI_REFERENCE],
]);

/** Formats that are said as patterns. */
export const PATTERN_FORMATS: ReadonlyMap<string, string> = new Map([
  ['duration', DURATION],
  ['json-pointer', '^(?:/(?:[^~/]|~[01])*)*$'],
  ['regex', `^\\^?(?:(?:${REGEX_ATOM}|\\((?:${REGEX_ATOM}\\|?)+\\)[*+?]?)\\|?)+\\$?$`],
]);

/** The formats that JSON Schema 2020-12 defines (Validation, 7.3); other names are annotations. */
export const STANDARD_FORMATS: ReadonlySet<string> = new Set([
  ...['date-time', 'date', 'time', 'duration', 'email', 'idn-email', 'hostname', 'idn-hostname'],
  ...['ipv4', 'ipv6', 'uri', 'uri-reference', 'iri', 'iri-reference', 'uuid', 'uri-template'],
  ...['json-pointer', 'relative-json-pointer', 'regex'],
]);
