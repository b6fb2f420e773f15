/**
 * Patterns with lookahead that widely used libraries publish, told by their text and said without it.
 * Pure, any thread. What stands for a pattern may allow fewer texts than the pattern, never others.
 */

/** Another pattern, or a format all texts of which match. */
export interface Known {
  readonly pattern?: string;
  readonly format?: string;
}

/** A few digits: a model must come to an end. */
const FEW = '\\d{1,4}';
const DATE_PART = `(?:${FEW}Y(?:${FEW}M)?(?:${FEW}D)?|${FEW}M(?:${FEW}D)?|${FEW}D)`;
const TIME_PART = `T(?:${FEW}H(?:${FEW}M)?(?:${FEW}S)?|${FEW}M(?:${FEW}S)?|${FEW}S)`;

/** ISO 8601 durations: weeks alone, or at least one of the others, the larger before the smaller. */
export const DURATION = `^P(?:${FEW}W|${DATE_PART}(?:${TIME_PART})?|${TIME_PART})$`;

/** Pictographs that are one code point each and whole emoji without another. */
const EMOJI =
  '^[\\u{1f300}-\\u{1f320}\\u{1f400}-\\u{1f43e}\\u{1f600}-\\u{1f64f}\\u{1f680}-\\u{1f6c5}]+$';

const KNOWN: ReadonlyMap<string, Known> = new Map<string, Known>([
  // zod 4 and what writes schemas of zod 3: email.
  [
    "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$",
    { format: 'email' },
  ],
  [
    "^(?!\\.)(?!.*\\.\\.)([a-zA-Z0-9_'+\\-\\.]*)[a-zA-Z0-9_+-]@([a-zA-Z0-9][a-zA-Z0-9\\-]*\\.)+[a-zA-Z]{2,}$",
    { format: 'email' },
  ],
  // zod 4: duration, emoji, hostname.
  [
    '^P(?:(\\d+W)|(?!.*W)(?=\\d|T\\d)(\\d+Y)?(\\d+M)?(\\d+D)?(T(?=\\d)(\\d+H)?(\\d+M)?(\\d+([.,]\\d+)?S)?)?)$',
    { pattern: DURATION },
  ],
  [
    '^(?=[\\s\\S]*[\\p{Extended_Pictographic}\\p{Regional_Indicator}\\u20E3])[\\p{Extended_Pictographic}\\p{Emoji_Component}]+$',
    { pattern: EMOJI },
  ],
  ['^(\\p{Extended_Pictographic}|\\p{Emoji_Component})+$', { pattern: EMOJI }],
  [
    '^(?=.{1,253}\\.?$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\\.[a-zA-Z0-9](?:[-0-9a-zA-Z]{0,61}[0-9a-zA-Z])?)*\\.?$',
    { format: 'hostname' },
  ],
]);

/** What a known pattern is without its lookahead; null for any other pattern. */
export function withoutLookahead(pattern: string): Known | null {
  return KNOWN.get(pattern) ?? decimal(pattern);
}

/** How pydantic begins the pattern of every Decimal: not only signs and points. */
const DECIMAL = '^(?!^[-+.]*$)[+-]?0*';
const WHOLE = '-?(?:0|[1-9]\\d{0,14})';

/** A Decimal of pydantic, with its max_digits and decimal_places; without needless zeros. */
function decimal(pattern: string): Known | null {
  if (!pattern.startsWith(DECIMAL)) return null;
  const rest = pattern.slice(DECIMAL.length);
  if (rest === '\\d*\\.?\\d*$') return { pattern: `^${WHOLE}(?:\\.\\d{1,15})?$` };
  const places = /^\\d\*\\\.\?\\d\{0,(\d{1,3})\}0\*\$$/.exec(rest)?.[1];
  if (places !== undefined) return { pattern: `^${WHOLE}${fraction(Number(places))}$` };
  const both =
    /^\(\?:\\d\{0,(\d{1,3})\}\|\(\?=\[\\d\.\]\{1,(\d{1,3})\}0\*\$\)\\d\{0,\1\}\\\.\\d\{0,(\d{1,3})\}0\*\$\)$/.exec(
      rest,
    );
  if (both !== null) {
    const [whole, most, decimals] = both.slice(1).map(Number);
    return sized(whole ?? 0, Math.min(decimals ?? 0, (most ?? 0) - 1 - (whole ?? 0)));
  }
  const digits =
    /^\(\?:\\d\{0,(\d{1,3})\}\|\(\?=\[\\d\.\]\{1,(\d{1,3})\}0\*\$\)\\d\*\\\.\\d\*0\*\$\)$/.exec(
      rest,
    );
  if (digits === null) return null;
  const most = Math.min(Number(digits[1]), Number(digits[2]) - 1);
  const wholes = Math.ceil(most / 2);
  return { pattern: `${sized(most, 0).pattern}|${sized(wholes, most - wholes).pattern}` };
}

function sized(whole: number, decimals: number): Required<Pick<Known, 'pattern'>> {
  const digits = whole > 0 ? `-?(?:0|[1-9]\\d{0,${whole - 1}})` : '0';
  return { pattern: `^${digits}${fraction(decimals)}$` };
}

function fraction(places: number): string {
  return places > 0 ? `(?:\\.\\d{1,${places}})?` : '';
}
