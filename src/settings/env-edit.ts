/**
 * One setting changed in the text of a .env file, everything else left as it stands: remarks, order, line
 * ends. Any thread; pure. It must never give a text that dotenv reads otherwise than was asked for.
 */
import { parse } from 'dotenv';
import { HoshikageError } from '../errors.js';
import { SETTINGS } from '../settings.js';
import { envLines, LINE_END, splitLines } from './env-lines.js';
import type { Setting } from './row.js';

/**
 * The text with `key` set to `value`: in the place of the line that counts now, else below its commented
 * example, else at the end. Code: setting_unwritable.
 */
export function withSetting(text: string, key: string, value: string): string {
  const lines = linesOf(text);
  const assignment = `${key}=${quoted(key, value)}`;
  // Of several the last one counts.
  const there = envLines(text).findLast((line) => line.key === key);
  if (there) {
    const old = lines[there.at]?.text ?? '';
    const indent = /^\s*(?:export\s+)?/.exec(old)?.[0] ?? '';
    const remark = there.count === 1 ? remarkOf(old) : '';
    const end = lines[there.at + there.count - 1]?.end ?? '';
    lines.splice(there.at, there.count, { text: indent + assignment + remark, end });
  } else {
    const example = lines.findLastIndex((line) =>
      line.text.replace(/^\s*#\s*/, '#').startsWith(`#${key}=`),
    );
    const at = example < 0 ? lines.length : example + 1;
    // As the line above it ends, or any.
    const end = lines[at - 1]?.end || lines[0]?.end || '\n';
    lines.splice(at, 0, { text: assignment, end });
    const open = lines.findIndex((line) => line.end === '');
    if (open >= 0) lines[open] = { text: lines[open]?.text ?? '', end };
  }
  return checked(text, joined(lines), { key, value });
}

/** The text without any line that sets `key`. Code: setting_unwritable. */
export function withoutSetting(text: string, key: string): string {
  const lines = linesOf(text);
  for (const line of [...envLines(text)].reverse()) {
    if (line.key === key) lines.splice(line.at, line.count);
  }
  return checked(text, joined(lines), { key, value: undefined });
}

/** Whether a setting that nobody may see stands in a .env file. */
export function holdsSecret(text: string): boolean {
  const values = parse(text);
  return (SETTINGS as readonly Setting[]).some(({ key, secret }) => secret && values[key]);
}

/** A line, and what ends it: nothing where the file breaks off. */
interface Line {
  readonly text: string;
  readonly end: string;
}

function linesOf(text: string): Line[] {
  const ends = text.match(LINE_END) ?? [];
  const lines = splitLines(text).map((line, at) => ({ text: line, end: ends[at] ?? '' }));
  // What follows the last end is no line.
  return lines.at(-1)?.text === '' ? lines.slice(0, -1) : lines;
}

function joined(lines: readonly Line[]): string {
  return lines.map(({ text, end }) => text + end).join('');
}

/** A remark behind the value of a line, with the space before it; dotenv takes it for none of the value. */
function remarkOf(line: string): string {
  const rest = line.replace(/^\s*(?:export\s+)?[\w.-]+\s*[=:]\s*/, '');
  return /^(?:"[^"]*"|'[^']*'|`[^`]*`|[^#"'`]*?)(\s*#.*)$/.exec(rest)?.[1] ?? '';
}

/** The value as it must be written to be read again. */
function quoted(key: string, value: string): string {
  const bare = /^[^\s#'"`\\$]*$/.test(value) ? [value] : [];
  const quotes = ["'", '"', '`'].filter((quote) => !value.includes(quote));
  const ways = [...bare, ...quotes.map((quote) => quote + value + quote), value];
  const way = ways.find((text) => parse(`${key}=${text}`)[key] === value);
  if (way !== undefined) return way;
  throw unwritable(key, {
    en: 'no quotes can hold this value',
    ja: 'どの引用符でも書けない値です',
  });
}

/** The new text, if it differs from the old one in this setting alone. */
function checked(
  before: string,
  after: string,
  { key, value }: { readonly key: string; readonly value: string | undefined },
): string {
  const { [key]: _, ...others } = parse(before);
  const wanted = value === undefined ? others : { ...others, [key]: value };
  const found = parse(after);
  const same =
    Object.keys(found).length === Object.keys(wanted).length &&
    Object.entries(wanted).every(([name, text]) => found[name] === text);
  if (same) return after;
  throw unwritable(key, {
    en: 'the lines around it cannot be told apart; change it by hand',
    ja: '前後の行を見分けられません。手で書き直してください',
  });
}

function unwritable(
  key: string,
  reason: { readonly en: string; readonly ja: string },
): HoshikageError {
  return new HoshikageError('setting_unwritable', { key, reason: reason.en, reason_ja: reason.ja });
}
