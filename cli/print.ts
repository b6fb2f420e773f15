/**
 * What the CLI writes: texts in the chosen language, and tables that line up for Japanese too.
 * Runs in the CLI process; the only place beside fail.ts that writes to its streams. Text that came
 * from a file or a server never steers the terminal.
 */
import { homedir } from 'node:os';
import { sep } from 'node:path';
import { type Language, npxPackage } from '../src/config.js';
import { escapeWord } from './shell-words.js';

/** One text in both languages. */
export interface Words {
  readonly ja: string;
  readonly en: string;
}

/** Writes a line to standard output. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Writes a value as JSON. */
export function printJson(value: unknown): void {
  print(jsonText(value));
}

/** A value as JSON that people can look at, too: what would steer the terminal is escaped. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, null, 2).replace(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Writes a remark to standard error, so that standard output stays what was asked for. */
export function remark(words: Words, language: Language): void {
  process.stderr.write(`${plain(words[language])}\n`);
}

/** How this program was started, for a command the reader can copy. */
export function ownCommand(script = process.argv[1] ?? '', given = npxPackage()): string {
  const isGlobal = /[\\/]hoshikage$/.test(script) && !/[\\/]node_modules[\\/]/.test(script);
  if (isGlobal) return 'hoshikage';
  // From a package that npx was given, as npm tells it; without it npx would ask the registry.
  const isFromPackage = /[\\/]_npx[\\/]/.test(script) && /^[^\n]+$/.test(given);
  return isFromPackage ? `npx --package=${escapeWord(given)} hoshikage` : 'npx hoshikage';
}

/** Text in which the commands are written as this program was started. */
export function asStarted(text: string): string {
  return text.replaceAll('npx hoshikage ', () => `${ownCommand()} `);
}

/** A path as its reader knows it: `~` for the home directory. */
export function shortPath(path: string): string {
  const home = homedir();
  return home !== '' && path.startsWith(home + sep) ? `~${path.slice(home.length)}` : path;
}

/** Text without control characters. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, '\ufffd');
}

/** Text of several lines without any other control character; tabs stay. */
export function plainLines(text: string): string {
  return text.replace(/\r\n?/g, '\n').replace(/[^\n\t]+/g, plain);
}

/** Rows as aligned columns; the last column is as long as it is. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const clean = rows.map((row) => row.map(plain));
  const widths: number[] = [];
  for (const row of clean) {
    for (const [index, cell] of row.entries()) {
      widths[index] = Math.max(widths[index] ?? 0, displayWidth(cell));
    }
  }
  return clean.map((row) =>
    row
      .map((cell, index) => {
        const last = index === row.length - 1;
        return last ? cell : cell + ' '.repeat((widths[index] ?? 0) - displayWidth(cell));
      })
      .join('  ')
      .trimEnd(),
  );
}

const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u30ff\uff01-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

/** Terminal columns of a text: two for each wide character, none for a combining mark. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const char of text) {
    if (/[\p{Mn}\p{Me}\p{Cf}]/u.test(char)) continue;
    width += WIDE.test(char) && !/[\uff61-\uffdc]/.test(char) ? 2 : 1;
  }
  return width;
}

/** A size as people read it: `512 B`, `4.2 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** A length of time as people read it, in one or two units: `8 s`, `3 min 20 s`, `2 h 5 min`, `4 d 1 h`. */
export function formatSpan(ms: number, language: Language): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [minutes, hours, days] = [60, 3600, 86_400].map((one) => Math.floor(seconds / one));
  const units = language === 'ja' ? ['日', '時間', '分', '秒'] : ['d', 'h', 'min', 's'];
  const values = [days ?? 0, (hours ?? 0) % 24, (minutes ?? 0) % 60, seconds % 60];
  const first = values.findIndex((value) => value > 0);
  if (first < 0) return `0 ${units[3]}`;
  return values
    .slice(first, first + 2)
    .map((value, index) => (value > 0 ? `${value} ${units[first + index]}` : ''))
    .filter((part) => part !== '')
    .join(' ');
}

/** Parts of a whole as a bar of `width` characters; a part that is there at all has one at least. */
export function barOf(
  parts: readonly (readonly [amount: number, mark: string])[],
  width: number,
): string {
  const whole = parts.reduce((sum, [amount]) => sum + amount, 0);
  if (whole <= 0) return ' '.repeat(width);
  const cells = parts.map(([amount, mark]) =>
    mark.repeat(amount > 0 ? Math.max(1, Math.round((amount / whole) * width)) : 0),
  );
  // Rounding is paid for by the longest.
  const longest = cells.reduce(
    (at, cell, index) => (cell.length > (cells[at]?.length ?? 0) ? index : at),
    0,
  );
  const surplus = cells.join('').length - width;
  return cells
    .map((cell, index) => {
      if (index !== longest) return cell;
      const length = Math.max(0, cell.length - surplus);
      return cell.slice(0, 1).repeat(length);
    })
    .join('');
}
