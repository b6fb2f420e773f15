/**
 * Names of hosts, addresses and URIs as grammars (RFC 1034, 3986, 4291), each written more narrowly than
 * its standard allows, never more widely. Pure data, any thread.
 */
import { choice, counted, type Expression, oneOf, optional, sequence, text } from './expression.js';
import { DIGIT, HEX } from './json.js';

/** A format with the fewest and the most code points that it has here. */
export interface Format {
  readonly written: Expression;
  readonly min: number;
  readonly max: number;
  /** The same without an upper bound, where `written` has one for models' sake only. */
  readonly unbounded?: Expression;
  /** A shorter form, for where this one is too long. */
  readonly shorter?: Format;
}

const range = (first: string, last: string): readonly [number, number] => [
  first.charCodeAt(0),
  last.charCodeAt(0),
];

/** One of these characters: `az` is a range, `a` is one. */
export const any = (...characters: readonly string[]): Expression =>
  oneOf(...characters.map((one) => range(one.charAt(0), one.charAt(one.length - 1))));

/** A letter or a digit of ASCII. */
export const ALPHANUMERIC = any('09', 'AZ', 'az');

/** Words of letters and digits, so long, with so many single dashes between them. */
export function hostLabel(length: number, dashes: number): Expression {
  const word = counted(ALPHANUMERIC, 1, length);
  return sequence(word, counted(sequence(text('-'), word), 0, dashes));
}

/** Labels with so many dots between them. */
function hostname(length: number, dashes: number, dots: number): Expression {
  const label = hostLabel(length, dashes);
  return sequence(label, counted(sequence(text('.'), label), 0, dots));
}

/** 0 to 255 without leading zeros. */
const OCTET: Expression = choice(
  sequence(any('19'), optional(DIGIT)),
  ...[text('0'), sequence(any('1'), DIGIT, DIGIT)],
  ...[sequence(text('2'), any('04'), DIGIT), sequence(text('25'), any('05'))],
);
/** Four numbers with dots. */
export const IPV4: Expression = sequence(OCTET, counted(sequence(text('.'), OCTET), 3, 3));

const GROUP: Expression = counted(HEX, 1, 4);
const groups = (min: number, max: number): Expression =>
  max === 0
    ? text('')
    : sequence(GROUP, counted(sequence(text(':'), GROUP), Math.max(0, min - 1), max - 1));

/** All eight groups, or `::` for two or more of them. */
export const IPV6: Expression = choice(
  groups(8, 8),
  ...[0, 1, 2, 3, 4, 5, 6].map((before) =>
    sequence(
      groups(before, before),
      text('::'),
      ...(before < 6 ? [optional(groups(1, 6 - before))] : []),
    ),
  ),
);

/** How many characters each piece of a URI may have. */
interface Sizes {
  readonly scheme: number;
  /** Of the host: the length of a word, dashes in a label, dots. */
  readonly host: readonly [word: number, dashes: number, dots: number];
  /** Whether there may be a user, a port, or an address in brackets. */
  readonly isWhole: boolean;
  readonly path: number;
  readonly query: number;
  readonly fragment: number;
  /** Whether characters may be written as `%20`, which count as one. */
  readonly hasPercent: boolean;
}

const USER = 32;
const MARKS = ['-', '.', '_', '~', '!', '$', '&', "'", '(', ')', '*', '+', ',', ';', '='];

/** A piece in which these may stand beside what always may. */
function piece(
  more: readonly string[],
  min: number,
  max: number,
  { hasPercent }: Sizes,
): Expression {
  const plain = any('09', 'AZ', 'az', ...MARKS, ...more);
  const percent = sequence(text('%'), counted(HEX, 2, 2));
  return counted(hasPercent ? choice(plain, percent) : plain, min, max);
}

/** Up to 59999: every port that has so few digits is one. */
const PORT = choice(sequence(any('15'), counted(DIGIT, 4, 4)), counted(DIGIT, 1, 4));

function tail(sizes: Sizes): Expression {
  const inside = [':', '@', '/', '?'];
  return sequence(
    optional(sequence(text('?'), piece(inside, 0, sizes.query, sizes))),
    optional(sequence(text('#'), piece(inside, 0, sizes.fragment, sizes))),
  );
}

function authority(sizes: Sizes): Expression {
  const name = hostname(...sizes.host);
  if (!sizes.isWhole) return name;
  return sequence(
    optional(sequence(piece([':'], 0, USER, sizes), text('@'))),
    choice(name, sequence(text('['), IPV6, text(']'))),
    optional(sequence(text(':'), PORT)),
  );
}

/** Not empty, and its first piece is not either: as of `mailto:` and `urn:`. */
function rootless(sizes: Sizes): Expression {
  return sequence(piece([':', '@'], 1, 1, sizes), piece([':', '@', '/'], 0, sizes.path, sizes));
}

/** After a scheme: a host with what may stand around it, or a path. */
function uri(sizes: Sizes): Expression {
  const path = optional(sequence(text('/'), piece([':', '@', '/'], 0, sizes.path, sizes)));
  return sequence(
    ...[any('AZ', 'az'), counted(any('09', 'AZ', 'az', '+', '-', '.'), 0, sizes.scheme), text(':')],
    choice(sequence(text('//'), authority(sizes), path), rootless(sizes)),
    tail(sizes),
  );
}

/** A URI, or without its scheme: an absolute or a relative path, a query, a fragment. */
function reference(sizes: Sizes): Expression {
  const absolute = sequence(text('/'), optional(rootless(sizes)));
  const relative = sequence(
    piece(['@'], 1, 8, sizes),
    optional(sequence(text('/'), piece([':', '@', '/'], 0, sizes.path, sizes))),
  );
  return choice(uri(sizes), sequence(optional(choice(absolute, relative)), tail(sizes)));
}

/** From the most generous on; 2,083 is what the web knows as its limit. */
const FORMS: readonly Sizes[] = [
  form([20, 1, 5], true, [2048, 2048, 1024]),
  form([20, 1, 5], true, [320, 160, 40]),
  form([10, 1, 2], true, [140, 60, 20]),
  form([10, 1, 2], false, [72, 36, 16]),
  form([10, 1, 2], false, [24, 16, 8]),
  { ...form([10, 0, 2], false, [24, 12, 4]), hasPercent: false },
  { ...form([10, 0, 1], false, [12, 8, 4]), scheme: 7, hasPercent: false },
  { ...form([8, 0, 1], false, [8, 4, 2]), scheme: 7, hasPercent: false },
  { ...form([5, 0, 1], false, [2, 1, 1]), scheme: 5, hasPercent: false },
];

function form(
  host: Sizes['host'],
  isWhole: boolean,
  rest: readonly [number, number, number],
): Sizes {
  const [path, query, fragment] = rest;
  return { scheme: 15, host, isWhole, path, query, fragment, hasPercent: true };
}

/** Small as an automaton, for where lengths are counted beside it. */
const ENDLESS: Sizes = {
  ...form([Infinity, Infinity, Infinity], false, [Infinity, Infinity, Infinity]),
  scheme: Infinity,
};

/** At most so long. */
function lengthOf(sizes: Sizes): number {
  const { scheme, isWhole, path, query, fragment, hasPercent } = sizes;
  const host = hostLength(...sizes.host);
  const around = isWhole ? 3 * USER + 7 : 0;
  return scheme + 7 + host + around + (hasPercent ? 3 : 1) * (path + query + fragment);
}

function hostLength(word: number, dashes: number, dots: number): number {
  return (word * (dashes + 1) + dashes) * (dots + 1) + dots;
}

function formatOf(write: (sizes: Sizes) => Expression, min: number): Format {
  const unbounded = write(ENDLESS);
  const forms = FORMS.map((sizes) => ({ written: write(sizes), max: lengthOf(sizes) }));
  return chain(forms, min, unbounded);
}

/** The first of the forms, each with the next one for where it is too long. */
function chain(
  forms: readonly Pick<Format, 'written' | 'max'>[],
  min: number,
  unbounded: Expression,
): Format {
  const last = forms.reduceRight<Format | undefined>(
    (shorter, one) => ({ ...one, min, unbounded, ...(shorter !== undefined && { shorter }) }),
    undefined,
  );
  return last ?? { written: unbounded, min, max: Infinity };
}

/** Of hosts, below the 63 characters of a label and the 253 of all of RFC 1034. */
const HOSTS: readonly Sizes['host'][] = [
  [20, 1, 5],
  [20, 1, 2],
  [12, 0, 2],
  [8, 0, 1],
];

/** Labels of letters and digits, with dashes inside and dots between them. */
export const HOSTNAME: Format = chain(
  HOSTS.map((host) => ({ written: hostname(...host), max: hostLength(...host) })),
  1,
  hostname(...ENDLESS.host),
);
/** Scheme and host, or a path as of `mailto:`, with what may follow. */
export const URI: Format = formatOf(uri, 3);
/** The same, and what stands without a scheme. */
export const URI_REFERENCE: Format = formatOf(reference, 0);
