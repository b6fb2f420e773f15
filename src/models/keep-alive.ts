/**
 * How long a model stays in memory after a request, as a request or a map entry says it, in Ollama's
 * words: a number of seconds, or a text such as `5m` or `1h30m`. Any process; pure. The one place
 * that reads it, so that both mean the same.
 */

/** The longest time that can be asked for, ms: what a timer can wait for, some 24 days. */
export const MAX_KEEP_ALIVE_MS = 2 ** 31 - 1;

/** What is wrong with a value that is none. */
export const KEEP_ALIVE_REASON = {
  en: 'expected seconds or a time such as "5m" or "1h30m" (0 = it goes at once, negative = it stays), at most 24 days',
  ja: '秒数か "5m"、"1h30m" のような時間にしてください(0 はすぐ降ろす、負は降ろさない)。24 日までです',
} as const;

const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };
const NUMBER = String.raw`(?:\d+(?:\.\d*)?|\.\d+)`;
/** Bounded, so that no text takes long to refuse. */
const MAX_TEXT_LENGTH = 64;
const BARE = new RegExp(`^[+-]?${NUMBER}$`);
const WITH_UNITS = new RegExp(`^([+-]?)((?:${NUMBER}(?:h|ms|m|s))+)$`);
/** What a text that means a time looks like; whether the time is too long it does not tell. */
export const KEEP_ALIVE_TEXT = new RegExp(
  String.raw`^\s*[+-]?(?:${NUMBER}|(?:${NUMBER}(?:h|ms|m|s))+)\s*$`,
);
const PART = new RegExp(`(${NUMBER})(h|ms|m|s)`, 'g');

/** The time in ms: 0 = the model goes at once, Infinity = it stays. Null for what is no such time. */
export function keepAliveMs(value: unknown): number | null {
  const ms = typeof value === 'string' ? msOfText(value.trim()) : msOfSeconds(value);
  if (ms === null) return null;
  if (ms < 0) return Number.POSITIVE_INFINITY;
  // Without the sign of -0.
  return ms <= MAX_KEEP_ALIVE_MS ? ms + 0 : null;
}

function msOfSeconds(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value * 1000 : null;
}

function msOfText(text: string): number | null {
  if (text.length > MAX_TEXT_LENGTH) return null;
  if (BARE.test(text)) return msOfSeconds(Number(text));
  const found = WITH_UNITS.exec(text);
  if (!found) return null;
  const [, sign, parts = ''] = found;
  let ms = 0;
  for (const [, count, unit = ''] of parts.matchAll(PART))
    ms += Number(count) * (UNIT_MS[unit] ?? 0);
  return sign === '-' ? -ms : ms;
}
